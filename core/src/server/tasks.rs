//! The tasks of a server: who waits for which, and which of them run here. Pure bookkeeping.

use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::oneshot;

use super::admission::Lane;
use crate::config::Name;
use crate::ledger::{Ask, Asks, Attempt, Command, TaskId, TaskScope, TaskToken};
use crate::stream::CallKey;
use crate::table::Table;
use crate::transport::{PeerId, Receipt};
use crate::wire::{CallId, Durability};

/// Attempts are calls of this peer, which is none: they end with no session.
pub(super) const LEDGER: PeerId = PeerId(u64::MAX);

/// A command's sender, to go on from there when the ledger has answered.
#[derive(Debug)]
pub(super) enum Asked {
    /// A call that is to be recorded, and the lane of the place that is kept for it.
    Accept(Caller, Option<Lane>),
    /// Tasks that are to be begun, and how many places are kept for them.
    Claim(usize),
    /// An attempt has ended.
    Finish(TaskId),
    /// A peer asks.
    Query(CallKey, Question),
    /// Whether a task has ended elsewhere that somebody here waits for.
    Look(TaskId),
}

/// Who makes a recoverable call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) key: CallKey,
    /// It wants nothing back.
    pub(super) one_way: bool,
    /// It wants to know that the task is recorded, and no more.
    pub(super) detached: bool,
    /// Of the queue that the call came from: it keeps the call until the task is recorded.
    pub(super) receipt: Option<Receipt>,
}

/// What is asked about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Result,
    Show,
    Cancel,
    Retry,
    Purge,
    List,
}

/// Somebody who waits for an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) key: CallKey,
    /// By a question, whose answer has another form than that of a call.
    pub(super) asked: bool,
}

/// All services' tasks.
#[derive(Default)]
pub(super) struct Tasks {
    desks: Table<usize, Desk>,
    /// Whoever waits, and for what.
    waiting: HashMap<CallKey, Waits>,
    attempts: Table<CallId, Running>,
    last: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// For its call to be recorded.
    Recording,
    /// For the outcome of a task.
    For(usize, TaskId),
}

/// An attempt that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) service: usize,
    pub(super) scope: Rc<TaskScope>,
}

/// The tasks of one service.
struct Desk {
    asks: Asks<Asked>,
    closed: oneshot::Receiver<()>,
    names: (Name, compact_str::CompactString),
    durability: Durability,
    waiters: HashMap<TaskId, Vec<Waiter>>,
    running: HashMap<TaskId, CallId>,
    /// Something may be due in the ledger.
    due: bool,
    /// A claim is on its way.
    claiming: bool,
    /// The last free place went to a task.
    had_turn: bool,
    /// Commands without an answer.
    open: usize,
    /// Why it takes no more, if so.
    failed: Option<String>,
}

impl Tasks {
    /// A service's ledger is open.
    pub(super) fn open(
        &mut self,
        service: usize,
        durability: Durability,
        names: (Name, compact_str::CompactString),
        (asks, closed): (Asks<Asked>, oneshot::Receiver<()>),
    ) {
        let desk = Desk {
            asks,
            closed,
            names,
            durability,
            waiters: HashMap::new(),
            running: HashMap::new(),
            due: true,
            claiming: false,
            had_turn: false,
            open: 0,
            failed: None,
        };
        self.desks.insert(service, desk);
    }

    /// Why a service records nothing, if so.
    pub(super) fn unusable(&self, service: usize) -> Option<&str> {
        match self.desks.get(&service) {
            Some(desk) => desk.failed.as_deref(),
            None => Some("it has no ledger"),
        }
    }

    /// Whether it has a ledger.
    pub(super) fn has(&self, service: usize) -> bool {
        self.desks.contains_key(&service)
    }

    pub(super) fn durability(&self, service: usize) -> Durability {
        self.desks[&service].durability
    }

    pub(super) fn token(&self, service: usize, id: TaskId) -> TaskToken {
        let (namespace, name) = &self.desks[&service].names;
        TaskToken::new(namespace.as_str(), name, id)
    }

    /// Asks the ledger of a service. `false` if it takes nothing any more.
    pub(super) fn ask(&mut self, service: usize, command: Command, back: Asked) -> bool {
        let Some(desk) = self.desks.get_mut(&service) else { return false };
        let asked = desk.asks.push(Ask { command, back: Some(back) }).is_ok();
        desk.open += usize::from(asked);
        asked
    }

    /// What lets handlers tell of their progress.
    pub(super) fn asks(&self, service: usize) -> Asks<Asked> {
        self.desks[&service].asks.clone()
    }

    /// The ledger has answered.
    pub(super) fn answered(&mut self, service: usize) {
        if let Some(desk) = self.desks.get_mut(&service) {
            desk.open = desk.open.saturating_sub(1);
        }
    }

    /// The ledger has failed: it takes nothing more. Gives those that wait for it, the first time.
    pub(super) fn fail(&mut self, service: usize, why: &str) -> Option<Vec<Waiter>> {
        let desk = self.desks.get_mut(&service)?;
        if desk.failed.is_some() {
            return None;
        }
        desk.failed = Some(why.to_owned());
        desk.due = false;
        let waiters: Vec<Waiter> = desk.waiters.drain().flat_map(|(_, waiters)| waiters).collect();
        for waiter in &waiters {
            self.waiting.remove(&waiter.key);
        }
        Some(waiters)
    }

    /// Whether every command was answered.
    pub(super) fn is_idle(&self) -> bool {
        self.desks.values().all(|desk| desk.open == 0)
    }

    /// Something may be due.
    pub(super) fn due(&mut self, service: usize) {
        if let Some(desk) = self.desks.get_mut(&service) {
            desk.due = desk.failed.is_none();
        }
    }

    /// Whether tasks may be begun.
    pub(super) fn may_claim(&self, service: usize) -> bool {
        self.desks.get(&service).is_some_and(|desk| desk.due && !desk.claiming)
    }

    /// A place is free that calls wait for as well: whether it is a task's turn.
    pub(super) fn takes_turn(&mut self, service: usize) -> bool {
        if !self.may_claim(service) {
            return false;
        }
        let desk = self.desks.get_mut(&service).expect("it may claim");
        desk.had_turn = !desk.had_turn;
        desk.had_turn
    }

    /// A claim is on its way.
    pub(super) fn claims(&mut self, service: usize) {
        if let Some(desk) = self.desks.get_mut(&service) {
            (desk.claiming, desk.due) = (true, false);
        }
    }

    /// A claim was answered: whether it used all places it had, so that there may be more.
    pub(super) fn claimed(&mut self, service: usize, all: bool) {
        if let Some(desk) = self.desks.get_mut(&service) {
            desk.claiming = false;
            desk.due |= all && desk.failed.is_none();
        }
    }

    /// A call is to be recorded.
    pub(super) fn recording(&mut self, caller: CallKey) {
        self.waiting.insert(caller, Waits::Recording);
    }

    /// It is, or is not: whether its caller is still there.
    pub(super) fn recorded(&mut self, caller: CallKey) -> bool {
        self.waiting.remove(&caller) == Some(Waits::Recording)
    }

    /// Somebody waits for a task.
    pub(super) fn wait(&mut self, service: usize, task: TaskId, waiter: Waiter) {
        if let Some(desk) = self.desks.get_mut(&service) {
            desk.waiters.entry(task).or_default().push(waiter);
            self.waiting.insert(waiter.key, Waits::For(service, task));
        }
    }

    /// Whether somebody waits under this id.
    pub(super) fn waits(&self, caller: CallKey) -> bool {
        !self.waiting.is_empty() && self.waiting.contains_key(&caller)
    }

    /// How many wait.
    pub(super) fn waiters(&self) -> usize {
        self.waiting.len()
    }

    /// Somebody does not wait any more. `false` if nobody did under this id.
    pub(super) fn leave(&mut self, caller: CallKey) -> bool {
        let waits = self.waiting.remove(&caller);
        if let Some(Waits::For(service, task)) = waits
            && let Some(desk) = self.desks.get_mut(&service)
            && let Some(waiters) = desk.waiters.get_mut(&task)
        {
            waiters.retain(|waiter| waiter.key != caller);
            if waiters.is_empty() {
                desk.waiters.remove(&task);
            }
        }
        waits.is_some()
    }

    /// A session is over.
    pub(super) fn peer_down(&mut self, peer: PeerId) {
        let of_it = self.waiting.keys().filter(|(of, _)| *of == peer);
        for caller in of_it.copied().collect::<Vec<_>>() {
            self.leave(caller);
        }
    }

    /// A task has ended: those who waited for it.
    pub(super) fn ended(&mut self, service: usize, task: TaskId) -> Vec<Waiter> {
        let desk = self.desks.get_mut(&service);
        let waiters = desk.and_then(|desk| desk.waiters.remove(&task)).unwrap_or_default();
        for waiter in &waiters {
            self.waiting.remove(&waiter.key);
        }
        waiters
    }

    /// Everybody who waits, because the server stops; also those whose calls may be recorded or not.
    pub(super) fn all_waiters(&mut self) -> Vec<CallKey> {
        self.desks.values_mut().for_each(|desk| desk.waiters.clear());
        self.waiting.drain().map(|(caller, _)| caller).collect()
    }

    /// The tasks that somebody waits for and that do not run here.
    pub(super) fn looked_for(&self, service: usize) -> Vec<TaskId> {
        let Some(desk) = self.desks.get(&service) else { return Vec::new() };
        desk.waiters.keys().filter(|task| !desk.running.contains_key(task)).copied().collect()
    }

    /// An attempt begins, as a call of this id.
    pub(super) fn begin(
        &mut self,
        service: usize,
        attempt: &Attempt,
        tell: Box<dyn Fn(Command)>,
    ) -> CallId {
        self.last += 1;
        let id = CallId(self.last);
        let scope = Rc::new(TaskScope {
            token: self.token(service, attempt.task),
            id: attempt.task,
            attempt: attempt.token,
            again: std::cell::Cell::new(false),
            tell,
        });
        self.attempts.insert(id, Running { service, scope });
        if let Some(desk) = self.desks.get_mut(&service) {
            desk.running.insert(attempt.task, id);
        }
        id
    }

    /// What an attempt's handler gets.
    pub(super) fn scope(&self, id: CallId) -> Option<Rc<TaskScope>> {
        self.attempts.get(&id).map(|running| Rc::clone(&running.scope))
    }

    /// An attempt has ended, or is to be.
    pub(super) fn end(&mut self, id: CallId) -> Option<Running> {
        let running = self.attempts.remove(&id)?;
        if let Some(desk) = self.desks.get_mut(&running.service) {
            desk.running.remove(&running.scope.id);
        }
        Some(running)
    }

    /// The attempt of a task that runs here.
    pub(super) fn attempt(&self, service: usize, task: TaskId) -> Option<CallId> {
        self.desks.get(&service)?.running.get(&task).copied()
    }

    /// All attempts of a service that run.
    pub(super) fn attempts(&self, service: usize) -> Vec<CallId> {
        self.desks
            .get(&service)
            .map(|desk| desk.running.values().copied().collect())
            .unwrap_or_default()
    }

    /// Lets go of every ledger, when what it was told is done. Gives what tells when it is.
    pub(super) fn close(&mut self) -> Vec<oneshot::Receiver<()>> {
        let desks = std::mem::take(&mut self.desks);
        let close = |desk: Desk| {
            desk.asks.close();
            desk.closed
        };
        desks.into_values().map(close).collect()
    }
}
