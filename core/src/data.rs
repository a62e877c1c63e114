//! What may stand in the signature of a service's method.

use std::fmt::{Debug, Display};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::{Call, Client, Method, StreamCall, TaskCall};
use crate::error::MethodError;
use crate::opaque::Opaque;
use crate::params::{Arguments, NULL, ParamsWriter};
use crate::reply;
use crate::schema::{self, Describer};
use crate::service::Outcome;
use crate::value::{self, ValueError};
use crate::wire::Failure;

/// What travels between processes: a method's parameters and its result.
///
/// Every type is data that serde can write and read, that has a JSON Schema, and that borrows nothing.
/// A type of your own becomes data by `#[farcall::data]`, which derives all of that:
///
/// ```
/// #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
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
    label = "serde cannot both write and read this, or it has no JSON Schema, or something in it",
    note = "a type of your own travels once `#[farcall::data]` stands above it",
    note = "many other crates have a feature `serde`, and `schemars` has one for many of them",
    note = "without a JSON Schema it travels as `#[farcall(opaque)]`, on the parameter or the method",
    note = "the call's own context is taken as `&Context`"
)]
pub trait Data<How = Described>: Sized + 'static
where
    How: Sealed,
{
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
    fn __encode(&self) -> Result<Bytes, ValueError>;

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

    #[doc(hidden)]
    fn __stream_call<U>(
        client: &Client,
        method: &Method,
        params: ParamsWriter,
        decode: fn(&[u8]) -> Result<U, ValueError>,
    ) -> StreamCall<U, MethodError<Self>>;

    #[doc(hidden)]
    fn __task_call<U>(
        client: &Client,
        method: &Method,
        params: ParamsWriter,
        decode: fn(&[u8]) -> Result<U, ValueError>,
    ) -> TaskCall<U, MethodError<Self>>;

    #[doc(hidden)]
    fn __describe(describer: &mut Describer) -> schema::Described;

    #[doc(hidden)]
    fn __describe_list(describer: &mut Describer) -> schema::Described;
}

/// Data whose schema is its own.
#[derive(Debug)]
pub struct Described;

/// Data whose schema says *anything*: `#[farcall(opaque)]`.
#[derive(Debug)]
pub struct Undescribed;

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Described {}
    impl Sealed for super::Undescribed {}
}
use sealed::Sealed;

/// Where the schema of data of type `T` comes from.
#[doc(hidden)]
pub trait Describes<T>: Sealed {
    fn describe(describer: &mut Describer) -> schema::Described;
    fn describe_list(describer: &mut Describer) -> schema::Described;
}

#[diagnostic::do_not_recommend]
impl<T: JsonSchema> Describes<T> for Described {
    fn describe(describer: &mut Describer) -> schema::Described {
        describer.describe::<T>()
    }

    fn describe_list(describer: &mut Describer) -> schema::Described {
        describer.describe::<[T]>()
    }
}

impl<T> Describes<T> for Undescribed {
    fn describe(_: &mut Describer) -> schema::Described {
        schema::Described::default()
    }

    fn describe_list(describer: &mut Describer) -> schema::Described {
        describer.describe::<[Opaque<T>]>()
    }
}

#[diagnostic::do_not_recommend]
impl<T, How> Data<How> for T
where
    T: Serialize + DeserializeOwned + 'static,
    How: Describes<T>,
{
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

    fn __encode(&self) -> Result<Bytes, ValueError> {
        value::encode(self).map(Bytes::from)
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

    fn __stream_call<U>(
        client: &Client,
        method: &Method,
        params: ParamsWriter,
        decode: fn(&[u8]) -> Result<U, ValueError>,
    ) -> StreamCall<U, MethodError<Self>> {
        client.typed_stream(method, params, decode)
    }

    fn __task_call<U>(
        client: &Client,
        method: &Method,
        params: ParamsWriter,
        decode: fn(&[u8]) -> Result<U, ValueError>,
    ) -> TaskCall<U, MethodError<Self>> {
        client.typed_task(method, params, decode)
    }

    fn __describe(describer: &mut Describer) -> schema::Described {
        // What is left out is read as null: the type itself knows best whether it is one of those.
        let optional = value::decode::<T>(NULL).is_ok();
        How::describe(describer).optional(optional)
    }

    fn __describe_list(describer: &mut Describer) -> schema::Described {
        How::describe_list(describer)
    }
}
