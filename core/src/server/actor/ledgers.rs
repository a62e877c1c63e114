//! Recoverable calls: recorded before they are accepted, begun before they run, ended before anybody is told.

use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use futures::future::join_all;
use serde::Serialize;

use super::ServerActor;
use crate::deadlines::LONGEST;
use crate::ledger::{
    AcceptRefusal, Accepted, Answer, ArgumentsHash, Ask, Attempt, Caller as RecordedCaller,
    Command, Ending, FromLedger, Key, NewTask, Outcome, Reply, StoreError, Swept, Task, TaskId,
    TaskInfo, TaskToken, Verdict, broken,
};
use crate::params::Params;
use crate::peer::PeerInfo;
use crate::server::admission::Lane;
use crate::server::calls::Waiting;
use crate::server::replies::{self, ReplyTo};
use crate::server::services::{Method, unknown};
use crate::server::tasks::{Asked, Caller, LEDGER, Question, Waiter};
use crate::service::Outcome as Told;
use crate::stream::CallKey;
use crate::transport::{Credentials, PeerId, Receipt};
use crate::value;
use crate::wire::{CallFrame, CallId, CallOptions, Failure, Frame, NodeId, Reason, TaskOptions};

/// How many tasks are begun at once.
const CLAIM: usize = 16;

/// How long a closing node gives its ledgers to write what is left.
const CLOSE: Duration = Duration::from_secs(5);

/// What a list holds at most.
const LIST: usize = 10_000;

/// What a server that stops says to those who wait for a task.
const STOPS: &str = "the server stops before the task has ended";

impl ServerActor {
    /// A recoverable call has come: it is recorded first.
    pub(super) fn record(
        &mut self,
        at: usize,
        method: Method,
        peer: PeerId,
        call: CallFrame,
        receipt: Option<Receipt>,
    ) {
        let key = (peer, call.id);
        if let Some(why) = self.tasks.unusable(at) {
            let failure = match self.tasks.has(at) {
                false => Failure::new(Reason::Unsupported, self.no_ledger.clone()),
                true => broken(why),
            };
            return self.turn_away(peer, &call, receipt, failure);
        }
        if self.tasks.waiters() >= self.node.config().limits.max_calls {
            let message = "as many wait for tasks as may (limits.max_calls)";
            let mut failure = Failure::new(Reason::Busy, message);
            failure.retry_after = Some(Duration::from_millis(100));
            return self.turn_away(peer, &call, receipt, failure);
        }
        let (one_way, lane) = (call.is_one_way(), Lane::new(call.is_nested()));
        let options = call.options.map(|options| *options).unwrap_or_default();
        let TaskOptions { key: task_key, expires_in, detached } = options.task.unwrap_or_default();
        let names: Vec<&str> = {
            let params = &self.services.at(at).descriptor.methods[method.at].params;
            params.iter().map(|param| &*param.name).collect()
        };
        let keyed = task_key.map(|key| {
            let arguments = ArgumentsHash::new(&call.method, &names, &call.params)?;
            Ok::<_, value::ValueError>(Key { key: key.into(), arguments })
        });
        let task_key = match keyed.transpose() {
            Ok(key) => key,
            Err(error) => {
                let failure = Failure::new(Reason::WrongArguments, format!("arguments: {error}"));
                let to = ReplyTo { one_way, receipt, ..ReplyTo::default() };
                return self.refuse(key, to, failure);
            }
        };
        let Some(session) = self.calls.sessions.get(peer) else { return self.let_go(receipt) };
        let PeerInfo { identity, node, credentials, .. } = &*session.caller;
        let caller = RecordedCaller {
            identity: identity.to_string(),
            node: node.0,
            uid: credentials.uid,
            pid: credentials.pid,
        };
        let place = self.calls.reserve(at, lane).then_some(lane);
        let new = NewTask {
            method: call.method,
            params: call.params,
            caller,
            headers: options.headers,
            key: task_key,
            expires_in,
            begin: place.is_some(),
        };
        self.tasks.recording(key);
        let back = Asked::Accept(Caller { key, one_way, detached, receipt }, place);
        if !self.tasks.ask(at, Command::Accept(Box::new(new)), back) {
            self.tasks.leave(key);
            if let Some(lane) = place {
                self.free(at, lane);
            }
            let failure = broken("it takes no more");
            self.refuse(key, ReplyTo { one_way, receipt, ..ReplyTo::default() }, failure);
        }
    }

    /// Something comes from a ledger.
    fn ledger_said(&mut self, said: FromLedger<Asked>) {
        let (at, back, reply) = match said {
            FromLedger::Opened(service, result) => return self.ledger_opened(&service, result),
            FromLedger::Said(at, back, reply) => (at, back, reply),
        };
        if back.is_some() {
            self.tasks.answered(at);
        }
        match reply {
            Ok(reply) => match (back, reply) {
                (Some(Asked::Accept(caller, place)), reply) => {
                    self.accepted(at, caller, place, reply);
                }
                (Some(Asked::Claim(places)), Reply::Claimed(attempts)) => {
                    self.claimed(at, places, attempts);
                }
                (Some(Asked::Finish(task)), reply) => self.finished(at, task, reply),
                (Some(Asked::Query(caller, question)), reply) => {
                    self.answer(at, caller, question, reply);
                }
                (Some(Asked::Look(task)), Reply::Shown(view)) if view.task.is_ended() => {
                    self.ended(at, task, &view.task);
                }
                (_, Reply::Swept(swept)) => self.swept(at, swept),
                _ => {}
            },
            Err(error) => self.ledger_failed(at, back, &error),
        }
    }

    fn accepted(&mut self, at: usize, caller: Caller, place: Option<Lane>, reply: Reply) {
        let Caller { key, one_way, detached, receipt } = caller;
        let waits = self.tasks.recorded(key) && !one_way;
        let accepted = match reply {
            Reply::Accepted(accepted) => *accepted,
            other => {
                if let Some(lane) = place {
                    self.free(at, lane);
                }
                let failure = self.not_accepted(at, &other);
                let to = ReplyTo { one_way: !waits, receipt, ..ReplyTo::default() };
                return self.refuse(key, to, failure);
            }
        };
        let Accepted { task, attempt, known, elsewhere } = accepted;
        if waits {
            let (peer, id) = key;
            let token = self.tasks.token(at, task).to_string().into();
            let durability = self.tasks.durability(at);
            self.send(peer, Frame::Accepted { id, token, durability });
            self.let_go(receipt);
            if elsewhere && !detached {
                let message = "another server has the task of this key, and tells its outcome";
                self.refuse(key, ReplyTo::default(), Failure::new(Reason::Pending, message));
            } else if !detached {
                match known.as_ref().and_then(|known| known.told()) {
                    Some(told) => self.reply(key, ReplyTo::default(), told),
                    None => self.tasks.wait(at, task, Waiter { key, asked: false }),
                }
            }
        } else {
            self.let_go(receipt);
        }
        match (attempt, place) {
            (Some(attempt), Some(lane)) => self.attempt(at, lane, attempt),
            (_, Some(lane)) => self.free(at, lane),
            (_, None) => {
                if known.is_none() && !elsewhere {
                    self.tasks.due(at);
                }
                self.claim(at);
            }
        }
    }

    fn not_accepted(&self, at: usize, reply: &Reply) -> Failure {
        let server = &self.services.at(at).scope.server;
        let (reason, message) = match reply {
            Reply::NotAccepted(AcceptRefusal::KeyConflict) => {
                let message =
                    "the key was used with other arguments; it stands for the outcome of those";
                return Failure::new(Reason::KeyConflict, message);
            }
            Reply::NotAccepted(AcceptRefusal::KeyBusy) => {
                let message = "another server is about to record a task with this key";
                let mut failure = Failure::new(Reason::Busy, message);
                failure.retry_after = Some(Duration::from_millis(20));
                return failure;
            }
            Reply::NotAccepted(AcceptRefusal::TooMany) => (
                Reason::Busy,
                format!(
                    "as many tasks of server `{server}` are unfinished as may be (ledger.max_tasks)"
                ),
            ),
            _ => (
                Reason::Busy,
                format!(
                    "the tasks of server `{server}` have no room for it (ledger.max_bytes, or the disk)"
                ),
            ),
        };
        let mut failure = Failure::new(reason, message);
        failure.retry_after = Some(self.calls.retry_after(at, Instant::now()));
        failure
    }

    /// Begins tasks that are due, as many as there are places for.
    pub(super) fn claim(&mut self, at: usize) {
        if self.draining || !self.tasks.may_claim(at) {
            return;
        }
        let places = (0..CLAIM).take_while(|_| self.calls.reserve(at, Lane::Plain)).count();
        if places > 0 {
            self.claim_for(at, places);
        }
    }

    /// The same for places that are kept already.
    pub(super) fn claim_for(&mut self, at: usize, places: usize) {
        self.tasks.claims(at);
        if !self.tasks.ask(at, Command::Claim { limit: places }, Asked::Claim(places)) {
            self.claimed(at, places, Vec::new());
        }
    }

    fn claimed(&mut self, at: usize, places: usize, attempts: Vec<Attempt>) {
        self.tasks.claimed(at, attempts.len() == places);
        let free = places.saturating_sub(attempts.len());
        for attempt in attempts {
            self.attempt(at, Lane::Plain, attempt);
        }
        for _ in 0..free {
            self.free(at, Lane::Plain);
        }
        self.claim(at);
    }

    /// Runs an attempt, in a place that was kept for it.
    fn attempt(&mut self, at: usize, lane: Lane, attempt: Attempt) {
        let asks = self.tasks.asks(at);
        let tell = Box::new(move |command| {
            // Without an answer, since nothing follows from it.
            let _ = asks.push_joining(Ask { command, back: None }, Ask::join);
        });
        let id = self.tasks.begin(at, &attempt, tell);
        let Attempt { method, params, caller, headers, time_left, .. } = attempt;
        let service = self.services.at(at).scope.service.clone();
        let Some(found) = self.services.at(at).methods.get(&method).copied() else {
            // It was accepted by another version of this service.
            let served = self.services.at(at);
            let known = served.methods.keys().map(|name| &**name);
            let failure =
                unknown(Reason::UnknownMethod, &format!("method of `{service}`"), &method, known);
            self.attempt_ended(id, Err(failure));
            return self.free(at, lane);
        };
        let RecordedCaller { identity, node, uid, pid } = caller;
        let credentials = Credentials { uid, pid, ..Credentials::default() };
        let caller =
            PeerInfo { identity: identity.into(), node: NodeId(node), peer: LEDGER, credentials };
        let options =
            CallOptions { headers, nested: lane == Lane::Nested, ..CallOptions::default() };
        let time_left = time_left.unwrap_or(LONGEST);
        let now = Instant::now();
        let meters = self.services.at_mut(at).meters.method(found.at, &method);
        let call = CallFrame {
            id,
            low: id,
            time_left,
            service,
            method,
            options: options.into_frame(),
            params,
        };
        let watch = meters.map(|meters| super::Watch::arrived(meters, now, false));
        let deadline = now + time_left.min(LONGEST);
        let caller = Rc::new(caller);
        let (call, receipt) = (Box::new(call), None);
        self.run(at, Waiting { caller, method: found, call, deadline, watch, receipt });
    }

    /// A handler of a task is done, or was ended.
    pub(super) fn attempt_ended(&mut self, id: CallId, outcome: Told) {
        let Some(running) = self.tasks.end(id) else { return };
        let (at, scope) = (running.service, running.scope);
        let limit = self.node.config().limits.max_message_bytes;
        let ending = match outcome {
            // It stops with its server, and goes on elsewhere.
            Err(Failure { reason: Reason::Abandoned, .. }) => Ending::Released,
            Err(Failure { reason: Reason::DeadlineExceeded, .. }) => {
                Ending::Outcome(Outcome::Expired)
            }
            Err(failure) if scope.again.get() => Ending::Again(failure.message),
            outcome => {
                Ending::Outcome(Outcome::of(match replies::frame(id, outcome, false, limit) {
                    Frame::Answer { value, .. } => Ok(value),
                    Frame::Failure { failure, .. } => Err(*failure),
                    _ => unreachable!("a call without streams has an answer or a failure"),
                }))
            }
        };
        if broken!("acknowledged before the outcome")
            && let Ending::Outcome(Outcome::Done(value)) = &ending
        {
            for waiter in self.tasks.ended(at, scope.id) {
                self.tell(waiter, Ok(value.clone().into_inner()));
            }
        }
        let finish = Command::Finish { task: scope.id, token: scope.attempt, ending };
        self.tasks.ask(at, finish, Asked::Finish(scope.id));
    }

    fn finished(&mut self, at: usize, task: TaskId, reply: Reply) {
        match reply {
            Reply::Ended(Verdict::Ended(view)) => {
                if view.task.crashes > 0 {
                    // The next that may have killed a server has its turn.
                    self.tasks.due(at);
                }
                self.ended(at, task, &view.task);
            }
            Reply::Ended(Verdict::Again(wait)) if wait.is_zero() => self.tasks.due(at),
            Reply::Fenced => {
                let service = &self.services.at(at).scope.service;
                tracing::info!(%service, %task, "an attempt that was not the current one has ended");
                // Whatever the task came to, somebody may wait for it here.
                self.look(at, task);
            }
            _ => {}
        }
        self.claim(at);
    }

    fn look(&mut self, at: usize, task: TaskId) {
        self.tasks.ask(at, Command::Show(task), Asked::Look(task));
    }

    /// A task has its outcome: whoever waits is told, and whoever still runs it is stopped.
    fn ended(&mut self, at: usize, id: TaskId, task: &Task) {
        let Some(told) = task.told() else { return };
        for waiter in self.tasks.ended(at, id) {
            self.tell(waiter, told.clone());
        }
        if let Some(attempt) = self.tasks.attempt(at, id) {
            self.stop_attempt(attempt);
        }
    }

    fn tell(&mut self, Waiter { key, asked }: Waiter, told: Told) {
        let told = if asked { told.map(|value| here(&value)) } else { told };
        self.reply(key, ReplyTo::default(), told);
    }

    /// Ends a handler whose outcome is of no use any more.
    fn stop_attempt(&mut self, id: CallId) {
        self.tasks.end(id);
        self.cancel((LEDGER, id));
    }

    fn swept(&mut self, at: usize, swept: Swept) {
        for task in swept.expired.into_iter().chain(swept.taken) {
            if let Some(attempt) = self.tasks.attempt(at, task) {
                self.stop_attempt(attempt);
            }
        }
        for task in self.tasks.looked_for(at) {
            self.look(at, task);
        }
        if swept.due {
            self.tasks.due(at);
        }
        self.claim(at);
    }

    /// The store cannot be used any more: what runs is stopped, since its outcome could not be kept.
    fn ledger_failed(&mut self, at: usize, back: Option<Asked>, error: &StoreError) {
        let in_doubt = || Failure::new(Reason::Pending, format!("the ledger has failed: {error}"));
        if let Some(waiters) = self.tasks.fail(at, &error.to_string()) {
            let service = self.services.at(at).scope.service.clone();
            tracing::error!(%service, %error, "the ledger has failed: its tasks go on at another server");
            for waiter in waiters {
                self.tell(waiter, Err(in_doubt()));
            }
            for attempt in self.tasks.attempts(at) {
                self.stop_attempt(attempt);
            }
        }
        match back {
            Some(Asked::Accept(caller, place)) => {
                let waits = self.tasks.recorded(caller.key) && !caller.one_way;
                let to = ReplyTo { one_way: !waits, receipt: caller.receipt, ..ReplyTo::default() };
                // It may be recorded or not.
                self.refuse(caller.key, to, in_doubt());
                if let Some(lane) = place {
                    self.free(at, lane);
                }
            }
            Some(Asked::Claim(places)) => self.claimed(at, places, Vec::new()),
            Some(Asked::Query(caller, _)) => {
                self.refuse(caller, ReplyTo::default(), in_doubt());
            }
            Some(Asked::Finish(_) | Asked::Look(_)) | None => {}
        }
    }

    /// A question about tasks.
    pub(super) fn task_query(&mut self, caller: CallKey, subject: &str, params: &Bytes) {
        let (question, command): (_, fn(TaskId) -> Command) = match subject {
            "task.result" => (Question::Result, Command::Show),
            "task.show" => (Question::Show, Command::Show),
            "task.cancel" => (Question::Cancel, Command::Cancel),
            "task.retry" => (Question::Retry, Command::Retry),
            "task.purge" => (Question::Purge, Command::Purge),
            "task.list" => return self.task_list(caller, params),
            _ => {
                let known = [
                    "task.result",
                    "task.show",
                    "task.cancel",
                    "task.retry",
                    "task.purge",
                    "task.list",
                ];
                let failure = unknown(Reason::UnknownMethod, "query", subject, known);
                return self.refuse(caller, ReplyTo::default(), failure);
            }
        };
        let token = match token(params) {
            Ok(token) => token,
            Err(failure) => return self.refuse(caller, ReplyTo::default(), failure),
        };
        let namespace = self.node.config().namespace.as_str();
        let at = self.services.service(token.service()).ok();
        let at =
            at.filter(|at| token.namespace() == namespace && self.tasks.unusable(*at).is_none());
        let asked = at.is_some_and(|at| {
            self.tasks.ask(at, command(token.id()), Asked::Query(caller, question))
        });
        if !asked {
            self.answer_with(caller, &Answer::<()>::NotHere);
        }
    }

    fn task_list(&mut self, caller: CallKey, params: &Bytes) {
        let parse = || {
            let params = Params::new(params.clone());
            let mut arguments = params.arguments(&["service", "limit"])?;
            let (service, limit): (String, usize) = (arguments.next()?, arguments.next()?);
            arguments.finish()?;
            Ok((service, limit.min(LIST)))
        };
        let (service, limit) = match parse() {
            Ok(parsed) => parsed,
            Err(failure) => return self.refuse(caller, ReplyTo::default(), failure),
        };
        let at =
            self.services.service(&service).ok().filter(|at| self.tasks.unusable(*at).is_none());
        let command = Command::List { limit };
        let back = Asked::Query(caller, Question::List);
        if !at.is_some_and(|at| self.tasks.ask(at, command, back)) {
            self.answer_with(caller, &Answer::<()>::NotHere);
        }
    }

    fn answer(&mut self, at: usize, caller: CallKey, question: Question, reply: Reply) {
        let namespace = self.node.config().namespace.to_string();
        let service = self.services.at(at).scope.service.clone();
        let info = |view| TaskInfo::new(&namespace, &service, view);
        match (question, reply) {
            (_, Reply::NotHere) => self.answer_with(caller, &Answer::<()>::NotHere),
            (_, Reply::Unknown) => self.answer_with(caller, &Answer::<()>::Unknown),
            (_, Reply::NotDead) => self.answer_with(caller, &Answer::<()>::NotDead),
            (_, Reply::NotEnded) => self.answer_with(caller, &Answer::<()>::NotEnded),
            (Question::Result, Reply::Shown(view)) => match view.task.told() {
                Some(told) => self.tell(Waiter { key: caller, asked: true }, told),
                None => self.tasks.wait(at, view.id, Waiter { key: caller, asked: true }),
            },
            (_, Reply::Shown(view)) => self.answer_with(caller, &Answer::Here(info(*view))),
            (_, Reply::Ended(Verdict::Ended(view))) => {
                self.ended(at, view.id, &view.task);
                self.answer_with(caller, &Answer::Here(view.task.word()));
            }
            (_, Reply::Accepted(accepted)) => {
                let token = self.tasks.token(at, accepted.task).to_string();
                self.answer_with(caller, &Answer::Here(token));
                self.tasks.due(at);
                self.claim(at);
            }
            (_, Reply::Listed(tasks, all)) => {
                let tasks: Vec<TaskInfo> = tasks.into_iter().map(info).collect();
                self.answer_with(caller, &Answer::Here((tasks, all)));
            }
            _ => self.answer_with(caller, &Answer::Here(())),
        }
    }

    fn answer_with<T: Serialize>(&mut self, caller: CallKey, answer: &Answer<T>) {
        let told = value::encode(answer).map(Bytes::from);
        let told = told.map_err(|it| Failure::new(Reason::ResultUnencodable, it.to_string()));
        self.reply(caller, ReplyTo::default(), told);
    }

    /// Lets go of all ledgers. The future ends when they are, or it takes too long.
    pub(super) fn close_ledgers(&mut self) -> ResponseFuture<()> {
        for caller in self.tasks.all_waiters() {
            self.refuse(caller, ReplyTo::default(), Failure::new(Reason::Pending, STOPS));
        }
        let closed = join_all(self.tasks.close());
        Box::pin(async move {
            if tokio::time::timeout(CLOSE, closed).await.is_err() {
                tracing::error!("a ledger takes too long to be closed");
            }
        })
    }
}

/// Why nothing is recorded any more. Another server may have a ledger that works, and this one still has methods that need
/// none: so it is not said to be leaving.
fn broken(why: &str) -> Failure {
    let mut failure = Failure::new(Reason::Busy, format!("the server's ledger has failed: {why}"));
    failure.retry_after = Some(Duration::from_secs(1));
    failure
}

/// A task's value as the answer to a question, without reading it: a map from `here`.
fn here(value: &Bytes) -> Bytes {
    const HEAD: &[u8] = &[0xa1, 0x64, b'h', b'e', b'r', b'e'];
    [HEAD, value].concat().into()
}

fn token(params: &Bytes) -> Result<TaskToken, Failure> {
    let params = Params::new(params.clone());
    let mut arguments = params.arguments(&["token"])?;
    let token: String = arguments.next()?;
    arguments.finish()?;
    token.parse().map_err(|error| Failure::new(Reason::WrongArguments, format!("token: {error}")))
}

impl StreamHandler<Vec<FromLedger<Asked>>> for ServerActor {
    fn handle(&mut self, batch: Vec<FromLedger<Asked>>, ctx: &mut Context<Self>) {
        for said in batch {
            self.ledger_said(said);
        }
        self.settle(ctx);
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}
