//! How the program ends: the status that scripts see, and why.

use std::io;

use farcall::config::ConfigError;
use farcall::wire::ReasonClass;
use farcall::{Error, Reason};

/// What the exit status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It is done.
    Done,
    /// The remote method was started, and failed: its own error, a panic, a result that cannot
    /// travel.
    Failed,
    /// Usage, configuration, unknown method, wrong arguments or items: the same would fail again.
    Usage,
    /// No server could take the call: there is none, or all are busy or about to stop.
    NoServer,
    /// A deadline ended the call, before it was sent or after.
    Deadline,
    /// The server was lost while it had the call.
    OutcomeUnknown,
    /// Standard output cannot be written, such as to a full disk.
    Output,
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

impl Status {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Status::Done => 0,
            Status::Failed => 1,
            Status::Usage => 2,
            Status::NoServer => 3,
            Status::Deadline => 4,
            Status::OutcomeUnknown => 5,
            // As in `sysexits.h`: an error of input or output.
            Status::Output => 74,
            // As shells say it: 128 and the signal's number.
            Status::Interrupted => 130,
            Status::Terminated => 143,
        }
    }

    /// What a failed call is for scripts.
    pub(crate) fn of(reason: Reason) -> Status {
        match reason {
            Reason::Returned
            | Reason::Panicked
            | Reason::ResultUnencodable
            | Reason::ResultTooLarge
            | Reason::WrongResult
            | Reason::Abandoned
            | Reason::TaskCancelled
            | Reason::TaskDead => Status::Failed,
            Reason::ArgumentsTooLarge
            | Reason::ArgumentsUnencodable
            | Reason::UnknownMethod
            | Reason::WrongArguments
            | Reason::StreamBroken
            | Reason::RequestTooLarge
            | Reason::Unauthorized
            | Reason::Unsupported
            | Reason::KeyConflict
            | Reason::Forgotten => Status::Usage,
            Reason::NoServer
            | Reason::Overloaded
            | Reason::Closed
            | Reason::PeerGone
            | Reason::Intercepted
            | Reason::Busy
            | Reason::Draining
            | Reason::UnknownService => Status::NoServer,
            Reason::DeadlineBeforeSending
            | Reason::Expired
            | Reason::DeadlineExceeded
            | Reason::Pending
            | Reason::TaskExpired => Status::Deadline,
            Reason::ServerLost => Status::OutcomeUnknown,
            // One that this version does not know yet.
            other => match other.class() {
                ReasonClass::Returned | ReasonClass::Failed => Status::Failed,
                ReasonClass::NotSent => Status::NoServer,
                ReasonClass::Refused => Status::Usage,
                ReasonClass::OutcomeUnknown => Status::OutcomeUnknown,
            },
        }
    }
}

/// Why a command cannot go on.
#[derive(Debug)]
pub(crate) struct Exit {
    /// What scripts see.
    pub(crate) status: Status,
    /// What people see; nothing if it is empty.
    pub(crate) message: String,
}

impl Exit {
    /// With a status and a reason.
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        Exit { status, message: message.into() }
    }
}

impl From<ConfigError> for Exit {
    fn from(error: ConfigError) -> Self {
        Exit::new(Status::Usage, error.to_string())
    }
}

impl From<Error> for Exit {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Call(error) => Status::of(error.reason()),
            Error::Returned(_) => Status::Failed,
            // Whatever else keeps a node from opening is the configuration's, or the machine's.
            Error::Config(_) | Error::Link(_) | Error::Serve(_) | Error::Other(_) => Status::Usage,
        };
        // The causes are in its `Debug` form, which is made for people.
        Exit::new(status, format!("{error:?}"))
    }
}

/// Of standard output.
impl From<io::Error> for Exit {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Whoever reads has seen enough, as `head` has.
            io::ErrorKind::BrokenPipe => Exit::new(Status::Done, ""),
            _ => Exit::new(Status::Output, format!("cannot write to standard output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_status() {
        let table: &[(&str, u8)] = &[
            ("returned", 1),
            ("no_server", 3),
            ("deadline_before_sending", 4),
            ("overloaded", 3),
            ("arguments_too_large", 2),
            ("arguments_unencodable", 2),
            ("closed", 3),
            ("peer_gone", 3),
            ("intercepted", 3),
            ("busy", 3),
            ("draining", 3),
            ("unknown_service", 3),
            ("unknown_method", 2),
            ("wrong_arguments", 2),
            ("request_too_large", 2),
            ("expired", 4),
            ("unauthorized", 2),
            ("unsupported", 2),
            ("key_conflict", 2),
            ("panicked", 1),
            ("result_unencodable", 1),
            ("result_too_large", 1),
            ("wrong_result", 1),
            ("abandoned", 1),
            ("task_cancelled", 1),
            ("task_dead", 1),
            ("task_expired", 4),
            ("stream_broken", 2),
            ("server_lost", 5),
            ("deadline_exceeded", 4),
            ("pending", 4),
            ("forgotten", 2),
        ];
        let given: Vec<(&str, u8)> = Reason::ALL
            .iter()
            .map(|reason| (reason.as_str(), Status::of(*reason).code()))
            .collect();
        assert_eq!(given, table);
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        let exit = Exit::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((exit.status, &*exit.message), (Status::Done, ""));
        assert_eq!(Exit::from(io::Error::other("full")).status, Status::Output);
    }
}
