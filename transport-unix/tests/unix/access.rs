//! Who may connect. Needs root, to be somebody else for a while; without it there is nothing to see.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use farcall_transport_unix::UnixConfig;
use tempfile::{TempDir, tempdir};

use crate::node::{Node, attachment, config, run};
use crate::raw::Raw;

/// A user that nobody is.
const STRANGER: u32 = 65_531;
/// Set for the process that plays the stranger: where to connect.
const SOCKET: &str = "FARCALL_TEST_STRANGERS_SOCKET";

/// A folder that a stranger can get to, if we can make one.
fn reachable_folder() -> Option<TempDir> {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|it| {
        use std::os::unix::fs::MetadataExt;
        it.uid() == 0
    });
    let dir = is_root.then(|| tempdir().unwrap())?;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    Some(dir)
}

/// Runs [`a_stranger_says_what_it_met`] in a process of another user, and answers what it prints.
async fn stranger(socket: &Path) -> Option<String> {
    // The program may lie where strangers cannot get to: they get a copy.
    let copy = socket.ancestors().nth(4)?.join("stranger");
    std::fs::copy(std::env::current_exe().ok()?, &copy).ok()?;
    let mut command = Command::new(copy);
    command
        .args(["--exact", "access::a_stranger_says_what_it_met", "--nocapture"])
        .env(SOCKET, socket)
        .stdin(Stdio::null())
        .uid(STRANGER)
        .gid(STRANGER);
    let run = move || loop {
        match command.output() {
            // A test that started a process at that moment has it open, too, for an instant.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {}
            output => return output,
        }
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    Some(String::from_utf8(output.stdout).unwrap())
}

/// As a process of another user, which `SOCKET` makes it, this is the stranger of other tests.
#[test]
fn a_stranger_says_what_it_met() {
    let Some(socket) = std::env::var_os(SOCKET) else {
        let Some(dir) = reachable_folder() else { return };
        let nowhere = dir.path().join("s/default/calc/nobody.sock");
        return run(async move {
            assert!(stranger(&nowhere).await.unwrap().contains("stranger: no way in"));
        });
    };
    run(async move {
        let connected = tokio::net::UnixStream::connect(&socket).await;
        let Ok(connected) = connected else { return println!("stranger: no way in") };
        let said = Raw(connected).goodbye_or_hello().await;
        println!("stranger: {said}");
    });
}

impl Raw {
    async fn goodbye_or_hello(&mut self) -> String {
        use farcall_core::wire::Frame;
        match self.next().await {
            Some(Frame::Hello(_)) => "hello".to_owned(),
            Some(Frame::Goodbye { reason, .. }) => format!("goodbye: {reason}"),
            other => format!("{other:?}"),
        }
    }
}

#[test]
fn a_user_that_is_not_allowed_does_not_even_reach_the_socket() {
    run(async {
        let Some(dir) = reachable_folder() else { return };
        let mut server = Node::open(dir.path()).await;
        server.serve("calc", "a").await.unwrap();
        let said = stranger(&dir.path().join("s/default/calc/a.sock")).await.unwrap();
        assert!(said.contains("stranger: no way in"), "{said}");
    });
}

#[test]
fn a_user_that_is_allowed_is_greeted() {
    run(async {
        let Some(dir) = reachable_folder() else { return };
        let config = UnixConfig { allow_uids: vec![STRANGER], ..config(dir.path()) };
        let mut server = Node::try_open(config, attachment()).await.unwrap();
        server.serve("calc", "a").await.unwrap();
        let said = stranger(&dir.path().join("s/default/calc/a.sock")).await.unwrap();
        assert!(said.contains("stranger: hello"), "{said}");
    });
}

#[test]
fn one_of_another_user_is_turned_away_before_it_has_said_anything() {
    run(async {
        let Some(dir) = reachable_folder() else { return };
        // Open to somebody, so that the socket is in reach of everybody.
        let config = UnixConfig { allow_uids: vec![STRANGER + 1], ..config(dir.path()) };
        let mut server = Node::try_open(config, attachment()).await.unwrap();
        server.serve("calc", "a").await.unwrap();
        let said = stranger(&dir.path().join("s/default/calc/a.sock")).await.unwrap();
        let reason = format!("[unix] allow_uids does not list {STRANGER}");
        assert!(said.contains("stranger: goodbye") && said.contains(&reason), "{said}");
        assert!(server.rejected().await.contains(&reason));
    });
}
