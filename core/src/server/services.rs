//! What a node serves: the services by name, and whether a call may begin at one of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use compact_str::CompactString;

use super::actor::{Audience, ServeReply};
use crate::context::Serving;
use crate::ledger::LedgerStore;
use crate::nearest::nearest_few;
use crate::observe::ServedMeters;
use crate::service::{Descriptor, IntoService, MethodDescriptor, Service};
use crate::table::Table;
use crate::wire::{Announcement, CallFrame, CallOptions, Failure, Reason, ServerState};

/// All services of a node.
#[derive(Default)]
pub(super) struct Services {
    /// A service keeps its place for as long as the node lives.
    served: Vec<Served>,
    /// Services that the transport has not made reachable yet.
    opening: Table<CompactString, Opening>,
}

/// A service that is served.
pub(super) struct Served {
    pub(super) service: Rc<dyn Service>,
    pub(super) descriptor: Descriptor,
    pub(super) methods: Table<CompactString, Method>,
    pub(super) scope: Rc<Serving>,
    pub(super) announcement: Announcement,
    pub(super) to: Audience,
    pub(super) meters: ServedMeters,
}

/// What a call has to fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Method {
    /// Its place in the descriptor.
    pub(super) at: usize,
    /// How many argument streams it takes.
    arguments: u32,
    /// Whether it gives a stream of results.
    pub(super) streams: bool,
    /// Whether calls of it are recorded.
    pub(super) recoverable: bool,
}

pub(super) struct Opening {
    pub(super) service: Rc<dyn Service>,
    pub(super) descriptor: Descriptor,
    pub(super) announcement: Announcement,
    pub(super) to: Audience,
    pub(super) reply: ServeReply,
    /// Where its tasks are recorded, once that is open.
    pub(super) ledger: Option<Box<dyn LedgerStore>>,
}

impl Services {
    pub(super) fn at(&self, at: usize) -> &Served {
        &self.served[at]
    }

    pub(super) fn at_mut(&mut self, at: usize) -> &mut Served {
        &mut self.served[at]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Served> {
        self.served.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Served> {
        self.served.iter_mut()
    }

    /// Whether a service of this name is served, or about to be.
    pub(super) fn has(&self, name: &str) -> bool {
        self.live(name).is_some() || self.opening.contains_key(name)
    }

    /// The place of the service of this name, if its identity was not lost.
    pub(super) fn live(&self, name: &str) -> Option<usize> {
        let at = self.service(name).ok()?;
        (self.served[at].announcement.state != ServerState::Gone).then_some(at)
    }

    pub(super) fn opening(&mut self, name: CompactString, opening: Opening) {
        self.opening.insert(name, opening);
    }

    /// A service that is not reachable yet.
    pub(super) fn opening_mut(&mut self, name: &str) -> Option<&mut Opening> {
        self.opening.get_mut(name)
    }

    pub(super) fn take_opening(&mut self, name: &str) -> Option<Opening> {
        self.opening.remove(name)
    }

    pub(super) fn push(&mut self, served: Served) {
        self.served.push(served);
    }

    /// How many places are taken.
    pub(super) fn count(&self) -> usize {
        self.served.len()
    }

    /// The place of the service of this name: the last one, if it was served again after its identity
    /// was lost. A node serves a handful: looking at each is cheaper than hashing the name.
    pub(super) fn service(&self, name: &str) -> Result<usize, Failure> {
        let found = self.served.iter().rposition(|served| served.scope.service == name);
        found.ok_or_else(|| {
            let known = self.served.iter().map(|served| &*served.scope.service);
            unknown(Reason::UnknownService, "service", name, known)
        })
    }

    /// The names of a call's service and method, as far as they are ones that are served.
    pub(super) fn known<'a>(&'a self, call: &'a CallFrame) -> (Option<&'a str>, Option<&'a str>) {
        let served = self.service(&call.service).ok().map(|at| &self.served[at]);
        let method = served.filter(|served| served.methods.contains_key(&call.method));
        (served.map(|served| &*served.scope.service), method.map(|_| &*call.method))
    }

    /// The service and the method a call is for, if it may begin there.
    pub(super) fn find(&self, call: &CallFrame) -> Result<(usize, Method), Failure> {
        let at = self.service(&call.service)?;
        let served = &self.served[at];
        if served.announcement.state != ServerState::Ready {
            let server = &served.scope.server;
            let message = match served.announcement.state {
                ServerState::Gone => format!("server `{server}` has lost its identity"),
                _ => format!("server `{server}` is about to stop"),
            };
            return Err(Failure::new(Reason::Draining, message));
        }
        let Some(method) = served.methods.get(&call.method).copied() else {
            let known = served.methods.keys().map(|name| &**name);
            let what = format!("method of `{}`", call.service);
            return Err(unknown(Reason::UnknownMethod, &what, &call.method, known));
        };
        if call.time_left.is_zero() {
            return Err(Failure::new(Reason::Expired, "its deadline had passed on arrival"));
        }
        match &call.options {
            None if method.arguments == 0 && !method.streams => Ok((at, method)),
            None => Err(method.misfit(&call.method, &CallOptions::default())),
            Some(options) if options.task.is_some() && !method.recoverable => {
                let message =
                    format!("`{}` is not recoverable: its calls are not recorded", call.method);
                Err(Failure::new(Reason::Unsupported, message))
            }
            Some(options) if method.fits(options) => Ok((at, method)),
            Some(options) => Err(method.misfit(&call.method, options)),
        }
    }
}

impl Method {
    fn new(at: usize, descriptor: &MethodDescriptor) -> Self {
        let arguments = u32::try_from(descriptor.argument_streams()).unwrap_or(u32::MAX);
        Method { at, arguments, streams: descriptor.stream, recoverable: descriptor.recoverable }
    }

    /// Whether the call has the streams that the method has.
    fn fits(self, options: &CallOptions) -> bool {
        let has_streams = self.arguments > 0 || self.streams;
        options.streams == self.arguments
            && (options.credit > 0) == self.streams
            && !(options.one_way && has_streams)
    }

    fn misfit(self, name: &str, options: &CallOptions) -> Failure {
        let message = if options.streams != self.arguments {
            let (given, takes) = (options.streams, self.arguments);
            format!("{given} argument streams given, `{name}` takes {takes}")
        } else if options.one_way {
            format!("`{name}` has streams, so a call of it cannot be one way")
        } else if self.streams {
            format!("`{name}` gives a stream of results, the call asked for one value")
        } else {
            format!("`{name}` gives one result, the call asked for a stream")
        };
        Failure::new(Reason::WrongArguments, message)
    }
}

/// The methods by their names.
pub(super) fn methods(descriptor: &Descriptor) -> Table<CompactString, Method> {
    let methods = descriptor.methods.iter().enumerate();
    methods.map(|(at, it)| (CompactString::from(&*it.name), Method::new(at, it))).collect()
}

/// Makes a service on the node's thread; what is wrong with it is for whoever wrote it.
pub(super) fn make(service: Box<dyn IntoService>) -> Result<(Rc<dyn Service>, Descriptor), String> {
    let made = catch_unwind(AssertUnwindSafe(|| {
        let service = service.into_service()?;
        let descriptor = service.descriptor();
        Ok((service, descriptor))
    }));
    let (service, descriptor) =
        made.unwrap_or_else(|_| Err("the service panicked while it was made".to_owned()))?;
    match unusable(&descriptor) {
        Some(words) => Err(words),
        None => Ok((service, descriptor)),
    }
}

/// Why a service cannot be served under its names, if so.
fn unusable(descriptor: &Descriptor) -> Option<String> {
    if let Err(error) = descriptor.name.parse::<crate::config::Name>() {
        return Some(format!("the service's name `{}` cannot be used: {error}", descriptor.name));
    }
    let mut seen = std::collections::HashSet::new();
    descriptor.methods.iter().find_map(|method| {
        let name = &*method.name;
        let streams = method.stream || method.argument_streams() > 0;
        if method.recoverable && streams {
            Some(format!("the method `{name}` has streams, and cannot be recoverable"))
        } else if name.is_empty() || name.len() > crate::wire::MAX_NAME_BYTES {
            let limit = crate::wire::MAX_NAME_BYTES;
            Some(format!("the name of a method has 1 to {limit} bytes, not `{name}`"))
        } else if !seen.insert(name) {
            Some(format!("two methods of `{}` are named `{name}`", descriptor.name))
        } else {
            None
        }
    })
}

/// A failure that names what there is.
pub(super) fn unknown<'a>(
    reason: Reason,
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Failure {
    let nearest = nearest_few(name, known);
    let mut message = format!("no {what} is named `{}`", name.escape_debug());
    if let Some(first) = nearest.first() {
        message.push_str(&format!("; did you mean `{first}`?"));
    }
    let mut failure = Failure::new(reason, message);
    failure.nearest = nearest;
    failure
}
