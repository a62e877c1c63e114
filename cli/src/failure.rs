//! A call that brought no value, told to people and to programs.

use std::fmt;

use ciborium::Value;
use farcall_core::value;
use farcall_core::wire::{Failure, ReasonClass};
use serde::Serialize;

use crate::exit::Status;
use crate::show::{self, Shown};

/// A failure, and the call it is of. `Display` is for people.
pub(crate) struct Told<'a> {
    /// The service called.
    pub(crate) service: &'a str,
    /// The method called.
    pub(crate) method: &'a str,
    /// What happened.
    pub(crate) failure: &'a Failure,
    /// What helps against it: a word, and what it is about.
    pub(crate) help: Option<(&'static str, String)>,
}

/// The same for programs; these names stay as they are.
#[derive(Serialize)]
struct Json<'a> {
    status: u8,
    outcome: &'static str,
    reason: &'static str,
    service: &'a str,
    method: &'a str,
    message: &'a str,
    nearest: &'a [String],
    retry_after_ms: Option<u64>,
    value: Option<Shown<'a>>,
}

impl Told<'_> {
    /// What scripts see.
    pub(crate) fn status(&self) -> Status {
        Status::of(self.failure.reason)
    }

    /// One line of JSON.
    pub(crate) fn json(&self) -> String {
        let value = self.value();
        let Failure { reason, message, retry_after, nearest, .. } = self.failure;
        let json = Json {
            status: self.status().code(),
            outcome: match reason.class() {
                ReasonClass::Returned => "returned",
                ReasonClass::NotSent => "not_sent",
                ReasonClass::Refused => "refused",
                ReasonClass::Failed => "failed",
                ReasonClass::OutcomeUnknown => "outcome_unknown",
            },
            reason: reason.as_str(),
            service: self.service,
            method: self.method,
            message,
            nearest,
            retry_after_ms: retry_after
                .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            value: value.as_ref().map(Shown),
        };
        serde_json::to_string(&json).expect("keys are text, and writing to memory works")
    }

    /// The method's own error.
    fn value(&self) -> Option<Value> {
        value::decode(self.failure.value.as_ref()?).ok()
    }
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { service, method, failure, help } = self;
        let what = match failure.reason.class() {
            ReasonClass::Returned => "returned an error",
            ReasonClass::NotSent => "not sent",
            ReasonClass::Refused => "refused",
            ReasonClass::Failed => "failed",
            ReasonClass::OutcomeUnknown => "outcome unknown",
        };
        write!(f, "{service}.{method}: {what}")?;
        if !failure.message.is_empty() {
            write!(f, ": {}", failure.message)?;
        }
        let mut line = |label: &str, text: &str| write!(f, "\n  {label:8}  {text}");
        // An error that is a text has been said.
        if let Some(value) = self.value().filter(|it| it.as_text() != Some(&failure.message)) {
            line("value", &show::json(&value))?;
        }
        if let Some(after) = failure.retry_after {
            line("retry", &format!("after {after:?}"))?;
        }
        if let Some((label, text)) = help {
            line(label, text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use farcall_core::Reason;

    use super::*;

    fn told(failure: &Failure) -> Told<'_> {
        Told { service: "calc", method: "div", failure, help: None }
    }

    fn returned<E: Serialize>(message: &str, error: E) -> Failure {
        let mut failure = Failure::new(Reason::Returned, message);
        failure.value = Some(value::encode(&error).unwrap().into());
        failure
    }

    #[test]
    fn an_own_error_is_told_as_text_and_as_value() {
        let failure = returned("cannot divide 1 by zero", [("by_zero", 1)]);
        assert_eq!(
            told(&failure).to_string(),
            "calc.div: returned an error: cannot divide 1 by zero\n  value     [[\"by_zero\",1]]"
        );
        let failure = returned("no", "no");
        assert_eq!(told(&failure).to_string(), "calc.div: returned an error: no");
    }

    #[test]
    fn a_busy_server_says_when_to_come_back() {
        let mut failure = Failure::new(Reason::Busy, "256 run");
        failure.retry_after = Some(Duration::from_millis(50));
        let told = told(&failure);
        assert_eq!(told.to_string(), "calc.div: refused: 256 run\n  retry     after 50ms");
        assert_eq!(
            told.json(),
            r#"{"status":3,"outcome":"refused","reason":"busy","service":"calc","method":"div","message":"256 run","nearest":[],"retry_after_ms":50,"value":null}"#
        );
    }

    #[test]
    fn help_stands_below() {
        let failure = Failure::new(Reason::WrongArguments, "argument `b` is missing");
        let told =
            Told { help: Some(("takes", "div(a: f64, b: f64)".to_owned())), ..told(&failure) };
        assert_eq!(
            told.to_string(),
            "calc.div: refused: argument `b` is missing\n  takes     div(a: f64, b: f64)"
        );
    }
}
