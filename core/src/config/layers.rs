//! Defaults, file, variables: each over the one before.

use std::fmt;
use std::path::Path;

use super::document::Document;
use super::error::ConfigError;
use super::given::Given;
use super::origin::Origin;
use super::reading::Reading;
use super::variables::{self, Variables};

/// What the file and the variables say, before anyone decided what it means.
///
/// Three layers, each over the one before, key by key: the defaults in the code, the file, and
/// variables that begin with `FARCALL_`. What is not in the arguments of [`Layers::new`] has no
/// influence, so a test needs no files and no environment.
///
/// | in the file                       | as a variable                             |
/// |-----------------------------------|-------------------------------------------|
/// | `transport = "redis"`             | `FARCALL_TRANSPORT=redis`                 |
/// | `[server]` `concurrency = 8`      | `FARCALL_SERVER__CONCURRENCY=8`           |
/// | `[zmq]` `connect = ["a", "b"]`    | `FARCALL_ZMQ__CONNECT=a,b`                |
///
/// Keys are snake_case and told apart by case; variables are their upper case, with two underscores
/// between table and key. Values are never altered: a variable is text until a getter of
/// [`Section`](super::Section) reads it as a number or a list. A variable that is set to nothing is
/// set.
///
/// ```
/// use std::path::Path;
/// use farcall_core::config::Layers;
///
/// let text = "[server]\nconcurrency = 8";
/// let variables = [("FARCALL_SERVER__CONCURRENCY".to_owned(), "16".to_owned())];
/// let layers = Layers::new(Some((Path::new("farcall.toml"), text)), variables)?;
/// let mut reading = layers.read();
/// assert_eq!(reading.section("server").count("concurrency", 256, 1..=65_536), 16);
/// # Ok::<(), farcall_core::config::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct Layers {
    document: Option<Document>,
    variables: Variables,
}

impl Layers {
    /// Layers the text of a file, if there is one, and variables over it.
    ///
    /// The path is only what the file is called in mistakes and in the report. Variables of other
    /// names than `FARCALL_…` are ignored, and so is `FARCALL_CONFIG`, which is the path of the
    /// file and not a setting.
    ///
    /// # Errors
    ///
    /// The text is not TOML; the mistake has line and column. Everything else that can be wrong is
    /// said by the one who reads: see [`Reading::finish`].
    pub fn new(
        file: Option<(&Path, &str)>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Layers, ConfigError> {
        let document = file.map(|(path, text)| Document::parse(path, text)).transpose()?;
        Ok(Layers { document, variables: Variables::new(variables) })
    }

    /// Starts a reading, which remembers what is read and collects the mistakes.
    pub fn read(&self) -> Reading<'_> {
        Reading::new(self)
    }

    /// The file that was read, if there was one.
    pub fn file(&self) -> Option<&Path> {
        self.document.as_ref().map(Document::path)
    }

    pub(super) fn document(&self) -> Option<&Document> {
        self.document.as_ref()
    }

    pub(super) fn variables(&self) -> &Variables {
        &self.variables
    }

    /// The value in force for a whole key, and its origin; `None` means the default.
    pub(super) fn get(&self, key: &str) -> Option<(Given<'_>, Origin)> {
        if let Some(text) = self.variables.get(key) {
            return Some((Given::Variable(text), Origin::Variable(variables::name_of(key))));
        }
        let document = self.document.as_ref()?;
        Some((Given::File(document.get(key)?), document.origin()))
    }
}

impl fmt::Debug for Layers {
    /// Names alone: the values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers")
            .field("file", &self.file())
            .field("variables", &self.variables.keys().map(variables::name_of).collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(text: &str, variables: &[(&str, &str)]) -> Layers {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Layers::new(Some((Path::new("farcall.toml"), text)), variables).unwrap()
    }

    #[test]
    fn a_variable_lies_over_the_file() {
        let layers = layers("a = 'file'", &[("FARCALL_A", "variable")]);
        let (given, origin) = layers.get("a").unwrap();
        assert!(matches!(given, Given::Variable("variable")));
        assert_eq!(origin, Origin::Variable("FARCALL_A".into()));
    }

    #[test]
    fn a_variable_hides_its_own_key_and_no_other_of_the_table() {
        let layers = layers("[t]\na = 'x'\nb = 'y'", &[("FARCALL_T__A", "z")]);
        assert!(matches!(layers.get("t.a"), Some((Given::Variable("z"), _))));
        assert_eq!(layers.get("t.b").unwrap().1, Origin::File("farcall.toml".into()));
    }

    #[test]
    fn what_nobody_set_is_left_to_the_default() {
        assert!(layers("", &[]).get("a").is_none());
        assert!(Layers::default().get("a").is_none());
    }

    #[test]
    fn debug_output_has_names_and_no_values() {
        let layers = layers("password = 'hunter2'", &[("FARCALL_REDIS__PASSWORD", "hunter3")]);
        let text = format!("{layers:?}");
        assert!(text.contains("FARCALL_REDIS__PASSWORD"));
        assert!(!text.contains("hunter"), "{text}");
    }
}
