//! Where a value comes from.

use std::fmt;
use std::path::PathBuf;

/// Where a value in force comes from, or where a mistake was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Nobody set it: the built-in default.
    Default,
    /// The configuration file at this path.
    File(PathBuf),
    /// The environment variable of this name.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.pad("default"),
            Origin::File(path) => path.display().fmt(f),
            Origin::Variable(name) => f.pad(name),
        }
    }
}
