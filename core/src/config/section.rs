//! The typed reader of one table.

use super::error::Mistake;
use super::expected::Expected;
use super::given::{self, Given, Refusal};
use super::layers::Layers;
use super::origin::Origin;
use super::reading::Findings;
use super::secret;
use super::settings::Setting;
use super::unknown::{Kind, join};

/// Reads the settings of one table, each as the type it must have.
///
/// A getter never fails: it writes a mistake down and answers the default, so that one reading
/// finds them all. [`Reading::finish`](super::Reading::finish) then fails with the whole list, and
/// what was read is not used. Every key a getter was asked for is known; all others of the table
/// are mistakes.
///
/// ```
/// use std::time::Duration;
/// use farcall_core::config::{Layers, Section};
///
/// const MINUTE: Duration = Duration::from_secs(60);
///
/// struct Pigeon {
///     rest: Duration,
///     flock: usize,
/// }
///
/// fn read(section: &mut Section<'_>) -> Pigeon {
///     Pigeon {
///         rest: section.duration("rest", MINUTE, Duration::ZERO..=60 * MINUTE),
///         flock: section.count("flock", 4, 1..=100),
///     }
/// }
///
/// let variables = [("FARCALL_PIGEON__REST".to_owned(), "1m30s".to_owned())];
/// let layers = Layers::new(None, variables)?;
/// let mut reading = layers.read();
/// let pigeon = read(&mut reading.section("pigeon"));
/// reading.finish()?;
/// assert_eq!(pigeon.rest, Duration::from_secs(90));
/// assert_eq!(pigeon.flock, 4);
/// # Ok::<(), farcall_core::config::ConfigError>(())
/// ```
///
/// Values of keys with `password`, `token` or `secret` in their last name, and passwords inside
/// URLs, are hidden in mistakes and in the report.
#[derive(Debug)]
pub struct Section<'r> {
    layers: &'r Layers,
    findings: &'r mut Findings,
    /// The whole key of the table; empty at the top.
    path: String,
    in_use: bool,
}

impl<'r> Section<'r> {
    pub(super) fn new(
        layers: &'r Layers,
        findings: &'r mut Findings,
        path: String,
        in_use: bool,
    ) -> Section<'r> {
        Section { layers, findings, path, in_use }
    }

    /// The table of this name inside this one: `[redis.tls]` or `FARCALL_REDIS__TLS__…` for `tls`
    /// in `redis`.
    pub fn section(&mut self, table: &str) -> Section<'_> {
        let path = join(&self.path, table);
        self.findings.known.add(&path, Kind::Table);
        Section::new(self.layers, self.findings, path, self.in_use)
    }

    /// Whether the file or a variable sets this key.
    pub fn is_set(&self, key: &str) -> bool {
        self.layers.get(&join(&self.path, key)).is_some()
    }

    /// Refuses a value that a getter let through, for a rule of yours: `accepted` says what would
    /// do.
    ///
    /// The mistake names the value and who wrote it by itself. A value that was refused already is left
    /// at that.
    pub fn reject(&mut self, key: &str, accepted: &str) {
        self.refuse(key, accepted, None);
    }

    /// As [`reject`](Section::reject), with a word on why, or on what was probably meant. It is shown
    /// as it is, so it must not quote what may be secret.
    pub fn reject_with(&mut self, key: &str, accepted: &str, help: impl Into<String>) {
        self.refuse(key, accepted, Some(help.into()));
    }

    pub(super) fn refuse(&mut self, key: &str, accepted: &str, help: Option<String>) {
        let key = join(&self.path, key);
        if self.findings.mistakes.iter().any(|mistake| mistake.key.as_ref() == Some(&key)) {
            return;
        }
        let mistake = match self.layers.get(&key) {
            Some((given, origin)) => {
                Mistake::new(origin, "not accepted").found(given.describe(&key))
            }
            None => Mistake::new(Origin::Default, "its default is not accepted here"),
        };
        self.findings.known.add(&key, Kind::Setting);
        self.findings.mistakes.push(mistake.key(key).accepted(accepted).help(help));
    }

    /// Says that this key has no default and must be set. It is no mistake as long as another
    /// transport is chosen, whose users need not fill in this table.
    pub fn missing(&mut self, key: &str, accepted: &str) {
        // A value that is there and was refused has its own mistake.
        let needed = self.in_use && !self.is_set(key);
        let key = join(&self.path, key);
        self.findings.known.add(&key, Kind::Setting);
        if needed {
            let mistake = Mistake::new(Origin::Default, "must be set");
            self.findings.mistakes.push(mistake.key(key).accepted(accepted));
        }
    }

    /// How many mistakes the whole reading has so far.
    pub(super) fn mistakes(&self) -> usize {
        self.findings.mistakes.len()
    }

    /// The value that was given, else `default`: read, checked and recorded. A getter is this with
    /// a type.
    pub(super) fn or_default<T>(
        &mut self,
        key: &str,
        expected: Expected,
        parse: impl FnOnce(Given<'_>) -> Result<T, Refusal>,
        default: T,
        show: impl FnOnce(&T) -> String,
    ) -> T {
        let (value, origin) =
            self.take(key, &expected, parse).unwrap_or((default, Origin::Default));
        self.record(key, Some(show(&value)), origin);
        value
    }

    /// The value that was given, if there is one: read, checked and recorded.
    pub(super) fn optional<T>(
        &mut self,
        key: &str,
        expected: Expected,
        parse: impl FnOnce(Given<'_>) -> Result<T, Refusal>,
        show: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        let Some((value, origin)) = self.take(key, &expected, parse) else {
            self.record(key, None, Origin::Default);
            return None;
        };
        self.record(key, Some(show(&value)), origin);
        Some(value)
    }

    /// The value that was given, if there is one and it is accepted.
    fn take<T>(
        &mut self,
        key: &str,
        expected: &Expected,
        parse: impl FnOnce(Given<'_>) -> Result<T, Refusal>,
    ) -> Option<(T, Origin)> {
        let whole = join(&self.path, key);
        self.findings.known.add(&whole, Kind::Setting);
        let (given, origin) = self.layers.get(&whole)?;
        match parse(given) {
            Ok(value) => Some((value, origin)),
            Err(help) => {
                let accepted = expected.describe(key, &origin);
                let mistake = Mistake::new(origin, "not accepted")
                    .found(given.describe(&whole))
                    .accepted(accepted)
                    .help(help);
                self.findings.mistakes.push(mistake.key(whole));
                None
            }
        }
    }

    fn record(&mut self, key: &str, value: Option<String>, origin: Origin) {
        if self.in_use {
            let key = join(&self.path, key);
            let value = value.map(|value| {
                if secret::is_secret(&key) { given::quoted(secret::HIDDEN) } else { value }
            });
            self.findings.settings.add(Setting { key, value, origin });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(name: &str, value: &str) -> Layers {
        Layers::new(None, [(name.to_owned(), value.to_owned())]).unwrap()
    }

    #[test]
    fn a_table_inside_a_table_is_read_the_same() {
        let layers = layers("FARCALL_REDIS__TLS__CA", "y");
        let mut reading = layers.read();
        let ca = reading.section("redis").section("tls").text("ca");
        assert_eq!(ca.as_deref(), Some("y"));
        assert!(reading.finish().unwrap().get("redis.tls.ca").is_some());
    }

    #[test]
    fn an_unknown_key_of_a_table_inside_a_table_is_a_mistake() {
        let layers = layers("FARCALL_REDIS__TLS__CB", "y");
        let mut reading = layers.read();
        reading.section("redis").section("tls").text("ca");
        assert!(reading.finish().is_err());
    }

    #[test]
    fn a_rejected_value_is_named_with_its_origin_and_without_its_password() {
        let layers = layers("FARCALL_ZMQ__BIND", "redis://:pw@h");
        let mut reading = layers.read();
        let mut section = reading.section("zmq");
        section.text("bind");
        section.reject("bind", "an endpoint, such as tcp://127.0.0.1:5555");
        assert_eq!(
            reading.finish().unwrap_err().mistakes()[0].to_string(),
            "FARCALL_ZMQ__BIND: zmq.bind: not accepted\n  \
             found     redis://:***@h (text)\n  \
             accepted  an endpoint, such as tcp://127.0.0.1:5555"
        );
    }

    #[test]
    fn a_rejected_value_may_come_with_the_reason() {
        let layers = layers("FARCALL_REDIS__TLS__CA", "x");
        let mut reading = layers.read();
        let mut section = reading.section("redis");
        section.section("tls").text("ca");
        section.reject_with("tls.ca", "a certificate", "this is none");
        assert_eq!(
            reading.finish().unwrap_err().mistakes()[0].to_string(),
            "FARCALL_REDIS__TLS__CA: redis.tls.ca: not accepted\n  \
             found     x (text)\n  \
             accepted  a certificate\n  \
             help      this is none"
        );
    }

    #[test]
    fn a_value_is_refused_once() {
        let layers = layers("FARCALL_T__N", "x");
        let mut reading = layers.read();
        let mut section = reading.section("t");
        section.count("n", 1, 1..=9);
        section.reject("n", "an odd number");
        assert_eq!(reading.finish().unwrap_err().mistakes().len(), 1);
    }

    #[test]
    fn a_missing_key_counts_only_in_a_table_in_use() {
        let layers = Layers::default();
        for in_use in [true, false] {
            let mut reading = layers.read();
            reading.section_in_use("nats", in_use).missing("url", "a URL");
            assert_eq!(reading.finish().is_err(), in_use);
        }
    }

    #[test]
    fn whether_a_key_is_set_can_be_asked() {
        let layers = layers("FARCALL_NATS__URL", "");
        let mut reading = layers.read();
        let section = reading.section("nats");
        assert!(section.is_set("url"));
        assert!(!section.is_set("token"));
    }
}
