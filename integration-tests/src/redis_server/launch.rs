//! Starting and ending the program itself.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// Becomes the server, after it left a child behind that kills it when standard input ends: so no
/// server outlives its test, however that ends. The server does not read its standard input, and a
/// signal at the parent's death (`PR_SET_PDEATHSIG`) would come at the end of the thread that
/// started it. The child looks whether the server is its parent still, since the number may have
/// passed to another process.
const LAUNCH: &str = r#"exec 3<&0 </dev/null
(
    cat <&3 >/dev/null 2>&1
    read -r pid name state parent rest </proc/self/stat
    [ "$parent" = $$ ] && kill -KILL $$
) >/dev/null 2>&1 &
exec 3<&-
exec "$@"
"#;

/// A server that runs, killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    /// Starts the server that `cargo xtask test` has found, with what it says in a file.
    ///
    /// # Panics
    /// There is no shell.
    pub(crate) fn start(words: &[&Path], log: File) -> Self {
        let named = std::env::var_os("REDIS_SERVER");
        let program = named.unwrap_or_else(|| OsString::from("redis-server"));
        let child = Command::new("sh")
            .args(["-c", LAUNCH, "sh"])
            .arg(program)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a file can be opened twice"))
            .stderr(log)
            .spawn();
        Running(child.expect("there is a shell"))
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("it is our child")
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let kill = Command::new("kill").args(["-s", name, &id]).status();
        assert!(kill.expect("`kill` is there").success(), "the server has ended by itself");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
