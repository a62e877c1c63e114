//! How calls end badly, by what the caller can do next.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use compact_str::CompactString;

use crate::config::ConfigError;
use crate::ledger::{InvalidToken, TaskToken};
use crate::transport::{LinkError, ServeError};
use crate::wire::{Failure, Reason, ReasonClass};

/// A call that brought neither a value nor the method's own error.
///
/// The variant says what is known of the call; [`retry`](CallError::retry) what may be done next.
///
/// ```
/// use farcall_core::{CallError, Retry};
///
/// fn next_step(error: &CallError) -> &'static str {
///     match error.retry() {
///         Retry::Safe => "again, if the reason may pass",
///         Retry::After(_) => "again a little later",
///         Retry::Unsafe => "ask before you repeat it",
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub enum CallError {
    /// No server has seen the call.
    NotSent(Box<Details>),
    /// A server has seen the call and not started it.
    Refused(Box<Details>),
    /// The method was started, and it is certain that there is no result.
    Failed(Box<Details>),
    /// The method may have run or not, wholly or in part.
    OutcomeUnknown(Box<Details>),
}

/// What is known of a failed call.
#[derive(Clone, Debug)]
pub struct Details {
    /// What happened, for programs.
    pub reason: Reason,
    /// What happened, for people.
    pub message: String,
    /// The service called.
    pub service: CompactString,
    /// The method called.
    pub method: CompactString,
    /// For unknown names: the nearest that exist.
    pub nearest: Vec<String>,
    /// When the server would like a retry, if it said.
    pub retry_after: Option<Duration>,
    /// The method's own error as one CBOR item, where the caller did not say of which type it is.
    pub value: Option<bytes::Bytes>,
    /// The method is marked idempotent, so that repeating it does no harm.
    pub idempotent: bool,
    /// The token of the task, if the wait for it ended first.
    pub token: Option<TaskToken>,
}

/// Whether the same call may be made again without running twice.
///
/// It says nothing of whether that would help: wrong arguments stay wrong. [`CallError::reason`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It may: this one did not run, or running twice does no harm.
    Safe,
    /// It may, after this long: the server is busy.
    After(Duration),
    /// It might run twice.
    Unsafe,
}

impl CallError {
    /// Sorts a failure by its reason's class.
    pub(crate) fn new(
        failure: Failure,
        service: CompactString,
        method: CompactString,
        idempotent: bool,
    ) -> Self {
        let Failure { reason, message, retry_after, nearest, value } = failure;
        let details = Box::new(Details {
            reason,
            message,
            service,
            method,
            nearest,
            retry_after,
            value,
            idempotent,
            token: None,
        });
        match reason.class() {
            ReasonClass::NotSent => CallError::NotSent(details),
            ReasonClass::Refused => CallError::Refused(details),
            ReasonClass::Returned | ReasonClass::Failed => CallError::Failed(details),
            ReasonClass::OutcomeUnknown => CallError::OutcomeUnknown(details),
        }
    }

    /// What is known of the call.
    #[must_use]
    pub fn details(&self) -> &Details {
        match self {
            CallError::NotSent(details)
            | CallError::Refused(details)
            | CallError::Failed(details)
            | CallError::OutcomeUnknown(details) => details,
        }
    }

    pub(crate) fn with_token(mut self, token: TaskToken) -> Self {
        match &mut self {
            CallError::NotSent(details)
            | CallError::Refused(details)
            | CallError::Failed(details)
            | CallError::OutcomeUnknown(details) => details.token = Some(token),
        }
        self
    }

    /// The token of the task, if this says that the wait for it ended before it did
    /// ([`Reason::Pending`]).
    #[must_use]
    pub fn token(&self) -> Option<&TaskToken> {
        self.details().token.as_ref()
    }

    /// What happened, for programs.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.details().reason
    }

    /// Whether the same call may be made again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        let details = self.details();
        match (self, details.retry_after) {
            (CallError::NotSent(_) | CallError::Refused(_), Some(after)) => Retry::After(after),
            (CallError::NotSent(_) | CallError::Refused(_), None) => Retry::Safe,
            (CallError::OutcomeUnknown(_), _) if details.idempotent => Retry::Safe,
            (CallError::Failed(_) | CallError::OutcomeUnknown(_), _) => Retry::Unsafe,
        }
    }

    fn what(&self) -> &'static str {
        match self {
            CallError::NotSent(_) => "not sent",
            CallError::Refused(_) => "refused",
            CallError::Failed(_) => "failed",
            CallError::OutcomeUnknown(_) => "outcome unknown",
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = self.details();
        let Details { service, method, message, .. } = details;
        write!(f, "{service}.{method}: {}: {message}", self.what())
    }
}

impl StdError for CallError {}

/// How a call of a method that returns `Result<T, E>` ends badly.
///
/// `From<CallError>` lets `?` mix methods with and without errors of their own.
#[derive(Clone, Debug)]
pub enum MethodError<E> {
    /// The method ran and returned this.
    Returned(E),
    /// There is no result.
    Call(CallError),
}

impl<E> MethodError<E> {
    /// The method's own error, if it was that.
    pub fn returned(self) -> Option<E> {
        match self {
            MethodError::Returned(error) => Some(error),
            MethodError::Call(_) => None,
        }
    }
}

impl<E> From<CallError> for MethodError<E> {
    fn from(error: CallError) -> Self {
        MethodError::Call(error)
    }
}

impl<E: fmt::Display> fmt::Display for MethodError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MethodError::Returned(error) => error.fmt(f),
            MethodError::Call(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> StdError for MethodError<E> {}

/// Anything that can go wrong in a program that uses farcall; what `main` returns.
///
/// Its `Debug` prints for people, since that is what Rust shows when `main` returns an error.
pub enum Error {
    /// The configuration has mistakes.
    Config(ConfigError),
    /// The transport could not be opened, or broke.
    Link(LinkError),
    /// A service could not be served.
    Serve(ServeError),
    /// A call brought no result.
    Call(CallError),
    /// A method returned its own error.
    Returned(Box<dyn StdError + Send + Sync>),
    /// Anything else, such as an error of the operating system.
    Other(Box<dyn StdError + Send + Sync>),
}

/// The result of what a program does with farcall.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error from words, or from any other error.
    pub fn other(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Error::Other(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Config(error) => error.fmt(f),
            Error::Link(error) => error.fmt(f),
            Error::Serve(error) => error.fmt(f),
            Error::Call(error) => error.fmt(f),
            Error::Returned(error) | Error::Other(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        let mut source = self.source();
        while let Some(cause) = source {
            write!(f, "\n  because: {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // The inner error prints as this one does, so the chain goes on below it.
        match self {
            Error::Config(error) => error.source(),
            Error::Link(error) => error.source(),
            Error::Serve(error) => error.source(),
            Error::Call(error) => error.source(),
            Error::Returned(error) | Error::Other(error) => error.source(),
        }
    }
}

macro_rules! from {
    ($($variant:ident($type:ty)),+ $(,)?) => {
        $(impl From<$type> for Error {
            fn from(error: $type) -> Self {
                Error::$variant(error.into())
            }
        })+
    };
}

from!(Config(ConfigError), Link(LinkError), Serve(ServeError), Call(CallError));
from!(Other(std::io::Error), Other(String), Other(&str), Other(InvalidToken));

impl<E: fmt::Debug + fmt::Display + Send + Sync + 'static> From<MethodError<E>> for Error {
    fn from(error: MethodError<E>) -> Self {
        match error {
            MethodError::Call(error) => Error::Call(error),
            MethodError::Returned(error) => Error::Returned(Box::new(Own(error))),
        }
    }
}

/// A method's own error, which need not be a `std::error::Error`.
#[derive(Debug)]
struct Own<E>(E);

impl<E: fmt::Display> fmt::Display for Own<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: fmt::Debug + fmt::Display> StdError for Own<E> {}
