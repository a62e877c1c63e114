//! What a setting accepts, and how it is written.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::origin::Origin;

/// What a setting accepts: a few words, and an example if there is a good one.
pub(super) struct Expected {
    what: String,
    example: Example,
}

/// A value as an example.
pub(super) enum Example {
    None,
    /// Written the same everywhere: a number, `true`.
    Bare(String),
    /// In quotes in a file, without in a variable.
    Text(String),
    /// As a file writes it, and as a variable does: a list, a size with its unit.
    Both(String, String),
}

impl Expected {
    pub(super) fn new(what: impl Into<String>, example: Example) -> Expected {
        Expected { what: what.into(), example }
    }

    /// `what` from one end of the range to the other.
    pub(super) fn range<T: Copy, S: Display>(
        what: &str,
        range: &RangeInclusive<T>,
        show: impl Fn(T) -> S,
        example: Example,
    ) -> Expected {
        let (start, end) = (show(*range.start()), show(*range.end()));
        Expected::new(format!("{what} from {start} to {end}"), example)
    }

    /// As a mistake says it to whoever wrote `key` in a file, or the variable.
    pub(super) fn describe(&self, key: &str, origin: &Origin) -> String {
        let what = &self.what;
        match origin {
            Origin::Variable(name) => {
                let value = match &self.example {
                    Example::None => return what.clone(),
                    Example::Bare(text) | Example::Text(text) => text,
                    Example::Both(_, text) => text,
                };
                format!("{what}, such as {name}={value}")
            }
            Origin::File(_) | Origin::Default => {
                let value = match &self.example {
                    Example::None => return what.clone(),
                    Example::Bare(text) | Example::Both(text, _) => text.clone(),
                    Example::Text(text) => format!("{text:?}"),
                };
                format!("{what}, such as {key} = {value}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file(example: Example) -> String {
        Expected::new("x", example).describe("k", &Origin::File("farcall.toml".into()))
    }

    fn in_variable(example: Example) -> String {
        Expected::new("x", example).describe("k", &Origin::Variable("FARCALL_K".into()))
    }

    #[test]
    fn a_file_has_quotes_and_a_variable_has_none() {
        assert_eq!(in_file(Example::Text("2s".into())), "x, such as k = \"2s\"");
        assert_eq!(in_variable(Example::Text("2s".into())), "x, such as FARCALL_K=2s");
    }

    #[test]
    fn a_list_has_brackets_in_a_file_and_commas_in_a_variable() {
        let list = || Example::Both("[0, 1]".into(), "0,1".into());
        assert_eq!(in_file(list()), "x, such as k = [0, 1]");
        assert_eq!(in_variable(list()), "x, such as FARCALL_K=0,1");
    }

    #[test]
    fn a_range_names_both_ends() {
        let expected = Expected::range("an integer", &(1..=9), |n| n, Example::None);
        assert_eq!(expected.describe("k", &Origin::Default), "an integer from 1 to 9");
    }
}
