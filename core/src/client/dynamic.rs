//! Calls by name, without a trait.

use compact_str::CompactString;
use futures::future::join_all;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::request::{About, Request};
use super::{Call, Ending, Method, StreamCall, Target, TaskCall};
use crate::error::{CallError, MethodError};
use crate::event::ServerInfo;
use crate::ledger::TaskInfo;
use crate::node::Node;
use crate::params::{ParamsWriter, encode_dynamic};
use crate::peer::PeerAddress;
use crate::schema::ServiceSchema;
use crate::value::{self, ValueError};
use crate::wire::{Failure, ServerState};

/// Calls a service by the names of its methods; what typed clients are made of.
///
/// ```no_run
/// # async fn example(node: farcall_core::Node) -> Result<(), farcall_core::CallError> {
/// let calc = node.client("calc");
/// let sum: i64 = calc.call("add", (1, 2)).await?;
/// let anything: ciborium::Value = calc.call("text.upper", ("abc",)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    node: Node,
    service: CompactString,
    target: Target,
    /// What a typed client knows of the service.
    expects: Option<&'static ServiceSchema>,
}

impl Client {
    /// A client of the service of this name, at whichever server has the fewest calls in flight.
    #[must_use]
    pub fn new(node: &Node, service: impl Into<CompactString>) -> Self {
        let (node, service) = (node.clone(), service.into());
        Client { node, service, target: Target::Service, expects: None }
    }

    /// The same, but at one peer only.
    #[must_use]
    pub fn at(&self, peer: impl Into<PeerAddress>) -> Self {
        Client { target: Target::Peer(peer.into()), ..self.clone() }
    }

    /// Makes a call to every server of the service that is live now, all at the same time, and gives
    /// one outcome for each. `call` gets a client of one server; a typed client is made from it.
    ///
    /// ```no_run
    /// # async fn example(node: farcall_core::Node) -> farcall_core::Result<()> {
    /// let cache = node.client("cache");
    /// for (server, outcome) in cache.every(|cache| cache.call::<()>("forget", ("a key",))).await? {
    ///     if let Err(error) = outcome {
    ///         eprintln!("{}: {error}", server.server);
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// A server that comes later is not called; one that leaves meanwhile gives a failure. None at
    /// all is an empty list, after the transport's first look.
    ///
    /// # Errors
    /// The node is closed.
    ///
    /// # Cancellation
    /// Dropping the future cancels those calls that have no outcome yet.
    pub async fn every<F: Future>(
        &self,
        call: impl Fn(Client) -> F,
    ) -> crate::Result<Vec<(ServerInfo, F::Output)>> {
        let mut servers = self.node.servers(self.service.clone()).await?;
        servers.retain(|server| server.state == ServerState::Ready);
        let calls = servers.iter().map(|server| call(self.at(server.peer)));
        let outcomes = join_all(calls).await;
        Ok(servers.into_iter().zip(outcomes).collect())
    }

    /// The same, for a typed client: its calls are compared with what each server of the service
    /// offers. Those of [`at`](Client::at) and [`every`](Client::every), for one peer each, are not;
    /// a server that they do not fit refuses them.
    ///
    /// # Panics
    /// The first time, if a `JsonSchema` that somebody wrote by hand does.
    #[must_use]
    pub fn expecting(self, schema: &'static ServiceSchema) -> Self {
        // Made here, where a mistake in it is the caller's, and not on the node's thread.
        schema.expects();
        Client { expects: Some(schema), ..self }
    }

    /// The service's name.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// A call of `method`. `args` is a tuple or list of arguments by position, a map or struct of
    /// them by name, or `()`; bytes in it are [`Bytes`](crate::Bytes). `T` is the result, and may be
    /// `ciborium::Value`.
    ///
    /// A method's own error comes as `CallError::Failed` with its text; for the error itself see
    /// [`try_call`](Client::try_call).
    pub fn call<T: DeserializeOwned>(
        &self,
        method: impl Into<CompactString>,
        args: impl Serialize,
    ) -> Call<T> {
        Call::new(self.dynamic(method.into(), &args), value::decode)
    }

    /// A call of a method that has an error of its own, of type `E`.
    pub fn try_call<T: DeserializeOwned, E: DeserializeOwned + 'static>(
        &self,
        method: impl Into<CompactString>,
        args: impl Serialize,
    ) -> Call<T, MethodError<E>> {
        Call::new(self.dynamic(method.into(), &args), value::decode)
    }

    /// A call of a method that gives a stream of results; an error of its own comes as
    /// `CallError::Failed` with its text.
    pub fn stream<T: DeserializeOwned>(
        &self,
        method: impl Into<CompactString>,
        args: impl Serialize,
    ) -> StreamCall<T> {
        StreamCall::new(self.dynamic(method.into(), &args), value::decode)
    }

    /// A call of a method that gives a stream of results and has an error of its own, of type `E`.
    pub fn try_stream<T: DeserializeOwned, E: DeserializeOwned + 'static>(
        &self,
        method: impl Into<CompactString>,
        args: impl Serialize,
    ) -> StreamCall<T, MethodError<E>> {
        StreamCall::new(self.dynamic(method.into(), &args), value::decode)
    }

    /// A call of a recoverable method, as a task.
    pub fn task<T: DeserializeOwned>(
        &self,
        method: impl Into<CompactString>,
        args: impl Serialize,
    ) -> TaskCall<T> {
        TaskCall::new(self.dynamic(method.into(), &args), None, value::decode)
    }

    /// The same for a method that has an error of its own, of type `E`.
    pub fn try_task<T: DeserializeOwned, E: DeserializeOwned + 'static>(
        &self,
        method: impl Into<CompactString>,
        args: impl Serialize,
    ) -> TaskCall<T, MethodError<E>> {
        TaskCall::new(self.dynamic(method.into(), &args), None, value::decode)
    }

    /// The tasks that the servers of the service have, the newest first, `limit` at most.
    ///
    /// # Errors
    /// A server does not answer within `[client] wait_for_server`, as one that is stopped; otherwise as of any call. No
    /// server at all is an empty list.
    pub async fn tasks(&self, limit: usize) -> Result<Vec<TaskInfo>, CallError> {
        let tasks = super::holder::list(&self.node, &self.service, limit).await;
        tasks.map_err(|failure| CallError::new(failure, self.service.clone(), "tasks".into(), true))
    }

    fn dynamic(&self, method: CompactString, args: &impl Serialize) -> (About, Request) {
        self.request(method, &Method::default(), encode_dynamic(args), None)
    }

    /// A call as typed clients make it; `decode` reads the result.
    pub fn typed<T, X: Ending>(
        &self,
        method: &Method,
        params: ParamsWriter,
        decode: fn(&[u8]) -> Result<T, ValueError>,
    ) -> Call<T, X> {
        Call::new(self.known(method, params), decode)
    }

    /// A call with a stream of results as typed clients make it; `decode` reads an item.
    pub fn typed_stream<T, X: Ending>(
        &self,
        method: &Method,
        params: ParamsWriter,
        decode: fn(&[u8]) -> Result<T, ValueError>,
    ) -> StreamCall<T, X> {
        StreamCall::new(self.known(method, params), decode)
    }

    /// A call of a recoverable method as typed clients make it; `decode` reads the result.
    pub fn typed_task<T, X: Ending>(
        &self,
        method: &Method,
        params: ParamsWriter,
        decode: fn(&[u8]) -> Result<T, ValueError>,
    ) -> TaskCall<T, X> {
        TaskCall::new(self.known(method, params), method.timeout, decode)
    }

    #[inline]
    fn known(&self, method: &Method, params: ParamsWriter) -> (About, Request) {
        let name = CompactString::const_new(method.name);
        self.request(name, method, params.finish(), self.expects)
    }

    #[inline]
    fn request(
        &self,
        method: CompactString,
        traits: &Method,
        params: Result<bytes::Bytes, Failure>,
        expects: Option<&'static ServiceSchema>,
    ) -> (About, Request) {
        let (node, service) = (self.node.clone(), self.service.clone());
        let about = About { node, service, method, idempotent: traits.idempotent };
        let request = Request::new(&about, self.target, params, traits.timeout, expects);
        (about, request)
    }
}
