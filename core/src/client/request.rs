//! What every kind of call is made of before it is sent, and how its outcome is worded.

use std::time::Duration;

use bytes::Bytes;
use compact_str::CompactString;

use super::call::Ending;
use super::upload::{Upload, Uploads};
use super::watch::{Watch, pass_on_trace};
use super::{NewCall, ReplyTo, Submissions, Target};
use crate::context::inherited_deadline;
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
    /// The call, or why it cannot be one.
    call: Result<Box<NewCall>, Box<Failure>>,
    uploads: Uploads,
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
    /// A call of what `about` says, with these parameters. Put together where it is made: to pass on
    /// its parts costs more than to write them.
    #[inline]
    pub(crate) fn new(
        about: &About,
        target: Target,
        params: Result<Bytes, Failure>,
        timeout: Option<Duration>,
        expects: Option<&'static ServiceSchema>,
    ) -> Self {
        let call = params.map_err(Box::new).map(|params| {
            Box::new(NewCall {
                target,
                service: about.service.clone(),
                method: about.method.clone(),
                params,
                headers: Headers::new(),
                one_way: false,
                streams: Streams::default(),
                idempotent: false,
                task: None,
                timeout,
                inherited: inherited_deadline(),
                wait_for_server: about.node.config().client.wait_for_server,
                expects,
                reply: ReplyTo::Nobody,
            })
        });
        Request { call, uploads: Uploads::default() }
    }

    /// Changes something of the call, if it is one.
    #[inline]
    pub(crate) fn set(&mut self, change: impl FnOnce(&mut NewCall)) {
        if let Ok(call) = &mut self.call {
            change(call);
        }
    }

    /// Adds a stream to be sent along.
    pub(crate) fn upload(&mut self, upload: Upload) {
        self.uploads.push(upload);
    }

    /// Whether streams are to be sent along.
    pub(crate) fn has_uploads(&self) -> bool {
        !self.uploads.is_empty()
    }

    /// Hands over a call that has one result and no streams.
    #[inline]
    pub(crate) fn submit(
        mut self,
        about: &About,
        one_way: bool,
        reply: ReplyTo,
    ) -> Result<Submitted, Failure> {
        self.set(|call| {
            call.one_way = one_way;
            // A stream takes as long as it takes, unless somebody says otherwise; this is none.
            call.timeout.get_or_insert(about.node.config().client.timeout);
        });
        self.hand_over(about, one_way, reply)
    }

    /// Hands over a call with streams: those that are sent along, and with a `window` one of results.
    pub(crate) fn submit_streams(
        mut self,
        about: &About,
        window: u64,
        reply: ReplyTo,
    ) -> Result<(Submitted, Uploads), Failure> {
        let uploads = std::mem::take(&mut self.uploads);
        self.set(|call| call.streams = Streams { arguments: uploads.count(), credit: window });
        Ok((self.hand_over(about, false, reply)?, uploads))
    }

    fn hand_over(self, about: &About, one_way: bool, reply: ReplyTo) -> Result<Submitted, Failure> {
        names_fit(&about.service, &about.method)?;
        let mut call = match self.call {
            Ok(call) => call,
            Err(failure) => {
                if let Some(watch) = about.watch(0, one_way) {
                    watch.end(Err(&failure));
                }
                return Err(*failure);
            }
        };
        let mut watch = None;
        if !matches!(call.target, Target::Core(_)) {
            watch = about.watch(call.params.len(), one_way);
        }
        let sent = match &mut watch {
            Some(watch) => watch.outgoing(&mut call.headers),
            None => {
                pass_on_trace(&mut call.headers);
                Ok(())
            }
        };
        call.idempotent = about.idempotent;
        call.reply = reply;
        call.inherited = match (call.inherited, inherited_deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let fits = sent.and_then(|()| call.fits(about.node.config().limits.max_message_bytes));
        match fits.and_then(|()| about.submissions().call(call)) {
            Ok(id) => Ok(Submitted { id, watch }),
            Err(failure) => {
                if let Some(watch) = watch {
                    watch.end(Err(&failure));
                }
                Err(failure)
            }
        }
    }
}

/// A call that the client actor has, or will have.
pub(crate) struct Submitted {
    pub(crate) id: CallId,
    /// Whoever listens, to be told its end.
    pub(crate) watch: Option<Box<Watch>>,
}

impl NewCall {
    pub(crate) fn header(&mut self, name: CompactString, value: CompactString) {
        // They travel as a map, which has a key once.
        crate::interceptor::set(&mut self.headers, name, value);
    }

    fn fits(&self, limit: usize) -> Result<(), Failure> {
        if !self.headers.is_empty() {
            headers_fit(&self.headers)?;
        }
        let size = self.params.len();
        if size > limit {
            return Err(Failure::new(
                Reason::ArgumentsTooLarge,
                format!(
                    "the arguments take {size} bytes, the limit is {limit} \
                     (limits.max_message_bytes)"
                ),
            ));
        }
        Ok(())
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
