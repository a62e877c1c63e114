//! Who a node is: the first thing either side of a session says.

use std::fmt;

use compact_str::CompactString;
use uuid::Uuid;

/// The version of the wire that this crate speaks.
pub const VERSION: u32 = 1;

/// One boot of one node: new at every start, so that a restarted program is never taken for the
/// one that died.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub Uuid);

impl NodeId {
    /// A fresh one.
    #[must_use]
    pub fn generate() -> Self {
        NodeId(Uuid::new_v4())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// What a node says of itself when a session begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// The oldest and the newest version the node speaks. The session uses the newest both do.
    pub versions: (u32, u32),
    /// Nodes of different namespaces never see each other.
    pub namespace: CompactString,
    /// This boot of the node.
    pub node: NodeId,
    /// The name under which servers know this node as a client: `[client] identity`.
    pub identity: CompactString,
    /// The node is only driven while its owner waits for something: it may be slow to answer, and
    /// that is no sign of death.
    pub passive: bool,
    /// The largest payload the node takes, in bytes.
    pub max_message_bytes: u64,
    /// Names of abilities beyond the version. Unknown ones are ignored.
    pub features: Vec<CompactString>,
}

impl Hello {
    /// A hello of this crate's version.
    #[must_use]
    pub fn new(namespace: impl Into<CompactString>, identity: impl Into<CompactString>) -> Self {
        Hello {
            versions: (VERSION, VERSION),
            namespace: namespace.into(),
            node: NodeId::generate(),
            identity: identity.into(),
            passive: false,
            max_message_bytes: 16 * 1024 * 1024,
            features: Vec::new(),
        }
    }

    /// Names an ability, as a transport does for those that are its own.
    pub fn add(&mut self, feature: &str) {
        if !self.has(feature) {
            self.features.push(feature.into());
        }
    }

    /// Whether it names an ability.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|named| named == feature)
    }

    /// Whether a session with the sender of `other` can be, and if not why, in words for both logs.
    ///
    /// # Errors
    /// No common version, or another namespace.
    pub fn agrees_with(&self, other: &Hello) -> Result<u32, String> {
        let version = self.versions.1.min(other.versions.1);
        if version < self.versions.0.max(other.versions.0) {
            let (from, to) = self.versions;
            let (their_from, their_to) = other.versions;
            return Err(format!(
                "no common version of the wire: one side speaks {from} to {to}, the other \
                 {their_from} to {their_to}"
            ));
        }
        if self.namespace != other.namespace {
            return Err(format!(
                "namespaces differ: one side is in `{}`, the other in `{}`",
                self.namespace, other.namespace
            ));
        }
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_uses_the_newest_version_that_both_speak() {
        let mut ours = Hello::new("default", "a");
        let mut theirs = Hello::new("default", "b");
        ours.versions = (1, 3);
        theirs.versions = (2, 5);
        assert_eq!(ours.agrees_with(&theirs), Ok(3));
        theirs.versions = (4, 5);
        assert!(ours.agrees_with(&theirs).unwrap_err().contains("4 to 5"));
    }

    #[test]
    fn a_feature_is_named_once() {
        let mut hello = Hello::new("default", "a");
        assert!(!hello.has("parts"));
        hello.add("parts");
        hello.add("parts");
        assert!(hello.has("parts") && hello.features.len() == 1);
    }

    #[test]
    fn namespaces_do_not_mix() {
        let refusal = Hello::new("red", "a").agrees_with(&Hello::new("blue", "b"));
        assert!(refusal.unwrap_err().contains("namespaces differ"));
    }
}
