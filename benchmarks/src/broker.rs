//! The programs that stand between clients and servers: each measurement has one of its own, in a
//! folder of its own, that keeps nothing.

use std::env;
use std::ffi::OsString;
use std::process::Stdio;

use anyhow::bail;
use tokio::process::Command;

pub(crate) use self::counters::Counters;
pub(crate) use self::running::Running;

mod counters;
mod running;

/// Becomes the program. Debian keeps some servers where only root looks for programs.
const BECOME: &str = r#"PATH="$PATH:/usr/local/sbin:/usr/sbin"
exec "$@"
"#;

/// A program through which a peer's processes reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broker {
    /// Redis.
    Redis,
    /// NATS.
    Nats,
}

/// A broker, and by which kind of socket it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// Redis, over a Unix socket.
    RedisUnix,
    /// Redis, over TCP on the loopback interface.
    RedisTcp,
    /// NATS, over TCP on the loopback interface: it has no other.
    NatsTcp,
}

impl Via {
    /// The broker.
    pub(crate) fn broker(self) -> Broker {
        match self {
            Via::RedisUnix | Via::RedisTcp => Broker::Redis,
            Via::NatsTcp => Broker::Nats,
        }
    }
}

impl Broker {
    /// Its program's usual name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Broker::Redis => "redis-server",
            Broker::Nats => "nats-server",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Broker::Redis => "FARCALL_REDIS_SERVER",
            Broker::Nats => "FARCALL_NATS_SERVER",
        }
    }

    /// The program: what the variable names, else the one that is found.
    fn program(self) -> OsString {
        env::var_os(self.variable()).unwrap_or_else(|| self.name().into())
    }

    fn command(self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(self.program()).kill_on_drop(true);
        command
    }

    /// What the program says of its version.
    ///
    /// # Errors
    ///
    /// When there is no such program: with what to do about it.
    pub(crate) async fn version(self) -> anyhow::Result<String> {
        let output = self.command(BECOME).arg("--version").stdin(Stdio::null()).output().await?;
        let said = String::from_utf8_lossy(&output.stdout);
        if output.status.success()
            && let Some(version) = version_in(&said)
        {
            return Ok(version.to_owned());
        }
        let name = self.name();
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{name} is needed and says no version ({}): install it (Debian: `apt-get install {name}`, \
             or `apt-get download {name}` and `dpkg -x` where nobody is root), or name its program by \
             the variable {}",
            errors.trim(),
            self.variable(),
        )
    }
}

/// The first word that is a version, with or without a letter in front of it.
fn version_in(said: &str) -> Option<&str> {
    let words = said.split_ascii_whitespace();
    words
        .map(|word| word.trim_start_matches(['v', '=']))
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        let redis = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64\n";
        assert_eq!(version_in(redis), Some("7.0.15"));
        assert_eq!(version_in("nats-server: v2.9.10\n"), Some("2.9.10"));
        assert_eq!(version_in("Python 3.11.7\n"), Some("3.11.7"));
        assert_eq!(version_in("command not found"), None);
    }
}
