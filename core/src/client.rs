//! The calling side: calls as futures, and the actor that sees them through.
//!
//! A [`Call`] hands itself over at its first poll; the client actor keeps it among the
//! [`pending`] ones, sends it to the server with the fewest in flight ([`routes`]), and gives it its
//! outcome: an answer, a failure, its deadline, or the loss of its server.

mod actor;
mod budget;
mod call;
mod compatibility;
mod dynamic;
mod pending;
mod routes;
mod submission;
mod window;

pub(crate) use actor::{ClientActor, ClientFrames, ClientInbound, Close, Count, Listing};
pub use call::{Call, Ending, Method, Notify};
pub use dynamic::Client;
pub(crate) use pending::Bounds;
pub use pending::Counters;
pub(crate) use submission::{NewCall, Reply, Submission, Submissions, Target};
