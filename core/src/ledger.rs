//! Where recoverable calls are recorded, so that they survive the death of the server that runs them.
//!
//! A recoverable call is a [`Task`]: a record with a state, which a [`LedgerStore`] keeps. What a record
//! may become, and who may say so, is decided by the [`Book`], which is pure: it is given the time and
//! chance, and returns what is to be said and what is to be written. The stores put it to work:
//!
//! | store | decides | survives |
//! |---|---|---|
//! | [`MemoryLedger`] | the book, in this process | the server, not the process |
//! | [`FileLedger`] | the same, and all of it is in files | processes and power failures |
//!
//! Programs name a store in their configuration (`[ledger] store`), and nothing in here. A store of
//! another kind, such as one in a broker, is a [`LedgerKind`] of its own.

mod actor;
mod arguments;
mod book;
pub(crate) mod broken;
mod command;
mod file;
mod info;
mod memory;
mod policy;
mod running;
mod store;
mod task;
mod token;

pub(crate) use actor::{Ask, Asks, FromLedger, LedgerActor};
pub use arguments::ArgumentsHash;
pub use book::{Book, Change, Moment};
pub(crate) use broken::broken;
pub use command::{
    AcceptRefusal, Accepted, Attempt, Command, Ending, NewTask, Reply, Swept, Verdict, View,
};
pub use file::FileLedger;
pub(crate) use info::Answer;
pub use info::TaskInfo;
pub use memory::MemoryLedger;
pub use policy::Policy;
pub use running::RunningTask;
pub(crate) use running::TaskScope;
pub use store::{LedgerKind, LedgerStore, Opening, StoreError};
pub use task::{Caller, DeadBy, Holder, Key, Outcome, State, Task, TaskId, Timestamp, Why};
pub use token::{InvalidToken, TaskToken};
