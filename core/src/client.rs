//! The calling side: calls as futures, and the actor that sees them through.
//!
//! A [`Call`] hands itself over at its first poll; the client actor keeps it among the
//! [`pending`] ones, sends it to the server with the fewest in flight ([`routes`]), and gives it its
//! outcome: an answer, a failure, its deadline, or the loss of its server.
//!
//! A call with streams has a [`flow`] instead of one reply: items of its results come by it, and its
//! argument streams ([`upload`]) are polled by whoever polls the call.

mod actor;
mod budget;
mod call;
mod compatibility;
mod dynamic;
mod flow;
mod holder;
mod pending;
mod request;
mod routes;
mod sent;
mod stream_call;
mod submission;
mod task;
mod task_call;
mod upload;
mod watch;
mod window;

pub(crate) use actor::{ClientActor, ClientFrames, ClientInbound, Close, Count, Listing};
pub use call::{Call, Ending, Notify};
pub use dynamic::Client;
pub(crate) use pending::Bounds;
pub use pending::Counters;
pub use request::Method;
pub(crate) use request::{About, Request};
pub use stream_call::StreamCall;
pub(crate) use submission::{
    Acceptance, Arrival, NewCall, Reply, ReplyTo, Submission, Submissions, Target,
};
pub use task::{Outcome, Task};
pub use task_call::{Start, TaskCall};
pub use upload::Upload;
