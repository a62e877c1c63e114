//! A server that is killed at random and at named points. It takes everything from its configuration, and ends with
//! the storm that started it.

#[farcall::main]
async fn main() -> farcall::Result<()> {
    farcall_integration_tests::end_with_parent();
    farcall_integration_tests::storm::serve().await
}
