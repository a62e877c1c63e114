//! The name of a task, by which any process can ask for it.

use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use uuid::Uuid;

use super::TaskId;
use crate::config::Name;

/// Names a task: its namespace, its service, its ledger and its number. Written as
/// `namespace/service/ledger/number`.
///
/// ```
/// use farcall_core::ledger::TaskToken;
///
/// let token: TaskToken = "default/calc/67e5504410b1426f9247bb680e5fe0c8/17".parse()?;
/// assert_eq!(token.service(), "calc");
/// assert_eq!(token.to_string(), "default/calc/67e5504410b1426f9247bb680e5fe0c8/17");
/// # Ok::<(), farcall_core::ledger::InvalidToken>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskToken {
    namespace: CompactString,
    service: CompactString,
    id: TaskId,
}

/// A text is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no token of a task, such as `default/calc/67e5504410b1426f9247bb680e5fe0c8/17`")]
pub struct InvalidToken(String);

impl TaskToken {
    pub(crate) fn new(namespace: &str, service: &str, id: TaskId) -> Self {
        TaskToken { namespace: namespace.into(), service: service.into(), id }
    }

    /// The namespace of its service.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Its ledger, and its number there.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }
}

impl fmt::Display for TaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.service, self.id)
    }
}

impl FromStr for TaskToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let parse = || {
            let mut parts = text.split('/');
            let (namespace, service) = (parts.next()?, parts.next()?);
            let (ledger, number) = (parts.next()?, parts.next()?);
            if parts.next().is_some() {
                return None;
            }
            let (namespace, service) = (Name::new(namespace).ok()?, Name::new(service).ok()?);
            let id = TaskId { ledger: Uuid::try_parse(ledger).ok()?, number: number.parse().ok()? };
            Some(TaskToken::new(namespace.as_str(), service.as_str(), id))
        };
        parse().ok_or_else(|| InvalidToken(text.chars().take(200).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was() {
        let id = TaskId { ledger: Uuid::from_u128(7), number: 3 };
        let token = TaskToken::new("default", "calc", id);
        assert_eq!(token.to_string().parse(), Ok(token));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let ledger = Uuid::from_u128(7).simple();
        for text in [
            "",
            "default/calc",
            "default/calc/x/1",
            &format!("default/calc/{ledger}/x"),
            &format!("default/calc/{ledger}/1/2"),
            &format!("a b/calc/{ledger}/1"),
            &format!("/calc/{ledger}/1"),
        ] {
            assert!(text.parse::<TaskToken>().is_err(), "{text}");
        }
    }
}
