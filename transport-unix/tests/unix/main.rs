//! The transport with real sockets, driven as core drives it.

mod access;
mod delivery;
mod discovery;
mod hostile;
mod node;
mod parts;
mod raw;
mod serving;
