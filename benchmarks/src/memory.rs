//! The memory that a process holds, and the descriptors it may open.

use std::fs;

use anyhow::{Context, anyhow};

/// How many idle connections are opened to see what one costs a server.
pub(crate) const IDLE_CONNECTIONS: usize = 1000;

/// Descriptors a process with [`IDLE_CONNECTIONS`] may need, with room for what a library opens
/// beside its sockets.
const DESCRIPTORS: u64 = 4 * IDLE_CONNECTIONS as u64;

/// Raises this process's limit of open descriptors, as far as it may.
///
/// # Errors
///
/// When the limit cannot be read or set, or when it ends up too low for [`IDLE_CONNECTIONS`].
pub(crate) fn allow_many_connections() -> anyhow::Result<()> {
    let limit = rlimit::increase_nofile_limit(DESCRIPTORS)
        .context("cannot raise the limit of open descriptors")?;
    if limit <= IDLE_CONNECTIONS as u64 {
        anyhow::bail!(
            "this process may open {limit} descriptors, too few for {IDLE_CONNECTIONS} connections"
        );
    }
    Ok(())
}

/// Resident memory of a process, in bytes. The kernel's socket buffers are not in it.
///
/// # Errors
///
/// When there is no such process.
pub(crate) fn resident(process: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    resident_in(&status).ok_or_else(|| anyhow!("{path} has no VmRSS"))
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(
            resident_in("Name:\tcat\nVmRSS:\t    2048 kB\nThreads:\t1\n"),
            Some(2 * 1024 * 1024)
        );
        assert_eq!(resident_in("Name:\tcat\n"), None);
    }
}
