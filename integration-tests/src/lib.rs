//! Worlds with real processes, for the contract and for scenarios of their own.

mod unix_world;

pub use unix_world::UnixWorld;
