//! A server of the contract service, for tests that need one in a process of its own. It takes
//! everything from its configuration, and ends with the test that started it. It says `identity lost` when that happens.

use farcall::Event;
use farcall::prelude::*;

#[farcall::main]
async fn main() -> farcall::Result<()> {
    farcall_integration_tests::end_with_parent();
    let node = Node::open().await?;
    let mut events = node.events();
    tokio::task::spawn_local(async move {
        while let Some(event) = events.next().await {
            if matches!(event, Event::IdentityLost { .. }) {
                println!("identity lost");
            }
        }
    });
    node.serve(farcall_testkit::contract_service()).await?;
    if std::env::var_os(farcall_testkit::TASKS_TOO).is_some() {
        node.serve(farcall_testkit::task_service()).await?;
    }
    node.run().await
}
