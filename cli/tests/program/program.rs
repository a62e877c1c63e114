//! The program, in a folder of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use tempfile::TempDir;

/// The program, run in a folder that is removed at the end, without variables from outside.
pub(crate) struct Program {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: i32,
    /// Its standard output.
    pub(crate) answers: String,
    /// Its standard error.
    pub(crate) notes: String,
}

impl Program {
    /// With this `farcall.toml`. Sockets lie in the same folder.
    pub(crate) fn new(file: &str) -> Program {
        let folder = TempDir::with_prefix("farcall-").unwrap();
        let program = Program { folder, variables: Vec::new() };
        program.write("farcall.toml", file);
        let sockets = program.sockets().to_str().unwrap().to_owned();
        program.variable("FARCALL_UNIX__SOCKET_DIR", &sockets)
    }

    pub(crate) fn variable(mut self, name: &'static str, value: &str) -> Program {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// Writes a file into the folder.
    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.folder.path().join(name), content).unwrap();
    }

    pub(crate) fn sockets(&self) -> PathBuf {
        self.folder.path().join("sockets")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farcall"));
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"FARCALL_") {
                command.env_remove(name);
            }
        }
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.command(arguments).output().unwrap())
    }

    /// Starts it; [`Outcome::of_child`] waits for its end.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Starts it with a pipe for its standard input.
    pub(crate) fn start_with_input(&self, arguments: &[&str]) -> (Child, ChildStdin) {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        (child, input)
    }

    /// Runs it with this text for its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], text: &str) -> Outcome {
        self.write("input", text);
        self.run_from(arguments, "input")
    }

    /// Runs it with an open file for its standard output.
    pub(crate) fn run_into(&self, arguments: &[&str], stdout: impl Into<Stdio>) -> Outcome {
        let child = self.command(arguments).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        Outcome::of_child(child)
    }

    /// Runs it with a file of this folder for its standard input.
    pub(crate) fn run_from(&self, arguments: &[&str], name: &str) -> Outcome {
        let file = File::open(self.folder.path().join(name)).unwrap();
        Outcome::of(self.command(arguments).stdin(file).output().unwrap())
    }
}

impl Outcome {
    /// Waits for the end of a run.
    pub(crate) fn of_child(child: Child) -> Outcome {
        Outcome::of(child.wait_with_output().unwrap())
    }

    fn of(output: Output) -> Outcome {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome {
            status: output.status.code().expect("no signal ended it"),
            answers: text(output.stdout),
            notes: text(output.stderr),
        }
    }

    /// The answer, of a run that went well and had nothing else to say.
    #[track_caller]
    pub(crate) fn answer(self) -> String {
        assert_eq!((self.status, &*self.notes), (0, ""));
        self.answers
    }

    /// What was said by a run that failed with this status and has no answer.
    #[track_caller]
    pub(crate) fn failure(self, status: i32) -> String {
        assert_eq!((self.status, &*self.answers), (status, ""), "{}", self.notes);
        self.notes
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.answers).unwrap()
    }
}

/// The lines of a program's standard output, as they come.
pub(crate) fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap)
}

#[track_caller]
pub(crate) fn has(text: &str, part: &str) {
    assert!(text.contains(part), "`{part}` is not in:\n{text}");
}
