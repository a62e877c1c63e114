//! Interceptors: who sees which call, in what order, and what they can do to it.

use std::future::pending;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farcall_core::config::ServerConfig;
use farcall_core::{
    ArgumentStream, CallError, CallInfo, CallLog, Config, Context, End, Ended, Functions, Incoming,
    Interceptor, Memory, Node, Outgoing, Reason, Refusal, block_on,
};
use futures::StreamExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Says by name what it sees.
struct Witness(&'static str, UnboundedSender<String>);

impl Interceptor for Witness {
    fn outgoing(&self, call: &mut Outgoing<'_>) -> Result<(), Refusal> {
        let _ = self.1.send(format!("{}: {} leaves", self.0, call.method()));
        Ok(())
    }

    fn incoming(&self, call: &mut Incoming) -> Result<(), Refusal> {
        let _ = self.1.send(format!("{}: {} comes", self.0, call.context().method()));
        Ok(())
    }

    fn ended(&self, call: &CallInfo<'_>, end: &End<'_>) {
        let (side, method, ended) = (call.side.as_str(), call.method, end.ended.as_str());
        let _ = self.1.send(format!("{}: {method} ended at the {side}: {ended}", self.0));
    }
}

/// What witnesses say, in its order.
struct Said(UnboundedReceiver<String>);

impl Said {
    /// Waits until all of these were said, and nothing else before them.
    async fn all(&mut self, expected: &[&str]) {
        for expected in expected {
            assert_eq!(self.0.recv().await.as_deref(), Some(*expected));
        }
    }

    fn nothing(&mut self) {
        assert_eq!(self.0.try_recv().ok(), None);
    }
}

fn witnesses<const N: usize>(names: [&'static str; N]) -> ([Witness; N], Said) {
    let (say, said) = unbounded_channel();
    (names.map(|name| Witness(name, say.clone())), Said(said))
}

/// Lets those pass who say the word, and tells the handler that they did.
struct Word(&'static str);

impl Interceptor for Word {
    fn outgoing(&self, call: &mut Outgoing<'_>) -> Result<(), Refusal> {
        call.set_header("word", self.0);
        Ok(())
    }

    fn incoming(&self, call: &mut Incoming) -> Result<(), Refusal> {
        match call.header("word") {
            Some(word) if word == self.0 => {
                call.set_header("word", "known");
                Ok(())
            }
            _ => Err("say the word".into()),
        }
    }
}

fn service() -> Functions {
    Functions::new("calc")
        .add("add", |a: i64, b: i64| a + b)
        .add("word", |ctx: Context| ctx.header("word").unwrap_or_default().to_owned())
        .add("hang", || async { pending::<()>().await })
        .add("panic", |fault: String| -> i64 { panic!("{fault}") })
        .stream("count", |to: u64| futures::stream::iter(0..to))
        .add("sum", |numbers: ArgumentStream<i64>| {
            numbers.fold(0, |sum, it| async move { sum + it })
        })
        .add("nested", |ctx: Context| async move {
            ctx.node().client("calc").call::<i64>("add", (1, 2)).await.unwrap()
        })
}

async fn node(memory: &Memory) -> Node {
    let server = ServerConfig { concurrency: 4, ..ServerConfig::default() };
    let config = Config { server, ..Config::default() };
    Node::open_with(config, memory.transport()).await.unwrap()
}

async fn add(node: &Node) -> Result<i64, CallError> {
    node.client("calc").call("add", (1, 2)).await
}

#[test]
fn the_first_added_is_the_outermost_on_both_sides() {
    block_on(async {
        let memory = Memory::new();
        let ([a, b, c, d], mut said) = witnesses(["a", "b", "c", "d"]);
        let (server, client) = (node(&memory).await, node(&memory).await);
        server.with(a).with(b).serve(service()).await.unwrap();
        assert_eq!(add(&client.with(c).with(d)).await.unwrap(), 3);
        said.all(&[
            "c: add leaves",
            "d: add leaves",
            "a: add comes",
            "b: add comes",
            "b: add ended at the server: ok",
            "a: add ended at the server: ok",
            "d: add ended at the client: ok",
            "c: add ended at the client: ok",
        ])
        .await;
        // Other handles have none, and questions to the node are nobody's call.
        assert_eq!(add(&client).await.unwrap(), 3);
        said.all(&["a: add comes", "b: add comes"]).await;
        said.all(&["b: add ended at the server: ok", "a: add ended at the server: ok"]).await;
        let peer = client.servers("calc").await.unwrap()[0].peer;
        client.with(Word("x")).peer(peer).status().await.unwrap();
        said.nothing();
    });
}

#[test]
fn a_header_that_is_added_arrives_and_one_that_the_server_sets_goes_before_it() {
    block_on(async {
        let memory = Memory::new();
        let (server, client) = (node(&memory).await, node(&memory).await);
        server.with(Word("sesame")).serve(service()).await.unwrap();
        let calc = client.with(Word("sesame")).client("calc");
        assert_eq!(calc.call::<String>("word", ()).await.unwrap(), "known");
        let calc = client.client("calc");
        let by_hand = calc.call::<String>("word", ()).header("word", "sesame");
        assert_eq!(by_hand.await.unwrap(), "known");
    });
}

#[test]
fn a_server_refuses_and_those_further_out_hear_of_it() {
    block_on(async {
        let memory = Memory::new();
        let ([outer, inner], mut said) = witnesses(["outer", "inner"]);
        let (server, client) = (node(&memory).await, node(&memory).await);
        server.with(outer).with(Word("sesame")).with(inner).serve(service()).await.unwrap();
        let error = add(&client).await.unwrap_err();
        assert!(matches!(error, CallError::Refused(_)));
        assert_eq!(error.reason(), Reason::Unauthorized);
        assert_eq!(error.details().message, "say the word");
        said.all(&["outer: add comes", "outer: add ended at the server: unauthorized"]).await;
        said.nothing();
    });
}

#[test]
fn a_call_that_its_client_refuses_is_not_sent() {
    struct Closed;
    impl Interceptor for Closed {
        fn outgoing(&self, _: &mut Outgoing<'_>) -> Result<(), Refusal> {
            Err(Refusal::new("not on Sundays").retry_after(Duration::from_secs(1)))
        }
    }
    block_on(async {
        let memory = Memory::new();
        let ([at_server, outer, inner], mut said) = witnesses(["at server", "outer", "inner"]);
        let (server, client) = (node(&memory).await, node(&memory).await);
        server.with(at_server).serve(service()).await.unwrap();
        let client = client.with(outer).with(Closed).with(inner);
        let error = add(&client).await.unwrap_err();
        assert!(matches!(error, CallError::NotSent(_)));
        assert_eq!(error.reason(), Reason::Intercepted);
        said.all(&["outer: add leaves", "outer: add ended at the client: intercepted"]).await;
        said.nothing();
    });
}

/// Asks somebody else, who answers when the test lets him.
struct Asks(Arc<Mutex<UnboundedReceiver<&'static str>>>);

impl Interceptor for Asks {
    fn incoming(&self, call: &mut Incoming) -> Result<(), Refusal> {
        let answers = Arc::clone(&self.0);
        call.check(async move {
            let answer = std::future::poll_fn(|cx| answers.lock().unwrap().poll_recv(cx)).await;
            match answer {
                Some("no") | None => Err(Refusal::new("he said no").reason(Reason::Busy)),
                Some(word) => Ok(vec![("word".into(), word.into())]),
            }
        });
        Ok(())
    }
}

fn asks() -> (Asks, UnboundedSender<&'static str>) {
    let (answer, answers) = unbounded_channel();
    (Asks(Arc::new(Mutex::new(answers))), answer)
}

#[test]
fn a_check_is_awaited_before_what_is_further_in() {
    block_on(async {
        let memory = Memory::new();
        let ([outer, inner], mut said) = witnesses(["outer", "inner"]);
        let (asks, answer) = asks();
        let (server, client) = (node(&memory).await, node(&memory).await);
        let served = server.with(outer).with(asks).with(Word("sesame")).with(inner);
        served.serve(service()).await.unwrap();

        let call = client.client("calc").call::<String>("word", ());
        let call = tokio::task::spawn_local(call);
        said.all(&["outer: word comes"]).await;
        said.nothing();
        answer.send("sesame").unwrap();
        assert_eq!(call.await.unwrap().unwrap(), "known");
        said.all(&["inner: word comes", "inner: word ended at the server: ok"]).await;
        said.all(&["outer: word ended at the server: ok"]).await;

        answer.send("no").unwrap();
        assert_eq!(add(&client).await.unwrap_err().reason(), Reason::Busy);
        said.all(&["outer: add comes", "outer: add ended at the server: busy"]).await;
        said.nothing();
    });
}

#[test]
fn a_check_ends_with_its_call() {
    block_on(async {
        let memory = Memory::new();
        let ([witness], mut said) = witnesses(["witness"]);
        let (asks, _answer) = asks();
        let (server, client) = (node(&memory).await, node(&memory).await);
        server.with(witness).with(asks).serve(service()).await.unwrap();
        let call = client.client("calc").call::<i64>("add", (1, 2));
        let late = call.timeout(Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(late.reason(), Reason::DeadlineExceeded);
        said.all(&["witness: add comes"]).await;
        // Whichever of the two clocks came first.
        let ended = said.0.recv().await.unwrap();
        assert!(ended.ends_with("deadline_exceeded") || ended.ends_with("cancelled"), "{ended}");
    });
}

#[test]
fn a_dropped_call_is_heard_of_as_cancelled_on_both_sides() {
    block_on(async {
        let memory = Memory::new();
        let ([there, here], mut said) = witnesses(["there", "here"]);
        let (server, client) = (node(&memory).await, node(&memory).await);
        server.with(there).serve(service()).await.unwrap();
        let client = client.with(here);
        let call = client.client("calc").call::<()>("hang", ());
        let call = tokio::task::spawn_local(call);
        said.all(&["here: hang leaves", "there: hang comes"]).await;
        call.abort();
        said.all(&["here: hang ended at the client: cancelled"]).await;
        said.all(&["there: hang ended at the server: cancelled"]).await;
        // One that was never polled was never made.
        drop(client.client("calc").call::<()>("hang", ()));
        said.nothing();
    });
}

#[test]
fn calls_with_streams_end_when_their_streams_do() {
    block_on(async {
        let memory = Memory::new();
        let ([there, here], mut said) = witnesses(["there", "here"]);
        let (asks, answer) = asks();
        let (server, client) = (node(&memory).await, node(&memory).await);
        server.with(there).with(asks).serve(service()).await.unwrap();
        let calc = client.with(here).client("calc");

        answer.send("yes").unwrap();
        let mut counted = calc.stream::<u64>("count", (3,));
        assert_eq!(counted.next().await.unwrap().unwrap(), 0);
        said.all(&["here: count leaves", "there: count comes"]).await;
        let rest: Vec<u64> = counted.map(Result::unwrap).collect().await;
        assert_eq!(rest, [1, 2]);
        said.all(&["there: count ended at the server: ok"]).await;
        said.all(&["here: count ended at the client: ok"]).await;

        answer.send("yes").unwrap();
        let numbers = calc.call::<i64>("sum", ()).argument_stream(futures::stream::iter([1, 2, 3]));
        assert_eq!(numbers.await.unwrap(), 6);
        said.all(&["here: sum leaves", "there: sum comes"]).await;
        said.all(&["there: sum ended at the server: ok"]).await;
        said.all(&["here: sum ended at the client: ok"]).await;

        answer.send("yes").unwrap();
        let mut counted = calc.stream::<u64>("count", (u64::MAX,));
        assert_eq!(counted.next().await.unwrap().unwrap(), 0);
        said.all(&["here: count leaves", "there: count comes"]).await;
        drop(counted);
        said.all(&["here: count ended at the client: cancelled"]).await;
        said.all(&["there: count ended at the server: cancelled"]).await;

        answer.send("no").unwrap();
        let refused = calc.stream::<u64>("count", (3,)).next().await.unwrap().unwrap_err();
        assert_eq!(refused.reason(), Reason::Busy);
        said.all(&["here: count leaves", "there: count comes"]).await;
        said.all(&["there: count ended at the server: busy"]).await;
        said.all(&["here: count ended at the client: busy"]).await;
    });
}

#[test]
fn one_way_calls_and_all_kinds_of_failures_end_once() {
    block_on(async {
        let memory = Memory::new();
        let ([there], mut said) = witnesses(["there"]);
        let (server, client) = (node(&memory).await, node(&memory).await);
        server.with(there).serve(service()).await.unwrap();
        let calc = client.client("calc");
        calc.call::<i64>("add", (1, 2)).notify().await.unwrap();
        said.all(&["there: add comes", "there: add ended at the server: ok"]).await;
        calc.call::<i64>("add", ("x",)).await.unwrap_err();
        said.all(&["there: add comes", "there: add ended at the server: wrong_arguments"]).await;
        calc.call::<i64>("panic", ("x",)).await.unwrap_err();
        said.all(&["there: panic comes", "there: panic ended at the server: panicked"]).await;
        calc.call::<i64>("gone", ()).await.unwrap_err();
        said.nothing();
        let hang = calc.call::<()>("hang", ());
        let hang = tokio::task::spawn_local(hang);
        said.all(&["there: hang comes"]).await;
        server.drain(Duration::ZERO).await;
        said.all(&["there: hang ended at the server: abandoned"]).await;
        assert_eq!(hang.await.unwrap().unwrap_err().reason(), Reason::Abandoned);
    });
}

#[test]
fn what_a_handler_calls_goes_through_its_services_interceptors() {
    block_on(async {
        let memory = Memory::new();
        let (server, client) = (node(&memory).await, node(&memory).await);
        server.with(Word("sesame")).serve(service()).await.unwrap();
        let calc = client.with(Word("sesame")).client("calc");
        // Its call says the word, since the service's handle does.
        assert_eq!(calc.call::<i64>("nested", ()).await.unwrap(), 3);
    });
}

#[test]
fn an_interceptor_that_panics_fails_its_call_alone() {
    struct Faulty;
    impl Interceptor for Faulty {
        fn incoming(&self, call: &mut Incoming) -> Result<(), Refusal> {
            assert_ne!(call.header("fault"), Some("coming"), "a fault");
            Ok(())
        }

        fn ended(&self, call: &CallInfo<'_>, end: &End<'_>) {
            assert_ne!(end.ended, Ended::Ok, "{call:?}");
        }
    }
    block_on(async {
        let memory = Memory::new();
        let (server, client) = (node(&memory).await, node(&memory).await);
        let ([outer], mut said) = witnesses(["outer"]);
        server.with(outer).with(Faulty).serve(service()).await.unwrap();
        let call = client.client("calc").call::<i64>("add", (1, 2)).header("fault", "coming");
        assert_eq!(call.await.unwrap_err().reason(), Reason::Panicked);
        // Whoever stands further out hears of it all the same.
        said.all(&["outer: add comes", "outer: add ended at the server: panicked"]).await;
        for _ in 0..3 {
            assert_eq!(add(&client).await.unwrap(), 3);
        }
    });
}

#[test]
fn headers_over_the_limits_are_the_callers_failure() {
    struct Heavy;
    impl Interceptor for Heavy {
        fn outgoing(&self, call: &mut Outgoing<'_>) -> Result<(), Refusal> {
            call.set_header("heavy", "x".repeat(17 * 1024));
            Ok(())
        }
    }
    block_on(async {
        let memory = Memory::new();
        let (server, client) = (node(&memory).await, node(&memory).await);
        server.serve(service()).await.unwrap();
        let error = add(&client.with(Heavy)).await.unwrap_err();
        assert_eq!(error.reason(), Reason::ArgumentsTooLarge);
    });
}

/// A writer whose lines come out elsewhere.
struct Lines(UnboundedSender<String>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.send(String::from_utf8_lossy(line).into_owned()).map_err(io::Error::other)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_call_log_has_a_line_for_each_call() {
    block_on(async {
        let memory = Memory::new();
        let (write, mut lines) = unbounded_channel();
        let (server, client) = (node(&memory).await, node(&memory).await);
        server.with(CallLog::to(Lines(write))).serve(service()).await.unwrap();
        add(&client).await.unwrap();
        let line = lines.recv().await.unwrap();
        let caller = client.identity();
        assert!(
            line.starts_with(&format!("server: calc.add of {caller}: 3 bytes, ok in ")),
            "{line}"
        );
        assert!(line.ends_with(", 1 byte\n"), "{line}");
        client.client("calc").call::<i64>("panic", ("a\nb",)).await.unwrap_err();
        let line = lines.recv().await.unwrap();
        assert!(line.ends_with(": `panic` panicked: a\\nb\n"), "{line}");
    });
}
