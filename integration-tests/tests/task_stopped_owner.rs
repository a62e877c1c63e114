//! A server is stopped in its tracks (SIGSTOP) while it runs a task: it keeps it, and nobody else runs it.

use std::time::Duration;

use farcall::Reason;
use farcall_integration_tests::{UnixWorld, until};
use farcall_testkit::Options;

#[farcall::test]
async fn a_server_that_is_stopped_keeps_its_task_and_goes_on_with_it() {
    let world = UnixWorld::new(env!("CARGO_BIN_EXE_storm-server"));
    let stopped = world.spawn(&Options::new("a"));
    let node = world.client().await;
    let effects = world.path().join("effects");
    let work = node.client("storm").try_task::<u64, String>("work", (&effects, 500));
    let task = work.start().await.unwrap();
    until("it runs", async || task.info().await.unwrap().state == "running").await;
    stopped.pause();
    let _other = world.spawn(&Options::new("b"));
    until("there are two", async || node.servers("storm").await.unwrap().len() == 2).await;
    // Longer than it takes to adopt what is free.
    let pending = task.result().timeout(Duration::from_secs(2)).await.unwrap_err();
    let farcall::MethodError::Call(pending) = pending else { panic!("{pending:?}") };
    assert_eq!(pending.reason(), Reason::Pending);
    stopped.resume();
    assert_eq!(task.result().await.unwrap(), 1, "it is still the first attempt");
    let effects = std::fs::read_to_string(effects).unwrap();
    assert_eq!(effects.lines().count(), 1);
}
