//! Calls between processes, as if the other program were here, over whatever carries them.
//!
//! A trait says what can be called; a configuration file says what carries the calls: Unix sockets
//! on one machine, Redis for a fleet that shares a broker, and in later versions ZeroMQ between
//! machines. The meaning of a call is the same on each.
//!
//! ```
//! use farcall::prelude::*;
//!
//! #[farcall::service]
//! trait Calc {
//!     /// Adds two numbers.
//!     async fn add(&self, a: i64, b: i64) -> i64;
//! }
//!
//! struct Calculator;
//!
//! impl Calc for Calculator {
//!     async fn add(&self, a: i64, b: i64) -> i64 {
//!         a + b
//!     }
//! }
//!
//! #[farcall::main]
//! async fn main() -> farcall::Result<()> {
//!     # let memory = farcall::Memory::new();
//!     # let node = Node::open_with(farcall::Config::default(), memory.transport()).await?;
//!     # #[cfg(any())]
//!     let node = Node::open().await?; // reads farcall.toml, if there is one
//!     node.serve(CalcServer::new(Calculator)).await?;
//!
//!     let calc = CalcClient::new(&node); // or in any other process
//!     assert_eq!(calc.add(1, 2).await?, 3);
//!     Ok(())
//! }
//! ```
//!
//! Where to look next:
//!
//! | you want to | look at |
//! |---|---|
//! | define what can be called | [`macro@service`], [`macro@data`], [`Functions`] |
//! | attach a program | [`Open`], [`Node`], [`macro@main`], [`blocking::Node`] |
//! | call | [`Call`] and its options, [`Client`] for calls by name |
//! | know what a failed call means | [`CallError`], [`MethodError`], [`Retry`] |
//! | make calls that survive the death of their server | [`TaskCall`], [`Task`], [`RunningTask`] |
//! | stream results or arguments | [`StreamCall`], [`ArgumentStream`] |
//! | call a client back, or every server | [`Node::peer`], [`Node::offer`], [`Client::every`] |
//! | know who calls, and how long there is | [`Context`] |
//! | test a service | [`macro@test`], [`Memory`] |
//! | look at calls, refuse them, add headers | [`Interceptor`], [`Node::with`], [`CallLog`] |
//! | watch a program run | spans, traces and metrics: `docs/OBSERVABILITY.md` |
//! | see who comes and goes | [`Node::events`], [`Node::servers`], [`Node::peers`] |
//! | write a transport | [`transport`], and the contract suite in `farcall-testkit` |

mod open;

#[doc(inline)]
pub use farcall_core::{
    Argument, ArgumentStream, Bytes, Call, CallError, CallInfo, CallLog, Client, ClientStatus,
    Config, Context, Counters, Data, Details, DrainReport, End, Ended, Ending, Error, Event,
    Events, Function, Functions, Incoming, Interceptor, Memory, Method, MethodError, Node,
    NodeStatus, Notify, Opaque, Outcome, Outgoing, Peer, PeerAddress, PeerInfo, Reason, Refusal,
    Result, Retry, RunningTask, Scope, Server, ServerInfo, ServiceStatus, Side, Start, StreamCall,
    Task, TaskCall, TaskInfo, TaskToken, TraceContext, block_on, blocking, config, ledger, params,
    reply, schema, service, transport, value, wire,
};
pub use farcall_macros::{data, main, service, test};
pub use open::{Open, resolve, transports};

#[doc(hidden)]
pub use farcall_core::__macro;

/// Redis: calls within a fleet that shares a broker.
#[cfg(feature = "redis")]
pub use farcall_transport_redis as redis;
/// Unix sockets: calls between processes of one machine.
#[cfg(feature = "unix")]
pub use farcall_transport_unix as unix;

/// What nearly every program uses: `use farcall::prelude::*;`
pub mod prelude {
    pub use crate::{
        Bytes, Call, CallError, Client, Context, Functions, MethodError, Node, Open, Retry,
        StreamCall, Task, TaskCall, blocking,
    };
    #[doc(no_inline)]
    pub use futures::{Stream, StreamExt};
}

/// The programs of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
