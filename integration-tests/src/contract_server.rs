//! A server of the contract service, for tests that need one in a process of its own. It takes
//! everything from its configuration, and ends with the test that started it.

use farcall::prelude::*;

#[farcall::main]
async fn main() -> farcall::Result<()> {
    farcall_integration_tests::end_with_parent();
    let node = Node::open().await?;
    node.serve(farcall_testkit::contract_service()).await?;
    node.run().await
}
