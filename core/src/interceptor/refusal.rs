//! Why an interceptor does not let a call pass.

use std::time::Duration;

use crate::wire::{Failure, Reason, ReasonClass};

/// Why an interceptor does not let a call pass: words for its caller, and mostly no more.
///
/// At a client the call is *not sent*, at a server *refused*; so its reason is one of those
/// ([`Reason::class`]), and any other is taken for the one that is given by default.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a call is refused by returning this"]
pub struct Refusal {
    reason: Option<Reason>,
    message: String,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal for [`Reason::Unauthorized`] at a server, [`Reason::Intercepted`] at a client.
    pub fn new(message: impl Into<String>) -> Self {
        Refusal { reason: None, message: message.into(), retry_after: None }
    }

    /// Gives it another reason.
    pub fn reason(self, reason: Reason) -> Self {
        Refusal { reason: Some(reason), ..self }
    }

    /// Says that the call may fare better after some time.
    pub fn retry_after(self, after: Duration) -> Self {
        Refusal { retry_after: Some(after), ..self }
    }

    /// What the caller is told by a server that refuses.
    pub(crate) fn at_server(self) -> Failure {
        self.failure(ReasonClass::Refused, Reason::Unauthorized)
    }

    /// How a call ends that is not sent.
    pub(crate) fn at_client(self) -> Failure {
        self.failure(ReasonClass::NotSent, Reason::Intercepted)
    }

    fn failure(self, class: ReasonClass, default: Reason) -> Failure {
        // *Draining* is said of a server, and makes clients leave it.
        let fits = |reason: &Reason| reason.class() == class && *reason != Reason::Draining;
        let reason = self.reason.filter(fits).unwrap_or(default);
        Failure { retry_after: self.retry_after, ..Failure::new(reason, self.message) }
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Refusal::new(message)
    }
}

impl From<&str> for Refusal {
    fn from(message: &str) -> Self {
        Refusal::new(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_call_has_not_been_started() {
        let busy = Refusal::new("later").reason(Reason::Busy).retry_after(Duration::from_secs(1));
        assert_eq!(busy.clone().at_server().reason, Reason::Busy);
        assert_eq!(busy.clone().at_server().retry_after, Some(Duration::from_secs(1)));
        assert_eq!(busy.at_client().reason, Reason::Intercepted);
        let leave = Refusal::new("go").reason(Reason::Draining);
        assert_eq!(leave.at_server().reason, Reason::Unauthorized);
        let lie = Refusal::from("it ran").reason(Reason::Returned);
        assert_eq!(lie.clone().at_server().reason, Reason::Unauthorized);
        assert_eq!(lie.at_client().reason, Reason::Intercepted);
    }
}
