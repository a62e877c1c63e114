//! A storm as it is played: who runs, who is killed, and what is looked at in the end.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use farcall::{Config, MethodError, Node, Task, TaskInfo};
use farcall_testkit::Remote;
use futures::future::{Either, select};
use futures::stream::{self, StreamExt};

use super::chance::Chance;
use super::ground::Ground;
use super::report::{Report, Tally};
use super::{DEATH, EFFECTS, Effect, History, Point, Record, SERVICE, TOLD, Told, Violation, Word};
use crate::Process;

/// How a storm is to be played.
#[derive(Clone, Debug)]
pub struct Storm {
    /// What carries the calls.
    pub transport: String,
    /// Where they are recorded.
    pub store: String,
    /// Everything that is chance follows from it.
    pub seed: u64,
    /// How often servers are killed, or die at a point.
    pub kills: u64,
}

/// The programs of a storm's processes.
#[derive(Clone, Debug)]
pub struct Programs {
    /// See [`serve`](super::serve).
    pub server: PathBuf,
    /// See [`visit`](super::visit).
    pub client: PathBuf,
}

const SERVERS: [&str; 3] = ["a", "b", "c"];
const CLIENTS: u64 = 2;

/// How long it may take until all is at rest.
const REST: Duration = Duration::from_secs(40);

impl Storm {
    /// Plays it, and checks what happened. It blocks the calling thread.
    ///
    /// # Errors
    /// Nothing can be played with this transport and this store.
    ///
    /// # Panics
    /// Processes cannot be started, or files not be written.
    pub fn play(&self, programs: &Programs) -> Result<Report, String> {
        let played = Played {
            ground: Ground::new(&self.transport, &self.store)?,
            chance: Chance::new(self.seed, "storm"),
            seed: self.seed,
            programs: programs.clone(),
            slots: SERVERS.into_iter().map(Slot::new).collect(),
            clients: Vec::new(),
            calm: false,
            patience: REST,
            found: Vec::new(),
            tally: Tally::default(),
        };
        Ok(farcall::block_on(played.play(self.kills)))
    }
}

struct Played {
    ground: Ground,
    programs: Programs,
    chance: Chance,
    seed: u64,
    slots: Vec<Slot>,
    clients: Vec<Process>,
    /// Nobody is killed any more, but by poison.
    calm: bool,
    /// How long it may take until something is at rest.
    patience: Duration,
    /// What went wrong on the way.
    found: Vec<String>,
    tally: Tally,
}

/// A place for a server.
struct Slot {
    id: &'static str,
    /// How often its server got another id.
    renamed: u64,
    process: Option<Process>,
    /// When the next is to be started, if there is none.
    due: Instant,
    /// Stopped in its tracks until then.
    paused: Option<Instant>,
}

impl Slot {
    fn new(id: &'static str) -> Self {
        Slot { id, renamed: 0, process: None, due: Instant::now(), paused: None }
    }

    fn name(&self) -> String {
        match self.renamed {
            0 => self.id.to_owned(),
            times => format!("{}{times}", self.id),
        }
    }
}

impl Played {
    async fn play(mut self, kills: u64) -> Report {
        for _ in 0..CLIENTS {
            let client = self.start_client();
            self.clients.push(client);
        }
        while self.tally.killed + self.died_at_points() < kills {
            self.step();
            tokio::time::sleep(Duration::from_millis(self.chance.of(5..60))).await;
        }
        self.calm = true;
        let mut history = History { has_leases: self.ground.has_leases(), ..History::default() };
        self.dismiss_clients().await;
        let node = self.node().await;
        history.told = Told::read(&self.told()).expect("clients have written it");
        let accepted = history.told.iter().filter_map(|told| match told {
            Told::Accepted { task, .. } => Some(task.clone()),
            _ => None,
        });
        let accepted: BTreeSet<String> = accepted.collect();
        history.told.extend(self.outcomes(&node, &accepted).await);
        for slot in 0..self.slots.len() {
            self.stop(slot);
        }
        // Those who come after have everything.
        self.slots = vec![Slot::new("y")];
        history.records = self.records(&node).await;
        self.stop(0);
        self.slots = vec![Slot::new("z")];
        history.again = self.records(&node).await;
        history.told.extend(self.outcomes(&node, &accepted).await);
        self.stop(0);
        node.close().await;
        let keyed = history.records.iter().filter(|record| record.key.is_some()).count();
        history.remains = self.ground.remains(keyed);
        history.effects = Effect::read(&self.effects()).expect("servers have written it");
        self.report(&history)
    }

    fn report(self, history: &History) -> Report {
        let mut violations = history.check();
        let found = self.found.into_iter();
        violations.extend(found.map(|what| Violation { rule: "the storm ends", what }));
        Report::new(&self.tally, history, violations)
    }

    fn effects(&self) -> PathBuf {
        self.ground.path().join("effects")
    }

    fn told(&self) -> PathBuf {
        self.ground.path().join("told")
    }

    /// How many servers died by themselves without poison.
    fn died_at_points(&self) -> u64 {
        self.tally.ended.saturating_sub(self.tally.poisoned)
    }

    /// Sees to those who died and are due, and does something to somebody.
    fn step(&mut self) {
        self.revive();
        let slot = usize::try_from(self.chance.of(0..SERVERS.len() as u64)).expect("it is small");
        match self.chance.of(0..100) {
            0..20 => self.kill(slot),
            20..24 => self.stop(slot),
            24..30 => self.pause(slot),
            30..32 => {
                let at = usize::try_from(self.chance.of(0..CLIENTS)).expect("it is small");
                self.clients[at].kill();
                self.clients[at] = self.start_client();
                self.tally.killed_clients += 1;
            }
            _ => {}
        }
    }

    /// Notices who has died, lets go on who was stopped for long enough, and starts who is due.
    fn revive(&mut self) {
        let now = Instant::now();
        for at in 0..self.slots.len() {
            let slot = &mut self.slots[at];
            if slot.paused.is_some_and(|until| until <= now) {
                slot.paused = None;
                if let Some(process) = &slot.process {
                    process.resume();
                }
            }
            if let Some(process) = &mut slot.process
                && let Some(status) = process.has_ended()
            {
                let id = process.id();
                // Those that die by themselves have said so, and say nothing else.
                if status.code().is_some() {
                    self.found
                        .push(format!("server {} has ended by itself: {status}", slot.name()));
                }
                self.tally.ended += 1;
                self.is_gone(at, id);
            }
            let slot = &self.slots[at];
            if slot.process.is_none() && (slot.due <= now || self.calm) {
                self.slots[at].process = Some(self.start_server(at));
            }
        }
    }

    /// A server has died. The next gets its turn.
    fn is_gone(&mut self, at: usize, process: u32) {
        self.note(&Effect::death(process));
        let effects = Effect::read(&self.effects()).expect("servers have written it");
        let poisoned = effects.iter().filter(|it| it.deed == super::Deed::Poisoned).count();
        self.tally.poisoned = poisoned as u64;
        let slot = &mut self.slots[at];
        (slot.process, slot.paused) = (None, None);
        if self.calm {
            return;
        }
        // Some stay away for so long that others take over.
        let away = if self.chance.percent(15) { 500..2500 } else { 0..150 };
        slot.due = Instant::now() + Duration::from_millis(self.chance.of(away));
        slot.renamed += u64::from(self.chance.percent(25));
    }

    fn note(&self, effect: &Effect) {
        effect.append(&self.effects()).expect("it can be written");
    }

    fn kill(&mut self, at: usize) {
        let Some(mut process) = self.slots[at].process.take() else { return };
        let id = process.id();
        // Before it happens: whoever begins after that has a reason.
        self.note(&Effect::death(id));
        process.kill();
        self.tally.killed += 1;
        self.is_gone(at, id);
    }

    /// Asks a server to stop, and waits until it has.
    fn stop(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let Some(mut process) = slot.process.take() else { return };
        if slot.paused.is_some() {
            process.resume();
        }
        let (id, status) = (process.id(), process.stop());
        if status.code().is_some_and(|code| code != 0) {
            self.found.push(format!("server {} was told to stop: {status}", slot.name()));
        }
        // It may have died on its way.
        self.tally.ended += u64::from(status.code().is_none());
        self.tally.stopped += u64::from(status.code().is_some());
        self.is_gone(at, id);
    }

    fn pause(&mut self, at: usize) {
        let longest = self.ground.longest_pause().as_millis();
        let pause = self.chance.of(20..u64::try_from(longest).expect("it is short"));
        let slot = &mut self.slots[at];
        if let (Some(process), None) = (&mut slot.process, slot.paused)
            && process.has_ended().is_none()
        {
            process.pause();
            slot.paused = Some(Instant::now() + Duration::from_millis(pause));
            self.tally.paused += 1;
        }
    }

    fn start_server(&self, at: usize) -> Process {
        let mut command = self.command(&self.programs.server);
        command
            .env("FARCALL_SERVER__ID", self.slots[at].name())
            // Few, so that tasks wait in the ledger.
            .env("FARCALL_SERVER__CONCURRENCY", "4")
            .env("FARCALL_SERVER__DRAIN", "100ms")
            .env(EFFECTS, self.effects());
        if !self.calm && self.chance.percent(60) {
            let point = self.chance.pick(&Point::ALL);
            let times = if point.is_rare() { 1 } else { self.chance.of(1..25) };
            command.env(DEATH, format!("{} {times}", point.name()));
        }
        Process::new(command.spawn().expect("the server's program starts"))
    }

    fn start_client(&mut self) -> Process {
        self.tally.clients += 1;
        let mut command = self.command(&self.programs.client);
        command
            .args([self.seed, self.tally.clients].map(|word| word.to_string()))
            .env("FARCALL_CLIENT__WAIT_FOR_SERVER", "30s")
            .env(TOLD, self.told());
        Process::new(command.spawn().expect("the client's program starts"))
    }

    fn command(&self, program: &PathBuf) -> Command {
        let mut command = Command::new(program);
        command.envs(self.ground.variables()).stdin(Stdio::piped());
        command
    }

    /// Tells clients to come to an end, and waits until they have everything that they wait for.
    async fn dismiss_clients(&mut self) {
        for client in &mut self.clients {
            client.say("stop");
        }
        let mut clients = std::mem::take(&mut self.clients);
        let mut left = async || {
            clients.retain_mut(|client| client.has_ended().is_none_or(|status| !status.success()));
            clients.is_empty()
        };
        if !self.until(&mut left).await {
            self.found.push("clients wait for tasks that do not end".to_owned());
        }
    }

    /// Asks again and again, and sees to it that servers run. `false` if it does not hold in time.
    async fn until(&mut self, holds: &mut impl AsyncFnMut() -> bool) -> bool {
        let began = Instant::now();
        loop {
            self.revive();
            if holds().await {
                return true;
            }
            if began.elapsed() > self.patience {
                // Something is wrong already; the rest is looked at, and not waited for.
                self.patience = Duration::from_secs(2);
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn node(&self) -> Node {
        let mut config = Config::default();
        config.client.wait_for_server = REST;
        Node::open_with(config, self.ground.transport()).await.expect("the transport opens")
    }

    /// The outcome of every task that was accepted, read as clients do.
    async fn outcomes(&mut self, node: &Node, accepted: &BTreeSet<String>) -> Vec<Told> {
        let read = async |token: &str| {
            let task = Task::<u64, MethodError<String>>::attach(node, token.parse().ok()?);
            let word = Word::of(task.result().timeout(REST).await)?;
            Some(Told::Outcome(token.to_owned(), word))
        };
        let outcomes: Vec<Option<Told>> = {
            let read = stream::iter(accepted).map(|token| read(token)).buffer_unordered(64);
            let mut never = async || false;
            match select(pin!(read.collect()), pin!(self.until(&mut never))).await {
                Either::Left((outcomes, _)) => outcomes,
                Either::Right(_) => Vec::new(),
            }
        };
        let outcomes: Vec<Told> = outcomes.into_iter().flatten().collect();
        let (ended, all) = (outcomes.len(), accepted.len());
        if ended < all {
            self.found.push(format!("{ended} of {all} tasks have an outcome to read"));
        }
        outcomes
    }

    /// What the only server says of all tasks, when nothing is left to do.
    async fn records(&mut self, node: &Node) -> Vec<Record> {
        let mut records = Vec::new();
        let name = self.slots[0].name();
        let ground = self.ground.clone();
        let storm = node.client(SERVICE);
        let mut rests = async || {
            let has_all = ground.has_all(&name);
            let Ok(tasks) = storm.tasks(10_000).await else { return false };
            let rests = has_all && !tasks.is_empty() && tasks.iter().all(TaskInfo::is_ended);
            records = tasks.into_iter().map(Record::from).collect();
            rests
        };
        let at_rest = self.until(&mut rests).await;
        if !at_rest {
            self.found.push("some tasks have not ended, or nobody has their ledger".to_owned());
        }
        records.sort_by(|a: &Record, b| a.task.cmp(&b.task));
        records
    }
}

impl From<TaskInfo> for Record {
    fn from(task: TaskInfo) -> Self {
        Record {
            task: task.token,
            method: task.method,
            key: task.key,
            state: task.state,
            attempts: task.attempts,
            crashes: task.crashes,
            failures: task.failures,
            interruptions: task.interruptions,
        }
    }
}
