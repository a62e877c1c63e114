//! Configuration: what a program is told, checked once, and what of it is in force.
//!
//! Three layers, each over the one before, key by key: built-in defaults, a TOML file, and
//! `FARCALL_…` variables.
//!
//! ```toml
//! transport = "unix"            # the one line that moves a deployment
//! namespace = "default"
//!
//! [server]
//! concurrency = 256
//! drain = "10s"
//!
//! [client]
//! timeout = "30s"               # as a variable: FARCALL_CLIENT__TIMEOUT=30s
//!
//! [unix]                        # each transport reads the table of its name
//! ```
//!
//! 1. [`Layers`] holds what was written. [`Layers::from_process`] finds it; [`Layers::new`] is a
//!    pure function of text and variables.
//! 2. [`Config::resolve`] turns it into a checked [`Config`], the chosen transport, and
//!    [`Settings`], the report of what is in force and who said so. It fails with every mistake at
//!    once, as a [`ConfigError`].
//! 3. A transport reads its own table through a [`Section`], whose getters know durations, sizes,
//!    lists and [`Name`]s.

mod document;
mod duration;
mod error;
mod expected;
mod getters;
mod given;
mod layers;
mod ledger;
mod name;
mod origin;
mod process;
mod reading;
mod resolve;
mod secret;
mod section;
mod settings;
mod size;
mod unknown;
mod variables;

use std::time::Duration;

pub use self::error::{ConfigError, Mistake, Position};
pub use self::layers::Layers;
pub use self::ledger::{LedgerConfig, StoreChoice};
pub use self::name::{InvalidName, Name};
pub use self::origin::Origin;
pub use self::reading::Reading;
pub use self::resolve::Resolved;
pub use self::secret::hide as hide_passwords;
pub use self::section::Section;
pub use self::settings::{Setting, Settings};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;
const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The settings of a node, except those of its transport.
///
/// [`Config::resolve`] reads one and checks it. Written in code it is not checked: the ranges below
/// are then up to you.
///
/// ```
/// use std::time::Duration;
/// use farcall_core::config::{ClientConfig, Config};
///
/// let config = Config {
///     client: ClientConfig { timeout: Duration::from_secs(2), ..ClientConfig::default() },
///     ..Config::default()
/// };
/// assert_eq!(config.transport, "unix");
/// assert_eq!(config.server.concurrency, 256);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The name of the transport in use: `transport = "unix"`.
    pub transport: String,
    /// The namespace; nodes of different ones never see each other: `namespace = "default"`.
    pub namespace: Name,
    /// How long a node looks again before it sleeps, where that has paid lately: 20 µs, at most 1 ms;
    /// zero turns it off: `spin = "20us"`. It spares a call that is made alone two wake-ups.
    pub spin: Duration,
    /// The table `[server]`.
    pub server: ServerConfig,
    /// The table `[client]`.
    pub client: ClientConfig,
    /// The table `[limits]`.
    pub limits: Limits,
    /// The table `[ledger]`.
    pub ledger: LedgerConfig,
}

/// The table `[server]`: how a node serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// The server id, which a restarted server takes up again. Generated at each start if it is
    /// absent.
    pub id: Option<Name>,
    /// How many calls run at once: 256, from 1 to 65536. Calls that other handlers make and wait for
    /// may run beyond it, an eighth of it or one: it bounds the load and is no lock.
    pub concurrency: usize,
    /// How many calls wait for their turn before callers are told *busy*: 1024, from 0 to 1000000.
    /// Clients that wait share it; calls of other handlers may exceed it by as many as above.
    pub backlog: usize,
    /// How long running calls may take to finish when the server is told to stop: 10 s, at most 24
    /// h.
    pub drain: Duration,
}

/// The table `[client]`: how a node calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The deadline of a call that states no other: 30 s, from 1 ms to 24 h.
    pub timeout: Duration,
    /// How long a call waits for a server to appear before it fails as *not sent*: 5 s, at most 24
    /// h.
    pub wait_for_server: Duration,
    /// Whether typed clients refuse to call a server of another version where it cannot be decided
    /// that both fit together, and not only where it is certain that they do not: `strict = false`.
    pub strict: bool,
    /// The name by which servers know this client. Generated at each start if it is absent.
    pub identity: Option<Name>,
}

/// The table `[limits]`: what a node holds at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest argument list or result, in bytes once encoded: 16 MiB, from 1 KiB to 1 GiB.
    pub max_message_bytes: usize,
    /// How many calls of one node are in flight at once: 65536, from 1 to 16777216.
    pub max_calls: usize,
    /// The bytes of calls of one node that wait to be handed over: 256 MiB, from 1 KiB to 64 GiB,
    /// and not less than one message of `max_message_bytes`.
    pub max_queued_bytes: usize,
    /// How far the writer of a stream may be ahead of its reader, in bytes: 512 KiB, from 1 KiB to
    /// 64 MiB. Each end of a stream holds at most this and one item; an item counts 32 bytes more
    /// than it has.
    pub stream_window: usize,
    /// How many connections one server accepts: 4096, from 1 to 1048576.
    pub max_peers: usize,
    /// How long a new connection has to say who it is: 5 s, from 1 ms to 10 min.
    pub handshake: Duration,
    /// How long a peer may leave half a message unfinished, or what waits for it unread: 30 s, from
    /// 10 ms to 1 h.
    pub stall: Duration,
}

/// Where it pays, the next frame comes well within this.
const SPIN: Duration = Duration::from_micros(20);
/// Looking longer than this keeps a processor from others without need.
const SPINS: std::ops::RangeInclusive<Duration> = Duration::ZERO..=MILLISECOND;

impl Default for Config {
    /// What empty layers give: transport `unix`, namespace `default`, and the defaults of each
    /// table.
    fn default() -> Config {
        Config {
            transport: "unix".to_owned(),
            namespace: Name::new("default").expect("these are seven letters"),
            spin: SPIN,
            server: ServerConfig::default(),
            client: ClientConfig::default(),
            limits: Limits::default(),
            ledger: LedgerConfig::default(),
        }
    }
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig { id: None, concurrency: 256, backlog: 1024, drain: 10 * SECOND }
    }
}

impl Default for ClientConfig {
    fn default() -> ClientConfig {
        ClientConfig {
            timeout: 30 * SECOND,
            wait_for_server: 5 * SECOND,
            strict: false,
            identity: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_message_bytes: 16 * MIB,
            max_calls: 65_536,
            max_queued_bytes: 256 * MIB,
            stream_window: 512 * KIB,
            max_peers: 4096,
            handshake: 5 * SECOND,
            stall: 30 * SECOND,
        }
    }
}

impl ServerConfig {
    fn read(section: &mut Section<'_>) -> ServerConfig {
        let default = ServerConfig::default();
        ServerConfig {
            id: section.name("id"),
            concurrency: section.count("concurrency", default.concurrency, 1..=65_536),
            backlog: section.count("backlog", default.backlog, 0..=1_000_000),
            drain: section.duration("drain", default.drain, Duration::ZERO..=DAY),
        }
    }
}

impl ClientConfig {
    fn read(section: &mut Section<'_>) -> ClientConfig {
        let default = ClientConfig::default();
        ClientConfig {
            timeout: section.duration("timeout", default.timeout, MILLISECOND..=DAY),
            wait_for_server: section.duration(
                "wait_for_server",
                default.wait_for_server,
                Duration::ZERO..=DAY,
            ),
            strict: section.boolean("strict", default.strict),
            identity: section.name("identity"),
        }
    }
}

impl Limits {
    fn read(section: &mut Section<'_>) -> Limits {
        let default = Limits::default();
        let mistakes_before = section.mistakes();
        let limits = Limits {
            max_message_bytes: section.size(
                "max_message_bytes",
                default.max_message_bytes,
                KIB..=GIB,
            ),
            max_calls: section.count("max_calls", default.max_calls, 1..=1 << 24),
            // The upper end saturates where a `usize` has 32 bits.
            max_queued_bytes: section.size(
                "max_queued_bytes",
                default.max_queued_bytes,
                KIB..=GIB.saturating_mul(64),
            ),
            stream_window: section.size("stream_window", default.stream_window, KIB..=64 * MIB),
            max_peers: section.count("max_peers", default.max_peers, 1..=1 << 20),
            handshake: section.duration("handshake", default.handshake, MILLISECOND..=600 * SECOND),
            stall: section.duration("stall", default.stall, 10 * MILLISECOND..=3600 * SECOND),
        };
        // A default that stands in for a refused value proves nothing.
        if section.mistakes() == mistakes_before {
            limits.check(section);
        }
        limits
    }

    /// A message that fits in no queue could never be sent.
    fn check(&self, section: &mut Section<'_>) {
        if self.max_message_bytes <= self.max_queued_bytes {
            return;
        }
        if section.is_set("max_queued_bytes") {
            let message = size::show(self.max_message_bytes);
            let accepted = format!("at least max_message_bytes, {message}");
            section.reject("max_queued_bytes", &accepted);
        } else {
            let queued = size::show(self.max_queued_bytes);
            let accepted = format!("at most max_queued_bytes, {queued}: raise both");
            section.reject("max_message_bytes", &accepted);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn limits(text: &str) -> Result<Limits, ConfigError> {
        let layers = Layers::new(Some((Path::new("farcall.toml"), text)), [])?;
        let mut reading = layers.read();
        let limits = Limits::read(&mut reading.section("limits"));
        reading.finish().map(|_| limits)
    }

    #[test]
    fn every_default_is_in_its_range() {
        let layers = Layers::default();
        let mut reading = layers.read();
        ServerConfig::read(&mut reading.section("server"));
        ClientConfig::read(&mut reading.section("client"));
        Limits::read(&mut reading.section("limits"));
        LedgerConfig::read(&mut reading.section("ledger"));
        for setting in &reading.finish().unwrap() {
            // Read back what the report says, so that a default outside its own range cannot hide.
            let Some(value) = &setting.value else {
                continue;
            };
            let text = format!("{} = {value}", setting.key);
            let layers = Layers::new(Some((Path::new("report"), &text)), []).unwrap();
            let mut reading = layers.read();
            ServerConfig::read(&mut reading.section("server"));
            ClientConfig::read(&mut reading.section("client"));
            Limits::read(&mut reading.section("limits"));
            LedgerConfig::read(&mut reading.section("ledger"));
            assert_eq!(reading.finish().map(|_| ()), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_size_may_have_a_unit() {
        assert_eq!(limits("[limits]\nmax_message_bytes = '1 MiB'").unwrap().max_message_bytes, MIB);
        assert_eq!(limits("[limits]\nmax_message_bytes = 1048576").unwrap().max_message_bytes, MIB);
    }

    #[test]
    fn the_queue_holds_the_largest_message() {
        let error = limits("[limits]\nmax_queued_bytes = '1 MiB'").unwrap_err();
        assert_eq!(
            error.mistakes()[0].accepted.as_deref(),
            Some("at least max_message_bytes, 16 MiB")
        );
        let error = limits("[limits]\nmax_message_bytes = '512 MiB'").unwrap_err();
        assert_eq!(error.mistakes()[0].key.as_deref(), Some("limits.max_message_bytes"));
        assert!(
            limits("[limits]\nmax_message_bytes = '512 MiB'\nmax_queued_bytes = '512 MiB'").is_ok()
        );
    }

    #[test]
    fn a_refused_size_is_one_mistake_not_two() {
        let error = limits("[limits]\nmax_message_bytes = '512 MiB'\nmax_queued_bytes = 'all'")
            .unwrap_err();
        assert_eq!(error.mistakes().len(), 1);
    }
}
