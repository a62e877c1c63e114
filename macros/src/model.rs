//! A service as its trait describes it: plain data, checked, and ready to be expanded.

use std::time::Duration;

use proc_macro2::Span;
use syn::{Attribute, Ident, ItemTrait, Path, Type};

/// A service trait.
pub(crate) struct Service {
    /// The trait as it was written, which is also where its name and visibility are.
    pub(crate) item: ItemTrait,
    /// The crate that the generated code refers to.
    pub(crate) krate: Path,
    /// The service's name on the wire.
    pub(crate) name: String,
    /// The trait's doc comment.
    pub(crate) docs: String,
    /// The lints that the trait turns off, and its client with it.
    pub(crate) lints: Vec<Attribute>,
    /// The methods without a mistake.
    pub(crate) methods: Vec<Method>,
}

impl Service {
    /// The name of something made for the trait, such as `CalcClient`.
    pub(crate) fn companion(&self, suffix: &str) -> Ident {
        let name = format!("{}{suffix}", plain(&self.item.ident));
        // A name that users write, in a place that lints take for ours.
        Ident::new(&name, Span::call_site().located_at(self.item.ident.span()))
    }
}

/// A method of a service.
pub(crate) struct Method {
    /// Its name in Rust.
    pub(crate) ident: Ident,
    /// Its name on the wire.
    pub(crate) name: String,
    /// Its doc comment.
    pub(crate) docs: String,
    /// What of its attributes is for its callers and for the client's method: `doc`, `deprecated`
    /// and the lints it turns off.
    pub(crate) attrs: Vec<Attribute>,
    /// Its parameters without `self`, in the order written.
    pub(crate) params: Vec<Param>,
    /// What it returns.
    pub(crate) returns: Returns,
    /// May it run again when the first run's outcome is unknown?
    pub(crate) idempotent: bool,
    /// Are its calls recorded as tasks?
    pub(crate) recoverable: bool,
    /// How long clients wait for it unless told otherwise.
    pub(crate) timeout: Option<Duration>,
    /// The schemas of its result and error are not their types', which have none.
    pub(crate) opaque: bool,
}

impl Method {
    /// The parameters that travel: all but the context.
    pub(crate) fn travelling(&self) -> impl Iterator<Item = &Param> {
        self.params.iter().filter(|param| !matches!(param.kind, ParamKind::Context))
    }

    /// The parameters that travel in the call itself: those that are no streams.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Param> {
        self.travelling().filter(|param| !matches!(param.kind, ParamKind::Stream { .. }))
    }

    /// The parameters that are streams.
    pub(crate) fn streams(&self) -> impl Iterator<Item = &Param> {
        self.params.iter().filter(|param| matches!(param.kind, ParamKind::Stream { .. }))
    }
}

/// A parameter of a method.
pub(crate) struct Param {
    /// Its name in Rust.
    pub(crate) ident: Ident,
    /// Its type as it was written.
    pub(crate) ty: Type,
    /// How it comes to the method.
    pub(crate) kind: ParamKind,
    /// Its schema is not its type's, which has none.
    pub(crate) opaque: bool,
}

/// How a parameter comes from the client to the method.
#[derive(Debug, PartialEq)]
pub(crate) enum ParamKind {
    /// `ctx: &Context`: made by the server.
    Context,
    /// `T`: decoded and handed over.
    Owned,
    /// `&T`: decoded as the `T` named here and lent.
    Lent(Type),
    /// `&[T]`: decoded as a list of the `T` named here and lent.
    LentList(Type),
    /// `&str`: decoded as a `String` and lent.
    LentText,
    /// `Vec<u8>`: a byte string, handed over.
    Bytes,
    /// `&[u8]` or `&Vec<u8>`: a byte string, lent.
    LentBytes,
    /// `impl Stream<Item = T>`: items that come while the method runs.
    Stream {
        /// The `T`.
        item: Type,
        /// It is `Vec<u8>`: items are byte strings.
        bytes: bool,
    },
}

/// What a method returns.
#[derive(Debug, PartialEq)]
pub(crate) struct Returns {
    /// The type of its result, which is the `T` of `Result<T, E>`; `()` if none is written. Of a
    /// stream, the type of an item.
    pub(crate) ty: Type,
    /// The result is a `Vec<u8>`, which travels as a byte string.
    pub(crate) bytes: bool,
    /// The `E` of `Result<T, E>`, if that is what it returns.
    pub(crate) error: Option<Type>,
    /// What it returns is a stream, and where its error may come.
    pub(crate) stream: Option<Fails>,
}

/// Where a method that returns a stream may fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fails {
    /// Before the stream: it returns `Result<impl Stream<…>, E>`.
    pub(crate) before: bool,
    /// In the stream: its items are `Result<T, E>`.
    pub(crate) within: bool,
}

/// A name without the `r#` of a raw identifier.
pub(crate) fn plain(ident: &Ident) -> String {
    let written = ident.to_string();
    written.strip_prefix("r#").map_or(written.clone(), str::to_owned)
}
