//! The processor time that a process has used, as the scheduler accounts for it.

use std::fs;
use std::io;
use std::time::Duration;

use anyhow::{Context, anyhow};

/// Processor time used so far by all threads of a process that are alive.
///
/// The scheduler brings a running thread's account up to date at its ticks and when it sleeps, so a
/// reading is late by one tick (1–4 ms) at most. The time of threads that have ended is not in it;
/// no peer ends threads while measured.
///
/// # Errors
///
/// When there is no such process, or when the kernel keeps no `schedstat`.
pub(crate) fn time_of(process: u32) -> anyhow::Result<Duration> {
    let tasks = format!("/proc/{process}/task");
    let mut total = Duration::ZERO;
    for task in fs::read_dir(&tasks).with_context(|| format!("cannot list {tasks}"))? {
        let path = task?.path().join("schedstat");
        match fs::read_to_string(&path) {
            Ok(schedstat) => {
                total += running_time(&schedstat)
                    .ok_or_else(|| anyhow!("{} reads {schedstat:?}", path.display()))?;
            }
            // The thread ended since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        }
    }
    Ok(total)
}

/// The first of `schedstat`'s three fields, in nanoseconds; the others are the time spent waiting
/// to run and the number of time slices.
fn running_time(schedstat: &str) -> Option<Duration> {
    let nanoseconds = schedstat.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_time_is_the_first_field() {
        assert_eq!(running_time("22442653 1056173 86\n"), Some(Duration::from_nanos(22_442_653)));
        assert_eq!(running_time(""), None);
    }

    #[test]
    fn a_busy_process_uses_processor_time() {
        let own = std::process::id();
        let before = time_of(own).unwrap();
        let mut sum = 0_u64;
        while time_of(own).unwrap() - before < Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }
}
