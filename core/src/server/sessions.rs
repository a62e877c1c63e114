//! Clients of this node, and the calls that each of them has here: pure bookkeeping.

use std::collections::hash_map::Entry;
use std::rc::Rc;

use super::admission::{Lane, Ticket};
use super::replies::ReplyTo;
use super::tasks::LEDGER;
use super::watch::Watch;
use crate::context::Context;
use crate::peer::PeerInfo;
use crate::stream::CallKey;
use crate::table::Table;
use crate::transport::{Credentials, PeerId, Receipt};
use crate::wire::{CallId, NodeId};

/// All sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    sessions: Table<PeerId, Session>,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) caller: Rc<PeerInfo>,
    /// The largest payload it takes.
    pub(crate) max_message_bytes: usize,
    /// Bytes of parameters of its calls that wait.
    pub(super) waiting_bytes: usize,
    calls: Table<CallId, Stage>,
}

/// Where a call stands that was not answered in the turn it came.
#[derive(Debug)]
pub(crate) enum Stage {
    /// It waits for its turn at the service in this place of the server's table.
    Waiting { service: usize, ticket: Ticket },
    /// Its handler is a task of its own.
    Running(Running),
}

/// A handler under way.
#[derive(Debug)]
pub(crate) struct Running {
    /// No other handler has it.
    pub(crate) number: u64,
    pub(crate) service: usize,
    /// The lane whose place it has.
    pub(crate) lane: Lane,
    pub(crate) one_way: bool,
    /// Its results are a stream.
    pub(crate) streams: bool,
    pub(crate) context: Context,
    pub(crate) abort: tokio::task::AbortHandle,
    /// Whoever listens, to be told how the call ends.
    pub(crate) watch: Option<Box<Watch>>,
    /// Of the queue that it came from, if that keeps it.
    pub(crate) receipt: Option<Receipt>,
}

impl Running {
    /// How its caller is told that it has ended, which is done once: this takes what is owed.
    pub(crate) fn reply_to(&mut self) -> ReplyTo {
        let (watch, receipt) = (self.watch.take(), self.receipt.take());
        ReplyTo { one_way: self.one_way, streams: self.streams, watch, receipt }
    }

    /// Drops the handler at its next `.await`, and tells what it spawned.
    pub(crate) fn stop(&self) {
        self.context.cancel();
        self.abort.abort();
    }
}

impl Session {
    /// Whether a call of this id is here: a peer may not send one twice.
    pub(crate) fn has(&self, id: CallId) -> bool {
        !self.calls.is_empty() && self.calls.contains_key(&id)
    }
}

impl Sessions {
    pub(crate) fn peer_up(&mut self, caller: PeerInfo, max_message_bytes: usize) {
        let peer = caller.peer;
        let session = Session {
            caller: Rc::new(caller),
            max_message_bytes,
            waiting_bytes: 0,
            calls: Table::default(),
        };
        self.sessions.insert(peer, session);
    }

    /// Attempts of tasks are calls of a session that is nobody's.
    pub(crate) fn keep_tasks(&mut self) {
        if !self.sessions.contains_key(&LEDGER) {
            let (identity, credentials) = ("".into(), Credentials::default());
            let node = NodeId(uuid::Uuid::nil());
            let nobody = PeerInfo { identity, node, peer: LEDGER, credentials };
            self.peer_up(nobody, usize::MAX);
        }
    }

    /// The session is over; its calls are handed out to be cancelled.
    pub(crate) fn peer_down(&mut self, peer: PeerId) -> Vec<(CallId, Stage)> {
        let session = self.sessions.remove(&peer);
        session.map(|session| session.calls.into_iter().collect()).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn get(&self, peer: PeerId) -> Option<&Session> {
        self.sessions.get(&peer)
    }

    /// Whether the call is here.
    pub(crate) fn has(&self, (peer, id): CallKey) -> bool {
        self.sessions.get(&peer).is_some_and(|session| session.has(id))
    }

    pub(super) fn get_mut(&mut self, peer: PeerId) -> Option<&mut Session> {
        self.sessions.get_mut(&peer)
    }

    /// Where the call stands, if it is here.
    pub(crate) fn stage(&self, (peer, id): CallKey) -> Option<&Stage> {
        self.sessions.get(&peer)?.calls.get(&id)
    }

    /// Whether this handler of the call runs.
    pub(crate) fn runs(&self, key: CallKey, number: u64) -> bool {
        matches!(self.stage(key), Some(Stage::Running(running)) if running.number == number)
    }

    /// The call has come to this stage.
    pub(crate) fn put(&mut self, (peer, id): CallKey, stage: Stage) {
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.calls.insert(id, stage);
        }
    }

    /// The call has ended, or is to be.
    pub(crate) fn take(&mut self, (peer, id): CallKey) -> Option<Stage> {
        self.sessions.get_mut(&peer)?.calls.remove(&id)
    }

    /// Takes the call out if it is running.
    pub(crate) fn take_running(&mut self, (peer, id): CallKey) -> Option<Running> {
        let Entry::Occupied(slot) = self.sessions.get_mut(&peer)?.calls.entry(id) else {
            return None;
        };
        match slot.get() {
            Stage::Waiting { .. } => None,
            Stage::Running(_) => match slot.remove() {
                Stage::Running(running) => Some(running),
                Stage::Waiting { .. } => unreachable!("looked at above"),
            },
        }
    }

    /// Takes out the calls that are `wanted`.
    pub(crate) fn extract(&mut self, wanted: impl Fn(&Stage) -> bool) -> Vec<(CallKey, Stage)> {
        let mut taken = Vec::new();
        for (peer, session) in &mut self.sessions {
            let calls = session.calls.extract_if(|_, stage| wanted(stage));
            taken.extend(calls.map(|(id, stage)| ((*peer, id), stage)));
        }
        taken
    }

    /// Whoever has a session, for lists.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &PeerInfo> {
        let peers = self.sessions.iter().filter(|(peer, _)| **peer != LEDGER);
        peers.map(|(_, session)| &*session.caller)
    }
}
