//! A holder of tasks: its connection, its lease, and what it says.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farcall_core::ledger::{Command, Ending, Opening, Outcome, Reply, StoreError, TaskId};
use farcall_core::transport::Backoff;
use farcall_core::wire::Durability;
use redis::aio::MultiplexedConnection;
use redis::{PushKind, RedisError, Value};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, oneshot};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::{commands, durability, replies};
use crate::config::RedisConfig;
use crate::connect::{Connection, Connector, Kind, Purpose, Pushes};
use crate::fault::{Fault, classify, words};
use crate::keys::Keys;
use crate::reply;
use crate::scripts::{Arguments, Scripts};

/// The longest time between two renewals, and so what a holder's death goes unnoticed beyond its lease.
const LONGEST_PERIOD: Duration = Duration::from_secs(1);

/// What one script is given at most, beyond one command: the broker does nothing else meanwhile.
const CHUNK: usize = 256;
const CHUNK_BYTES: usize = 1 << 20;

/// How long the broker knows what it said last to a holder.
const SAID: Duration = Duration::from_secs(3600);

/// How long a server waits for another one of its identity to be gone.
const TAKEN: Duration = Duration::from_secs(2);

/// Commands that go together, and who waits for the replies.
pub(super) struct Batch {
    commands: Vec<Command>,
    replies: Vec<Reply>,
    tell: oneshot::Sender<Result<Vec<Reply>, StoreError>>,
    /// What was said and not answered.
    said: Option<Said>,
    /// The broker had no memory for it.
    no_memory: bool,
}

/// A part of a batch that the broker may have done.
#[derive(Clone, Copy, Debug)]
struct Said {
    number: u64,
    commands: usize,
    since: Instant,
}

impl Batch {
    pub(super) fn new(
        commands: Vec<Command>,
        tell: oneshot::Sender<Result<Vec<Reply>, StoreError>>,
    ) -> Self {
        Batch { commands, replies: Vec::new(), tell, said: None, no_memory: false }
    }

    /// How many of the next commands one script takes.
    fn chunk(&self) -> usize {
        let mut bytes = 0;
        let rest = &self.commands[self.replies.len()..];
        let fits = |command: &&Command| {
            let before = bytes;
            bytes += match command {
                Command::Accept(new) => new.params.len(),
                Command::Finish { ending: Ending::Outcome(Outcome::Done(value)), .. }
                | Command::Progress { value, .. } => value.len(),
                _ => 0,
            };
            before < CHUNK_BYTES
        };
        rest.iter().take(CHUNK).take_while(fits).count()
    }
}

/// One holder's time between its beginning and its end at the broker.
#[derive(Clone, Debug)]
struct Session {
    epoch: String,
    ledger: Uuid,
    run: String,
}

/// One server's part in a ledger, from its thread's point of view.
pub(super) struct Holder {
    connector: Connector,
    keys: Keys,
    at: Opening,
    lease: Duration,
    wanted: Durability,
    changed: Arc<Notify>,
    opened: Cell<Option<oneshot::Sender<Result<Durability, StoreError>>>>,
    session: RefCell<Option<Session>>,
    /// The last renewal, and since when each came in time.
    renewed: Cell<Instant>,
    sound_since: Cell<Instant>,
    batch: RefCell<Option<Batch>>,
    numbers: Cell<u64>,
    /// The attempts that run here; and the tasks of those that ran here under an earlier epoch, which is not known
    /// yet to whoever runs them.
    running: RefCell<HashMap<TaskId, u64>>,
    taken: RefCell<Vec<TaskId>>,
}

/// Why a connection is given up.
#[derive(Debug)]
enum End {
    /// The store is closed.
    Closed,
    /// Another connection, or another epoch, may do.
    Again(String),
    /// It is of no use.
    Hopeless(StoreError),
}

impl From<RedisError> for End {
    fn from(error: RedisError) -> Self {
        match classify(&error) {
            Fault::NoPermission(why) | Fault::Bug(why) => End::Hopeless(refused(&why)),
            _ => End::Again(words(&error)),
        }
    }
}

fn refused(why: &str) -> StoreError {
    StoreError::new(format!("the broker does not keep the ledger: {why}"))
}

impl Holder {
    pub(super) fn new(
        connector: Connector,
        config: &RedisConfig,
        at: Opening,
        changed: Arc<Notify>,
        opened: oneshot::Sender<Result<Durability, StoreError>>,
    ) -> Self {
        let keys = Keys::new(&at.namespace, &at.service, connector.database());
        let now = Instant::now();
        Holder {
            connector,
            keys,
            at,
            lease: config.lease,
            wanted: config.durability,
            changed,
            opened: Cell::new(Some(opened)),
            session: RefCell::new(None),
            renewed: Cell::new(now),
            sound_since: Cell::new(now),
            batch: RefCell::new(None),
            numbers: Cell::new(0),
            running: RefCell::new(HashMap::new()),
            taken: RefCell::new(Vec::new()),
        }
    }

    /// Starts its thread, which ends when `orders` does.
    pub(super) fn start(self, orders: UnboundedReceiver<Batch>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || runtime.block_on(self.run(orders));
        std::thread::Builder::new().name("farcall-ledger".to_owned()).spawn(run).map(drop)
    }

    async fn run(self, mut orders: UnboundedReceiver<Batch>) {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2)).at_once();
        loop {
            tokio::time::sleep(backoff.next(Backoff::random())).await;
            if orders.is_closed() && orders.is_empty() && self.batch.borrow().is_none() {
                return;
            }
            let end = match self.connector.connect(&self.keys.prefix, Purpose::Pushes).await {
                Ok(connection) => self.stay(connection, &mut orders, &mut backoff).await,
                Err(error) if error.kind == Kind::Hopeless && self.session.borrow().is_none() => {
                    End::Hopeless(StoreError::new(error.message))
                }
                Err(error) => End::Again(error.message),
            };
            match end {
                End::Closed => return,
                End::Again(why) => {
                    tracing::debug!(service = %self.at.service, why, "the ledger is not reached");
                }
                End::Hopeless(error) => return self.fail(&error, orders).await,
            }
        }
    }

    /// Whoever asks is told why there is nothing more.
    async fn fail(&self, error: &StoreError, mut orders: UnboundedReceiver<Batch>) {
        if let Some(opened) = self.opened.take() {
            let _ = opened.send(Err(error.clone()));
        }
        let batch = self.batch.take();
        if let Some(batch) = batch {
            let _ = batch.tell.send(Err(error.clone()));
        }
        while let Some(batch) = orders.recv().await {
            let _ = batch.tell.send(Err(error.clone()));
        }
    }

    /// Uses a connection until it is lost, or this is no holder any more.
    async fn stay(
        &self,
        connection: Connection,
        orders: &mut UnboundedReceiver<Batch>,
        backoff: &mut Backoff,
    ) -> End {
        let Connection { mut io, run_id, pushes, .. } = connection;
        let Some(pushes) = pushes else { return End::Again("no pushes".to_owned()) };
        if let Err(end) = self.begin(&mut io, &run_id).await {
            return end;
        }
        let began = Instant::now();
        // Something may have been missed.
        self.changed.notify_one();
        let mut other = io.clone();
        let end = tokio::select! {
            end = self.listen(&mut other, pushes) => end,
            end = self.work(&mut io, orders) => end,
        };
        if began.elapsed() >= LONGEST_PERIOD {
            backoff.reset();
        }
        match end {
            Ok(()) => {
                self.leave(&mut io).await;
                End::Closed
            }
            Err(end) => end,
        }
    }

    /// What all scripts of a ledger begin with.
    fn arguments(&self, session: Option<&Session>, run: &str) -> Arguments {
        let policy = &self.at.policy;
        let chance = Backoff::random() as f64 / u64::MAX as f64;
        let mut arguments = Arguments::new(&self.keys, &self.at.server);
        arguments.add(self.node()).add(session.map_or("0", |session| &session.epoch)).add(run);
        arguments.add(self.lease.as_micros()).add(chance);
        arguments.add(policy.crashes).add(policy.failures);
        arguments.add(policy.backoff.as_micros()).add(policy.longest_backoff.as_micros());
        arguments.add(policy.retention.as_micros()).add(policy.dead_retention.as_micros());
        arguments.add(policy.max_dead).add(policy.max_unfinished).add(policy.max_bytes);
        arguments
    }

    fn session(&self) -> Option<Session> {
        self.session.borrow().clone()
    }

    /// A holder that cannot show that it lives stops before others take its tasks.
    fn is_late(&self) -> bool {
        self.renewed.get().elapsed() > self.lease * 2 / 3
    }

    /// Listens, and goes on as the holder it was, or begins anew.
    async fn begin(&self, io: &mut MultiplexedConnection, run: &str) -> Result<(), End> {
        let alive = format!("{}ledger:{}:{}", self.keys.channels, self.node(), self.at.server);
        for channel in [format!("{}ledger", self.keys.channels), alive] {
            let mut command = redis::cmd("SSUBSCRIBE");
            command.arg(channel);
            reply::to(io, &command).await?;
        }
        if let Some(session) = self.session() {
            if session.run == run && !self.is_late() && self.renew(io, &session).await? {
                return Ok(());
            }
            self.end(io, &session).await?;
        }
        self.open(io, run).await
    }

    fn node(&self) -> String {
        self.at.node.0.simple().to_string()
    }

    /// What may have been done under the old epoch has been done, or never will be.
    async fn end(&self, io: &mut MultiplexedConnection, session: &Session) -> Result<(), End> {
        let is_in_doubt = || self.batch.borrow().as_ref().is_some_and(|batch| batch.said.is_some());
        while is_in_doubt() {
            if !self.say(io, session).await? {
                // It was not done: the next epoch says it.
                if let Some(batch) = &mut *self.batch.borrow_mut() {
                    batch.said = None;
                }
            }
        }
        tracing::warn!(
            service = %self.at.service,
            "the ledger takes this server for gone: it begins anew, and what it ran goes on as another attempt"
        );
        *self.session.borrow_mut() = None;
        self.taken.borrow_mut().extend(self.running.borrow_mut().drain().map(|(task, _)| task));
        Ok(())
    }

    async fn open(&self, io: &mut MultiplexedConnection, run: &str) -> Result<(), End> {
        let has = durability::of(io).await?;
        durability::check(self.wanted, has).map_err(End::Hopeless)?;
        let began = Instant::now();
        loop {
            let asked = Instant::now();
            let mut arguments = self.arguments(None, run);
            arguments.add(Uuid::new_v4().simple());
            let reply = Scripts::shared().ledger_open.run(io, &arguments).await?;
            let items: Vec<&str> = match reply::array(&reply) {
                Some(items) => items.iter().filter_map(reply::text).collect(),
                None => Vec::new(),
            };
            match items[..] {
                ["ok", epoch, ledger] => {
                    let ledger = Uuid::try_parse(ledger).map_err(|_| garbage())?;
                    let (epoch, run) = (epoch.to_owned(), run.to_owned());
                    *self.session.borrow_mut() = Some(Session { epoch, ledger, run });
                    self.renewed.set(asked);
                    self.sound_since.set(Instant::now());
                    if let Some(opened) = self.opened.take() {
                        let _ = opened.send(Ok(has));
                    }
                    return Ok(());
                }
                // One that was just killed may look alive for a moment.
                ["taken"] if began.elapsed() < TAKEN => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                ["taken"] => {
                    let message = format!(
                        "another live server has the id `{}` in the ledger of the broker",
                        self.at.server
                    );
                    return Err(End::Hopeless(StoreError::new(message)));
                }
                ["format", format] => {
                    let message = format!(
                        "the ledger in the broker is of format {format}, this version knows 1: a later version wrote it"
                    );
                    return Err(End::Hopeless(StoreError::new(message)));
                }
                _ => return Err(garbage()),
            }
        }
    }

    /// Renews the lease. `false` if this is no holder any more.
    async fn renew(&self, io: &mut MultiplexedConnection, of: &Session) -> Result<bool, End> {
        let asked = Instant::now();
        if asked - self.renewed.get() > self.lease / 2 {
            self.sound_since.set(asked);
        }
        let is_sound = self.sound_since.get().elapsed() >= self.lease;
        let mut arguments = self.arguments(Some(of), &of.run);
        arguments.add(u8::from(is_sound));
        let reply = Scripts::shared().ledger_renew.run(io, &arguments).await?;
        let is_holder =
            reply::array(&reply).and_then(|items| reply::text(items.first()?)) == Some("ok");
        if is_holder {
            // Counted from when it was asked for: the broker did so later.
            self.renewed.set(asked);
        }
        Ok(is_holder)
    }

    /// Renews the lease and hears of changes.
    async fn listen(&self, io: &mut MultiplexedConnection, mut pushes: Pushes) -> Result<(), End> {
        let mut ticks = tokio::time::interval((self.lease / 10).min(LONGEST_PERIOD));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let Some(session) = self.session() else { return Err(fenced()) };
        loop {
            tokio::select! {
                push = pushes.next() => match push {
                    None => return Err(End::Again("the connection is lost".to_owned())),
                    Some(push) => match push.kind {
                        PushKind::Disconnection | PushKind::SUnsubscribe => {
                            return Err(End::Again("the connection is lost".to_owned()));
                        }
                        PushKind::SMessage => {
                            let by = push.data.get(1).and_then(reply::text);
                            if by != Some(&session.epoch) {
                                self.changed.notify_one();
                            }
                        }
                        _ => {}
                    },
                },
                _ = ticks.tick() => {
                    if !self.renew(io, &session).await? || self.is_late() {
                        return Err(fenced());
                    }
                }
            }
        }
    }

    /// Says one batch after the other. It ends when there are no more.
    async fn work(
        &self,
        io: &mut MultiplexedConnection,
        orders: &mut UnboundedReceiver<Batch>,
    ) -> Result<(), End> {
        let Some(session) = self.session() else { return Err(fenced()) };
        loop {
            if self.batch.borrow().is_none() {
                let Some(batch) = orders.recv().await else { return Ok(()) };
                *self.batch.borrow_mut() = Some(batch);
            }
            let is_done = |batch: &Option<Batch>| {
                batch.as_ref().is_some_and(|batch| batch.replies.len() == batch.commands.len())
            };
            while !is_done(&self.batch.borrow()) {
                if !self.say(io, &session).await? {
                    return Err(fenced());
                }
            }
            let done = self.batch.take();
            if let Some(batch) = done {
                let _ = batch.tell.send(Ok(batch.replies));
            }
        }
    }

    /// Says a part of the batch, or says it again. `false` if this is no holder any more, and it was not done.
    async fn say(&self, io: &mut MultiplexedConnection, by: &Session) -> Result<bool, End> {
        let Some((arguments, memory)) = self.next(by)? else { return Ok(true) };
        let scripts = Scripts::shared();
        let script = if memory { &scripts.ledger_with_memory } else { &scripts.ledger };
        let reply = match script.run(io, &arguments).await {
            Err(error) if classify(&error) == Fault::OutOfMemory && memory => {
                if let Some(batch) = &mut *self.batch.borrow_mut() {
                    batch.no_memory = true;
                }
                return Ok(true);
            }
            reply => reply?,
        };
        let mut items = reply::into_array(reply).ok_or_else(garbage)?.into_iter();
        match items.next().as_ref().and_then(reply::text) {
            Some("ok") => self.answered(by, items),
            Some("fenced") => Ok(false),
            _ => Err(garbage()),
        }
    }

    /// What is to be said next, and whether it needs memory.
    fn next(&self, by: &Session) -> Result<Option<(Arguments, bool)>, End> {
        let batch = &mut *self.batch.borrow_mut();
        let Some(batch) = batch else { return Ok(None) };
        let said = match batch.said {
            Some(said) if said.since.elapsed() > SAID / 2 => {
                let message =
                    "the broker was away for too long: it is not known what it has recorded";
                return Err(End::Hopeless(StoreError::new(message)));
            }
            Some(said) => said,
            None => {
                self.numbers.set(self.numbers.get() + 1);
                Said { number: self.numbers.get(), commands: batch.chunk(), since: Instant::now() }
            }
        };
        let again = batch.said.replace(said).is_some();
        let from = batch.replies.len();
        let commands = &batch.commands[from..from + said.commands];
        let memory = !batch.no_memory && commands.iter().any(commands::needs_memory);
        let mut arguments = self.arguments(Some(by), &by.run);
        arguments.add(said.number).add(u8::from(batch.no_memory));
        arguments.add(SAID.as_millis()).add(u8::from(again));
        let fenced = !self.taken.borrow().is_empty();
        for command in commands {
            let words = commands::words(command, by.ledger, fenced);
            let words = words.map_err(|error| End::Hopeless(refused(&error.to_string())))?;
            for word in words.into_iter().flatten() {
                arguments.bytes(word);
            }
        }
        Ok(Some((arguments, memory)))
    }

    fn answered(&self, by: &Session, mut said: impl Iterator<Item = Value>) -> Result<bool, End> {
        let batch = &mut *self.batch.borrow_mut();
        let Some(batch) = batch else { return Ok(true) };
        let count = batch.said.take().map_or(0, |said| said.commands);
        batch.no_memory = false;
        for _ in 0..count {
            let command = &batch.commands[batch.replies.len()];
            let reply = match of(command).filter(|task| task.ledger != by.ledger) {
                Some(_) => Reply::NotHere,
                None => {
                    let value = said.next().ok_or_else(garbage)?;
                    replies::read(value, by.ledger).ok_or_else(garbage)?
                }
            };
            let reply = self.follow(command, reply);
            batch.replies.push(reply);
        }
        Ok(true)
    }

    /// Keeps account of what runs here.
    fn follow(&self, command: &Command, mut reply: Reply) -> Reply {
        let mut running = self.running.borrow_mut();
        match (&mut reply, command) {
            (Reply::Accepted(accepted), _) if accepted.attempt.is_some() => {
                running
                    .extend(accepted.attempt.iter().map(|attempt| (attempt.task, attempt.token)));
            }
            (Reply::Claimed(attempts), _) => {
                running.extend(attempts.iter().map(|attempt| (attempt.task, attempt.token)));
            }
            (_, Command::Finish { task, token, .. }) => {
                if running.get(task) == Some(token) {
                    running.remove(task);
                }
                // Whoever ran it knows.
                self.taken.borrow_mut().retain(|taken| taken != task);
            }
            (Reply::Swept(swept), _) => swept.taken = self.taken.take(),
            _ => {}
        }
        reply
    }

    /// What it had is anybody's. Without the broker, that is so when the lease is over.
    async fn leave(&self, io: &mut MultiplexedConnection) {
        if let Some(session) = self.session() {
            let arguments = self.arguments(Some(&session), &session.run);
            if let Err(error) = Scripts::shared().ledger_leave.run(io, &arguments).await {
                tracing::debug!(service = %self.at.service, %error, "the ledger was left in silence");
            }
        }
    }
}

/// The task of a command, if it is of one.
fn of(command: &Command) -> Option<TaskId> {
    match command {
        Command::Finish { task, .. }
        | Command::Progress { task, .. }
        | Command::Cancel(task)
        | Command::Retry(task)
        | Command::Purge(task)
        | Command::Show(task) => Some(*task),
        Command::Accept(_) | Command::Claim { .. } | Command::List { .. } | Command::Sweep => None,
    }
}

fn fenced() -> End {
    End::Again("it is no holder any more".to_owned())
}

fn garbage() -> End {
    End::Hopeless(StoreError::new("the ledger in the broker is not readable"))
}
