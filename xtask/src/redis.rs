//! The `redis-server` that the tests start: found, or installed.

use std::ffi::OsString;
use std::process::Command;

use crate::steps::step;

/// Names the program where it is not the `redis-server` of the `PATH`. The tests read it too. It does
/// not begin with `FARCALL_`, since nodes take such variables for settings and refuse unknown ones.
const VARIABLE: &str = "REDIS_SERVER";

/// What farcall needs: its scripts and commands are those of 7.0.
const OLDEST: Version = Version(7, 0);

/// Installs the package and leaves no server of the system's behind, neither now nor at the next
/// boot. A policy that forbids the start is how Debian's own scripts are told, with systemd and
/// without; one that the machine has already is left as it is, and what it may have allowed is stopped.
const INSTALL: &str = r#"set -eu
policy=/usr/sbin/policy-rc.d
if [ -e "$policy" ]; then
    theirs=1
else
    theirs=0
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\ncase "$*" in *redis-server*) exit 101 ;; esac\nexit 0\n' > "$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get install --yes --quiet --no-install-recommends -o DPkg::Lock::Timeout=60 redis-server
if [ "$theirs" = 1 ]; then
    service redis-server stop
fi
update-rc.d redis-server disable
"#;

/// The program, which [`redis_server`] has found.
pub(crate) fn program() -> OsString {
    std::env::var_os(VARIABLE).unwrap_or_else(|| "redis-server".into())
}

/// Finds the server, or installs it.
pub(crate) fn redis_server() -> Result<(), String> {
    let named = std::env::var_os(VARIABLE);
    let found = found(named.as_ref());
    match plan(named.is_some(), found.as_deref(), installer()) {
        Plan::Use(said) => {
            println!("found redis-server: {said}");
            Ok(())
        }
        Plan::Install(installer) => install(installer),
        Plan::Refuse(why) => Err(why),
    }
}

fn install(installer: Installer) -> Result<(), String> {
    println!(
        "redis-server is not there: installing the package of this system, which starts nothing \
         now or at boot; the tests start servers of their own"
    );
    step("updating the lists of packages", installer.command(&["apt-get", "--quiet", "update"]))?;
    let policy = Command::new("apt-cache").args(["policy", "redis-server"]).output();
    let policy = policy.map_err(|error| format!("apt-cache: {error}"))?;
    offered(&String::from_utf8_lossy(&policy.stdout))?;
    step("installing redis-server", installer.command(&["sh", "-c", INSTALL]))?;
    match plan(false, found(None).as_deref(), None) {
        Plan::Use(said) => {
            println!("installed redis-server: {said}");
            Ok(())
        }
        _ => Err(format!("redis-server was installed, and is not in PATH; {}", by_hand())),
    }
}

/// What the program says of its version; nothing if it is not there.
fn found(named: Option<&OsString>) -> Option<String> {
    let program = named.cloned().unwrap_or_else(|| "redis-server".into());
    let output = Command::new(program).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// How packages are installed here, if they can be.
fn installer() -> Option<Installer> {
    let succeeds = |words: &[&str]| {
        let output = Command::new(words[0]).args(&words[1..]).output();
        output.ok().filter(|output| output.status.success())
    };
    succeeds(&["apt-get", "--version"])?;
    let user = succeeds(&["id", "-u"])?;
    if user.stdout.trim_ascii() == b"0" {
        return Some(Installer { sudo: false });
    }
    succeeds(&["sudo", "-n", "true"])?;
    Some(Installer { sudo: true })
}

/// `apt-get`, with the rights that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Installer {
    sudo: bool,
}

impl Installer {
    fn command(self, words: &[&str]) -> Command {
        let prefix: &[&str] = if self.sudo { &["sudo", "-n"] } else { &[] };
        let mut words = prefix.iter().chain(words);
        let mut command = Command::new(words.next().expect("a command has a word"));
        command.args(words);
        command
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Use(String),
    Install(Installer),
    Refuse(String),
}

/// What is to be done. A server that somebody chose is used or refused, never replaced.
fn plan(named: bool, found: Option<&str>, installer: Option<Installer>) -> Plan {
    let Some(said) = found else {
        return match installer {
            _ if named => Plan::Refuse(format!("{VARIABLE}: there is no such program")),
            Some(installer) => Plan::Install(installer),
            None => Plan::Refuse(format!(
                "redis-server is not there, and is not installed for you without apt-get and the \
                 rights of root (or `sudo -n`); {}",
                by_hand()
            )),
        };
    };
    match said.split_once(" v=").and_then(|(_, version)| Version::parse(version)) {
        Some(version) if version >= OLDEST => Plan::Use(said.to_owned()),
        Some(version) => Plan::Refuse(too_old("redis-server is", version)),
        None => Plan::Refuse(format!("`redis-server --version` says {said:?}; {}", by_hand())),
    }
}

/// Whether the package that `apt-cache policy` tells of is new enough.
fn offered(policy: &str) -> Result<(), String> {
    let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"));
    // An epoch goes before the version: `5:7.0.15-1`.
    let version = candidate.map(|it| it.rsplit_once(':').map_or(it, |(_, version)| version));
    match version.and_then(|it| Version::parse(it.trim())) {
        Some(version) if version >= OLDEST => Ok(()),
        Some(version) => Err(too_old("this system's redis-server is", version)),
        None => Err(format!("this system has no package redis-server; {}", by_hand())),
    }
}

fn too_old(what: &str, version: Version) -> String {
    format!("{what} {version}, and {OLDEST} is needed; {}", by_hand())
}

fn by_hand() -> String {
    format!(
        "install redis {OLDEST} or newer (`apt install redis-server`, `dnf install redis`, \
         `pacman -S redis`, `brew install redis`, or https://redis.io/docs/latest/operate/oss_and_stack/install/) \
         and have redis-server in PATH or named by {VARIABLE}"
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl Version {
    /// Reads `7.0.15-1` and the like.
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|it: char| !it.is_ascii_digit()).map(str::parse);
        Some(Version(numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Option<Installer> = Some(Installer { sudo: false });

    fn refusal(plan: Plan) -> String {
        match plan {
            Plan::Refuse(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_server_that_is_there_is_used() {
        let said = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64";
        assert_eq!(plan(false, Some(said), ROOT), Plan::Use(said.to_owned()));
        let valkey = "Valkey server v=8.1.3 sha=00000000:0";
        assert_eq!(plan(true, Some(valkey), None), Plan::Use(valkey.to_owned()));
    }

    #[test]
    fn one_that_is_missing_is_installed_where_that_can_be_done() {
        assert_eq!(plan(false, None, ROOT), Plan::Install(Installer { sudo: false }));
        let why = refusal(plan(false, None, None));
        assert!(why.contains("brew install redis") && why.contains(VARIABLE), "{why}");
    }

    #[test]
    fn one_that_was_chosen_is_never_replaced() {
        assert!(refusal(plan(true, None, ROOT)).contains(VARIABLE));
        let old = "Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64";
        let why = refusal(plan(false, Some(old), ROOT));
        assert!(why.contains("redis-server is 6.0, and 7.0 is needed"), "{why}");
        assert!(refusal(plan(true, Some("something else"), ROOT)).contains("something else"));
    }

    #[test]
    fn a_package_is_judged_before_it_is_installed() {
        let policy = |candidate| {
            format!(
                "redis-server:\n  Installed: (none)\n  Candidate: {candidate}\n  Version table:\n"
            )
        };
        assert_eq!(offered(&policy("5:7.0.15-1~deb12u10")), Ok(()));
        assert_eq!(offered(&policy("8.0.2-1")), Ok(()));
        assert!(offered(&policy("5:6.0.16-1ubuntu1")).unwrap_err().contains("is 6.0"));
        assert!(offered(&policy("(none)")).unwrap_err().contains("no package"));
        assert!(offered("").unwrap_err().contains("no package"));
    }

    #[test]
    fn rights_come_before_the_command() {
        let words = |sudo| {
            let command = Installer { sudo }.command(&["apt-get", "update"]);
            std::iter::once(command.get_program())
                .chain(command.get_args())
                .map(|word| word.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(words(false), ["apt-get", "update"]);
        assert_eq!(words(true), ["sudo", "-n", "apt-get", "update"]);
    }
}
