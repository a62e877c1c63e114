//! The table `[ledger]`: where recoverable calls are recorded.

use std::path::PathBuf;
use std::time::Duration;

use super::{MIB, Section};
use crate::ledger::Policy;

/// The table `[ledger]`: where recoverable calls are recorded, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerConfig {
    /// Where: `store = "auto"`.
    pub store: StoreChoice,
    /// The folder of the files: `farcall` in `$XDG_STATE_HOME`, or in `~/.local/state`. Servers that are to
    /// take over from each other share it; it must be of a file system of this machine.
    pub path: Option<PathBuf>,
    /// A task is dead after so many deaths of servers that ran it: 3, from 1 to 100.
    pub crashes: u32,
    /// A task is dead after so many failures that its handler wants repeated: 5, from 1 to 100.
    pub failures: u32,
    /// How long outcomes and keys are kept: 24 h, from 1 s to 400 days.
    pub retention: Duration,
    /// How long dead tasks are kept: 90 days, from 1 s to 400 days.
    pub dead_retention: Duration,
    /// How many tasks of one service may be unfinished at a server: 100000, from 1 to 10000000. Beyond,
    /// callers are told *busy*.
    pub max_tasks: usize,
    /// The bytes that tasks of one service may have at a server, outcomes included: 256 MiB, from 1 KiB to
    /// 64 GiB. They are held in memory as well. Beyond, callers are told *busy*.
    pub max_bytes: usize,
}

/// Which store keeps the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    /// The transport's own, if it has one: with `memory`, one that the whole process shares, with `redis`
    /// the broker. With `unix`, files.
    Auto,
    /// Files of this machine, below `path`.
    File,
    /// The memory of the node: recoverable calls survive no death but that of their handlers.
    Memory,
    /// The broker of the table `[redis]`, whatever carries the calls: one ledger for all servers of a service.
    Redis,
    /// None: recoverable methods are refused.
    Off,
}

impl StoreChoice {
    /// Whether it is a place of this transport, chosen by name.
    pub(super) fn is_kept_by(self, transport: &str) -> bool {
        self == StoreChoice::Redis && transport == "redis"
    }
}

const LONGEST: Duration = Duration::from_secs(400 * 24 * 3600);

impl Default for LedgerConfig {
    fn default() -> Self {
        let policy = Policy::default();
        LedgerConfig {
            store: StoreChoice::Auto,
            path: None,
            crashes: policy.crashes,
            failures: policy.failures,
            retention: policy.retention,
            dead_retention: policy.dead_retention,
            max_tasks: policy.max_unfinished,
            max_bytes: policy.max_bytes,
        }
    }
}

impl LedgerConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = LedgerConfig::default();
        let second = Duration::from_secs(1);
        let few = |section: &mut Section<'_>, key, default: u32| {
            let read = section.count(key, default as usize, 1..=100);
            u32::try_from(read).unwrap_or(default)
        };
        LedgerConfig {
            store: match section.choice(
                "store",
                &["auto", "file", "memory", "redis", "off"],
                "auto",
            ) {
                "file" => StoreChoice::File,
                "memory" => StoreChoice::Memory,
                "redis" => StoreChoice::Redis,
                "off" => StoreChoice::Off,
                _ => StoreChoice::Auto,
            },
            path: section.path("path"),
            crashes: few(section, "crashes", default.crashes),
            failures: few(section, "failures", default.failures),
            retention: section.duration("retention", default.retention, second..=LONGEST),
            dead_retention: section.duration(
                "dead_retention",
                default.dead_retention,
                second..=LONGEST,
            ),
            max_tasks: section.count("max_tasks", default.max_tasks, 1..=10_000_000),
            max_bytes: section.size(
                "max_bytes",
                default.max_bytes,
                1024..=65_536_usize.saturating_mul(MIB),
            ),
        }
    }

    /// The limits that it states.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            crashes: self.crashes,
            failures: self.failures,
            retention: self.retention,
            dead_retention: self.dead_retention,
            max_unfinished: self.max_tasks,
            max_bytes: self.max_bytes,
            ..Policy::default()
        }
    }
}
