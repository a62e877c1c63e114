//! Running a program on the thread of its node.

use std::future::Future;

use actix::System;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::node::{LocalNodes, close_local};

/// Runs a future to its end on this thread, together with the nodes that it opens.
///
/// `#[farcall::main]` and `#[farcall::test]` are this. Nodes opened inside live on this thread, so
/// that a call meets no other; they are closed, and what they have to send is flushed, before this
/// returns.
///
/// # Panics
/// Inside of async code: there is a runtime already, and a node opened in it finds its own thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runner = System::new();
    let nodes = LocalNodes::default();
    let _running = nodes.enter();
    runner.block_on(async {
        let output = future.await;
        close_local().await;
        output
    })
}

/// Whether actors started here are driven by this very thread.
pub(crate) fn drives_actors() -> bool {
    // A System may outlive its arbiter in the thread-local that names it: it is asked to run
    // something, and only one that is alive agrees. A multi-threaded runtime polls this code on
    // threads that it may change.
    let on_one_thread = Handle::try_current()
        .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::CurrentThread);
    on_one_thread && System::try_current().is_some_and(|system| system.arbiter().spawn(async {}))
}
