//! A crate that has no prelude, and names ours from the root.
#![no_implicit_prelude]
#![deny(warnings)]

use ::farcall_core::Context;
use ::farcall_macros as farcall;
// What schemars' derive takes from the prelude; all else does without.
use ::std::convert::Into as _;
use ::std::default::Default as _;
use ::std::fmt::Debug;
use ::std::option::Option::Some;
use ::std::result::Result;
use ::std::string::String;
use ::std::vec::Vec;

#[farcall::data(crate = "::farcall_core")]
#[derive(Debug)]
struct Own<T>
where
    T: Debug,
{
    count: u8,
    #[serde(default)]
    list: Vec<T>,
}

#[farcall::service(crate = "::farcall_core")]
trait Calc {
    async fn add(&self, a: i64, b: i64) -> i64;
    async fn div(&self, a: f64, b: f64) -> Result<f64, String>;
    async fn put(&self, ctx: &Context, name: &str, content: &[u8], own: &[Own<u8>]) -> Vec<u8>;
}

#[farcall::main(crate = "::farcall_core")]
async fn main() {
    let own = Own { count: 0_u8, list: Vec::<u8>::new() };
    ::std::assert!(own.list.is_empty() && own.count == 0);
}
