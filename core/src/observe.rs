//! What a node lets others see of its calls: spans, metrics, and what interceptors are told.
//!
//! Each side has one value for a call under way, its *watch* (`client::watch`, `server::watch`). It
//! is made only if somebody listens, told how the call ended, and takes being dropped for a
//! cancel. This module has what both sides share.

mod ended;
mod meters;
mod spans;

pub use ended::Ended;
pub(crate) use meters::{
    ClientMeters, ClientService, LinkMeters, MethodMeters, ServedMeters, refused,
};
pub(crate) use spans::{client_span, record_end, server_span};
