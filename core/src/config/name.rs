//! Names of namespaces, services, servers and clients.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The name of a namespace, a service, a server or a client.
///
/// 1 to 64 bytes of ASCII letters, digits, `-`, `_` and `.`, and no `.` in front: a name becomes
/// part of file names, addresses and Redis keys, and must mean the same in each. Names are compared
/// byte by byte, so `Calc` and `calc` are two. A clone costs one reference count.
///
/// ```
/// use farcall_core::config::Name;
///
/// let name: Name = "calc-2.eu".parse()?;
/// assert_eq!(name, "calc-2.eu");
/// assert_eq!(name.len(), 9);
/// assert!(Name::new("../etc").is_err());
/// # Ok::<(), farcall_core::config::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Checks `text` and makes it a name.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] says which rule `text` breaks, and where.
    pub fn new(text: &str) -> Result<Name, InvalidName> {
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if text.starts_with('.') {
            return Err(InvalidName::LeadingDot);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if let Some((at, character)) = text.char_indices().find(|(_, c)| !allowed(*c)) {
            return Err(InvalidName::Character { character, at });
        }
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidName::TooLong { bytes: text.len() });
        }
        Ok(Name(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

// `Eq`, `Ord` and `Hash` are those of the text, so a map keyed by names can be asked with a `&str`.
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Name, InvalidName> {
        Name::new(text)
    }
}

impl TryFrom<&str> for Name {
    type Error = InvalidName;

    fn try_from(text: &str) -> Result<Name, InvalidName> {
        Name::new(text)
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Name, InvalidName> {
        Name::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0.as_ref().to_owned()
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Name, E> {
                Name::new(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

/// Why a text is no [`Name`].
///
/// The text itself is left out: it may be long, or come from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// There is no text.
    #[error("a name has at least one character")]
    Empty,
    /// It starts with a dot, as hidden files and `..` do.
    #[error("a name does not start with `.`")]
    LeadingDot,
    /// It has more than [`Name::MAX_BYTES`] bytes.
    #[error("a name has at most 64 characters, not {bytes}")]
    TooLong {
        /// How many bytes it has.
        bytes: usize,
    },
    /// It has a character that names do not have.
    #[error(
        "a name has ASCII letters, digits, `-`, `_` and `.`, but not {character:?} (at byte {at})"
    )]
    Character {
        /// The first such character.
        character: char,
        /// Where it starts, in bytes from 0.
        at: usize,
    },
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_name_has_letters_digits_dash_underscore_and_dot() {
        assert_eq!(Name::new("Calc-2_b.eu").unwrap(), "Calc-2_b.eu");
    }

    #[test]
    fn zero_is_a_name() {
        assert_eq!(Name::new("0").unwrap(), "0");
    }

    #[test]
    fn an_empty_text_is_no_name() {
        assert_eq!(Name::new(""), Err(InvalidName::Empty));
    }

    #[test]
    fn a_name_does_not_start_with_a_dot() {
        assert_eq!(Name::new("..").unwrap_err(), InvalidName::LeadingDot);
    }

    #[test]
    fn a_slash_is_named_with_its_place() {
        let error = Name::new("a/b").unwrap_err();
        assert_eq!(error, InvalidName::Character { character: '/', at: 1 });
        assert!(error.to_string().contains("not '/' (at byte 1)"));
    }

    #[test]
    fn letters_beyond_ascii_are_refused() {
        assert!(matches!(Name::new("é"), Err(InvalidName::Character { at: 0, .. })));
    }

    #[test]
    fn sixty_four_bytes_fit_and_one_more_does_not() {
        assert!(Name::new(&"a".repeat(64)).is_ok());
        assert_eq!(Name::new(&"a".repeat(65)), Err(InvalidName::TooLong { bytes: 65 }));
    }

    #[test]
    fn a_map_of_names_can_be_asked_with_text() {
        let map = HashMap::from([(Name::new("calc").unwrap(), 1)]);
        assert_eq!(map.get("calc"), Some(&1));
    }

    #[test]
    fn width_applies_when_a_name_is_printed() {
        assert_eq!(format!("{:6}|", Name::new("calc").unwrap()), "calc  |");
    }

    #[test]
    fn clones_share_their_text() {
        let name = Name::new("calc").unwrap();
        assert!(Arc::ptr_eq(&name.0, &name.clone().0));
    }
}
