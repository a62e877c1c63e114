//! Whether a client's calls of a server's methods can work.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use super::Text;
use super::compare::{Comparison, Fit, MAX_STEPS, Side};
use crate::service::{Descriptor, MethodDescriptor, ParamDescriptor};

/// Whether calls of a method can work between a client and a server of different versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They can.
    Compatible,
    /// No call can.
    Refused(Difference),
    /// Some may and some may not, or it cannot be told.
    Undecided(Difference),
}

/// What stands between a client and a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The method.
    pub method: Text,
    /// What of it.
    pub part: Part,
    /// Where in its value, such as `.address.street`; mostly empty.
    pub path: String,
    /// Why, for people.
    pub why: String,
}

/// A part of a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it: the server has no such method.
    Method,
    /// The parameter of this name.
    Parameter(Text),
    /// What it gives.
    Result,
    /// Its error.
    Error,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { method, part, path, why } = self;
        match part {
            Part::Method => write!(f, "method `{method}`: {why}"),
            Part::Parameter(name) => write!(f, "parameter `{name}{path}` of `{method}`: {why}"),
            Part::Result if path.is_empty() => write!(f, "result of `{method}`: {why}"),
            Part::Result => write!(f, "result of `{method}` at `{path}`: {why}"),
            Part::Error if path.is_empty() => write!(f, "error of `{method}`: {why}"),
            Part::Error => write!(f, "error of `{method}` at `{path}`: {why}"),
        }
    }
}

const CLIENT: &str = "the client";
const SERVER: &str = "the server";

/// For each method that a client expects, whether calls of it can work at a server that offers this.
///
/// What a client writes, a server has to read, and the other way round. The rules are listed in
/// `docs/EVOLUTION.md`.
#[must_use]
pub fn compare(expected: &Descriptor, offered: &Descriptor) -> BTreeMap<Text, Verdict> {
    let client = Side { who: CLIENT, definitions: &expected.definitions };
    let server = Side { who: SERVER, definitions: &offered.definitions };
    let steps = &Cell::new(MAX_STEPS);
    let methods = expected.methods.iter().map(|ours| {
        let verdict = match offered.methods.iter().find(|it| it.name == ours.name) {
            Some(theirs) => Pair { ours, theirs, client, server, steps }.verdict(),
            None => {
                let why = "the server has no such method".to_owned();
                let (method, path) = (ours.name.clone(), String::new());
                Verdict::Refused(Difference { method, part: Part::Method, path, why })
            }
        };
        (ours.name.clone(), verdict)
    });
    methods.collect()
}

/// A method as the client and as the server knows it.
#[derive(Clone, Copy)]
struct Pair<'a> {
    ours: &'a MethodDescriptor,
    theirs: &'a MethodDescriptor,
    client: Side<'a>,
    server: Side<'a>,
    steps: &'a Cell<u32>,
}

impl Pair<'_> {
    /// The worst of its parts; of equals the first.
    fn verdict(self) -> Verdict {
        let mut verdict = Verdict::Compatible;
        let parts = [self.params(false), self.params(true), self.result(), self.error()];
        for part in parts.into_iter().flatten() {
            match (&verdict, &part) {
                (Verdict::Refused(_), _) | (_, Verdict::Compatible) => {}
                (Verdict::Undecided(_), Verdict::Undecided(_)) => {}
                _ => verdict = part,
            }
        }
        verdict
    }

    /// Parameters go by their places, streams beside the others.
    fn params(self, stream: bool) -> Vec<Verdict> {
        let of = |method: &'_ MethodDescriptor| -> Vec<ParamDescriptor> {
            method.params.iter().filter(|param| param.stream == stream).cloned().collect()
        };
        let (ours, theirs) = (of(self.ours), of(self.theirs));
        let mut verdicts = Vec::new();
        for (at, param) in ours.iter().enumerate() {
            let Some(read) = theirs.get(at) else {
                let why = "the server has no such parameter";
                verdicts.push(self.refused(Part::Parameter(param.name.clone()), why));
                continue;
            };
            // A name that means another place there is no other name for this one.
            if let Some(other) = theirs.iter().position(|other| other.name == param.name)
                && other != at
            {
                let why = format!("it is parameter {} of the server, not {}", other + 1, at + 1);
                verdicts.push(self.refused(Part::Parameter(param.name.clone()), why));
                continue;
            }
            let fit = Comparison::new(self.client, self.server, self.steps)
                .schema(&param.schema, &read.schema);
            verdicts.push(self.of(Part::Parameter(param.name.clone()), fit));
        }
        for param in theirs.iter().skip(ours.len()).filter(|param| !param.optional) {
            let why = "the client does not send it, the server needs it";
            verdicts.push(self.refused(Part::Parameter(param.name.clone()), why));
        }
        verdicts
    }

    fn result(self) -> Vec<Verdict> {
        if self.ours.stream != self.theirs.stream {
            let why = if self.ours.stream {
                "the client expects a stream, the server gives one value"
            } else {
                "the client expects one value, the server gives a stream"
            };
            return vec![self.refused(Part::Result, why)];
        }
        let mut comparison = Comparison::new(self.server, self.client, self.steps);
        let fit = comparison.schema(&self.theirs.result_schema, &self.ours.result_schema);
        vec![self.of(Part::Result, fit)]
    }

    /// An error that one side lacks does no harm: it does not come, or comes as its text.
    fn error(self) -> Vec<Verdict> {
        let (Some(read), Some(written)) = (&self.ours.error_schema, &self.theirs.error_schema)
        else {
            return Vec::new();
        };
        // Calls that go well do not meet it.
        let fit = Comparison::new(self.server, self.client, self.steps)
            .schema(written, read)
            .at_most_perhaps();
        vec![self.of(Part::Error, fit)]
    }

    fn of(self, part: Part, fit: Fit) -> Verdict {
        let method = self.ours.name.clone();
        match fit {
            Fit::Fits => Verdict::Compatible,
            Fit::Perhaps(misfit) => {
                let (path, why) = (misfit.path, misfit.why);
                Verdict::Undecided(Difference { method, part, path, why })
            }
            Fit::Never(misfit) => {
                let (path, why) = (misfit.path, misfit.why);
                Verdict::Refused(Difference { method, part, path, why })
            }
        }
    }

    fn refused(self, part: Part, why: impl Into<String>) -> Verdict {
        let (method, why) = (self.ours.name.clone(), why.into());
        Verdict::Refused(Difference { method, part, path: String::new(), why })
    }
}
