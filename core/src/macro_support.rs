//! What the code that the macros write refers to: this module, `core`, `std`, and nothing else.
//!
//! Not for people: names in here change without notice.

use std::marker::PhantomData;

pub use schemars;
pub use serde;

pub use crate::client::{Call, Client, Method, StreamCall, TaskCall, Upload};
pub use crate::context::Context;
pub use crate::data::{Data, Described, Undescribed};
pub use crate::error::{CallError, MethodError};
pub use crate::node::Node;
pub use crate::opaque::Opaque;
pub use crate::params::{Params, ParamsWriter};
pub use crate::schema::{self, ServiceSchema};
pub use crate::service::{Descriptor, IntoService, Invocation, Service};
pub use crate::stream::{ArgumentStream, results};
pub use crate::wire::Failure;
pub use crate::{reply, value};

use crate::wire::Reason;

/// The answer to a method that the descriptor does not have.
#[must_use]
pub fn no_such_method(method: usize) -> Failure {
    Failure::new(Reason::UnknownMethod, format!("the service has no method {method}"))
}

/// Encodes an item of a stream of byte strings.
///
/// # Errors
/// None: it has the shape of those for other items.
pub fn encode_bytes<T: AsRef<[u8]>>(item: &T) -> Result<bytes::Bytes, value::ValueError> {
    Ok(value::encode_bytes(item.as_ref()).into())
}

/// Tells whether a type is a `Result`, also when it is written by another name.
///
/// `Probe::<T>::IS_RESULT` is true for a `Result` by the inherent constant below, which goes before
/// that of [`NotAResult`], and false for all else by the latter.
#[derive(Debug)]
pub struct Probe<T>(PhantomData<T>);

/// The other half of [`Probe`]; to be imported where that is asked.
pub trait NotAResult {
    /// Overruled by [`Probe`]'s own for a `Result`.
    const IS_RESULT: bool = false;
}

impl<T> NotAResult for Probe<T> {}

impl<T, E> Probe<Result<T, E>> {
    /// It is one.
    pub const IS_RESULT: bool = true;
}
