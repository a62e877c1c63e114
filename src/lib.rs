//! x
pub use farcall_core::*;
