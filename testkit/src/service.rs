//! The service that the contract is tried with: its methods do what a line needs, and tell of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farcall_core::{ArgumentStream, Bytes, Context, Functions, Opaque};
use futures::stream::{self, StreamExt};
use serde::ser::{Error, Serialize, Serializer};
use tokio::sync::watch;

/// Its name.
pub const SERVICE: &str = "contract";

/// What became of the handlers of one key.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    started: u32,
    cancelled: u32,
    made: u32,
}

#[derive(Clone, Default)]
struct Fates(Arc<Mutex<HashMap<String, watch::Sender<Fate>>>>);

impl Fates {
    fn of(&self, key: &str) -> watch::Sender<Fate> {
        let mut fates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        fates.entry(key.to_owned()).or_insert_with(|| watch::channel(Fate::default()).0).clone()
    }

    fn start(&self, key: &str) -> Running {
        let fate = self.of(key);
        fate.send_modify(|fate| fate.started += 1);
        Running { fate, done: false }
    }
}

/// Notes when its handler is dropped before it was done.
struct Running {
    fate: watch::Sender<Fate>,
    done: bool,
}

impl Running {
    fn finish(&mut self) {
        self.done = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.done {
            self.fate.send_modify(|fate| fate.cancelled += 1);
        }
    }
}

/// A result that no format can hold.
struct Unencodable;

impl Serialize for Unencodable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("it has no form"))
    }
}

/// The service that every server of the suite serves.
///
/// | method | does |
/// |---|---|
/// | `add(a, b)` | adds |
/// | `echo(bytes)` | gives them back |
/// | `who()` | the server's id |
/// | `refuse(text)` | returns `text` as its own error |
/// | `boom()` | panics |
/// | `unencodable()` | returns what cannot be encoded |
/// | `large(n)` | returns `n` bytes |
/// | `hang(key)` | notes its start, then never ends |
/// | `die_once(key)` | notes its start; the first one never ends, later ones return the attempt |
/// | `block(key, ms)` | notes its start and blocks its thread |
/// | `started(key)`, `cancelled(key)` | how many were |
/// | `until_started(key, n)`, `until_cancelled(key, n)` | waits until so many were |
/// | `time_left()` | milliseconds, as the handler sees them |
/// | `nested_time_left(ms)` | the same of a call that the handler makes with a timeout of `ms` |
/// | `header(name)` | a header's value |
/// | `through(depth)` | calls itself `depth` times, one inside the other |
/// | `call_back()` | calls `callback.ask` at its caller |
/// | `call_peer(identity)` | calls `callback.ask` at the client of this identity |
/// | `peers()` | the identities of those that the server has a session with |
/// | `until_up(identity)`, `until_down(identity)` | waits until it is among them, or no more |
/// | `count(to)` | streams 0, 1, … up to `to` |
/// | `endless(key)` | notes its start, then streams KiBs without end, and notes each as *made* |
/// | `made(key)`, `until_made(key, n)` | how many were; waits until so many were |
/// | `fail_after(n, text)` | streams `n` numbers, then fails with `text` as its own error |
/// | `sum(stream)` | adds a stream of numbers |
/// | `double(stream)` | doubles a stream of numbers |
/// | `first(n, stream)` | the first `n` numbers of a stream, which is then dropped |
/// | `hold(key, stream)` | notes its start, takes a stream and never reads it |
/// | `drink(key, stream)` | notes its start, reads a stream of numbers to its end and notes each as *made* |
pub fn contract_service() -> Functions {
    let fates = Fates::default();
    let all = || fates.clone();
    let (hang, die_once, block) = (all(), all(), all());
    let (endless, hold, drink, made, until_made) = (all(), all(), all(), all(), all());
    let (started, cancelled, until_started, until_cancelled) = (all(), all(), all(), all());
    Functions::new(SERVICE)
        .add("add", |a: i64, b: i64| a + b)
        .add("echo", |bytes: Bytes| bytes)
        .add("who", |ctx: Context| ctx.server_id().to_owned())
        .try_add("refuse", |text: String| Err::<(), String>(text))
        .add("boom", || -> () { panic!("as asked") })
        .add("unencodable", || Opaque(Unencodable))
        .add("large", |n: usize| Bytes::from(vec![7; n]))
        .add("hang", move |key: String| {
            let running = hang.start(&key);
            async move {
                std::future::pending::<()>().await;
                drop(running);
            }
        })
        .add("die_once", move |ctx: Context, key: String| {
            let mut running = die_once.start(&key);
            async move {
                if ctx.attempt() == 0 {
                    std::future::pending::<()>().await;
                }
                running.finish();
                ctx.attempt()
            }
        })
        .add("block", move |key: String, ms: u64| {
            let mut running = block.start(&key);
            std::thread::sleep(Duration::from_millis(ms));
            running.finish();
        })
        .add("started", move |key: String| started.of(&key).borrow().started)
        .add("cancelled", move |key: String| cancelled.of(&key).borrow().cancelled)
        .add("until_started", move |key: String, n: u32| {
            until(until_started.of(&key), move |fate| fate.started >= n)
        })
        .add("until_cancelled", move |key: String, n: u32| {
            until(until_cancelled.of(&key), move |fate| fate.cancelled >= n)
        })
        .add("time_left", |ctx: Context| millis(ctx.time_left()))
        .add("nested_time_left", |ctx: Context, ms: u64| {
            // Made here, awaited later: what is inherited must not depend on when.
            let call = ctx.node().client(SERVICE).call::<u64>("time_left", ());
            let call = call.timeout(Duration::from_millis(ms));
            async move { call.await.ok() }
        })
        .add("header", |ctx: Context, name: String| ctx.header(&name).map(str::to_owned))
        .try_add("through", |ctx: Context, depth: u32| {
            let client = ctx.node().client(SERVICE);
            async move {
                match depth.checked_sub(1) {
                    None => Ok(0),
                    Some(less) => match client.call::<u32>("through", (less,)).await {
                        Ok(depth) => Ok(depth + 1),
                        Err(error) => Err(error.to_string()),
                    },
                }
            }
        })
        .stream("count", |to: u64| stream::iter(0..to))
        .stream("endless", move |key: String| {
            let running = endless.start(&key);
            stream::repeat_with(move || {
                running.fate.send_modify(|fate| fate.made += 1);
                Bytes::from(vec![7; 1024])
            })
        })
        .add("made", move |key: String| made.of(&key).borrow().made)
        .add("until_made", move |key: String, n: u32| {
            until(until_made.of(&key), move |fate| fate.made >= n)
        })
        .try_stream("fail_after", |n: u64, text: String| {
            stream::iter((0..n).map(Ok)).chain(stream::iter([Err(text)]))
        })
        .add("sum", |numbers: ArgumentStream<i64>| {
            numbers.fold(0, |sum, number| std::future::ready(sum + number))
        })
        .stream("double", |numbers: ArgumentStream<i64>| numbers.map(|number| number * 2))
        .add("first", |n: usize, numbers: ArgumentStream<i64>| numbers.take(n).collect::<Vec<_>>())
        .add("hold", move |key: String, items: ArgumentStream<Bytes>| {
            let running = hold.start(&key);
            async move {
                std::future::pending::<()>().await;
                drop((running, items));
            }
        })
        .add("drink", move |key: String, mut numbers: ArgumentStream<i64>| {
            let mut running = drink.start(&key);
            async move {
                while numbers.next().await.is_some() {
                    running.fate.send_modify(|fate| fate.made += 1);
                }
                running.finish();
            }
        })
        .try_add("call_back", |ctx: Context| {
            let caller = ctx.peer().client("callback");
            async move { caller.call::<String>("ask", ()).await.map_err(|it| it.to_string()) }
        })
        .try_add("call_peer", |ctx: Context, identity: String| async move {
            let peers = ctx.node().peers().await.map_err(|it| it.to_string())?;
            let peer = peers.iter().find(|peer| peer.identity == identity);
            let peer = peer.ok_or_else(|| format!("nobody is called {identity}"))?;
            let callback = ctx.node().peer(peer).client("callback");
            callback.call::<String>("ask", ()).await.map_err(|it| it.to_string())
        })
        .add("peers", |ctx: Context| identities(ctx))
        .add("until_up", |ctx: Context, identity: String| until_peers(ctx, identity, true))
        .add("until_down", |ctx: Context, identity: String| until_peers(ctx, identity, false))
}

async fn identities(ctx: Context) -> Vec<String> {
    let peers = ctx.node().peers().await.unwrap_or_default();
    peers.into_iter().map(|peer| peer.identity.into()).collect()
}

/// Waits for a peer to come or to go. Each event is a reason to look at the list again.
async fn until_peers(ctx: Context, identity: String, there: bool) {
    let mut events = ctx.node().events();
    while identities(ctx.clone()).await.contains(&identity) != there {
        events.next().await;
    }
}

async fn until(fate: watch::Sender<Fate>, wanted: impl Fn(&Fate) -> bool) {
    let mut fates = fate.subscribe();
    // The sender is held right here, so the wait ends by the wanted fate only.
    let _ = fates.wait_for(wanted).await;
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
