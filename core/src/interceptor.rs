//! What a program puts around calls, where they leave and where they arrive.

mod call_log;
mod chain;
mod passage;
mod refusal;

pub use call_log::CallLog;
pub(crate) use chain::Chain;
pub(crate) use passage::{Intercepting, Passage};
pub use refusal::Refusal;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use compact_str::CompactString;
use futures::future::LocalBoxFuture;
use tracing::Span;

use crate::context::Context;
use crate::observe::Ended;
use crate::wire::Headers;

/// Something around calls: it sees each before it is sent or run, may refuse it or add headers, and
/// hears how it ended.
///
/// An interceptor is put around a handle by [`Node::with`](crate::Node::with): calls that are made
/// by that handle go through it, and calls of services that are served by it. The first one added
/// is the outermost: it sees a call first and its end last. What it does not care for, it leaves as
/// it is here.
///
/// ```
/// use farcall_core::{Incoming, Interceptor, Outgoing, Refusal};
///
/// /// Lets those in who know the word.
/// struct Password(&'static str);
///
/// impl Interceptor for Password {
///     fn outgoing(&self, call: &mut Outgoing<'_>) -> Result<(), Refusal> {
///         call.set_header("password", self.0);
///         Ok(())
///     }
///
///     fn incoming(&self, call: &mut Incoming) -> Result<(), Refusal> {
///         match call.header("password") {
///             Some(word) if word == self.0 => Ok(()),
///             _ => Err("the header `password` must have the password".into()),
///         }
///     }
/// }
/// # async fn example(node: farcall_core::Node, service: farcall_core::Functions)
/// # -> farcall_core::Result<()> {
/// let node = node.with(Password("sesame"));
/// node.serve(service).await?;              // asks for the password
/// let client = node.client("calc");        // says it
/// # Ok(()) }
/// ```
///
/// Methods run on whichever thread polls the call at a client, and on the node's thread at a server,
/// where blocking holds up all calls of the node. Questions to the node itself
/// ([`Peer::status`](crate::Peer::status)) go through no interceptor.
///
/// # Panics
/// A panic in `outgoing` goes on to whoever polls the call; in `incoming` it fails the call as a panic
/// of its handler would; in `ended` it is caught and logged.
pub trait Interceptor: Send + Sync + 'static {
    /// A call is about to be sent.
    ///
    /// # Errors
    /// It is not to be sent. Interceptors further in do not see it; those further out hear how it
    /// ended, this one does not.
    fn outgoing(&self, call: &mut Outgoing<'_>) -> Result<(), Refusal> {
        let _ = call;
        Ok(())
    }

    /// A call has come and may run: its method is known, and it is its turn.
    ///
    /// What cannot be decided at once is decided by a future: see [`Incoming::check`].
    ///
    /// # Errors
    /// It is not to run. Interceptors further in do not see it; those further out hear how it ended,
    /// this one does not.
    fn incoming(&self, call: &mut Incoming) -> Result<(), Refusal> {
        let _ = call;
        Ok(())
    }

    /// A call that this interceptor let pass has ended, with an outcome or without.
    fn ended(&self, call: &CallInfo<'_>, end: &End<'_>) {
        let _ = (call, end);
    }
}

/// A call that is about to be sent.
pub struct Outgoing<'a> {
    pub(crate) service: &'a str,
    pub(crate) method: &'a str,
    pub(crate) arguments: usize,
    pub(crate) headers: &'a mut Headers,
    pub(crate) span: &'a Span,
}

impl Outgoing<'_> {
    /// The name of the service.
    #[must_use]
    pub fn service(&self) -> &str {
        self.service
    }

    /// The name of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.method
    }

    /// The size of the encoded arguments in bytes.
    #[must_use]
    pub fn arguments(&self) -> usize {
        self.arguments
    }

    /// The header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(self.headers, name)
    }

    /// Sets a header, in place of an earlier one of its name. The limits are those of
    /// [`Call::header`](crate::Call::header).
    pub fn set_header(&mut self, name: impl Into<CompactString>, value: impl Into<CompactString>) {
        set(self.headers, name.into(), value.into());
    }

    /// The call's span, for its trace: disabled if nobody listens. It is entered while this is
    /// looked at.
    #[must_use]
    pub fn span(&self) -> &Span {
        self.span
    }
}

/// A check under way; what it gives is added to the headers.
pub(crate) type Check =
    LocalBoxFuture<'static, Result<Vec<(CompactString, CompactString)>, Refusal>>;

/// A call that has come.
pub struct Incoming {
    context: Context,
    arguments: usize,
    given: Headers,
    check: Option<Check>,
}

impl Incoming {
    /// The call as its handler will know it, but for headers that interceptors have set by now.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The size of the encoded arguments in bytes.
    #[must_use]
    pub fn arguments(&self) -> usize {
        self.arguments
    }

    /// The header of this name: as an interceptor further out has set it, else as the caller sent
    /// it.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.given, name).or_else(|| self.context.header(name))
    }

    /// Sets a header for interceptors further in and for the handler, who see it in place of the
    /// caller's. A header that a handler trusts must be set for every call, for otherwise a caller
    /// may set it.
    pub fn set_header(&mut self, name: impl Into<CompactString>, value: impl Into<CompactString>) {
        set(&mut self.given, name.into(), value.into());
    }

    /// The call's span, for its parent in a trace: disabled if nobody listens. It is entered for the
    /// first time when all interceptors have let the call pass.
    #[must_use]
    pub fn span(&self) -> &Span {
        self.context.span()
    }

    /// Makes the call wait for `check`, such as a look into a database. Interceptors further in see
    /// the call once it is done. The headers it gives are set as by
    /// [`set_header`](Incoming::set_header).
    ///
    /// A second check of the same interceptor takes the place of the first.
    ///
    /// ```
    /// # use farcall_core::{Incoming, Interceptor, Refusal};
    /// # #[derive(Clone)] struct Users;
    /// # impl Users { async fn by_token(&self, _: &str) -> Option<String> { None } }
    /// # struct Tokens { users: Users }
    /// impl Interceptor for Tokens {
    ///     fn incoming(&self, call: &mut Incoming) -> Result<(), Refusal> {
    ///         let token = call.header("token").ok_or("a header `token` is needed")?.to_owned();
    ///         let users = self.users.clone();
    ///         call.check(async move {
    ///             let user = users.by_token(&token).await.ok_or("nobody has this token")?;
    ///             Ok(vec![("user".into(), user.into())])
    ///         });
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Cancellation
    /// The check is dropped with the call: when its caller cancels it, and at its deadline.
    pub fn check(
        &mut self,
        check: impl Future<Output = Result<Vec<(CompactString, CompactString)>, Refusal>> + 'static,
    ) {
        self.check = Some(Box::pin(check));
    }
}

/// A call that has ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CallInfo<'a> {
    /// Where this is.
    pub side: Side<'a>,
    /// The name of the service.
    pub service: &'a str,
    /// The name of the method.
    pub method: &'a str,
    /// The size of the encoded arguments in bytes.
    pub arguments: usize,
    /// Whether no answer was wanted.
    pub one_way: bool,
}

/// Which end of a call.
#[derive(Clone, Copy, Debug)]
pub enum Side<'a> {
    /// The one that made it.
    Client,
    /// The one that ran it, with what its handler knew.
    Server(&'a Context),
}

impl Side<'_> {
    /// `client` or `server`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Server(_) => "server",
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct End<'a> {
    /// With a value, a failure, or because nobody wanted it any more.
    pub ended: Ended,
    /// What a failure says to people; else empty.
    pub message: &'a str,
    /// The size of the encoded result in bytes.
    pub result: usize,
    /// How long it took: at a client since its first poll, at a server since it came, or, where it
    /// is only intercepted, since its turn came.
    pub took: Duration,
}

fn find<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(given, _)| given == name).map(|(_, value)| &**value)
}

/// Headers travel as a map, which has a key once.
pub(crate) fn set(headers: &mut Headers, name: CompactString, value: CompactString) {
    headers.retain(|(earlier, _)| *earlier != name);
    headers.push((name, value));
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("service", &self.service)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("context", &self.context).finish_non_exhaustive()
    }
}
