//! What every kind of call is made of before it is sent, and how its outcome is worded.

use std::time::{Duration, Instant};

use bytes::Bytes;
use compact_str::CompactString;

use super::call::Ending;
use super::watch::{Watch, pass_on_trace};
use super::{NewCall, ReplyTo, Submissions, Target};
use crate::context::inherited_deadline;
use crate::deadlines::LONGEST;
use crate::error::CallError;
use crate::node::Node;
use crate::schema::ServiceSchema;
use crate::wire::{
    CallId, Failure, Headers, MAX_HEADER_BYTES, MAX_HEADERS, MAX_NAME_BYTES, Reason,
};

/// What is known of a method before it is called.
#[derive(Clone, Copy, Debug, Default)]
pub struct Method {
    /// The name under which servers know it.
    pub name: &'static str,
    /// Whether it may run again when the first run's outcome is unknown.
    pub idempotent: bool,
    /// How long to wait for it, if not `[client] timeout`.
    pub timeout: Option<Duration>,
}

/// What outlives the sending, to word the outcome.
#[derive(Clone)]
pub(crate) struct About {
    pub(crate) node: Node,
    pub(crate) service: CompactString,
    pub(crate) method: CompactString,
    pub(crate) idempotent: bool,
}

/// A call that was not sent yet.
pub(crate) struct Request {
    pub(crate) params: Result<Bytes, Box<Failure>>,
    pub(crate) target: Target,
    pub(crate) timeout: Option<Duration>,
    pub(crate) inherited: Option<Instant>,
    pub(crate) wait_for_server: Option<Duration>,
    pub(crate) headers: Headers,
    /// What a typed client knows of the service.
    pub(crate) expects: Option<&'static ServiceSchema>,
}

/// What a call has of streams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Streams {
    /// How many argument streams.
    pub(crate) arguments: u32,
    /// Credit for the results, if they are a stream.
    pub(crate) credit: u64,
}

impl Request {
    pub(crate) fn new(target: Target, params: Result<Bytes, Failure>, traits: &Method) -> Self {
        Request {
            params: params.map_err(Box::new),
            target,
            timeout: traits.timeout,
            inherited: inherited_deadline(),
            wait_for_server: None,
            headers: Headers::new(),
            expects: None,
        }
    }

    pub(crate) fn header(&mut self, name: CompactString, value: CompactString) {
        // They travel as a map, which has a key once.
        self.headers.retain(|(earlier, _)| *earlier != name);
        self.headers.push((name, value));
    }

    /// Hands the call over to the client actor. Whoever listens is to be told its end.
    pub(crate) fn submit(
        mut self,
        about: &About,
        one_way: bool,
        streams: Streams,
        reply: ReplyTo,
    ) -> Result<(CallId, Option<Box<Watch>>), Failure> {
        names_fit(&about.service, &about.method)?;
        let mut watch = None;
        if !matches!(self.target, Target::Core(_)) {
            let arguments = self.params.as_ref().map_or(0, Bytes::len);
            watch = about.watch(arguments, one_way);
        }
        let sent = match &mut watch {
            Some(watch) => watch.outgoing(&mut self.headers),
            None => {
                pass_on_trace(&mut self.headers);
                Ok(())
            }
        };
        let sent = sent.and_then(|()| self.hand_over(about, one_way, streams, reply));
        match sent {
            Ok(id) => Ok((id, watch)),
            Err(failure) => {
                if let Some(watch) = watch {
                    watch.end(Err(&failure));
                }
                Err(failure)
            }
        }
    }

    fn hand_over(
        self,
        about: &About,
        one_way: bool,
        streams: Streams,
        reply: ReplyTo,
    ) -> Result<CallId, Failure> {
        let config = about.node.config();
        let inherited = match (self.inherited, inherited_deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        // A stream takes as long as it takes, unless somebody says otherwise.
        let default = match streams {
            Streams { arguments: 0, credit: 0 } => config.client.timeout,
            _ => LONGEST,
        };
        let wait = self.wait_for_server.unwrap_or(config.client.wait_for_server);
        if !self.headers.is_empty() {
            headers_fit(&self.headers)?;
        }
        let params = self.params.map_err(|failure| *failure)?;
        let limit = config.limits.max_message_bytes;
        if params.len() > limit {
            return Err(Failure::new(
                Reason::ArgumentsTooLarge,
                format!(
                    "the arguments take {} bytes, the limit is {limit} (limits.max_message_bytes)",
                    params.len()
                ),
            ));
        }
        about.submissions().call(NewCall {
            target: self.target,
            service: about.service.clone(),
            method: about.method.clone(),
            params,
            headers: self.headers,
            one_way,
            streams,
            idempotent: about.idempotent,
            timeout: self.timeout.unwrap_or(default),
            inherited,
            wait_for_server: wait,
            expects: self.expects,
            reply,
        })
    }
}

impl About {
    pub(crate) fn submissions(&self) -> &Submissions {
        self.node.submissions()
    }

    pub(crate) fn error(&self, failure: Failure) -> CallError {
        CallError::new(failure, self.service.clone(), self.method.clone(), self.idempotent)
    }

    fn watch(&self, arguments: usize, one_way: bool) -> Option<Box<Watch>> {
        let (chain, meters) = (self.node.interceptors(), self.node.meters());
        Watch::begin(chain, meters, &self.service, &self.method, arguments, one_way)
    }

    pub(crate) fn ending<X: Ending>(&self, failure: Failure) -> X {
        let own = match (failure.reason, &failure.value) {
            (Reason::Returned, Some(value)) => X::returned(value),
            _ => None,
        };
        match own {
            Some(Ok(ending)) => ending,
            Some(Err(error)) => self
                .error(Failure::new(
                    Reason::WrongResult,
                    format!(
                        "the method returned the error `{}`, which is not of the expected type: \
                         {error}",
                        failure.message
                    ),
                ))
                .into(),
            None => self.error(failure).into(),
        }
    }
}

/// What would not fit into a frame is found here: the server would take it for garbage.
fn names_fit(service: &str, method: &str) -> Result<(), Failure> {
    for (what, name) in [("service", service), ("method", method)] {
        if name.len() > MAX_NAME_BYTES {
            let (size, limit) = (name.len(), MAX_NAME_BYTES);
            let message = format!("the name of the {what} has {size} bytes, the limit is {limit}");
            return Err(Failure::new(Reason::ArgumentsTooLarge, message));
        }
    }
    Ok(())
}

fn headers_fit(headers: &Headers) -> Result<(), Failure> {
    let too_much = |what: &str, size: usize, limit: usize| {
        let message = format!("{what} {size}, the limit is {limit}");
        Err(Failure::new(Reason::ArgumentsTooLarge, message))
    };
    if headers.len() > MAX_HEADERS {
        return too_much("headers in number:", headers.len(), MAX_HEADERS);
    }
    if let Some((name, _)) = headers.iter().find(|(name, _)| name.len() > MAX_NAME_BYTES) {
        return too_much("bytes in the name of a header:", name.len(), MAX_NAME_BYTES);
    }
    let bytes = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_HEADER_BYTES {
        return too_much("bytes in headers:", bytes, MAX_HEADER_BYTES);
    }
    Ok(())
}
