//! One pass over the layers, from which nothing is forgotten.

use super::error::{ConfigError, Mistake};
use super::layers::Layers;
use super::section::Section;
use super::settings::Settings;
use super::unknown::{self, Kind, Known};

/// One pass over [`Layers`]: it remembers every key that is read, and collects every mistake.
///
/// Whoever needs settings asks for a [`Section`] and reads them with its getters.
/// [`finish`](Reading::finish) then knows which keys nobody asked for, and says all that is wrong
/// at once.
///
/// [`Config::resolve`](super::Config::resolve) does this for a whole program. A transport's own
/// tests read its table alone:
///
/// ```
/// use std::path::Path;
/// use std::time::Duration;
/// use farcall_core::config::Layers;
///
/// let text = "[pigeon]\nrest = \"2h\"\nname = \"Gustav\"";
/// let layers = Layers::new(Some((Path::new("farcall.toml"), text)), [])?;
/// let mut reading = layers.read();
/// let mut section = reading.section("pigeon");
/// let hour = Duration::from_secs(3600);
/// assert_eq!(section.duration("rest", hour, hour..=24 * hour), 2 * hour);
/// let error = reading.finish().unwrap_err();
/// assert!(error.to_string().contains("farcall.toml: pigeon.name: unknown setting"));
/// # Ok::<(), farcall_core::config::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Reading<'l> {
    layers: &'l Layers,
    findings: Findings,
}

/// What a reading has gathered so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) settings: Settings,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) known: Known,
}

impl<'l> Reading<'l> {
    pub(super) fn new(layers: &'l Layers) -> Reading<'l> {
        Reading { layers, findings: Findings::default() }
    }

    /// The keys above every table.
    pub fn root(&mut self) -> Section<'_> {
        Section::new(self.layers, &mut self.findings, String::new(), true)
    }

    /// The table of this name. It need not be there: everything in it then has its default.
    pub fn section(&mut self, table: &str) -> Section<'_> {
        self.section_in_use(table, true)
    }

    /// The table of this name; if it is not in use its mistakes count, but its settings are not in
    /// force.
    pub(super) fn section_in_use(&mut self, table: &str, in_use: bool) -> Section<'_> {
        self.findings.known.add(table, Kind::Table);
        Section::new(self.layers, &mut self.findings, table.to_owned(), in_use)
    }

    /// Does not judge the table of this name: somebody else reads it.
    pub(super) fn leave_alone(&mut self, table: &str) {
        self.findings.known.add(table, Kind::Alien);
    }

    /// Ends the reading: everything that was read, with its origin.
    ///
    /// # Errors
    ///
    /// Every mistake the getters met, then every key, table and `FARCALL_…` variable that nobody
    /// asked for.
    pub fn finish(self) -> Result<Settings, ConfigError> {
        let Findings { settings, mut mistakes, known } = self.findings;
        mistakes.extend(unknown::mistakes(self.layers, &known));
        ConfigError::check(mistakes)?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn layers(text: &str) -> Layers {
        Layers::new(Some((Path::new("farcall.toml"), text)), []).unwrap()
    }

    #[test]
    fn mistakes_of_two_tables_come_out_together() {
        let layers = layers("[a]\nx = 'many'\n[b]\ny = 1\nz = 1");
        let mut reading = layers.read();
        reading.section("a").count("x", 1, 1..=9);
        reading.section("b").boolean("y", false);
        let error = reading.finish().unwrap_err();
        let keys: Vec<_> = error.mistakes().iter().map(|mistake| mistake.key.as_deref()).collect();
        assert_eq!(keys, [Some("a.x"), Some("b.y"), Some("b.z")]);
    }

    #[test]
    fn a_table_left_alone_is_not_judged() {
        let layers = layers("[redis]\nx = 1");
        let mut reading = layers.read();
        reading.leave_alone("redis");
        assert!(reading.finish().is_ok());
    }

    #[test]
    fn a_table_not_in_use_is_judged_and_not_listed() {
        let good = layers("[zmq]\nx = 1");
        let mut reading = good.read();
        reading.section_in_use("zmq", false).count("x", 1, 1..=9);
        assert_eq!(reading.finish().unwrap(), Settings::default());

        let bad = layers("[zmq]\nx = 10");
        let mut reading = bad.read();
        reading.section_in_use("zmq", false).count("x", 1, 1..=9);
        assert!(reading.finish().is_err());
    }

    #[test]
    fn everything_read_is_listed_in_order() {
        let layers = layers("[b]\nz = true");
        let mut reading = layers.read();
        reading.root().text("y");
        reading.section("b").boolean("z", false);
        let settings = reading.finish().unwrap();
        let keys: Vec<_> = settings.iter().map(|setting| setting.key.as_str()).collect();
        assert_eq!(keys, ["y", "b.z"]);
    }
}
