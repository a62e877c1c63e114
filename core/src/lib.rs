//! The heart of [farcall](https://docs.rs/farcall): calls between processes over interchangeable
//! transports. Programs use the crate `farcall`, which is this one, its macros and its transports.
//!
//! The way of a call, which is also the way through this crate:
//!
//! | step | module |
//! |---|---|
//! | what is in force | [`config`] |
//! | a handle on the node | [`Node`], [`blocking`], [`block_on`] |
//! | a call, awaited | [`Call`], [`Client`] |
//! | what a program puts around calls | [`Interceptor`], [`CallLog`] |
//! | what others see of calls | `observe`, [`TraceContext`] |
//! | the client actor and its pending calls | `client` |
//! | frames | [`wire`], [`value`] |
//! | the link between nodes | [`transport`], [`Memory`] |
//! | the server actor, admission, handlers | `server` |
//! | what runs | [`service`], [`Functions`], [`Context`] |
//! | streams inside of calls | [`StreamCall`], [`ArgumentStream`], `stream` |
//! | what it takes and gives | [`schema`] |
//! | the answer, or why there is none | [`CallError`], [`MethodError`] |
//!
//! `docs/ARCHITECTURE.md` tells the story, and why the pieces are cut this way.

pub mod blocking;
pub mod config;
pub mod ledger;
pub mod params;
pub mod reply;
pub mod schema;
pub mod service;
pub mod transport;
pub mod value;
pub mod wire;

#[doc(hidden)]
#[path = "macro_support.rs"]
pub mod __macro;
mod byte_string;
mod client;
mod context;
mod data;
mod deadlines;
mod error;
mod event;
mod functions;
mod interceptor;
mod memory;
mod nearest;
mod node;
mod observe;
mod opaque;
mod peer;
mod queue;
mod runtime;
mod server;
mod stream;
mod table;
mod trace_context;

pub use byte_string::Bytes;
pub use client::{
    Call, Client, Counters, Ending, Method, Notify, Outcome, Start, StreamCall, Task, TaskCall,
};
pub use config::Config;
pub use context::{Context, Scope};
pub use data::Data;
pub use error::{CallError, Details, Error, MethodError, Result, Retry};
pub use event::{Event, ServerInfo};
pub use functions::{Argument, Function, Functions};
pub use interceptor::{CallInfo, CallLog, End, Incoming, Interceptor, Outgoing, Refusal, Side};
pub use ledger::{RunningTask, TaskInfo, TaskToken};
pub use memory::{Memory, MemoryKind};
pub use node::{Events, Node, Server};
pub use observe::Ended;
pub use opaque::Opaque;
pub use peer::{Peer, PeerAddress, PeerInfo};
pub use runtime::block_on;
pub use server::{ClientStatus, DrainReport, NodeStatus, ServiceStatus};
pub use stream::ArgumentStream;
pub use trace_context::TraceContext;
pub use wire::Reason;
