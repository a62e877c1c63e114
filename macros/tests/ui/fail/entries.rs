use farcall_macros as farcall;

#[farcall::main(crate = "farcall_core")]
fn not_async() {}

#[farcall::main(crate = "farcall_core")]
async fn arguments(name: String, age: u8) {}

#[farcall::test(crate = "farcall_core")]
async fn generic<T: Default>() {}

#[farcall::test(crate = "farcall_core")]
struct NotAFunction;

#[farcall::main(crte = "farcall_core")]
async fn options() {}

#[farcall::main(crate = "farcall_core")]
async fn wrong_type() -> Result<(), String> {
    Ok(1)
}

fn main() {
    not_async();
}
