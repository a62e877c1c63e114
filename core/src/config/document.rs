//! The text of a configuration file, as a tree of values.

use std::fmt;
use std::path::{Path, PathBuf};

use ::config::{File, FileFormat, Map, Source, Value, ValueKind};

use super::error::{ConfigError, Mistake, Position};
use super::origin::Origin;

/// The values of one file.
#[derive(Clone)]
pub(super) struct Document {
    path: PathBuf,
    tables: Map<String, Value>,
}

impl Document {
    /// Reads `text` as TOML; `path` is what it is called in mistakes.
    ///
    /// Only the `config` crate's parser is used, not its builder: that one would take a key such as
    /// `"a[9999999999]"` for an index, and would forget which layer a value came from.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Document, ConfigError> {
        match File::from_str(text, FileFormat::Toml).collect() {
            Ok(tables) => Ok(Document { path: path.to_owned(), tables }),
            Err(::config::ConfigError::FileParse { cause, .. }) => {
                Err(not_toml(path, &cause.to_string()))
            }
            Err(other) => Err(not_toml(path, &other.to_string())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn origin(&self) -> Origin {
        Origin::File(self.path.clone())
    }

    /// The top of the tree.
    pub(super) fn tables(&self) -> &Map<String, Value> {
        &self.tables
    }

    /// The value of a whole key, `server.concurrency`. Its parts are those of names in code, so
    /// none has a dot.
    pub(super) fn get(&self, key: &str) -> Option<&ValueKind> {
        let mut parts = key.split('.');
        let mut value = self.tables.get(parts.next()?)?;
        for part in parts {
            let ValueKind::Table(table) = &value.kind else {
                return None;
            };
            value = table.get(part)?;
        }
        Some(&value.kind)
    }
}

impl fmt::Debug for Document {
    /// The path alone: the values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Document").field(&self.path).finish()
    }
}

/// Turns the parser's own report into ours.
///
/// It begins with the position, then shows the line, which is left out here since it may hold a
/// password, and ends with what is wrong. The few mistakes without a position (an integer beyond 64
/// bits) are a message alone.
fn not_toml(path: &Path, report: &str) -> ConfigError {
    let position = report
        .strip_prefix("TOML parse error at line ")
        .and_then(|rest| rest.lines().next()?.split_once(", column "))
        .and_then(|(line, column)| {
            Some(Position { line: line.parse().ok()?, column: column.parse().ok()? })
        });
    let message = match position {
        // The first line, and three that show the place.
        Some(_) => report.lines().skip(4).collect::<Vec<_>>().join(", "),
        None => report.trim_end().to_owned(),
    };
    Mistake::new(Origin::File(path.to_owned()), format!("not TOML: {message}")).at(position).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Document, ConfigError> {
        Document::parse(Path::new("farcall.toml"), text)
    }

    fn mistake(text: &str) -> Mistake {
        parse(text).unwrap_err().mistakes()[0].clone()
    }

    #[test]
    fn a_value_is_found_by_its_whole_key() {
        let document = parse("a = 1\n[b.c]\nd = 'x'").unwrap();
        assert_eq!(document.get("a"), Some(&ValueKind::I64(1)));
        assert_eq!(document.get("b.c.d"), Some(&ValueKind::String("x".into())));
        assert_eq!(document.get("a.b"), None);
        assert_eq!(document.get("b.x"), None);
    }

    #[test]
    fn the_case_of_keys_and_values_is_kept() {
        let document = parse("Server = { Id = 'AbC' }").unwrap();
        assert_eq!(document.get("Server.Id"), Some(&ValueKind::String("AbC".into())));
        assert_eq!(document.get("server.id"), None);
    }

    #[test]
    fn text_that_is_not_toml_is_reported_with_line_and_column() {
        let mistake = mistake("[server]\nconcurrency = \n");
        assert_eq!(mistake.position, Some(Position { line: 2, column: 15 }));
        assert!(
            mistake
                .to_string()
                .starts_with("farcall.toml:2:15: not TOML: string values must be quoted")
        );
    }

    #[test]
    fn a_key_given_twice_is_reported_with_its_place() {
        let text = mistake("a = 1\na = 2").to_string();
        assert_eq!(text, "farcall.toml:2:1: not TOML: duplicate key");
    }

    #[test]
    fn the_line_that_is_not_toml_is_not_shown() {
        for text in [
            "password = \"hunter2",
            "password = hunter2",
            "password = \"\\q hunter2\"",
            "x = 1 hunter2",
        ] {
            let mistake = mistake(text);
            assert!(mistake.position.is_some());
            assert!(!mistake.to_string().contains("hunter2"), "{mistake}");
        }
    }

    #[test]
    fn an_integer_beyond_64_bits_is_a_mistake() {
        let text = mistake("a = 99999999999999999999").to_string();
        assert_eq!(text, "farcall.toml: not TOML: number too large to fit in target type");
    }

    #[test]
    fn text_nested_without_end_is_a_mistake() {
        assert!(parse(&format!("a = {}", "[".repeat(100_000))).is_err());
    }

    #[test]
    fn debug_output_has_no_values() {
        let document = parse("password = 'hunter2'").unwrap();
        assert_eq!(format!("{document:?}"), "Document(\"farcall.toml\")");
    }
}
