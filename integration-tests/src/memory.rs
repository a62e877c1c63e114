//! What a process takes of the machine's memory.

/// The resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Now.
    pub now: u64,
    /// The most that it was.
    pub peak: u64,
}

impl Memory {
    /// That of this process, which `cargo test` starts anew for each file of tests.
    #[must_use]
    pub fn own() -> Self {
        Memory::of(std::process::id())
    }

    /// That of a process.
    ///
    /// # Panics
    /// It is not there.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        Memory::parse(&status.expect("the process lives, and this is Linux"))
            .expect("every process that lives has memory")
    }

    fn parse(status: &str) -> Option<Self> {
        Some(Memory { now: bytes(status, "VmRSS:")?, peak: bytes(status, "VmHWM:")? })
    }
}

fn bytes(status: &str, key: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_the_kernel_writes() {
        let status = "Name:\tx\nVmHWM:\t    4068 kB\nVmRSS:\t     832 kB\nThreads:\t1\n";
        let memory = Memory { now: 832 * 1024, peak: 4068 * 1024 };
        assert_eq!(Memory::parse(status), Some(memory));
        assert_eq!(Memory::parse("State:\tZ (zombie)\n"), None);
    }

    #[test]
    fn what_is_taken_is_seen() {
        let before = Memory::own();
        let taken = vec![1_u8; 8 << 20];
        let after = Memory::own();
        assert!(after.peak >= before.now + taken.len() as u64 / 2, "{before:?}, {after:?}");
    }
}
