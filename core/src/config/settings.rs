//! The report of what is in force.

use std::fmt;

use super::Origin;

/// Everything that was read, in the order it was read: what is in force, and who said so.
///
/// Its `Display` is TOML with the origin of each line beside it, for `farcall check`:
///
/// ```
/// use std::path::Path;
/// use farcall_core::config::Layers;
///
/// let text = "[server]\nconcurrency = 8";
/// let layers = Layers::new(Some((Path::new("farcall.toml"), text)), [])?;
/// let mut reading = layers.read();
/// let mut server = reading.section("server");
/// server.count("concurrency", 256, 1..=65_536);
/// server.name("id");
/// let settings = reading.finish()?;
/// let report = settings.to_string();
/// let mut lines = report.lines();
/// assert_eq!(lines.next(), Some("server.concurrency = 8  # farcall.toml"));
/// assert_eq!(lines.next(), Some("# server.id               not set"));
/// # Ok::<(), farcall_core::config::ConfigError>(())
/// ```
///
/// Secrets are hidden, so the report may be logged. Tables of transports that are not the chosen
/// one are not in force and not listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    list: Vec<Setting>,
}

/// One line of [`Settings`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The whole key, table first: `server.concurrency`.
    pub key: String,
    /// The value as TOML would write it (`256`, `"30s"`, `["a", "b"]`), with `***` in place of
    /// secrets. `None` if the setting is optional and nobody set it.
    pub value: Option<String>,
    /// Who said so.
    pub origin: Origin,
}

impl Settings {
    /// The settings in the order they were read: core's first, then those of the transport in use.
    pub fn iter(&self) -> std::slice::Iter<'_, Setting> {
        self.list.iter()
    }

    /// The setting of this whole key, as `server.concurrency`; `None` if nobody read it.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.list.iter().find(|setting| setting.key == key)
    }

    /// Adds what was read; a key read twice keeps its first place and its first value.
    pub(super) fn add(&mut self, setting: Setting) {
        if self.get(&setting.key).is_none() {
            self.list.push(setting);
        }
    }
}

impl<'a> IntoIterator for &'a Settings {
    type Item = &'a Setting;
    type IntoIter = std::slice::Iter<'a, Setting>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |setting: &Setting| match &setting.value {
            Some(value) => format!("{} = {value}", setting.key),
            None => format!("# {}", setting.key),
        };
        // One long list of URLs should not push every origin off the screen.
        let width = |setting: &Setting| line(setting).chars().count().min(48);
        let width = self.list.iter().map(width).max().unwrap_or(0);
        for setting in &self.list {
            match setting.value {
                Some(_) => writeln!(f, "{:width$}  # {}", line(setting), setting.origin)?,
                None => writeln!(f, "{:width$}    not set", line(setting))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(key: &str, value: Option<&str>, origin: Origin) -> Setting {
        Setting { key: key.to_owned(), value: value.map(str::to_owned), origin }
    }

    #[test]
    fn origins_stand_in_one_column() {
        let mut settings = Settings::default();
        settings.add(setting("a", Some("1"), Origin::Default));
        settings.add(setting(
            "long.key",
            Some("true"),
            Origin::Variable("FARCALL_LONG__KEY".into()),
        ));
        settings.add(setting("b", None, Origin::Default));
        assert_eq!(
            settings.to_string(),
            "a = 1            # default\n\
             long.key = true  # FARCALL_LONG__KEY\n\
             # b                not set\n"
        );
    }

    #[test]
    fn a_key_read_twice_is_listed_once() {
        let mut settings = Settings::default();
        settings.add(setting("a", Some("1"), Origin::Default));
        settings.add(setting("a", Some("1"), Origin::Default));
        assert_eq!(settings.iter().count(), 1);
    }

    #[test]
    fn a_setting_is_found_by_its_whole_key() {
        let mut settings = Settings::default();
        settings.add(setting("server.id", None, Origin::Default));
        assert!(settings.get("server.id").is_some());
        assert!(settings.get("id").is_none());
    }
}
