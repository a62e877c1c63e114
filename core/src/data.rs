//! What may stand in the signature of a service's method.

use std::fmt::{Debug, Display};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::{Call, Client, Method};
use crate::error::MethodError;
use crate::params::{Arguments, ParamsWriter};
use crate::reply;
use crate::service::Outcome;
use crate::value::{self, ValueError};
use crate::wire::Failure;

/// What travels between processes: a method's parameters and its result.
///
/// Every type is data that serde can write and read, and that borrows nothing. A type of your own
/// becomes data by `#[farcall::data]`:
///
/// ```
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Point {
///     x: f64,
///     y: f64,
/// }
///
/// fn travels<T: farcall_core::Data>() {}
/// travels::<Point>();
/// travels::<Vec<Option<Point>>>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel between processes",
    label = "serde cannot both write and read this, or something in it",
    note = "a type of your own travels once `#[farcall::data]` stands above it",
    note = "many other crates have a feature `serde`, after which their types travel",
    note = "the call's own context is taken as `&Context`"
)]
pub trait Data: Sized + 'static {
    // What the macros call instead of serde's traits, which are no supertraits for the same reason:
    // a type that cannot travel is to be reported once and in our words, and not for each of the two
    // traits, wherever they are needed.

    #[doc(hidden)]
    fn __read(arguments: &mut Arguments<'_>) -> Result<Self, Failure>;

    #[doc(hidden)]
    fn __read_list(arguments: &mut Arguments<'_>) -> Result<Vec<Self>, Failure>;

    #[doc(hidden)]
    fn __write(&self, name: &str, params: &mut ParamsWriter);

    #[doc(hidden)]
    fn __write_list(list: &[Self], name: &str, params: &mut ParamsWriter);

    #[doc(hidden)]
    fn __reply(&self) -> Outcome;

    #[doc(hidden)]
    fn __decode(bytes: &[u8]) -> Result<Self, ValueError>;

    #[doc(hidden)]
    fn __error(&self) -> Outcome
    where
        Self: Debug + Display;

    #[doc(hidden)]
    fn __call<U>(
        client: &Client,
        method: &Method,
        params: ParamsWriter,
        decode: fn(&[u8]) -> Result<U, ValueError>,
    ) -> Call<U, MethodError<Self>>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> Data for T {
    fn __read(arguments: &mut Arguments<'_>) -> Result<Self, Failure> {
        arguments.next()
    }

    fn __read_list(arguments: &mut Arguments<'_>) -> Result<Vec<Self>, Failure> {
        arguments.next()
    }

    fn __write(&self, name: &str, params: &mut ParamsWriter) {
        params.push(name, self);
    }

    fn __write_list(list: &[Self], name: &str, params: &mut ParamsWriter) {
        params.push(name, list);
    }

    fn __reply(&self) -> Outcome {
        reply::value(self)
    }

    fn __decode(bytes: &[u8]) -> Result<Self, ValueError> {
        value::decode(bytes)
    }

    fn __error(&self) -> Outcome
    where
        Self: Debug + Display,
    {
        reply::error(self)
    }

    fn __call<U>(
        client: &Client,
        method: &Method,
        params: ParamsWriter,
        decode: fn(&[u8]) -> Result<U, ValueError>,
    ) -> Call<U, MethodError<Self>> {
        client.typed(method, params, decode)
    }
}
