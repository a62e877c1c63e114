//! Why there is no connection.

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::address::Endpoint;
use crate::fault;

/// An attempt to connect that failed: what was attempted, at which address, and what would help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ConnectError {
    pub(crate) kind: Kind,
    pub(crate) message: String,
}

/// Whether it is worth trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It does not pass by itself: somebody has to change a setting, here or at the server.
    Hopeless,
    /// It may be over at the next attempt.
    Passing,
}

impl ConnectError {
    pub(crate) fn hopeless(message: impl Into<String>) -> Self {
        ConnectError { kind: Kind::Hopeless, message: message.into() }
    }

    pub(crate) fn passing(message: impl Into<String>) -> Self {
        ConnectError { kind: Kind::Passing, message: message.into() }
    }

    /// An error while connecting to `to`, a server.
    pub(crate) fn at(to: &Endpoint, error: &RedisError) -> Self {
        let Cause { kind, what, fix } = Cause::of(to, error, CREDENTIALS);
        ConnectError::new(kind, to, &what, fix)
    }

    /// An error while connecting to `to`, a sentinel.
    pub(crate) fn at_sentinel(to: &Endpoint, error: &RedisError) -> Self {
        let Cause { kind, what, fix } = Cause::of(to, error, SENTINEL_CREDENTIALS);
        ConnectError::new(kind, to, &what, fix)
    }

    /// All who could know `what` were asked, and these are their failures.
    pub(crate) fn of_all(what: &str, failures: &[ConnectError]) -> Self {
        let hopeless = failures.iter().all(|failure| failure.kind == Kind::Hopeless);
        let kind = if hopeless { Kind::Hopeless } else { Kind::Passing };
        let failures: Vec<_> = failures.iter().map(|failure| failure.message.as_str()).collect();
        let message = format!("cannot find {what}: {}", failures.join(", and "));
        ConnectError { kind, message }
    }

    /// `what` happened while connecting to `to`; `fix`, if it is not empty, says what would help.
    pub(crate) fn new(kind: Kind, to: impl Display, what: &str, fix: &str) -> Self {
        let separator = if fix.is_empty() { "" } else { "; " };
        ConnectError { kind, message: format!("cannot connect to {to}: {what}{separator}{fix}") }
    }
}

struct Cause {
    kind: Kind,
    what: String,
    fix: &'static str,
}

impl Cause {
    fn of(to: &Endpoint, error: &RedisError, credentials: &'static str) -> Self {
        if let Some(error) = tls(error) {
            return Cause::of_tls(error);
        }
        match error.kind() {
            ErrorKind::Io => Cause::of_io(to, error),
            ErrorKind::Parse => hopeless(
                "what answers is no Redis",
                "another program may listen at this port, or it wants TLS: rediss://",
            ),
            ErrorKind::RESP3NotSupported => hopeless("the server is too old", VERSION),
            ErrorKind::InvalidClientConfig => hopeless(&error.to_string(), ""),
            _ => Cause::of_reply(error, credentials),
        }
    }

    fn of_io(to: &Endpoint, error: &RedisError) -> Self {
        let what = error.to_string();
        let kind = inside(error).map(io::Error::kind);
        match (kind, to) {
            (Some(io::ErrorKind::PermissionDenied), Endpoint::Unix(_)) => {
                hopeless(&what, "this user must be allowed to use the socket")
            }
            (Some(io::ErrorKind::NotFound), Endpoint::Unix(_)) => {
                passing(&what, "there must be a server that listens at this path")
            }
            (Some(io::ErrorKind::ConnectionRefused), _) => {
                passing(&what, "there must be a server that listens there")
            }
            (Some(io::ErrorKind::TimedOut), _) => {
                passing("no answer in time", timed_out(to.is_tls()))
            }
            (
                Some(
                    io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::UnexpectedEof,
                ),
                _,
            ) => {
                let fix = if to.is_tls() { CROWDED } else { CROWDED_OR_TLS };
                passing("the server closed the connection", fix)
            }
            _ => passing(&what, ""),
        }
    }

    /// What both sides think of each other's certificates changes by somebody's hand only.
    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(_) => hopeless(
                &format!("the server's certificate is not accepted: {error}"),
                "redis.tls_ca names the authorities to be trusted, and the certificate must be for \
                 the host of the URL",
            ),
            rustls::Error::AlertReceived(_) => hopeless(
                &format!("the server refuses this client: {error}"),
                "it may want a certificate that it trusts: redis.tls_cert and redis.tls_key",
            ),
            rustls::Error::InvalidMessage(_) => {
                hopeless("the server does not speak TLS", "write redis:// for one without TLS")
            }
            _ => hopeless(&error.to_string(), ""),
        }
    }

    fn of_reply(error: &RedisError, credentials: &'static str) -> Self {
        let words = fault::words(error);
        let detail = error.detail().unwrap_or_default();
        match error.kind() {
            ErrorKind::AuthenticationFailed => hopeless("wrong user or password", credentials),
            ErrorKind::Server(ServerErrorKind::NoPerm) => hopeless(&words, PERMISSIONS),
            ErrorKind::Server(ServerErrorKind::ResponseError)
                if detail.contains("DB index") || error.to_string().contains("database") =>
            {
                hopeless(
                    &format!("the server refuses the database: {detail}"),
                    "the number behind the URL's last / must be one that it has",
                )
            }
            ErrorKind::Server(ServerErrorKind::ResponseError)
                if detail.contains("unknown command") =>
            {
                hopeless("the server is too old", VERSION)
            }
            ErrorKind::Server(ServerErrorKind::ResponseError)
                if detail.contains("max number of clients") =>
            {
                passing(&words, "`maxclients` of the server bounds them")
            }
            ErrorKind::Server(ServerErrorKind::BusyLoading) => {
                passing("the server is loading its data", "")
            }
            ErrorKind::Extension => match error.code().unwrap_or_default() {
                "WRONGPASS" => hopeless("wrong user or password", credentials),
                "NOAUTH" => hopeless("the server wants a password", credentials),
                "DENIED" => hopeless(
                    "the server is in protected mode and lets in its own machine only",
                    "it needs a password, or `protected-mode no`",
                ),
                "NOPROTO" => hopeless("the server is too old", VERSION),
                _ => passing(&words, ""),
            },
            _ => passing(&words, ""),
        }
    }
}

const CREDENTIALS: &str = "redis.username and redis.password, or the URL, say who connects";
const SENTINEL_CREDENTIALS: &str =
    "redis.sentinel.username and redis.sentinel.password say who asks it";
const PERMISSIONS: &str = "the access list of this user must allow it";
const CROWDED: &str = "it may have as many clients as its `maxclients` allows";
const CROWDED_OR_TLS: &str =
    "it may have as many clients as its `maxclients` allows, or want TLS: rediss://";
/// What a server must be.
pub(crate) const VERSION: &str = "Redis 7.0 or newer is needed, or Valkey";

/// What helps where nothing comes in time.
pub(crate) fn timed_out(tls: bool) -> &'static str {
    if tls {
        "redis.connect_timeout says how long an attempt may take, and a server without TLS is redis://"
    } else {
        "redis.connect_timeout says how long an attempt may take"
    }
}

fn hopeless(what: &str, fix: &'static str) -> Cause {
    Cause { kind: Kind::Hopeless, what: what.to_owned(), fix }
}

fn passing(what: &str, fix: &'static str) -> Cause {
    Cause { kind: Kind::Passing, what: what.to_owned(), fix }
}

/// What the client's error is made of, if it is an `E`.
fn inside<E: Error + 'static>(error: &RedisError) -> Option<&E> {
    let source = error.source()?;
    // The client gives out its `Arc` of the error, which is an error too.
    match source.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
        Some(shared) => shared.downcast_ref(),
        None => source.downcast_ref(),
    }
}

/// The error of TLS inside, if there is one: as it is, or as one of IO.
fn tls(error: &RedisError) -> Option<&rustls::Error> {
    inside(error).or_else(|| inside::<io::Error>(error)?.get_ref()?.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp() -> Endpoint {
        Endpoint::Tcp { host: "h".to_owned(), port: 1, tls: false }
    }

    fn reply(line: &str) -> ConnectError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        ConnectError::at(&tcp(), &value.extract_error().unwrap_err())
    }

    fn io(kind: io::ErrorKind) -> ConnectError {
        ConnectError::at(&tcp(), &RedisError::from(io::Error::from(kind)))
    }

    #[test]
    fn a_refused_connection_may_pass_and_says_where() {
        let error = io(io::ErrorKind::ConnectionRefused);
        assert_eq!(
            (error.kind, error.message.as_str()),
            (
                Kind::Passing,
                "cannot connect to redis://h:1: connection refused; there must be a server that \
                 listens there"
            )
        );
    }

    #[test]
    fn what_is_down_or_slow_may_pass() {
        for kind in [io::ErrorKind::TimedOut, io::ErrorKind::BrokenPipe, io::ErrorKind::Other] {
            assert_eq!(io(kind).kind, Kind::Passing);
        }
        for line in [
            "LOADING Redis is loading the dataset in memory",
            "ERR max number of clients reached",
            "MASTERDOWN Link with MASTER is down",
        ] {
            assert_eq!(reply(line).kind, Kind::Passing, "{line}");
        }
    }

    #[test]
    fn what_somebody_must_change_is_hopeless() {
        for (line, part) in [
            ("WRONGPASS invalid username-password pair or user is disabled.", "redis.password"),
            (
                "NOAUTH HELLO must be called with the client already authenticated",
                "wants a password",
            ),
            ("NOPERM this user has no permissions to run the 'info' command", "'info'"),
            ("DENIED Redis is running in protected mode", "protected mode"),
            ("ERR unknown command 'HELLO'", "7.0 or newer"),
            ("NOPROTO unsupported protocol version", "7.0 or newer"),
        ] {
            let error = reply(line);
            assert_eq!(error.kind, Kind::Hopeless, "{line}");
            assert!(error.message.contains(part), "{error}");
        }
    }

    #[test]
    fn all_that_failed_are_named_and_one_that_may_pass_is_hope() {
        let (hopeless, passing) = (ConnectError::hopeless("a"), ConnectError::passing("b"));
        let error = ConnectError::of_all("it", &[hopeless.clone(), passing]);
        assert_eq!(error, ConnectError::passing("cannot find it: a, and b"));
        let error = ConnectError::of_all("it", &[hopeless.clone(), hopeless]);
        assert_eq!(error.kind, Kind::Hopeless);
    }

    #[test]
    fn a_refused_certificate_is_hopeless_however_it_is_wrapped() {
        let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, refused.clone());
        for error in [RedisError::from(refused), RedisError::from(wrapped)] {
            let error = ConnectError::at(&tcp(), &error);
            assert_eq!(error.kind, Kind::Hopeless);
            assert!(error.message.contains("redis.tls_ca"), "{error}");
        }
    }

    #[test]
    fn a_socket_that_may_not_be_opened_is_hopeless_and_a_missing_one_is_not() {
        let socket = Endpoint::Unix("/r.sock".into());
        for (kind, hope) in [
            (io::ErrorKind::PermissionDenied, Kind::Hopeless),
            (io::ErrorKind::NotFound, Kind::Passing),
        ] {
            let error = ConnectError::at(&socket, &RedisError::from(io::Error::from(kind)));
            assert_eq!(error.kind, hope);
            assert!(error.message.contains("redis+unix:///r.sock"), "{error}");
        }
    }
}
