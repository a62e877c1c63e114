//! What Redis counts.

use anyhow::Context;

/// Redis, asked for its counters over a connection of its own.
pub(crate) struct Counters(redis::Connection);

impl Counters {
    /// Connects to the broker at this address; `None` if it is not Redis.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(crate) fn open(address: &str) -> anyhow::Result<Option<Self>> {
        if !address.starts_with("redis") {
            return Ok(None);
        }
        let connection = redis::Client::open(address)?.get_connection()?;
        Ok(Some(Counters(connection)))
    }

    /// Commands that it has executed so far, those of scripts included.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(crate) fn commands(&mut self) -> anyhow::Result<u64> {
        let info: String = redis::cmd("INFO").arg("stats").query(&mut self.0)?;
        commands_in(&info).context("INFO counts no commands")
    }
}

fn commands_in(info: &str) -> Option<u64> {
    let count = |line: &str| line.strip_prefix("total_commands_processed:")?.trim().parse().ok();
    info.lines().find_map(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_counted_by_their_own_line() {
        let info = "# Stats\r\ntotal_connections_received:3\r\ntotal_commands_processed:71\r\n";
        assert_eq!(commands_in(info), Some(71));
        assert_eq!(commands_in("# Stats\r\n"), None);
    }
}
