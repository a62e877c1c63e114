//! Worlds with real processes, for the contract and for scenarios of their own.

mod memory;
mod process;
mod scenario;
mod unix_world;

pub use memory::Memory;
pub use process::{Process, end_with_parent};
pub use scenario::{SCENARIO, scenario_service};
pub use unix_world::UnixWorld;
