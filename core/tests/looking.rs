//! What a node tells of a transport that finds no servers, or cannot look for any.

use std::time::Duration;

use farcall_core::transport::{Attachment, Inbound, Link, LinkError, Outbound, Transport};
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
