//! Why a call did not return a value, as it travels.

use std::time::Duration;

use bytes::Bytes;

/// Why a call did not return a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What kind of failure.
    pub reason: Reason,
    /// For people: lower case, what was attempted and what would fix it.
    pub message: String,
    /// For `Busy`: when a retry makes sense.
    pub retry_after: Option<Duration>,
    /// For unknown names: the nearest that exist.
    pub nearest: Vec<String>,
    /// For `Returned`, and always there then: the method's own error, one CBOR item.
    pub value: Option<Bytes>,
}

impl Failure {
    /// A failure with a message and no more.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Failure {
            reason,
            message: message.into(),
            retry_after: None,
            nearest: Vec::new(),
            value: None,
        }
    }
}

/// Which of the four things happened to a call that returned no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReasonClass {
    /// The method ran and returned its own error.
    Returned,
    /// No server has seen the call.
    NotSent,
    /// A server saw it and did not start it.
    Refused,
    /// It was started, and it is known that there is no result.
    Failed,
    /// It may have run or not, wholly or in part.
    OutcomeUnknown,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $class:ident, $word:literal;)+) => {
        /// Why a call did not return a value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $name,)+
        }

        impl Reason {
            /// All of them, in the order of their codes.
            pub const ALL: &[Reason] = &[$(Reason::$name),+];

            /// The number that travels.
            #[must_use]
            pub fn code(self) -> u16 {
                match self { $(Reason::$name => $code,)+ }
            }

            /// The reason of a number, if this version knows it.
            #[must_use]
            pub fn from_code(code: u16) -> Option<Reason> {
                match code { $($code => Some(Reason::$name),)+ _ => None }
            }

            /// Which of the four things happened.
            #[must_use]
            pub fn class(self) -> ReasonClass {
                match self { $(Reason::$name => ReasonClass::$class,)+ }
            }

            /// The word for logs, metrics and JSON.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$name => $word,)+ }
            }
        }
    };
}

reasons! {
    /// The method returned its own error.
    Returned = 0, Returned, "returned";

    /// No server within `wait_for_server`.
    NoServer = 10, NotSent, "no_server";
    /// The deadline came before the call could be sent.
    DeadlineBeforeSending = 11, NotSent, "deadline_before_sending";
    /// This node has as many calls under way as it may.
    Overloaded = 12, NotSent, "overloaded";
    /// The parameters are over `max_message_bytes`.
    ArgumentsTooLarge = 13, NotSent, "arguments_too_large";
    /// The parameters could not be encoded.
    ArgumentsUnencodable = 14, NotSent, "arguments_unencodable";
    /// The node was closed.
    Closed = 15, NotSent, "closed";
    /// The peer that was addressed is not there.
    PeerGone = 16, NotSent, "peer_gone";
    /// An interceptor of the caller refused it.
    Intercepted = 17, NotSent, "intercepted";

    /// As much is running and waiting at the server as may be.
    Busy = 20, Refused, "busy";
    /// The server is about to stop.
    Draining = 21, Refused, "draining";
    /// The server has no such service.
    UnknownService = 22, Refused, "unknown_service";
    /// The service has no such method.
    UnknownMethod = 23, Refused, "unknown_method";
    /// The arguments do not fit the method.
    WrongArguments = 24, Refused, "wrong_arguments";
    /// The arguments are over the server's `max_message_bytes`.
    RequestTooLarge = 25, Refused, "request_too_large";
    /// The deadline had passed when the server came to it.
    Expired = 26, Refused, "expired";
    /// The caller may not.
    Unauthorized = 27, Refused, "unauthorized";
    /// The server cannot do what the call asks for, such as recording a task.
    Unsupported = 28, Refused, "unsupported";
    /// The idempotency key was used with other arguments.
    KeyConflict = 29, Refused, "key_conflict";

    /// The handler panicked.
    Panicked = 30, Failed, "panicked";
    /// The handler's result could not be encoded.
    ResultUnencodable = 31, Failed, "result_unencodable";
    /// The handler's result is over `max_message_bytes`.
    ResultTooLarge = 32, Failed, "result_too_large";
    /// The result does not fit the type the caller expects.
    WrongResult = 33, Failed, "wrong_result";
    /// The server cancelled the handler: its drain's deadline came.
    Abandoned = 34, Failed, "abandoned";
    /// The task was cancelled.
    TaskCancelled = 35, Failed, "task_cancelled";
    /// The task killed or failed its servers too often.
    TaskDead = 36, Failed, "task_dead";
    /// The task's time ran out before it ended.
    TaskExpired = 37, Failed, "task_expired";
    /// An item of a stream could not be written or read, so the call was ended.
    StreamBroken = 38, Failed, "stream_broken";

    /// The server was lost while it had the call.
    ServerLost = 40, OutcomeUnknown, "server_lost";
    /// The deadline came while a server had the call.
    DeadlineExceeded = 41, OutcomeUnknown, "deadline_exceeded";
    /// The wait ended before the task did; its token is still good.
    Pending = 42, OutcomeUnknown, "pending";
    /// Its ledger does not know the task, or not any more.
    Forgotten = 43, OutcomeUnknown, "forgotten";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_reasons_are_one_to_one() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        }
        assert_eq!(Reason::from_code(999), None);
    }

    #[test]
    fn the_tens_of_a_code_are_its_class() {
        for reason in Reason::ALL {
            let tens = match reason.class() {
                ReasonClass::Returned => 0,
                ReasonClass::NotSent => 1,
                ReasonClass::Refused => 2,
                ReasonClass::Failed => 3,
                ReasonClass::OutcomeUnknown => 4,
            };
            assert_eq!(reason.code() / 10, tens, "{reason:?}");
        }
    }
}
