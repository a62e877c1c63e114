//! The tasks of one ledger, and what may become of them: pure decisions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::{
    AcceptRefusal, Accepted, Attempt, Command, DeadBy, Ending, Holder, NewTask, Outcome, Policy,
    Reply, State, Swept, Task, TaskId, Timestamp, Verdict, View, Why, broken,
};
use crate::transport::Backoff;
use crate::wire::NodeId;

/// All tasks of a ledger.
///
/// [`decide`](Book::decide) changes nothing: it says what is to be answered, and what is to change. Whoever
/// keeps the book [`apply`](Book::apply)s the changes, writes them down, and then answers. A book that is
/// made anew by applying what was written down is the same book.
#[derive(Clone, Debug)]
pub struct Book {
    ledger: Uuid,
    policy: Policy,
    tasks: BTreeMap<u64, Task>,
    params: HashMap<u64, Bytes>,
    keys: HashMap<(String, String), u64>,
    /// Those that wait and have no crash on record, by when they are due.
    ready: BTreeSet<(Timestamp, u64)>,
    /// Those that wait and have one: they run one at a time at each holder.
    suspects: BTreeSet<(Timestamp, u64)>,
    running: BTreeSet<u64>,
    expiring: BTreeSet<(Timestamp, u64)>,
    /// Those that have ended, by when; the dead apart.
    over: BTreeSet<(Timestamp, u64)>,
    dead: BTreeSet<(Timestamp, u64)>,
    bytes: usize,
    next: u64,
    epoch: u64,
}

/// One thing that changes in a book, to be written down.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A task is now like this.
    Task(Box<Task>),
    /// A new task has these parameters.
    Params(u64, Bytes),
    /// A task will not run again: its parameters are no longer needed.
    DropParams(u64),
    /// A task is forgotten.
    Forget(u64),
    /// The number of the next task.
    Next(u64),
    /// The epoch that was given last.
    Epoch(u64),
}

/// When something is decided, and the chance it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// By the store's clock.
    pub now: Timestamp,
    /// A number that is equally likely to be any.
    pub random: u64,
}

/// How much a sweep forgets at most, so that it takes no longer than a batch of calls.
const SWEEP: usize = 1000;

impl Moment {
    /// By this machine's clock and chance.
    #[must_use]
    pub fn now() -> Self {
        Moment { now: Timestamp::now(), random: Backoff::random() }
    }
}

impl Book {
    /// An empty one.
    #[must_use]
    pub fn new(ledger: Uuid, policy: Policy) -> Self {
        Book {
            ledger,
            policy,
            tasks: BTreeMap::new(),
            params: HashMap::new(),
            keys: HashMap::new(),
            ready: BTreeSet::new(),
            suspects: BTreeSet::new(),
            running: BTreeSet::new(),
            expiring: BTreeSet::new(),
            over: BTreeSet::new(),
            dead: BTreeSet::new(),
            bytes: 0,
            next: 1,
            epoch: 0,
        }
    }

    /// Whose tasks these are.
    #[must_use]
    pub fn ledger(&self) -> Uuid {
        self.ledger
    }

    /// A task by its number.
    #[must_use]
    pub fn task(&self, number: u64) -> Option<&Task> {
        self.tasks.get(&number)
    }

    /// Whether a key of a method is known.
    #[must_use]
    pub fn has_key(&self, method: &str, key: &str) -> bool {
        self.keys.contains_key(&(method.to_owned(), key.to_owned()))
    }

    /// How many tasks have not ended.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.ready.len() + self.suspects.len() + self.running.len()
    }

    /// A server starts to hold tasks.
    #[must_use]
    pub fn open(&self, server: &str, node: NodeId, now: Timestamp) -> (Holder, Vec<Change>) {
        let epoch = if broken!("epoch not raised") { now.0 } else { now.0.max(self.epoch + 1) };
        let holder = Holder { server: server.to_owned(), node, epoch };
        (holder, vec![Change::Epoch(epoch)])
    }

    /// Holders are gone, and what they ran has crashed.
    #[must_use]
    pub fn lost(&self, is_lost: impl Fn(&Holder) -> bool, moment: Moment) -> Vec<Change> {
        let running = self.running.iter().map(|number| &self.tasks[number]);
        let lost = running.filter(|task| match &task.state {
            State::Running { holder, .. } => is_lost(holder),
            State::Waiting { .. } | State::Ended { .. } => false,
        });
        lost.flat_map(|task| self.crashed(task.clone(), moment)).collect()
    }

    /// What a holder's command comes to.
    #[must_use]
    pub fn decide(
        &self,
        holder: &Holder,
        command: Command,
        moment: Moment,
    ) -> (Reply, Vec<Change>) {
        match command {
            Command::Accept(task) => self.accept(holder, *task, None, moment),
            Command::Claim { limit } => {
                let (attempts, changes) =
                    self.claim(holder, limit, !self.runs_a_suspect(holder), moment);
                (Reply::Claimed(attempts), changes)
            }
            Command::Finish { task, token, ending } => match self.current(holder, task, token) {
                Ok(task) => self.finish(task.clone(), ending, moment),
                Err(reply) => (reply, Vec::new()),
            },
            Command::Progress { task, token, value } => match self.current(holder, task, token) {
                Ok(task) => {
                    let task = Task { progress: Some(value), ..task.clone() };
                    (Reply::Done, vec![Change::Task(Box::new(task))])
                }
                Err(reply) => (reply, Vec::new()),
            },
            Command::Cancel(id) => match self.find(id) {
                Ok(task) if task.is_ended() => (self.ended(task), Vec::new()),
                Ok(task) => self.end(task.clone(), Outcome::Cancelled, moment.now),
                Err(reply) => (reply, Vec::new()),
            },
            Command::Retry(id) => match self.find(id) {
                Ok(task) => self.retry(holder, task, moment),
                Err(reply) => (reply, Vec::new()),
            },
            Command::Purge(id) => match self.find(id) {
                Ok(task) if task.is_ended() => (Reply::Done, vec![Change::Forget(id.number)]),
                Ok(_) => (Reply::NotEnded, Vec::new()),
                Err(reply) => (reply, Vec::new()),
            },
            Command::Show(id) => match self.find(id) {
                Ok(task) => (Reply::Shown(Box::new(self.view(task))), Vec::new()),
                Err(reply) => (reply, Vec::new()),
            },
            Command::List { limit } => {
                let newest = self.tasks.values().rev().take(limit);
                (Reply::Listed(newest.map(|it| self.view(it)).collect(), self.tasks.len()), vec![])
            }
            Command::Sweep => self.sweep(moment.now),
        }
    }

    fn find(&self, id: TaskId) -> Result<&Task, Reply> {
        if id.ledger != self.ledger {
            return Err(Reply::NotHere);
        }
        self.tasks.get(&id.number).ok_or(Reply::Unknown)
    }

    /// The task, if this is its current attempt: token, epoch and boot are equal, not greater.
    fn current(&self, by: &Holder, id: TaskId, token: u64) -> Result<&Task, Reply> {
        let task = self.find(id)?;
        match &task.state {
            State::Running { holder, .. } if holder == by && task.token == token => Ok(task),
            State::Running { .. } if broken!("no fencing") => Ok(task),
            State::Ended { .. } if broken!("outcome overwritten") => Ok(task),
            _ => Err(Reply::Fenced),
        }
    }

    fn id(&self, number: u64) -> TaskId {
        TaskId { ledger: self.ledger, number }
    }

    fn ended(&self, task: &Task) -> Reply {
        Reply::Ended(Verdict::Ended(Box::new(self.view(task))))
    }

    fn view(&self, task: &Task) -> View {
        View { id: self.id(task.number), task: task.clone() }
    }

    fn accept(
        &self,
        holder: &Holder,
        new: NewTask,
        retry_of: Option<u64>,
        Moment { now, .. }: Moment,
    ) -> (Reply, Vec<Change>) {
        let refused = |why| (Reply::NotAccepted(why), Vec::new());
        if let Some(key) = &new.key
            && let Some(number) = self.keys.get(&(new.method.to_string(), key.key.clone()))
        {
            let known = &self.tasks[number];
            let differs = known.key.as_ref().is_none_or(|first| first.arguments != key.arguments);
            if differs && !broken!("key with other arguments") {
                return refused(AcceptRefusal::KeyConflict);
            }
            let known = Some(Box::new(known.clone()));
            let accepted =
                Accepted { task: self.id(*number), attempt: None, known, elsewhere: false };
            return (Reply::Accepted(Box::new(accepted)), Vec::new());
        }
        let headers = new.headers.into_iter();
        let mut task = Task {
            number: self.next,
            method: new.method.into(),
            caller: new.caller,
            headers: headers.map(|(name, value)| (name.into(), value.into())).collect(),
            key: new.key,
            accepted: now,
            expires: new.expires_in.map(|time| now.after(time)),
            state: State::Waiting { due: now, why: Why::Accepted },
            token: 0,
            crashes: 0,
            failures: 0,
            interruptions: 0,
            problem: None,
            progress: None,
            retry_of,
            params_size: new.params.len(),
        };
        if self.unfinished() >= self.policy.max_unfinished {
            return refused(AcceptRefusal::TooMany);
        }
        if self.bytes.saturating_add(task.size()) > self.policy.max_bytes {
            return refused(AcceptRefusal::Full);
        }
        let attempt = new.begin.then(|| self.begin(holder, &mut task, new.params.clone(), now));
        let accepted =
            Accepted { task: self.id(task.number), attempt, known: None, elsewhere: false };
        let changes = vec![
            Change::Next(self.next + 1),
            Change::Params(task.number, new.params),
            Change::Task(Box::new(task)),
        ];
        (Reply::Accepted(Box::new(accepted)), changes)
    }

    /// Begins an attempt of a task.
    fn begin(&self, holder: &Holder, task: &mut Task, params: Bytes, now: Timestamp) -> Attempt {
        if !broken!("token not raised") {
            task.token += 1;
        }
        task.state = State::Running { holder: holder.clone(), since: now };
        let headers = task.headers.iter();
        Attempt {
            task: self.id(task.number),
            token: task.token,
            method: task.method.as_str().into(),
            params,
            caller: task.caller.clone(),
            headers: headers.map(|(name, it)| (name.as_str().into(), it.as_str().into())).collect(),
            time_left: task.expires.map(|expires| expires.since(now)),
        }
    }

    /// Begins up to `limit` tasks that are due; with `lane`, one of them may have a crash on record.
    #[must_use]
    pub fn claim(
        &self,
        by: &Holder,
        limit: usize,
        lane: bool,
        moment: Moment,
    ) -> (Vec<Attempt>, Vec<Change>) {
        let now = moment.now;
        let is_due = |(due, number): &&(Timestamp, u64)| {
            let expires = self.tasks[number].expires;
            *due <= now
                && (broken!("expired task run") || expires.is_none_or(|expires| expires > now))
        };
        // Of those that may have killed their server one runs at a time, so that no other is there when
        // it does so again.
        let lane = if broken!("lane of one ignored") { limit } else { usize::from(lane) };
        let suspects = self.suspects.iter().take_while(|(due, _)| *due <= now).filter(is_due);
        let ready = self.ready.iter().take_while(|(due, _)| *due <= now).filter(is_due);
        let mut chosen: Vec<_> = suspects.take(lane).chain(ready.take(limit)).collect();
        chosen.sort_unstable();
        chosen.truncate(limit);
        let (mut attempts, mut changes) = (Vec::new(), Vec::new());
        for (_, number) in chosen {
            let mut task = self.tasks[number].clone();
            let params = self.params.get(number).cloned().unwrap_or_default();
            attempts.push(self.begin(by, &mut task, params, now));
            changes.push(Change::Task(Box::new(task)));
        }
        (attempts, changes)
    }

    /// Whether a holder runs a task that has a crash on record.
    #[must_use]
    pub fn runs_a_suspect(&self, by: &Holder) -> bool {
        let mut running = self.running.iter().map(|number| &self.tasks[number]);
        running.any(|task| {
            task.crashes > 0 && matches!(&task.state, State::Running { holder, .. } if holder == by)
        })
    }

    fn finish(&self, mut task: Task, ending: Ending, moment: Moment) -> (Reply, Vec<Change>) {
        let now = moment.now;
        match ending {
            Ending::Outcome(outcome) => self.end(task, outcome, now),
            Ending::Again(problem) => {
                if !broken!("failure not counted") {
                    task.failures += 1;
                }
                task.problem = Some(problem);
                if task.failures >= self.policy.failures {
                    return self.end(task, Outcome::Dead(DeadBy::Failures), now);
                }
                let random = chance(moment.random, task.number);
                let wait = self.policy.after_failure(task.failures, random);
                waits(task, wait, Why::Failed, now)
            }
            Ending::Released => {
                task.interruptions += 1;
                waits(task, Duration::ZERO, Why::Interrupted, now)
            }
        }
    }

    /// The holder of a running task has died.
    fn crashed(&self, mut task: Task, moment: Moment) -> Vec<Change> {
        if !broken!("crash not counted") {
            task.crashes += 1;
        }
        task.problem = Some("the server died while it ran".to_owned());
        let (_, changes) = if task.crashes >= self.policy.crashes {
            self.end(task, Outcome::Dead(DeadBy::Crashes), moment.now)
        } else {
            let random = chance(moment.random, task.number);
            let wait = self.policy.after_crash(task.crashes, random);
            waits(task, wait, Why::Crashed, moment.now)
        };
        changes
    }

    fn end(&self, mut task: Task, outcome: Outcome, at: Timestamp) -> (Reply, Vec<Change>) {
        let number = task.number;
        // Those of the dead are kept: somebody may look at them, or try again.
        let is_dead = matches!(outcome, Outcome::Dead(_));
        if !is_dead {
            task.params_size = 0;
        }
        task.state = State::Ended { at, outcome };
        let reply = self.ended(&task);
        let mut changes = vec![Change::Task(Box::new(task))];
        if !is_dead {
            changes.push(Change::DropParams(number));
        }
        (reply, changes)
    }

    fn retry(&self, holder: &Holder, dead: &Task, moment: Moment) -> (Reply, Vec<Change>) {
        if !matches!(dead.outcome(), Some(Outcome::Dead(_))) {
            return (Reply::NotDead, Vec::new());
        }
        let headers = dead.headers.iter();
        let new = NewTask {
            method: dead.method.as_str().into(),
            params: self.params.get(&dead.number).cloned().unwrap_or_default(),
            caller: dead.caller.clone(),
            headers: headers.map(|(name, it)| (name.as_str().into(), it.as_str().into())).collect(),
            // The key stays with the outcome that it has.
            key: None,
            expires_in: dead.expires.map(|expires| expires.since(dead.accepted)),
            begin: false,
        };
        self.accept(holder, new, Some(dead.number), moment)
    }

    fn sweep(&self, now: Timestamp) -> (Reply, Vec<Change>) {
        let mut changes = Vec::new();
        let late = self.expiring.iter().take_while(|(expires, _)| *expires <= now);
        let expired: Vec<u64> = late.take(SWEEP).map(|(_, number)| *number).collect();
        for number in &expired {
            changes.extend(self.end(self.tasks[number].clone(), Outcome::Expired, now).1);
        }
        let old = |at: &Timestamp, kept: Duration| at.after(kept) <= now;
        let ended = self.over.iter().take_while(|(at, _)| old(at, self.policy.retention));
        changes.extend(ended.take(SWEEP).map(|(_, number)| Change::Forget(*number)));
        if broken!("sweep forgets unfinished ones") {
            changes.extend(self.ready.iter().map(|(_, number)| Change::Forget(*number)));
        }
        let too_many = self.dead.len().saturating_sub(self.policy.max_dead);
        let dead = self.dead.iter().enumerate().take_while(|(place, (at, _))| {
            *place < too_many || old(at, self.policy.dead_retention)
        });
        changes.extend(dead.take(SWEEP).map(|(_, (_, number))| Change::Forget(*number)));
        let due = |of: &BTreeSet<(Timestamp, u64)>| of.first().is_some_and(|(due, _)| *due <= now);
        let later = |of: &BTreeSet<(Timestamp, u64)>| {
            of.range((Timestamp(now.0 + 1), 0)..).next().map(|(at, _)| at.since(now))
        };
        let swept = Swept {
            due: due(&self.ready) || due(&self.suspects),
            next: [later(&self.ready), later(&self.suspects), later(&self.expiring)]
                .into_iter()
                .flatten()
                .min(),
            expired: expired.into_iter().map(|number| self.id(number)).collect(),
            taken: Vec::new(),
        };
        (Reply::Swept(swept), changes)
    }

    /// Makes a change that was decided on, or read back.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Task(task) => {
                self.take(task.number);
                self.put((**task).clone());
            }
            Change::Params(number, params) => drop(self.params.insert(*number, params.clone())),
            Change::DropParams(number) => drop(self.params.remove(number)),
            Change::Forget(number) => {
                self.take(*number);
                self.params.remove(number);
            }
            Change::Next(next) => self.next = *next,
            Change::Epoch(epoch) => self.epoch = *epoch,
        }
    }

    fn put(&mut self, task: Task) {
        let number = task.number;
        if let Some(key) = &task.key {
            self.keys.insert((task.method.clone(), key.key.clone()), number);
        }
        match &task.state {
            State::Waiting { due, .. } if task.crashes > 0 => {
                self.suspects.insert((*due, number));
            }
            State::Waiting { due, .. } => drop(self.ready.insert((*due, number))),
            State::Running { .. } => drop(self.running.insert(number)),
            State::Ended { at, outcome: Outcome::Dead(_) } => drop(self.dead.insert((*at, number))),
            State::Ended { at, .. } => drop(self.over.insert((*at, number))),
        }
        if let Some(expires) = task.expires.filter(|_| !task.is_ended()) {
            self.expiring.insert((expires, number));
        }
        self.bytes += task.size();
        self.tasks.insert(number, task);
    }

    fn take(&mut self, number: u64) {
        let Some(task) = self.tasks.remove(&number) else { return };
        self.bytes -= task.size();
        match &task.state {
            State::Waiting { due, .. } => {
                self.suspects.remove(&(*due, number));
                self.ready.remove(&(*due, number));
            }
            State::Running { .. } => drop(self.running.remove(&number)),
            State::Ended { at, .. } => {
                self.dead.remove(&(*at, number));
                self.over.remove(&(*at, number));
            }
        }
        if let Some(expires) = task.expires {
            self.expiring.remove(&(expires, number));
        }
        if let Some(key) = task.key {
            self.keys.remove(&(task.method, key.key));
        }
    }
}

fn waits(mut task: Task, wait: Duration, why: Why, now: Timestamp) -> (Reply, Vec<Change>) {
    task.state = State::Waiting { due: now.after(wait), why };
    (Reply::Ended(Verdict::Again(wait)), vec![Change::Task(Box::new(task))])
}

/// A chance of its own for each task, out of one: by the finalizer of splitmix64.
fn chance(random: u64, number: u64) -> u64 {
    let mut mixed = random ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
