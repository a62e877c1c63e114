//! The machine and the versions that a run was made with: the figures mean nothing without them.

use std::fs;
use std::thread;

use anyhow::Context;
use jiff::Timestamp;

const LOCK_FILE: &str = include_str!("../Cargo.lock");

/// Where and when a run began.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Cores this process may use.
    pub(crate) cores: usize,
    /// The processor's model, as the kernel names it.
    pub(crate) processor: String,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// Processes that wanted a core, averaged over the minute before the run.
    pub(crate) load_before: String,
    /// The day, in UTC.
    pub(crate) date: String,
    /// Names and versions of programs that are no part of this one.
    pub(crate) programs: Vec<String>,
}

impl Machine {
    /// Looks at this machine, on which these programs were found.
    ///
    /// # Errors
    ///
    /// When it has no `/proc` to read.
    pub(crate) fn read(programs: Vec<String>) -> anyhow::Result<Self> {
        let load = read("/proc/loadavg")?;
        Ok(Machine {
            cores: thread::available_parallelism().context("cannot count the cores")?.get(),
            processor: model_in(&read("/proc/cpuinfo")?).unwrap_or("unknown").to_owned(),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            load_before: load.split(' ').next().unwrap_or_default().to_owned(),
            date: Timestamp::now().strftime("%Y-%m-%d").to_string(),
            programs,
        })
    }
}

/// The compiler that built this program.
pub(crate) const COMPILER: &str = env!("COMPILER_VERSION");

/// Names and versions of these libraries, as this program was built with them.
pub(crate) fn versions(packages: &[&'static str]) -> Vec<String> {
    let versions = packages.iter().flat_map(|package| {
        versions_in(LOCK_FILE, package).map(move |version| format!("{package} {version}"))
    });
    versions.collect()
}

fn read(path: &str) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

fn model_in(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

fn versions_in(lock_file: &'static str, package: &str) -> impl Iterator<Item = &'static str> {
    let name = format!("name = \"{package}\"");
    lock_file.split("[[package]]").filter_map(move |entry| {
        let mut lines = entry.trim_start().lines();
        (lines.next()? == name).then_some(())?;
        lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest;

    #[test]
    fn every_package_that_matters_is_locked() {
        for package in contest::ALL.iter().flat_map(|contest| contest.packages) {
            assert_eq!(versions(&[package]).len(), 1, "{package}");
        }
    }

    #[test]
    fn the_processor_is_named_by_its_first_core() {
        let cpuinfo = "processor\t: 0\nmodel name\t: One\n\nprocessor\t: 1\nmodel name\t: Two\n";
        assert_eq!(model_in(cpuinfo), Some("One"));
        assert_eq!(model_in("processor\t: 0\n"), None);
    }
}
