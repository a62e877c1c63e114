//! A server is stopped in its tracks (SIGSTOP) while it runs a task: it keeps it, and nobody else runs it.

use std::time::Duration;

use farcall::Reason;
use farcall_integration_tests::{UnixWorld, until};
use farcall_testkit::{Options, TASKS};

#[farcall::test]
async fn a_server_that_is_stopped_keeps_its_task_and_goes_on_with_it() {
    let world = UnixWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    let stopped = world.spawn(&Options::new("a").with_tasks());
    let node = world.client().await;
    let task = node.client(TASKS).task::<u64>("hang_once", ()).start().await.unwrap();
    let runs = async || task.info().await.is_ok_and(|info| info.state == "running");
    until("it runs", runs).await;
    stopped.pause();
    let _other = world.spawn(&Options::new("b").with_tasks());
    until("there are two", async || node.servers(TASKS).await.unwrap().len() == 2).await;
    // Longer than it takes to adopt what is free.
    let pending = task.result().timeout(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(pending.reason(), Reason::Pending);
    stopped.resume();
    until("it runs again", runs).await;
    let info = task.info().await.unwrap();
    assert_eq!((info.attempts, info.crashes), (1, 0), "it is still the first attempt");
    assert!(task.cancel().await.unwrap());
}
