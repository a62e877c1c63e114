//! What a node tells of a transport that finds no servers, or cannot look for any.

use std::time::Duration;

use farcall_core::transport::{
    Attachment, Credentials, Inbound, Link, LinkError, Outbound, PeerId, Transport,
};
use farcall_core::wire::{Announcement, Frame, Hello, ServerState};
use farcall_core::{Config, Error, Event, Node, block_on};
use futures::channel::mpsc;
use futures::future::{LocalBoxFuture, ready};
use futures::{FutureExt, StreamExt, sink};

/// Fails the first watch; at the second it finds a server that does not answer.
struct Blind;

impl Transport for Blind {
    fn open(self: Box<Self>, _: Attachment) -> LocalBoxFuture<'static, Result<Link, LinkError>> {
        let (tell, told) = mpsc::unbounded();
        let mut watches = 0;
        let sink = sink::unfold(tell, move |tell, outbound| {
            if let Outbound::Watch(watch) = outbound {
                watches += 1;
                let result = match watches {
                    1 => Err(LinkError::new("somebody else's folder")),
                    _ => Ok(()),
                };
                let unreachable = Inbound::Unreachable {
                    service: "calc".into(),
                    server: "a".into(),
                    reason: "it sleeps".to_owned(),
                };
                if result.is_ok() {
                    tell.unbounded_send(Ok(unreachable)).unwrap();
                }
                tell.unbounded_send(Ok(Inbound::Watching { watch, result })).unwrap();
            }
            ready(Ok::<_, LinkError>(tell))
        });
        let link = Link { sink: Box::pin(sink), stream: told.boxed_local(), shared_queue: false };
        ready(Ok(link)).boxed_local()
    }
}

#[test]
fn a_watch_that_fails_fails_the_list_and_the_next_list_asks_again() {
    block_on(async {
        let node = Node::open_with(Config::default(), Box::new(Blind)).await.unwrap();
        let mut events = node.events();
        let Err(Error::Link(error)) = node.servers("calc").await else { panic!() };
        assert_eq!(error.to_string(), "somebody else's folder");
        let reason = "somebody else's folder".to_owned();
        let failed = Event::WatchFailed { service: Some("calc".into()), reason };
        assert_eq!(events.next().await, Some(failed));

        assert!(node.servers("calc").await.unwrap().is_empty());
        let (service, server) = ("calc".into(), "a".into());
        let unreachable =
            Event::ServerUnreachable { service, server, reason: "it sleeps".to_owned() };
        assert_eq!(events.next().await, Some(unreachable));
    });
}

#[test]
fn a_watch_of_everything_fails_by_itself() {
    block_on(async {
        let node = Node::open_with(Config::default(), Box::new(Blind)).await.unwrap();
        assert!(matches!(node.all_servers().await, Err(Error::Link(_))));
        let wait = Duration::from_secs(20);
        let list = tokio::time::timeout(wait, node.servers("calc")).await;
        assert!(list.unwrap().unwrap().is_empty());
    });
}

/// A broker with one server, which is out of reach from the first look on.
struct Broker;

impl Transport for Broker {
    fn open(self: Box<Self>, _: Attachment) -> LocalBoxFuture<'static, Result<Link, LinkError>> {
        let (tell, told) = mpsc::unbounded();
        let mut watches = 0;
        let sink = sink::unfold(tell, move |tell, outbound| {
            if let Outbound::Watch(watch) = outbound {
                watches += 1;
                let failed = || Err(LinkError::new("the broker cannot be reached"));
                let lost = Inbound::Watching { watch: watch.clone(), result: failed() };
                let found = Inbound::Watching { watch, result: Ok(()) };
                let first = up().into_iter().chain([found]);
                let news = first.filter(|_| watches == 1).chain([lost]);
                news.for_each(|it| tell.unbounded_send(Ok(it)).unwrap());
            }
            ready(Ok::<_, LinkError>(tell))
        });
        let link = Link { sink: Box::pin(sink), stream: told.boxed_local(), shared_queue: true };
        ready(Ok(link)).boxed_local()
    }
}

/// A server, and what is in the queue.
fn up() -> [Inbound; 3] {
    let (peer, hello) = (PeerId(1), Hello::new("default", "server"));
    let announcement = Announcement {
        service: "calc".into(),
        server: "a".into(),
        epoch: 1,
        node: hello.node,
        state: ServerState::Ready,
        schema: "".into(),
        concurrency: 8,
        backlog: 8,
    };
    let frame = Frame::Announce(Box::new(announcement));
    let (service, pending) = ("calc".into(), vec![("a".into(), 3)]);
    [
        Inbound::PeerUp { peer, hello: Box::new(hello), credentials: Credentials::default() },
        Inbound::Frame { from: peer, frame, receipt: None },
        Inbound::Queue { service, waiting: 5, pending },
    ]
}

#[test]
fn a_list_tells_of_the_queue_and_of_a_broker_that_is_lost() {
    block_on(async {
        let node = Node::open_with(Config::default(), Box::new(Broker)).await.unwrap();
        let mut events = node.events();
        let servers = node.servers("calc").await.unwrap();
        let told: Vec<_> = servers.iter().map(|it| (it.pending, it.lag)).collect();
        assert_eq!(told, [(Some(3), Some(5))]);
        let lost = |event| matches!(event, Event::WatchFailed { .. }).then_some(());
        events.find(lost).await.unwrap();
        let Err(Error::Link(error)) = node.servers("calc").await else { panic!() };
        assert_eq!(error.to_string(), "the broker cannot be reached");
    });
}
