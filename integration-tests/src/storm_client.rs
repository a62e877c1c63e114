//! A client that starts tasks, and notes what it is told of them. It takes everything from its configuration, and ends
//! with the storm that started it.

#[farcall::main]
async fn main() -> farcall::Result<()> {
    farcall_integration_tests::storm::visit().await
}
