//! A call that brought no value, told to people and to programs.

use std::fmt;

use ciborium::Value;
use farcall::value::{self, ValueError};
use farcall::wire::{Failure, ReasonClass};
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
        let value = self.value().and_then(Result::ok);
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
    fn value(&self) -> Option<Result<Value, ValueError>> {
        self.failure.value.as_ref().map(|value| value::decode(value))
    }

    /// What the method's own error says, and in parentheses what it is.
    fn own_error(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.failure.message;
        f.write_str(text)?;
        match self.value() {
            // An error that is a text has been said.
            Some(Ok(Value::Text(value))) if value == *text => Ok(()),
            Some(Ok(value)) if text.is_empty() => f.write_str(&show::json(&value)),
            Some(Ok(value)) => write!(f, " ({})", show::json(&value)),
            Some(Err(error)) => write!(f, " (its value cannot be read: {error})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { service, method, failure, help } = self;
        write!(f, "{service}.{method}: ")?;
        let what = match failure.reason.class() {
            ReasonClass::Returned => return self.own_error(f),
            ReasonClass::NotSent => "not sent",
            ReasonClass::Refused => "refused",
            ReasonClass::Failed => "failed",
            ReasonClass::OutcomeUnknown => "outcome unknown",
        };
        f.write_str(what)?;
        if !failure.message.is_empty() {
            write!(f, ": {}", failure.message)?;
        }
        let mut line = |label: &str, text: &str| write!(f, "\n  {label:8}  {text}");
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

    use farcall::Reason;

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
            r#"calc.div: cannot divide 1 by zero ([["by_zero",1]])"#
        );
        assert_eq!(told(&returned("", 7)).to_string(), "calc.div: 7");
        assert_eq!(told(&returned("no", ())).to_string(), "calc.div: no (null)");
    }

    #[test]
    fn an_own_error_that_is_a_text_is_told_once() {
        assert_eq!(told(&returned("no", "no")).to_string(), "calc.div: no");
        assert_eq!(told(&returned("no", "No")).to_string(), r#"calc.div: no ("No")"#);
    }

    #[test]
    fn an_own_error_whose_value_cannot_be_read_still_has_its_text() {
        let mut failure = Failure::new(Reason::Returned, "no");
        failure.value = Some(vec![0xff].into());
        let told = told(&failure);
        assert!(told.to_string().starts_with("calc.div: no (its value cannot be read: "));
        assert!(
            told.json().contains(r#""message":"no","#) && told.json().contains(r#""value":null"#)
        );
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
