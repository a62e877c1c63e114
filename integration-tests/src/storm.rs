//! A storm: real servers and clients of recoverable methods, killed and stopped at random and at named points, and
//! a checker of all that they did and were told.
//!
//! | part | is |
//! |---|---|
//! | [`Storm`] | how one is played: transport, store, seed, kills |
//! | [`serve`], [`visit`] | what its server and its client do, in processes of their own |
//! | [`Point`] | where a server can be told to die |
//! | [`Effect`] | what servers did, line by line, in the order in which it happened |
//! | [`Told`] | what clients were told |
//! | [`History::check`] | the checker, which is pure |

mod chance;
mod checker;
mod effects;
mod ground;
mod played;
mod points;
mod report;
mod service;
mod told;
mod visitor;

pub use checker::{History, Record, Violation};
pub use effects::{Deed, Effect};
pub use ground::Ground;
pub use played::{Programs, Storm};
pub use points::Point;
pub use report::Report;
pub use service::serve;
pub use told::{Told, Word};
pub use visitor::visit;

/// The service that a storm is played with.
const SERVICE: &str = "storm";

/// Where effects are written to, for servers.
const EFFECTS: &str = "STORM_EFFECTS";

/// Where a server dies, and the how many-th time.
const DEATH: &str = "STORM_DEATH";

/// What a client is told is written to this.
const TOLD: &str = "STORM_TOLD";

/// How often a task's server may die before the task is dead: so often that one which is killed at random hardly ever gets there.
const CRASHES: u32 = 8;
