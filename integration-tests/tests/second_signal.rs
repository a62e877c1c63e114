//! A server that was told to stop, and is told again.

use farcall::{Config, Event, Node, Reason, block_on};
use farcall_integration_tests::UnixWorld;
use farcall_testkit::{Options, SERVICE, World};

#[test]
fn a_second_signal_ends_the_drain() {
    let world = UnixWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    block_on(async {
        let mut options = Options::new("a");
        // Longer than any test may take.
        options.drain = std::time::Duration::from_secs(3600);
        let mut server = world.start(&options);
        let node = Node::open_with(Config::default(), world.transport()).await.unwrap();
        let contract = node.client(SERVICE);
        let mut events = node.events();
        let hung = tokio::task::spawn_local(contract.call::<()>("hang", ("x",)));
        contract.call::<()>("until_started", ("x", 1)).await.unwrap();

        server.terminate();
        let draining = |event| matches!(event, Event::ServerDraining(_)).then_some(());
        events.find(draining).await.unwrap();
        server.terminate();

        let abandoned = hung.await.unwrap().unwrap_err();
        assert_eq!(abandoned.reason(), Reason::Abandoned, "{abandoned}");
    });
}
