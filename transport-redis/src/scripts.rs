//! The scripts, each of which is one step that is done whole or not at all.
//!
//! Scripts and not `FUNCTION LOAD`: functions are global to a server, so two versions of farcall that share a broker would
//! overwrite each other's.

use std::sync::LazyLock;

use redis::Value;
use redis::aio::MultiplexedConnection;
use sha1_smol::Sha1;

use crate::keys::Keys;
use crate::reply;

/// A script and its name in the server's cache.
#[derive(Debug)]
pub(crate) struct Script {
    text: String,
    sha: String,
}

/// What a script may do when the broker has no memory left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Memory {
    /// Run all the same: it frees memory in the end, or keeps what is there alive.
    Anyhow,
    /// Nothing: the server refuses it before it begins.
    Needed,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) attach: Script,
    pub(crate) audit: Script,
    pub(crate) bury: Script,
    pub(crate) depth: Script,
    pub(crate) exchange: Script,
    /// The same, which the server refuses when it has no memory left.
    pub(crate) exchange_with_memory: Script,
    pub(crate) expel: Script,
    pub(crate) forget: Script,
    pub(crate) join: Script,
    pub(crate) leave: Script,
    pub(crate) ledger: Script,
    pub(crate) ledger_leave: Script,
    pub(crate) ledger_open: Script,
    pub(crate) ledger_renew: Script,
    /// What a holder has to say, if the server has memory for it.
    pub(crate) ledger_with_memory: Script,
    pub(crate) renew: Script,
    pub(crate) state: Script,
    pub(crate) who: Script,
}

impl Scripts {
    /// They are the same for everybody.
    pub(crate) fn shared() -> &'static Scripts {
        static SCRIPTS: LazyLock<Scripts> = LazyLock::new(Scripts::new);
        &SCRIPTS
    }

    fn new() -> Self {
        let script = |text: &str| {
            Script::alone(Memory::Anyhow, &[include_str!("scripts/common.lua"), text].concat())
        };
        Scripts {
            attach: script(include_str!("scripts/attach.lua")),
            audit: script(include_str!("scripts/audit.lua")),
            bury: script(include_str!("scripts/bury.lua")),
            depth: script(include_str!("scripts/depth.lua")),
            exchange: Script::alone(Memory::Anyhow, &exchange()),
            exchange_with_memory: Script::alone(Memory::Needed, &exchange()),
            expel: script(include_str!("scripts/expel.lua")),
            forget: script(include_str!("scripts/forget.lua")),
            join: script(include_str!("scripts/join.lua")),
            leave: script(include_str!("scripts/leave.lua")),
            ledger: ledger(Memory::Anyhow, include_str!("scripts/ledger/batch.lua")),
            ledger_leave: ledger(Memory::Anyhow, include_str!("scripts/ledger/leave.lua")),
            ledger_open: ledger(Memory::Anyhow, include_str!("scripts/ledger/open.lua")),
            ledger_renew: ledger(Memory::Anyhow, include_str!("scripts/ledger/renew.lua")),
            ledger_with_memory: ledger(Memory::Needed, include_str!("scripts/ledger/batch.lua")),
            renew: script(include_str!("scripts/renew.lua")),
            state: script(include_str!("scripts/state.lua")),
            who: script(include_str!("scripts/who.lua")),
        }
    }
}

impl Script {
    /// All of its text.
    fn alone(memory: Memory, text: &str) -> Self {
        let flags = match memory {
            Memory::Anyhow => "#!lua flags=allow-oom\n",
            Memory::Needed => "#!lua\n",
        };
        let text = [flags, text].concat();
        let sha = Sha1::from(&text).digest().to_string();
        Script { text, sha }
    }

    pub(crate) async fn run(
        &self,
        io: &mut MultiplexedConnection,
        arguments: &Arguments,
    ) -> redis::RedisResult<Value> {
        let mut command = self.command(arguments.values.len() + 1, arguments.len());
        command.arg(1).arg(&arguments.key);
        for value in &arguments.values {
            command.arg(&value[..]);
        }
        self.send(io, &command).await
    }

    /// The command that runs it, to be given the number of its keys, these, and its arguments: about so many, of
    /// so many bytes.
    pub(crate) fn command(&self, count: usize, bytes: usize) -> redis::Cmd {
        let mut command = redis::Cmd::with_capacity(count + 3, bytes + 64);
        command.arg("EVALSHA").arg(&self.sha);
        command
    }

    /// Runs it by its command. A server that does not have it (it was restarted, or its cache flushed) is given it.
    pub(crate) async fn send(
        &self,
        io: &mut MultiplexedConnection,
        command: &redis::Cmd,
    ) -> redis::RedisResult<Value> {
        match reply::to(io, command).await {
            Err(error)
                if error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript) =>
            {
                let mut whole = redis::cmd("EVAL");
                whole.arg(&self.text);
                for argument in command.args_iter().skip(2) {
                    match argument {
                        redis::Arg::Simple(bytes) => whole.arg(bytes),
                        _ => unreachable!("scripts have no cursors"),
                    };
                }
                reply::to(io, &whole).await
            }
            reply => reply,
        }
    }
}

/// What a script is given: its one key, then values.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    key: String,
    values: Vec<bytes::Bytes>,
}

impl Arguments {
    /// What every script is given.
    pub(crate) fn new(keys: &Keys, member: &str) -> Self {
        let mut arguments = Arguments { key: keys.prefix.to_string(), values: Vec::new() };
        arguments.add(&keys.channels).add(member);
        arguments
    }

    /// One more, as text.
    pub(crate) fn add(&mut self, value: impl ToString) -> &mut Self {
        self.bytes(value.to_string().into())
    }

    /// One more, as bytes.
    pub(crate) fn bytes(&mut self, value: bytes::Bytes) -> &mut Self {
        self.values.push(value);
        self
    }

    fn len(&self) -> usize {
        self.values.iter().map(bytes::Bytes::len).sum()
    }
}

/// Those of a ledger have a beginning of their own.
fn ledger(memory: Memory, text: &str) -> Script {
    Script::alone(memory, &[include_str!("scripts/ledger/common.lua"), text].concat())
}

/// The script of every call has what all others begin with only where it needs that.
fn exchange() -> String {
    let rare = [include_str!("scripts/common.lua"), include_str!("scripts/rare.lua")].concat();
    include_str!("scripts/exchange.lua").replace("--@ rare", &rare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_needs_memory_is_another_one() {
        let scripts = Scripts::new();
        assert_ne!(scripts.exchange.sha, scripts.exchange_with_memory.sha);
        assert!(scripts.exchange.text.starts_with("#!lua flags=allow-oom\n"));
        assert_eq!(scripts.exchange.sha.len(), 40);
    }
}
