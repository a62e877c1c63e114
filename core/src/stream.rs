//! Streams of items inside of calls: their credit, and the ends of them that handlers hold.
//!
//! A call may have a stream of results and any number of argument streams. The writer of a stream
//! sends an item only while it has credit, which the reader grants as it takes items out; so a
//! reader that stalls stops the writer, and neither of them holds more than the window and one item.
//!
//! | who | writes | reads |
//! |---|---|---|
//! | handler | results: [`results`](crate::__macro::results) | arguments: [`ArgumentStream`] |
//! | caller | arguments: `client/upload.rs` | results: [`StreamCall`](crate::StreamCall) |
//!
//! The arithmetic of both sides is [`credit`]; the server keeps a [`HandlerStreams`] for each call
//! that has streams and feeds it with what comes in.

mod argument;
mod credit;
mod handler;
mod results;

pub use argument::ArgumentStream;
pub(crate) use credit::{Allowance, Refill, TURN, cost};
pub(crate) use handler::{CallKey, FromHandler, HandlerKey, HandlerStreams, Overrun};
pub use results::results;
