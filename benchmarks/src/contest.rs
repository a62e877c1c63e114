//! Who is measured beside whom: the peers of a transport, each transport in a run and a section of the
//! results of its own.

use crate::goals::{self, Goal};
use crate::peers::{self, Peer};

/// Peers that do the same thing over the same thing.
#[derive(Debug)]
pub(crate) struct Contest {
    /// Its command, which marks its section too.
    pub(crate) command: &'static str,
    /// Its heading.
    pub(crate) title: &'static str,
    /// What is measured and how, in Markdown.
    pub(crate) about: &'static str,
    /// Who may take part.
    pub(crate) peers: &'static [&'static dyn Peer],
    /// The peer whose goals these are.
    pub(crate) ours: &'static str,
    /// What is wanted of it, beside other peers.
    pub(crate) goals: &'static [Goal],
    /// The peers that every other is compared with.
    pub(crate) references: &'static [&'static str],
    /// Libraries whose versions decide the figures.
    pub(crate) packages: &'static [&'static str],
    /// Whether there is a broker: then its time counts, and two servers share calls.
    pub(crate) brokered: bool,
    /// Whether the memory of idle connections at the server is measured.
    pub(crate) idle: bool,
}

/// Every contest, in the order of their sections.
pub(crate) const ALL: &[&Contest] = &[&UNIX, &REDIS, &TASKS];

/// Sockets of one machine.
pub(crate) static UNIX: Contest = Contest {
    command: "run",
    title: "Over Unix sockets",
    about: "\
Client and server are separate processes, started anew for every measurement, that talk over a \
Unix socket; the server echoes the payload. One client holds one connection and keeps the given \
number of calls in flight. In each round, for each shape, the peers take turns. Figures are medians \
over the rounds; ratios are medians of the ratios within a round. Compare figures of one run only: \
the same machine differs by twice between hours.

All asynchronous peers run on tokio's runtime of one thread (`current_thread`), client and server \
alike, with the system's allocator. Processor time is what the scheduler accounts to all threads of \
a process within the measured window, kernel time included. Latency is timed on every call when one \
is in flight, on one in 16 when many are; for the two peers that send batches it is the time of a \
whole batch.",
    peers: peers::UNIX,
    ours: "farcall-unix",
    goals: goals::UNIX,
    references: &["raw-mux", "tarpc-bincode", "tonic"],
    packages: &["tokio", "tarpc", "bincode", "serde_cbor", "tonic", "h2", "prost"],
    brokered: false,
    idle: true,
};

/// A broker that a fleet shares.
pub(crate) static REDIS: Contest = Contest {
    command: "redis",
    title: "Over Redis",
    about: "\
Client, server and broker are separate processes of one machine, started anew for every measurement: \
the broker with its own defaults but nothing on disk. The server echoes the payload. One client keeps \
the given number of calls in flight. In each round, for each shape, the peers take turns. Figures are \
medians over the rounds; ratios are medians of the ratios within a round. Compare figures of one run \
only: the same machine differs by twice between hours.

All asynchronous peers of Rust run on tokio's runtime of one thread (`current_thread`), client and \
server alike, with the system's allocator. Processor time is what the scheduler accounts to all \
threads of a process within the measured window, kernel time included; *all* is that of client, \
server and broker. Latency is timed on every call when one is in flight, on one in 16 when many \
are. Commands are those that Redis counts as executed, the ones inside scripts included.",
    peers: peers::REDIS,
    ours: "farcall-redis",
    goals: goals::REDIS,
    references: &["redis-bare", "nats"],
    packages: &["tokio", "redis", "async-nats"],
    brokered: true,
    idle: false,
};

/// Recoverable calls, and what they rest on.
pub(crate) static TASKS: Contest = Contest {
    command: "tasks",
    title: "Tasks in files",
    about: "\
A *call* is a task that its client knows to be recorded: on the disk, by a sync. Client and server \
are separate processes, started anew for every measurement with a folder of its own; the two bare \
peers are the client alone. In each round, for each shape, the peers take turns. Figures are medians \
over the rounds; ratios are medians of the ratios within a round. Compare figures of one run only: \
what a sync takes differs by twenty times between hours.

Latency is timed on every call when one is in flight, on one in 16 when many are; for the bare peers \
it is the time of a whole batch.",
    peers: peers::TASKS,
    ours: "farcall-file",
    goals: goals::TASKS,
    references: &["redb-bare", "disk-bare"],
    packages: &["tokio", "redb"],
    brokered: false,
    idle: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_and_goals_name_peers_of_the_contest() {
        for contest in ALL {
            let takes_part = |name: &str| contest.peers.iter().any(|peer| peer.name() == name);
            assert!(takes_part(contest.ours), "{}", contest.ours);
            for reference in contest.references {
                assert!(takes_part(reference), "{reference}");
            }
            for goal in contest.goals {
                assert!(takes_part(goal.other) && goal.instead.is_none_or(takes_part), "{goal:?}");
            }
        }
    }
}
