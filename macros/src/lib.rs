//! The attribute macros of [farcall](https://docs.rs/farcall). Programs use them through that crate.
//!
//! | | |
//! |---|---|
//! | [`macro@service`] | makes a server and a client of a trait |
//! | [`macro@data`] | makes a type fit to travel |
//! | [`macro@main`], [`macro@test`] | run a program or test on the thread of its node |
//!
//! The way from a trait to code: `parse` reads it, with the `options` in attributes, and builds the
//! `model`, plain data; `check` says what is wrong with it, all at once; `shape` tells what a type in
//! a signature means; `expand` writes the code. That refers to nothing but the hidden module
//! `__macro` of the crate named by the option `crate`.

use proc_macro::TokenStream;
use quote::quote;

use crate::entry::Entry;
use crate::errors::Errors;

mod check;
mod data;
mod duration;
mod entry;
mod errors;
mod expand;
mod model;
mod options;
mod parse;
mod shape;
mod written;

/// Makes a service of a trait: of `Calc` a server `CalcServer` and a client `CalcClient`.
///
/// ```
/// use farcall::{Config, Context, Memory, Node};
///
/// /// Reckons.
/// #[farcall::service]
/// pub trait Calc {
///     /// Adds two numbers.
///     async fn add(&self, a: i64, b: i64) -> i64;
///
///     /// Divides; callers get the method's own error as it was returned.
///     async fn div(&self, a: f64, b: f64) -> Result<f64, String>;
///
///     /// Asks the call itself: who made it, how long there is.
///     #[farcall(idempotent, timeout = "2s", name = "this.is.a.name")]
///     async fn method(&self, ctx: &Context) -> String;
/// }
///
/// struct Calculator;
///
/// impl Calc for Calculator {
///     async fn add(&self, a: i64, b: i64) -> i64 {
///         a + b
///     }
///     async fn div(&self, a: f64, b: f64) -> Result<f64, String> {
///         if b == 0.0 { Err("division by zero".into()) } else { Ok(a / b) }
///     }
///     async fn method(&self, ctx: &Context) -> String {
///         ctx.method().to_owned()
///     }
/// }
///
/// #[farcall::main]
/// async fn main() -> farcall::Result<()> {
///     let node = Node::open_with(Config::default(), Memory::new().transport()).await?;
///     node.serve(CalcServer::new(Calculator)).await?;
///
///     let calc = CalcClient::new(&node);
///     assert_eq!(calc.add(1, 2).await?, 3);
///     let error = calc.div(1.0, 0.0).await.unwrap_err();
///     assert_eq!(error.returned().as_deref(), Some("division by zero"));
///     assert_eq!(calc.method().await?, "this.is.a.name");
///     Ok(())
/// }
/// ```
///
/// # The trait
///
/// Methods are `async fn` with `&self` and without a body, and are implemented so. Their futures
/// need not be `Send`: they run on the thread of the node. (In the trait they become
/// `fn … -> impl Future`.)
///
/// | parameter | |
/// |---|---|
/// | `T` | decoded and handed over |
/// | `&T`, `&[T]`, `&str` | decoded and lent while the method runs |
/// | `Vec<u8>`, `&[u8]` | a byte string; bytes inside of other types are `farcall::Bytes` |
/// | `impl Stream<Item = T>` | items as they come, while the method runs; several are numbered in their order |
/// | `ctx: &Context`, at any place | the call's context, which does not travel and which clients do not pass |
///
/// `T` is what serde can write and read, what has a JSON Schema and what borrows nothing: see `Data`
/// and [`macro@data`]. A type of another crate that has no JSON Schema travels with
/// `#[farcall(opaque)]` before its parameter, or on the method for its result and error: the schema
/// then says *anything*, and nobody can tell whether another version of it fits.
///
/// A method that can fail returns `Result<T, E>`, written like that: a macro does not see through an
/// alias, and one is refused. `E` travels too, and is `Debug` and `Display`. A `CallError` does not
/// travel: a method that makes calls itself has an `E` of its own with `From<CallError>`, for `?`.
///
/// # Streams
///
/// A method that returns `impl Stream<Item = T>` is polled as fast as its caller reads. It may fail
/// before its stream, within it, or both, with one type of error: `Result<impl Stream<Item = T>, E>`,
/// `impl Stream<Item = Result<T, E>>`, `Result<impl Stream<Item = Result<T, E>>, E>`. The stream may
/// borrow from the service and from what is lent to the method.
///
/// The client's method gives a `StreamCall`, which is a `Stream` of `Result<T, X>`, and takes argument
/// streams that are `Send + 'static`. An argument stream that the method sees ends when its caller's
/// ends, and never for another reason; it needs no pinning if the implementation writes
/// `impl Stream<Item = T> + Unpin`.
///
/// ```
/// use farcall::prelude::*;
///
/// #[farcall::service]
/// pub trait Numbers {
///     async fn count(&self, to: u64) -> impl Stream<Item = u64>;
///     async fn sum(&self, numbers: impl Stream<Item = i64>) -> i64;
/// }
///
/// struct Counter;
///
/// impl Numbers for Counter {
///     async fn count(&self, to: u64) -> impl Stream<Item = u64> {
///         futures::stream::iter(0..to)
///     }
///     async fn sum(&self, mut numbers: impl Stream<Item = i64> + Unpin) -> i64 {
///         let mut sum = 0;
///         while let Some(number) = numbers.next().await {
///             sum += number;
///         }
///         sum
///     }
/// }
/// ```
///
/// # More of the signature
///
/// A `&Context` is known by that name. A type of your own that has it is taken by value, or under
/// another name.
///
/// # The server
///
/// `CalcServer::new(service)` takes a value that is `Send + Sync`; `CalcServer::build(|| service)`
/// makes one on the node's thread, which may then hold an `Rc`. Hand it to `Node::serve`.
///
/// # The client
///
/// `CalcClient::new(&node)` calls any server of the service; `CalcClient::from(client)` what that
/// `Client` calls; `client()` gives it back. For each method there is one with the same parameters:
/// it encodes them at once and returns a `Call`, which is made when it is awaited. That gives
/// `Result<T, CallError>`, or `Result<T, MethodError<E>>` for a method that returns `Result<T, E>`.
///
/// `new`, `from`, `client`, `clone`, `into` and `try_into` cannot be names of methods; they can be
/// names for callers.
///
/// # Options
///
/// | of `#[farcall::service(…)]` | |
/// |---|---|
/// | `name = "calc"` | the service's name, otherwise the trait's in snake case |
/// | `crate = "farcall"` | where the farcall crate is, otherwise `::farcall` |
///
/// | of `#[farcall(…)]` on a method | |
/// |---|---|
/// | `name = "text.upper"` | the method's name for callers, otherwise the one in Rust |
/// | `idempotent` | it may run again when the first run's outcome is unknown |
/// | `recoverable` | its calls are recorded before they run, and survive the death of their server: clients get a `TaskCall` |
/// | `timeout = "2s"` | how long clients wait for it, otherwise `[client] timeout` |
/// | `opaque` | the types of its result and error have no JSON Schema |
///
/// Doc comments, names, types and their schemas are told to whoever asks the service to describe
/// itself, and doc comments are those of the client too. A client compares the schemas with its own
/// where those of a server are others: `docs/EVOLUTION.md` tells what may change.
#[proc_macro_attribute]
pub fn service(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let code = match parse::service(options.into(), item.into(), &mut errors) {
        Ok(service) => expand::service(&service),
        Err(left) => left,
    };
    let errors = errors.into_tokens();
    quote!(#errors #code).into()
}

/// Makes a struct or enum fit to travel: derives serde's `Serialize` and `Deserialize` and
/// `schemars::JsonSchema`, through farcall, so that your crate need not depend on either.
///
/// ```
/// #[farcall::data]
/// #[derive(Clone, Debug, PartialEq)]
/// #[serde(rename_all = "kebab-case")]
/// enum Shape {
///     Circle { radius: f64 },
///     Polygon(Vec<(f64, f64)>),
/// }
///
/// fn travels<T: farcall::Data>() {}
/// travels::<Shape>();
/// ```
///
/// Put it above `#[derive(…)]` and `#[serde(…)]`. What serde's attributes can do, they do here; so
/// do those of schemars. For bytes inside of a type write `farcall::Bytes`. A field whose type has no
/// JSON Schema, such as one of another crate, is marked with `#[farcall(opaque)]`.
///
/// Doc comments on the type, its fields and variants become part of its schema.
///
/// The option `crate = "farcall"` says where the farcall crate is, otherwise `::farcall`.
#[proc_macro_attribute]
pub fn data(options: TokenStream, item: TokenStream) -> TokenStream {
    data::data(options.into(), item.into()).into()
}

/// Runs an `async fn main` on the thread of its node, so that a call meets no other thread.
///
/// ```
/// #[farcall::main]
/// async fn main() -> farcall::Result<()> {
///     Ok(())
/// }
/// ```
///
/// It is `farcall::block_on` around the function. Under `#[tokio::main]` farcall works too, and a
/// node has a thread of its own there.
///
/// The option `crate = "farcall"` says where the farcall crate is, otherwise `::farcall`.
///
/// # Panics
/// Where `block_on` does: in a function that is called inside of async code.
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    entry::entry(Entry::Main, options.into(), item.into()).into()
}

/// Runs an `async fn` as a test, as [`macro@main`] runs a program.
///
/// ```
/// #[farcall::test]
/// async fn sums_are_right() -> farcall::Result<()> {
///     let memory = farcall::Memory::new();
///     let node = farcall::Node::open_with(farcall::Config::default(), memory.transport()).await?;
///     node.serve(farcall::Functions::new("calc").add("add", |a: i64, b: i64| a + b)).await?;
///     assert_eq!(node.client("calc").call::<i64>("add", (1, 2)).await?, 3);
///     Ok(())
/// }
/// ```
///
/// `#[should_panic]`, `#[ignore]` and a `Result` work as in any test. The option `crate = "farcall"`
/// says where the farcall crate is, otherwise `::farcall`.
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    entry::entry(Entry::Test, options.into(), item.into()).into()
}
