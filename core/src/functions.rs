//! Services made of plain functions and closures, without a trait.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;

use futures::{FutureExt, Stream};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::params::{Arguments, NULL, Params};
use crate::schema::{self, Describe, Described, Describer, Methods};
use crate::service::{Descriptor, IntoService, Invocation, Service};
use crate::stream::{ArgumentStream, results};
use crate::wire::Failure;
use crate::{reply, value};

/// A service made of functions and closures, sync or async, of up to eight parameters.
///
/// ```
/// use farcall_core::{Context, Functions};
///
/// let tools = Functions::new("tools")
///     .add("text.upper", |s: String| s.to_uppercase())
///     .add("wait", |ms: u64| async move {
///         tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
///         ms
///     })
///     .add("who", |ctx: Context| ctx.caller().identity.to_string())
///     .try_add("div", |a: f64, b: f64| if b == 0.0 { Err("division by zero") } else { Ok(a / b) });
/// ```
///
/// A function whose `Result` is to arrive as such is added by [`try_add`](Functions::try_add); with
/// `add` it is refused when it is served. A sync function blocks its node while it runs. Bytes in
/// parameters and results are [`Bytes`](crate::Bytes).
///
/// A function that gives a stream of results is added by [`stream`](Functions::stream) or
/// [`try_stream`](Functions::try_stream); one that takes argument streams has a parameter for each, of
/// type [`ArgumentStream`]:
///
/// ```
/// use farcall_core::{ArgumentStream, Functions};
/// use futures::StreamExt;
///
/// let tools = Functions::new("tools")
///     .stream("count", |to: u64| futures::stream::iter(0..to))
///     .stream("double", |numbers: ArgumentStream<i64>| numbers.map(|number| number * 2));
/// ```
///
/// Types have a JSON Schema, as those of `#[farcall::data]` and of the standard library do; one that
/// has none is wrapped in [`Opaque`](crate::Opaque). The compiler tells no names of parameters: they
/// are called `a`, `b`, `c` and so on.
#[must_use = "functions are called once they are served"]
pub struct Functions {
    name: Cow<'static, str>,
    signatures: Vec<(Cow<'static, str>, Signature)>,
    entries: Vec<Box<dyn Entry>>,
    mistake: Option<String>,
}

/// A function in its box, on its way to the node's thread and there.
trait Entry: Send {
    fn call(&self, params: &Params, context: &Context) -> Result<Invocation, Failure>;
}

impl Functions {
    /// A service of this name, without functions yet.
    pub fn new(service: impl Into<Cow<'static, str>>) -> Self {
        let (signatures, entries) = (Vec::new(), Vec::new());
        Functions { name: service.into(), signatures, entries, mistake: None }
    }

    /// Adds a function that returns a value. Names may have dots.
    pub fn add<F, M>(self, name: impl Into<Cow<'static, str>>, function: F) -> Self
    where
        F: Function<Single<M>>,
        M: 'static,
    {
        self.push(name.into(), function)
    }

    /// Adds a function that returns a `Result`, whose error arrives as the method's own.
    pub fn try_add<F, M>(self, name: impl Into<Cow<'static, str>>, function: F) -> Self
    where
        F: Function<Fallible<Single<M>>>,
        M: 'static,
    {
        self.push(name.into(), function)
    }

    /// Adds a function that returns a stream of results.
    pub fn stream<F, M>(self, name: impl Into<Cow<'static, str>>, function: F) -> Self
    where
        F: Function<Streaming<M>>,
        M: 'static,
    {
        self.push(name.into(), function)
    }

    /// Adds a function that returns a stream of `Result`s: the first error ends it, and arrives as
    /// the method's own.
    pub fn try_stream<F, M>(self, name: impl Into<Cow<'static, str>>, function: F) -> Self
    where
        F: Function<Fallible<Streaming<M>>>,
        M: 'static,
    {
        self.push(name.into(), function)
    }

    /// Calls of the function that was added last are recorded as tasks before they run, so that they
    /// survive the death of a server. It must not have streams; that is found when it is served.
    ///
    /// ```
    /// use farcall_core::Functions;
    ///
    /// let reports = Functions::new("reports").add("monthly", |month: String| month).recoverable();
    /// ```
    pub fn recoverable(mut self) -> Self {
        match self.signatures.last_mut() {
            Some((name, signature)) if signature.has_streams() => {
                let mistake =
                    format!("the function `{name}` has streams, and cannot be recoverable");
                self.mistake.get_or_insert(mistake);
            }
            Some((_, signature)) => signature.recoverable = true,
            None => {
                let mistake = "`recoverable` is about the function before it, and there is none";
                self.mistake.get_or_insert(mistake.to_owned());
            }
        }
        self
    }

    fn push<F: Function<M>, M: 'static>(mut self, name: Cow<'static, str>, function: F) -> Self {
        let signature = F::signature();
        if signature.is_result && self.mistake.is_none() {
            let (gives, instead) = match signature.stream {
                true => ("a stream of `Result`s", "try_stream"),
                false => ("a `Result`", "try_add"),
            };
            self.mistake = Some(format!(
                "the function `{name}` returns {gives}: add it with `{instead}`, so that its \
                 error arrives as one"
            ));
        }
        self.signatures.push((name, signature));
        self.entries.push(Box::new(Boxed { function, signature: PhantomData::<fn() -> M> }));
        self
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.signatures.iter().map(|(name, _)| name).collect();
        f.debug_struct("Functions").field("name", &self.name).field("functions", &names).finish()
    }
}

impl IntoService for Functions {
    fn into_service(self: Box<Self>) -> Result<Rc<dyn Service>, String> {
        let Functions { name, signatures, entries, mistake } = *self;
        if let Some(mistake) = mistake {
            return Err(mistake);
        }
        let documents = schema::describe(name, "".into(), |methods| {
            for (name, signature) in signatures {
                signature.describe(name, methods);
            }
        });
        Ok(Rc::new(Served { descriptor: documents.into_offers(), entries }))
    }
}

struct Served {
    descriptor: Descriptor,
    entries: Vec<Box<dyn Entry>>,
}

impl Service for Served {
    fn descriptor(&self) -> Descriptor {
        self.descriptor.clone()
    }

    fn call(
        &self,
        method: usize,
        params: Params,
        context: &Context,
    ) -> Result<Invocation, Failure> {
        self.entries[method].call(&params, context)
    }
}

struct Boxed<F, M> {
    function: F,
    signature: PhantomData<fn() -> M>,
}

impl<F: Function<M>, M> Entry for Boxed<F, M> {
    fn call(&self, params: &Params, context: &Context) -> Result<Invocation, Failure> {
        self.function.call(params, context)
    }
}

/// A function that can be called from afar. `M` tells its shapes apart; nobody writes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function that can be served this way",
    note = "its parameters must be `Deserialize` (or `Context`), its result `Serialize`, and all of \
            them `JsonSchema`, as types with `#[farcall::data]` are, or wrapped in `Opaque`; closures \
            need their parameters' types written out",
    note = "one that returns a `Result` is added with `try_add`, any other with `add`; one that returns a \
            stream itself, not the promise of one, with `stream`, or `try_stream` if its items are `Result`s"
)]
pub trait Function<M>: Send + 'static {
    #[doc(hidden)]
    fn call(&self, params: &Params, context: &Context) -> Result<Invocation, Failure>;

    #[doc(hidden)]
    fn signature() -> Signature;
}

#[doc(hidden)]
#[derive(Debug)]
pub struct Signature {
    /// In their order, those that do not travel too.
    params: Vec<(ArgumentKind, Typed)>,
    result: Typed,
    error: Option<Typed>,
    is_result: bool,
    stream: bool,
    recoverable: bool,
}

/// A type by its name, and what describes it.
#[derive(Debug)]
struct Typed(Cow<'static, str>, Describe);

impl Signature {
    fn has_streams(&self) -> bool {
        self.stream || self.params.iter().any(|(kind, _)| *kind == ArgumentKind::Stream)
    }

    fn describe(self, name: Cow<'static, str>, methods: &mut Methods) {
        let Typed(result, of) = self.result;
        let mut method = methods.method(name, "".into(), result, of);
        let (mut names, mut stream_names) = (NAMES.iter(), STREAM_NAMES.iter());
        for (kind, Typed(ty, of)) in self.params {
            method = match kind {
                ArgumentKind::Value => match names.next() {
                    Some(name) => method.param(Cow::Borrowed(*name), ty, of),
                    None => method,
                },
                ArgumentKind::Stream => match stream_names.next() {
                    Some(name) => method.param_stream(Cow::Borrowed(*name), ty, of),
                    None => method,
                },
                ArgumentKind::Context => method,
            };
        }
        if self.stream {
            method = method.stream();
        }
        if let Some(Typed(ty, of)) = self.error {
            method = method.error(ty, of);
        }
        if self.recoverable {
            method = method.recoverable();
        }
        method.options(false, None);
    }
}

/// What a function may take: values that travel, streams of them ([`ArgumentStream`]), or the call's
/// [`Context`].
pub trait Argument: Sized {
    #[doc(hidden)]
    const KIND: ArgumentKind;

    #[doc(hidden)]
    fn written() -> Cow<'static, str> {
        type_name::<Self>()
    }

    #[doc(hidden)]
    fn take(arguments: &mut Arguments<'_>, context: &Context) -> Result<Self, Failure>;

    #[doc(hidden)]
    fn describe(describer: &mut Describer) -> Described;
}

#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    Value,
    Stream,
    Context,
}

impl<T: DeserializeOwned + JsonSchema> Argument for T {
    const KIND: ArgumentKind = ArgumentKind::Value;

    fn take(arguments: &mut Arguments<'_>, _: &Context) -> Result<Self, Failure> {
        arguments.next()
    }

    fn describe(describer: &mut Describer) -> Described {
        describer.describe::<T>().optional(value::decode::<T>(NULL).is_ok())
    }
}

impl<T: DeserializeOwned + JsonSchema + 'static> Argument for ArgumentStream<T> {
    const KIND: ArgumentKind = ArgumentKind::Stream;

    fn written() -> Cow<'static, str> {
        type_name::<T>()
    }

    fn take(arguments: &mut Arguments<'_>, context: &Context) -> Result<Self, Failure> {
        let name = STREAM_NAMES[arguments.streams_taken().min(STREAM_NAMES.len() - 1)];
        arguments.next_stream(context, name, value::decode)
    }

    fn describe(describer: &mut Describer) -> Described {
        describer.describe::<T>()
    }
}

impl Argument for Context {
    const KIND: ArgumentKind = ArgumentKind::Context;

    fn take(_: &mut Arguments<'_>, context: &Context) -> Result<Self, Failure> {
        Ok(context.clone())
    }

    fn describe(_: &mut Describer) -> Described {
        Described::default()
    }
}

/// Marks functions that return at once.
#[derive(Debug)]
pub struct Plain<A>(PhantomData<A>);

/// Marks functions that return a future.
#[derive(Debug)]
pub struct Async<A>(PhantomData<A>);

/// Marks functions that return one value, whatever it is: a `Result` too is one here, so that it is
/// found when it is served and not an ambiguity to the compiler.
#[derive(Debug)]
pub struct Single<M>(PhantomData<M>);

/// Marks functions whose `Result` arrives as such.
#[derive(Debug)]
pub struct Fallible<M>(PhantomData<M>);

/// Marks functions that return a stream.
#[derive(Debug)]
pub struct Streaming<A>(PhantomData<A>);

/// The names of a function's parameters, which the compiler does not tell.
const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// The names of its argument streams.
const STREAM_NAMES: [&str; 8] = [
    "stream_1", "stream_2", "stream_3", "stream_4", "stream_5", "stream_6", "stream_7", "stream_8",
];

fn type_name<T>() -> Cow<'static, str> {
    // Paths are for compilers; `alloc::string::String` is a `String` to those who call.
    let mut short = String::new();
    let mut word = String::new();
    for letter in std::any::type_name::<T>().chars() {
        match letter {
            ':' => word.clear(),
            letter if letter.is_alphanumeric() || letter == '_' => word.push(letter),
            other => {
                short.push_str(&std::mem::take(&mut word));
                short.push(other);
            }
        }
    }
    short.push_str(&word);
    short.into()
}

fn is_result<T>() -> bool {
    std::any::type_name::<T>().starts_with("core::result::Result<")
}

/// What a function gives, by its type.
fn given<T: JsonSchema>() -> Typed {
    Typed(type_name::<T>(), |describer| describer.describe::<T>())
}

macro_rules! arities {
    ($(($($A:ident $a:ident),*))+) => {$(
        impl<Func, R, $($A),*> Function<Single<Plain<(R, $($A,)*)>>> for Func
        where
            Func: Fn($($A),*) -> R + Send + 'static,
            R: Serialize + JsonSchema + 'static,
            $($A: Argument + 'static,)*
        {
            fn call(&self, params: &Params, _context: &Context) -> Result<Invocation, Failure> {
                arities!(@decode params _context $($A $a)*);
                let outcome = reply::value(&self($($a),*));
                Ok(std::future::ready(outcome).boxed_local())
            }

            fn signature() -> Signature {
                arities!(@signature given::<R>(), None, is_result::<R>(), false, $($A)*)
            }
        }

        impl<Func, Fut, R, $($A),*> Function<Single<Async<(R, $($A,)*)>>> for Func
        where
            Func: Fn($($A),*) -> Fut + Send + 'static,
            Fut: Future<Output = R> + 'static,
            R: Serialize + JsonSchema + 'static,
            $($A: Argument + 'static,)*
        {
            fn call(&self, params: &Params, _context: &Context) -> Result<Invocation, Failure> {
                arities!(@decode params _context $($A $a)*);
                let future = self($($a),*);
                Ok(async move { reply::value(&future.await) }.boxed_local())
            }

            fn signature() -> Signature {
                arities!(@signature given::<R>(), None, is_result::<R>(), false, $($A)*)
            }
        }

        impl<Func, R, E, $($A),*> Function<Fallible<Single<Plain<(R, E, $($A,)*)>>>> for Func
        where
            Func: Fn($($A),*) -> Result<R, E> + Send + 'static,
            R: Serialize + JsonSchema + 'static,
            E: Serialize + JsonSchema + fmt::Display + 'static,
            $($A: Argument + 'static,)*
        {
            fn call(&self, params: &Params, _context: &Context) -> Result<Invocation, Failure> {
                arities!(@decode params _context $($A $a)*);
                let outcome = match self($($a),*) {
                    Ok(value) => reply::value(&value),
                    Err(error) => reply::error(&error),
                };
                Ok(std::future::ready(outcome).boxed_local())
            }

            fn signature() -> Signature {
                arities!(@signature given::<R>(), Some(given::<E>()), false, false, $($A)*)
            }
        }

        impl<Func, Fut, R, E, $($A),*> Function<Fallible<Single<Async<(R, E, $($A,)*)>>>> for Func
        where
            Func: Fn($($A),*) -> Fut + Send + 'static,
            Fut: Future<Output = Result<R, E>> + 'static,
            R: Serialize + JsonSchema + 'static,
            E: Serialize + JsonSchema + fmt::Display + 'static,
            $($A: Argument + 'static,)*
        {
            fn call(&self, params: &Params, _context: &Context) -> Result<Invocation, Failure> {
                arities!(@decode params _context $($A $a)*);
                let future = self($($a),*);
                let outcome = async move {
                    match future.await {
                        Ok(value) => reply::value(&value),
                        Err(error) => reply::error(&error),
                    }
                };
                Ok(outcome.boxed_local())
            }

            fn signature() -> Signature {
                arities!(@signature given::<R>(), Some(given::<E>()), false, false, $($A)*)
            }
        }

        impl<Func, S, R, $($A),*> Function<Streaming<(S, R, $($A,)*)>> for Func
        where
            Func: Fn($($A),*) -> S + Send + 'static,
            S: Stream<Item = R> + 'static,
            R: Serialize + JsonSchema + 'static,
            $($A: Argument + 'static,)*
        {
            fn call(&self, params: &Params, context: &Context) -> Result<Invocation, Failure> {
                arities!(@decode params context $($A $a)*);
                let (stream, context) = (self($($a),*), context.clone());
                Ok(async move { results(&context, stream, reply::value).await }.boxed_local())
            }

            fn signature() -> Signature {
                arities!(@signature given::<R>(), None, is_result::<R>(), true, $($A)*)
            }
        }

        impl<Func, S, R, E, $($A),*> Function<Fallible<Streaming<(S, R, E, $($A,)*)>>> for Func
        where
            Func: Fn($($A),*) -> S + Send + 'static,
            S: Stream<Item = Result<R, E>> + 'static,
            R: Serialize + JsonSchema + 'static,
            E: Serialize + JsonSchema + fmt::Display + 'static,
            $($A: Argument + 'static,)*
        {
            fn call(&self, params: &Params, context: &Context) -> Result<Invocation, Failure> {
                arities!(@decode params context $($A $a)*);
                let (stream, context) = (self($($a),*), context.clone());
                let encode = |item: &Result<R, E>| match item {
                    Ok(value) => reply::value(value),
                    Err(error) => reply::error(error),
                };
                Ok(async move { results(&context, stream, encode).await }.boxed_local())
            }

            fn signature() -> Signature {
                arities!(@signature given::<R>(), Some(given::<E>()), false, true, $($A)*)
            }
        }
    )+};

    (@decode $params:ident $context:ident $($A:ident $a:ident)*) => {
        let values: usize = 0 $(+ usize::from($A::KIND == ArgumentKind::Value))*;
        let arguments = &mut $params.arguments(&NAMES[..values])?;
        $(let $a = $A::take(arguments, $context)?;)*
        arguments.finish()?;
    };

    (@signature $result:expr, $error:expr, $is_result:expr, $stream:expr, $($A:ident)*) => {
        Signature {
            params: vec![$(($A::KIND, Typed($A::written(), $A::describe))),*],
            result: $result,
            error: $error,
            is_result: $is_result,
            stream: $stream,
            recoverable: false,
        }
    };
}

arities! {
    ()
    (A a)
    (A a, B b)
    (A a, B b, C c)
    (A a, B b, C c, D d)
    (A a, B b, C c, D d, E1 e)
    (A a, B b, C c, D d, E1 e, F f)
    (A a, B b, C c, D d, E1 e, F f, G g)
    (A a, B b, C c, D d, E1 e, F f, G g, H h)
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[test]
    fn a_result_that_would_travel_as_data_is_refused_with_what_to_call_instead() {
        let one = Functions::new("f").add("one", || Err::<(), String>("no".into()));
        let many = Functions::new("f").stream("many", || stream::iter([Ok::<u8, String>(1)]));
        for (functions, instead) in [(one, "try_add"), (many, "try_stream")] {
            let refused = Box::new(functions).into_service().err().unwrap_or_default();
            assert!(refused.contains(&format!("add it with `{instead}`")), "{refused}");
        }
    }
}
