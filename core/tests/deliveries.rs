//! What becomes of deliveries from a queue that keeps them until they are settled.

use std::future::pending;
use std::time::Duration;

use farcall_core::config::ServerConfig;
use farcall_core::transport::{
    Address, Attachment, Credentials, Inbound, Link, LinkError, Outbound, PeerId, Receipt,
    ServeError, Transport,
};
use farcall_core::wire::{CallFrame, CallId, CallOptions, Frame, Hello};
use farcall_core::{
    ArgumentStream, Config, Event, Functions, Incoming, Interceptor, Node, block_on,
};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::{LocalBoxFuture, ready};
use futures::{FutureExt, StreamExt, sink, stream};

/// The other ends of a node's link.
struct Broker {
    to_node: UnboundedSender<Result<Inbound, LinkError>>,
    from_node: UnboundedReceiver<String>,
}

/// The node's ends.
struct Ends {
    to_node: UnboundedSender<Result<Inbound, LinkError>>,
    told: UnboundedReceiver<Result<Inbound, LinkError>>,
    said: UnboundedSender<String>,
}

impl Transport for Ends {
    fn open(self: Box<Self>, _: Attachment) -> LocalBoxFuture<'static, Result<Link, LinkError>> {
        let Ends { to_node, told, said } = *self;
        let sink = sink::unfold((to_node, said), |(to_node, said), outbound| {
            if let Outbound::Serve(announcement) = &outbound {
                let service = announcement.service.clone();
                let serving = Inbound::Serving { service, result: Ok(1) };
                to_node.unbounded_send(Ok(serving)).unwrap();
            } else {
                // The test may have seen enough.
                let _ = said.unbounded_send(words(outbound));
            }
            ready(Ok::<_, LinkError>((to_node, said)))
        });
        let link = Link { sink: Box::pin(sink), stream: told.boxed_local(), shared_queue: true };
        ready(Ok(link)).boxed_local()
    }
}

/// What a node says, for people and tests.
fn words(outbound: Outbound) -> String {
    let ended = |what: String, settles: Option<Receipt>| match settles {
        Some(Receipt(receipt)) => format!("{what}, settles {receipt}"),
        None => what,
    };
    match outbound {
        Outbound::Frame { to: Address::Peer(_), frame, settles, .. } => match frame {
            Frame::Answer { id, .. } => ended(format!("{} answered", id.0), settles),
            Frame::Failure { id, failure } => {
                ended(format!("{} {}", id.0, failure.reason.as_str()), settles)
            }
            Frame::Started { id, credit } => {
                ended(format!("{} started with {credit}", id.0), settles)
            }
            Frame::Item { id, .. } => ended(format!("{} item", id.0), settles),
            Frame::End { id, .. } => ended(format!("{} end", id.0), settles),
            other => panic!("{other:?}"),
        },
        Outbound::Settle(Receipt(receipt)) => format!("settle {receipt}"),
        Outbound::PutBack(Receipt(receipt)) => format!("put back {receipt}"),
        Outbound::Announce(announcement) => announcement.state.as_str().to_owned(),
        Outbound::Disconnect { peer, .. } => format!("disconnect {peer}"),
        other => panic!("{other:?}"),
    }
}

impl Broker {
    fn tell(&self, inbound: Inbound) {
        self.to_node.unbounded_send(Ok(inbound)).unwrap();
    }

    fn up(&self, peer: u64) {
        let hello = Box::new(Hello::new("default", format!("client-{peer}")));
        let credentials = Credentials::default();
        self.tell(Inbound::PeerUp { peer: PeerId(peer), hello, credentials });
    }

    fn down(&self, peer: u64) {
        let reason = "it died".to_owned();
        self.tell(Inbound::PeerDown { peer: PeerId(peer), reason, clean: false });
    }

    fn frame(&self, frame: Frame, receipt: Option<u64>) {
        let receipt = receipt.map(Receipt);
        self.tell(Inbound::Frame { from: PeerId(1), frame, receipt });
    }

    /// A call whose receipt has ten times its number.
    fn call(&self, id: u64, method: &str, options: CallOptions) {
        self.frame(call(id, method, options), Some(10 * id));
    }

    fn plain(&self, id: u64, method: &str) {
        self.call(id, method, CallOptions::default());
    }

    async fn next(&mut self) -> String {
        let said = tokio::time::timeout(Duration::from_secs(20), self.from_node.next()).await;
        said.expect("it says something").expect("it is open")
    }

    async fn hears(&mut self, expected: &[&str]) {
        for expected in expected {
            assert_eq!(self.next().await, *expected);
        }
    }

    /// Asks what is answered at once.
    fn ask(&self) {
        let params = bytes::Bytes::from_static(&[0x80]);
        self.frame(Frame::Query { id: CallId(999), subject: "ping".into(), params }, None);
    }

    /// As `hears`, and nothing more comes before a question is answered.
    async fn hears_only(&mut self, expected: &[&str]) {
        self.ask();
        self.hears(expected).await;
        self.hears(&["999 answered"]).await;
    }
}

fn call(id: u64, method: &str, options: CallOptions) -> Frame {
    Frame::Call(Box::new(CallFrame {
        id: CallId(id),
        low: CallId(id),
        time_left: Duration::from_secs(60),
        service: "calc".into(),
        method: method.into(),
        options: options.into_frame(),
        params: bytes::Bytes::from_static(&[0x80]),
    }))
}

fn calc() -> Functions {
    Functions::new("calc")
        .add("one", || 1)
        .add("yield", || async {
            tokio::task::yield_now().await;
            1
        })
        .add("hang", || async { pending::<()>().await })
        .add("drink", |items: ArgumentStream<i64>| items.count())
        .stream("pour", || stream::iter(0..2))
}

async fn open(concurrency: usize) -> (Broker, Node) {
    let (to_node, told) = unbounded();
    let (said, from_node) = unbounded();
    let server = ServerConfig { concurrency, ..ServerConfig::default() };
    let config = Config { server, ..Config::default() };
    let ends = Ends { to_node: to_node.clone(), told, said };
    let node = Node::open_with(config, Box::new(ends)).await.unwrap();
    let broker = Broker { to_node, from_node };
    broker.up(1);
    (broker, node)
}

async fn serving(concurrency: usize) -> (Broker, Node) {
    let (broker, node) = open(concurrency).await;
    node.serve(calc()).await.unwrap();
    (broker, node)
}

fn one_way() -> CallOptions {
    CallOptions { one_way: true, ..CallOptions::default() }
}

#[test]
fn an_answer_settles_its_delivery() {
    block_on(async {
        let (mut broker, _node) = serving(8).await;
        broker.plain(1, "one");
        broker.hears_only(&["1 answered, settles 10"]).await;
        broker.plain(2, "none");
        broker.hears_only(&["2 unknown_method, settles 20"]).await;
        // Its caller does not know who runs it.
        broker.plain(3, "yield");
        broker.hears(&["3 started with 0", "3 answered, settles 30"]).await;
        broker.call(4, "pour", CallOptions { credit: 1000, ..CallOptions::default() });
        broker.hears(&["4 started with 0", "4 item", "4 item", "4 end, settles 40"]).await;
        // A call for this server alone is owed to nobody.
        broker.frame(call(5, "yield", CallOptions::default()), None);
        broker.ask();
        broker.hears(&["999 answered", "5 answered"]).await;
    });
}

#[test]
fn what_nobody_is_told_of_is_settled_alone() {
    block_on(async {
        let (mut broker, _node) = serving(2).await;
        broker.call(1, "one", one_way());
        broker.call(2, "yield", one_way());
        broker.hears(&["settle 10", "settle 20"]).await;
        broker.plain(3, "hang");
        broker.plain(4, "hang");
        broker.plain(5, "one");
        broker.frame(Frame::Cancel { id: CallId(5) }, None);
        broker.frame(Frame::Cancel { id: CallId(3) }, None);
        let heard = ["3 started with 0", "4 started with 0", "settle 50", "settle 30"];
        broker.hears_only(&heard).await;
        // A peer goes: what runs and what waits goes with it, and what comes from it afterwards.
        broker.plain(6, "hang");
        broker.plain(7, "one");
        broker.hears_only(&["6 started with 0"]).await;
        broker.down(1);
        broker.plain(8, "one");
        let mut settled = Vec::new();
        for _ in 0..4 {
            settled.push(broker.next().await);
        }
        settled.sort();
        assert_eq!(settled, ["settle 40", "settle 60", "settle 70", "settle 80"]);
    });
}

#[test]
fn a_call_that_comes_twice_is_settled_twice() {
    block_on(async {
        let (mut broker, _node) = serving(8).await;
        broker.plain(1, "hang");
        broker.frame(call(1, "hang", CallOptions::default()), Some(11));
        broker.call(2, "pour", CallOptions { credit: 1 << 40, ..CallOptions::default() });
        let heard = [
            "1 started with 0",
            "settle 11",
            "disconnect peer 1",
            "settle 20",
            "disconnect peer 1",
        ];
        broker.hears_only(&heard).await;
        broker.down(1);
        broker.hears(&["settle 10"]).await;
    });
}

#[test]
fn an_argument_stream_gets_its_credit_with_the_one_started() {
    block_on(async {
        let (mut broker, node) = serving(8).await;
        let window = node.config().limits.stream_window;
        broker.call(1, "drink", CallOptions { streams: 1, ..CallOptions::default() });
        broker.hears(&[&format!("1 started with {window}")]).await;
        let (id, stream) = (CallId(1), farcall_core::wire::StreamId(1));
        broker.frame(Frame::End { id, stream, failure: None }, None);
        broker.hears(&["1 answered, settles 10"]).await;
    });
}

/// Lets no call pass.
struct Closed;

impl Interceptor for Closed {
    fn incoming(&self, call: &mut Incoming) -> Result<(), farcall_core::Refusal> {
        call.check(async {
            tokio::task::yield_now().await;
            Err(farcall_core::Refusal::new("closed"))
        });
        Ok(())
    }
}

#[test]
fn what_an_interceptor_refuses_is_settled_by_the_refusal() {
    block_on(async {
        let (mut broker, node) = open(8).await;
        node.with(Closed).serve(calc()).await.unwrap();
        broker.call(1, "drink", CallOptions { streams: 1, ..CallOptions::default() });
        broker.plain(2, "one");
        // The first gets no credit.
        broker.hears(&["2 started with 0"]).await;
        let mut refused = [broker.next().await, broker.next().await];
        refused.sort();
        assert_eq!(refused, ["1 unauthorized, settles 10", "2 unauthorized, settles 20"]);
    });
}

#[test]
fn what_waits_is_put_back_when_others_have_room() {
    block_on(async {
        let (mut broker, _node) = serving(1).await;
        for (id, method) in [(1, "hang"), (2, "one"), (3, "one")] {
            broker.plain(id, method);
        }
        broker.frame(call(4, "one", CallOptions::default()), None);
        broker.tell(Inbound::GiveBack { service: "calc".into() });
        broker.tell(Inbound::GiveBack { service: "unknown".into() });
        broker.hears_only(&["1 started with 0", "put back 20", "put back 30"]).await;
        // They may come again, and one that was not from the queue has stayed.
        broker.plain(2, "one");
        broker.frame(Frame::Cancel { id: CallId(1) }, None);
        broker.hears_only(&["settle 10", "4 answered", "2 answered, settles 20"]).await;
    });
}

#[test]
fn a_draining_server_keeps_what_waits_unless_others_have_room() {
    block_on(async {
        let (mut broker, node) = serving(1).await;
        broker.plain(1, "hang");
        broker.plain(2, "one");
        broker.frame(call(3, "one", CallOptions::default()), None);
        broker.hears_only(&["1 started with 0"]).await;
        let drain = tokio::task::spawn_local({
            let node = node.clone();
            async move { node.drain(Duration::from_secs(600)).await }
        });
        broker.hears(&["draining"]).await;
        broker.tell(Inbound::GiveBack { service: "calc".into() });
        broker.hears(&["put back 20"]).await;
        broker.plain(4, "one");
        broker.frame(call(5, "one", CallOptions::default()), None);
        broker.hears_only(&["put back 40", "5 draining"]).await;
        // Its time is over.
        let report = node.drain(Duration::ZERO).await;
        broker.hears(&["3 draining", "1 abandoned, settles 10"]).await;
        assert_eq!(drain.await.unwrap(), report);
        assert_eq!(report.abandoned, ["calc.one", "calc.hang"]);
        node.close().await;
        broker.hears(&["gone"]).await;
    });
}

#[test]
fn a_server_that_is_closed_puts_back_what_it_has_not_begun() {
    block_on(async {
        let (mut broker, node) = serving(1).await;
        broker.plain(1, "hang");
        broker.plain(2, "one");
        broker.hears_only(&["1 started with 0"]).await;
        node.close().await;
        broker.hears(&["draining", "put back 20", "1 abandoned, settles 10", "gone"]).await;
        assert_eq!(broker.from_node.next().await, None);
    });
}

#[test]
fn a_server_that_loses_its_identity_stops_and_may_serve_again() {
    block_on(async {
        let (mut broker, node) = serving(1).await;
        let mut events = node.events();
        broker.plain(1, "hang");
        broker.plain(2, "one");
        broker.frame(call(3, "one", CallOptions::default()), None);
        broker.hears_only(&["1 started with 0"]).await;
        let result = Err(ServeError::IdentityTaken("another has it".to_owned()));
        broker.tell(Inbound::Serving { service: "calc".into(), result });
        let lost = events.find(|event| match event {
            Event::IdentityLost { service, reason, .. } => Some((service, reason)),
            _ => None,
        });
        assert_eq!(lost.await.unwrap(), ("calc".into(), "another has it".to_owned()));
        let mut heard = Vec::new();
        for _ in 0..3 {
            heard.push(broker.next().await);
        }
        heard.sort();
        assert_eq!(heard, ["3 draining", "settle 10", "settle 20"]);
        broker.plain(4, "one");
        broker.frame(call(5, "one", CallOptions::default()), None);
        broker.hears_only(&["put back 40", "5 draining"]).await;

        node.serve(calc()).await.unwrap();
        broker.plain(6, "one");
        broker.hears_only(&["6 answered, settles 60"]).await;
        node.close().await;
        broker.hears(&["gone"]).await;
        assert_eq!(broker.from_node.next().await, None, "of the one that serves alone");
    });
}
