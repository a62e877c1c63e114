//! What a server runs: services, as the `service` macro and [`Functions`](crate::Functions) make
//! them.
//!
//! Programs rarely name anything in here. The macro writes a [`Service`] for each trait; those who
//! dispatch by other means write one by hand.

use std::borrow::Cow;
use std::ops::Not;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::params::Params;
use crate::schema::{Definitions, Schema};
use crate::wire::Failure;

/// A method's outcome as it will travel: the encoded result, or why there is none.
pub type Outcome = Result<Bytes, Failure>;

/// A handler under way. It runs on the node's thread and need not be `Send`.
pub type Invocation = LocalBoxFuture<'static, Outcome>;

/// A named set of methods, on the node's thread.
pub trait Service: 'static {
    /// What the service offers. Read once, when it is served.
    fn descriptor(&self) -> Descriptor;

    /// Begins a call of the method at position `method` of the descriptor.
    ///
    /// Arguments are decoded here; what the method does belongs in the returned future, which is
    /// dropped when the call is cancelled. A panic in either is the caller's failure and nobody
    /// else's.
    ///
    /// # Errors
    /// The arguments do not fit.
    fn call(&self, method: usize, params: Params, context: &Context)
    -> Result<Invocation, Failure>;

    /// Whether there are interceptors before it, which have a say before the call's span begins.
    #[doc(hidden)]
    fn __intercepted(&self) -> bool {
        false
    }
}

/// Something that becomes a service once it is on the node's thread.
pub trait IntoService: Send + 'static {
    /// Makes the service.
    ///
    /// # Errors
    /// What was put together cannot be served, in words for whoever wrote it.
    fn into_service(self: Box<Self>) -> Result<Rc<dyn Service>, String>;
}

/// What a service offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The service's name.
    pub name: Cow<'static, str>,
    /// Its doc comment.
    #[serde(default)]
    pub docs: Cow<'static, str>,
    /// Its methods; their position is what [`Service::call`] gets.
    pub methods: Vec<MethodDescriptor>,
    /// A hash of all types of all methods, and of nothing that is for people alone; empty if the
    /// schemas are not known. Servers announce it.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub schema: Cow<'static, str>,
    /// What the schemas of the methods refer to.
    #[serde(default, rename = "$defs", skip_serializing_if = "Definitions::is_empty")]
    pub definitions: Definitions,
}

/// What one method takes and gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodDescriptor {
    /// The method's name, which may have dots in it.
    pub name: Cow<'static, str>,
    /// Its doc comment.
    #[serde(default)]
    pub docs: Cow<'static, str>,
    /// Its parameters, in order.
    pub params: Vec<ParamDescriptor>,
    /// The type of its result, as written in Rust; that of an item, if it is a stream.
    pub result: Cow<'static, str>,
    /// The values of its result.
    #[serde(default, skip_serializing_if = "Schema::is_anything")]
    pub result_schema: Schema,
    /// Whether it gives a stream of results.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub stream: bool,
    /// The type of its error, as written in Rust, if it has one.
    #[serde(default)]
    pub error: Option<Cow<'static, str>>,
    /// The values of its error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_schema: Option<Schema>,
    /// Whether it may run again when the first run's outcome is unknown.
    #[serde(default)]
    pub idempotent: bool,
    /// Whether calls of it are recorded as tasks before they run, and survive the death of a server.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub recoverable: bool,
    /// How long typed clients wait for it unless told otherwise.
    #[serde(default)]
    pub timeout: Option<Duration>,
}

/// One parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParamDescriptor {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its type, as written in Rust; that of an item, if it is a stream.
    #[serde(rename = "type")]
    pub ty: Cow<'static, str>,
    /// Its values.
    #[serde(default, skip_serializing_if = "Schema::is_anything")]
    pub schema: Schema,
    /// Whether it may be left out.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub optional: bool,
    /// Whether it is a stream. Streams are not among the arguments of a call, but beside them, in
    /// the order of the parameters.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub stream: bool,
}

impl MethodDescriptor {
    /// How many of its parameters are streams.
    #[must_use]
    pub fn argument_streams(&self) -> usize {
        self.params.iter().filter(|param| param.stream).count()
    }
}
