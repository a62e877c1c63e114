use farcall_macros as farcall;

#[farcall::data(crate = "farcall_core")]
union Bits {
    a: u32,
    b: f32,
}

#[farcall::data(crate = "farcall_core")]
fn function() {}

#[farcall::data(crate = "farcall_core")]
#[derive(Clone, Debug, serde::Serialize)]
struct Twice {
    a: u32,
}

#[farcall::data(rename_all = "snake_case")]
struct Options;

fn main() {}
