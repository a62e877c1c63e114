//! The thread of a server's ledgers: takes what waits, decides, writes it with one sync, and answers.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Write};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::database::{Database, WriteError};
use super::folder::{Folder, Lock, failed};
use super::keys::Keys;
use crate::ledger::{
    AcceptRefusal, Accepted, Change, Command, Holder, Key, Moment, NewTask, Opening, Reply,
    StoreError, Swept, TaskId, broken,
};

/// One batch, and who waits for it.
pub(super) struct Job {
    pub(super) batch: Vec<Command>,
    pub(super) reply: oneshot::Sender<Result<Vec<Reply>, StoreError>>,
}

/// All ledgers that one server has of one service.
pub(super) struct Writer {
    folder: Folder,
    keys: Keys,
    at: Opening,
    /// The first takes the new tasks; the others were adopted.
    held: Vec<Held>,
    /// Ledgers that were found free, and when first.
    free: HashMap<Uuid, Instant>,
    /// Ledgers that cannot be read.
    broken: HashSet<Uuid>,
    looked: Instant,
    /// The disk is: no new tasks.
    full: bool,
}

/// One ledger.
struct Held {
    database: Option<Database>,
    holder: Holder,
    /// Made in the book, and not written yet.
    changes: Vec<Change>,
    /// Of the keyed tasks that are recorded by these.
    recorded: Vec<(String, Key)>,
    /// Of those that are forgotten.
    forgotten: Vec<(String, Key, TaskId)>,
    /// Let go of after the database.
    lock: Lock,
}

/// How often it is looked for ledgers whose server is gone, and how long one must have been free: whoever had it
/// may be starting again.
const LOOK: Duration = Duration::from_millis(300);
const FREE: Duration = Duration::from_millis(900);

/// How often, and after what pause, a start tries for the ledger it had: somebody may just be looking whether it is free.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// The most commands that are written together.
const GROUP: usize = 4096;

/// Kept free for outcomes: what it takes to end some thousands of tasks.
const RESERVE: usize = 1 << 20;

/// Pages that the database keeps in memory.
const CACHE: usize = 16 << 20;

impl Held {
    fn database(&self) -> &Database {
        self.database.as_ref().expect("taken out only while it is opened anew")
    }

    /// Decides a command and changes the book; what is to be written gathers.
    fn decide(&mut self, command: Command) -> Reply {
        let (reply, changes) = self.database().book.decide(&self.holder, command, Moment::now());
        self.change(changes);
        reply
    }

    fn change(&mut self, changes: Vec<Change>) {
        let ledger = self.lock.ledger;
        let book =
            &mut self.database.as_mut().expect("taken out only while it is opened anew").book;
        for change in &changes {
            if let Change::Forget(number) = change
                && let Some(task) = book.task(*number)
                && let Some(key) = &task.key
            {
                let id = TaskId { ledger, number: *number };
                self.forgotten.push((task.method.clone(), key.clone(), id));
            }
            book.apply(change);
        }
        self.changes.extend(changes);
    }
}

impl Writer {
    /// Takes the ledger that this server had before, or another that is free, or a new one.
    pub(super) fn open(folder: Folder, at: Opening) -> Result<Self, StoreError> {
        let keys = Keys::open(folder.path())
            .map_err(|error| failed("cannot open the keys in", folder.path(), &error))?;
        let mut writer = Writer {
            folder,
            keys,
            at,
            held: Vec::new(),
            free: HashMap::new(),
            broken: HashSet::new(),
            looked: Instant::now(),
            full: false,
        };
        writer.take_first()?;
        writer.reserve();
        Ok(writer)
    }

    /// Holds the ledger that new tasks are to go to.
    fn take_first(&mut self) -> Result<(), StoreError> {
        let is_there = |ledger: &Uuid| self.folder.file(*ledger, "redb").exists();
        let is_own =
            |ledger: &Uuid| self.folder.owner(*ledger).as_deref() == Some(&*self.at.server);
        let ledgers = self.folder.ledgers()?.into_iter().filter(is_there);
        let (own, others): (Vec<_>, Vec<_>) = ledgers.partition(is_own);
        for ledger in own {
            for _ in 0..TRIES {
                if let Some(lock) = self.folder.try_lock(ledger)? {
                    return self.hold(lock);
                }
                std::thread::sleep(PAUSE);
            }
        }
        for ledger in others {
            let Some(lock) = self.folder.try_lock(ledger)? else { continue };
            match self.hold(lock) {
                Ok(()) => return Ok(()),
                Err(error) => self.left_alone(ledger, &error),
            }
        }
        let lock = self.folder.try_lock(Uuid::now_v7())?;
        self.hold(lock.ok_or_else(|| StoreError::new("somebody has the lock of a new ledger"))?)
    }

    /// A ledger whose server is gone cannot be read: somebody has to look at it.
    fn left_alone(&mut self, ledger: Uuid, error: &StoreError) {
        tracing::error!(%ledger, %error, "a ledger whose server is gone cannot be adopted");
        self.broken.insert(ledger);
    }

    /// Does what it is told until nobody can tell it more, or a disk fails it.
    pub(super) fn run(mut self, work: &Receiver<Job>) {
        while let Ok(job) = work.recv() {
            let mut commands = job.batch.len();
            let mut jobs = vec![job];
            while commands < GROUP
                && let Ok(job) = work.try_recv()
            {
                commands += job.batch.len();
                jobs.push(job);
            }
            match self.group(&jobs) {
                Ok(replies) => {
                    for (job, replies) in jobs.into_iter().zip(replies) {
                        let _ = job.reply.send(Ok(replies));
                    }
                }
                Err(error) => {
                    // What the disk has nobody knows but who reads it again. Whoever that is finds the locks free.
                    drop(self);
                    for job in jobs {
                        let _ = job.reply.send(Err(error.clone()));
                    }
                    return;
                }
            }
        }
    }

    /// Decides what several batches say, and writes it together.
    fn group(&mut self, jobs: &[Job]) -> Result<Vec<Vec<Reply>>, StoreError> {
        match self.try_group(jobs) {
            Err(WriteError::Full) => {}
            Ok(replies) => return Ok(replies),
            Err(WriteError::Broken(error)) => return Err(error),
        }
        // Outcomes are to fit: they get what was kept for them, and new tasks nothing.
        tracing::error!(folder = %self.folder.path().display(), "the disk is full: no new tasks are taken");
        self.full = true;
        for at in 0..self.held.len() {
            let _ = fs::remove_file(self.folder.file(self.held[at].lock.ledger, "reserve"));
            self.reopen(at)?;
        }
        self.try_group(jobs).map_err(|error| match error {
            WriteError::Broken(error) => error,
            WriteError::Full => StoreError::new(format!(
                "no room is left on the disk of {}, not even for outcomes",
                self.folder.path().display()
            )),
        })
    }

    fn try_group(&mut self, jobs: &[Job]) -> Result<Vec<Vec<Reply>>, WriteError> {
        let mut replies = Vec::with_capacity(jobs.len());
        for job in jobs {
            let batch = job.batch.iter().map(|command| self.decide(command.clone()));
            replies.push(batch.collect::<Result<_, _>>().map_err(WriteError::Broken)?);
        }
        if broken!("accepted before it is recorded")
            && all(jobs, |it| matches!(it, Command::Accept(_)))
        {
            // They go with what comes next.
            return Ok(replies);
        }
        if broken!("told before the commit") && all(jobs, |it| matches!(it, Command::Finish { .. }))
        {
            return Ok(replies);
        }
        for held in &mut self.held {
            let changes = std::mem::take(&mut held.changes);
            held.database().write(&changes)?;
        }
        for held in &mut self.held {
            for (method, key) in held.recorded.drain(..) {
                // Not needed but by other servers that are asked for this key, and made good at the next start.
                let _ = self.keys.recorded(&method, &key);
            }
            for (method, key, task) in held.forgotten.drain(..) {
                if let Err(error) = self.keys.forget(&method, &key, task) {
                    tracing::warn!(%error, "the key of a task that is forgotten stays behind until the next start");
                }
            }
        }
        Ok(replies)
    }

    fn decide(&mut self, command: Command) -> Result<Reply, StoreError> {
        let task = match &command {
            Command::Accept(_) if self.full => {
                return Ok(Reply::NotAccepted(AcceptRefusal::Full));
            }
            Command::Accept(task) => {
                return match task.key.clone() {
                    Some(key) => self.accept(task, &key),
                    None => Ok(self.held[0].decide(command)),
                };
            }
            Command::Claim { limit } => return Ok(self.claim(*limit)),
            Command::List { limit } => return Ok(self.list(*limit)),
            Command::Sweep => return Ok(self.sweep()),
            Command::Finish { task, .. }
            | Command::Progress { task, .. }
            | Command::Cancel(task)
            | Command::Retry(task)
            | Command::Purge(task)
            | Command::Show(task) => *task,
        };
        if matches!(command, Command::Retry(_)) && self.full {
            return Ok(Reply::NotAccepted(AcceptRefusal::Full));
        }
        Ok(match self.place(task.ledger) {
            Some(at) => self.held[at].decide(command),
            None => Reply::NotHere,
        })
    }

    fn place(&self, ledger: Uuid) -> Option<usize> {
        self.held.iter().position(|held| held.lock.ledger == ledger)
    }

    /// Records a task with a key, unless the key is somebody's: that is decided, and durable, before the task is.
    fn accept(&mut self, new: &NewTask, key: &Key) -> Result<Reply, StoreError> {
        let method = &*new.method;
        let keys_failed =
            |error: io::Error| StoreError::new(format!("cannot give the key of a task: {error}"));
        let accept = || Command::Accept(Box::new(new.clone()));
        loop {
            let known = |held: &Held| held.database().book.has_key(method, &key.key);
            if let Some(held) = self.held.iter_mut().find(|held| known(held)) {
                return Ok(held.decide(accept()));
            }
            let giving = self.keys.give().map_err(keys_failed)?;
            let claim = giving.claim(method, key).map_err(keys_failed)?;
            // One of a ledger that is held here is stale, since that does not know the key.
            let theirs = claim.filter(|it| self.place(it.task.ledger).is_none());
            if let Some(claim) =
                theirs.filter(|it| self.folder.file(it.task.ledger, "redb").exists())
            {
                match self.folder.try_lock(claim.task.ledger)? {
                    // Its server is gone: the key comes with its ledger.
                    Some(lock) => {
                        drop(giving);
                        self.hold(lock)?;
                        continue;
                    }
                    None if claim.arguments != key.arguments => {
                        return Ok(Reply::NotAccepted(AcceptRefusal::KeyConflict));
                    }
                    None if !claim.recorded => {
                        return Ok(Reply::NotAccepted(AcceptRefusal::KeyBusy));
                    }
                    None => {
                        let task = claim.task;
                        let accepted =
                            Accepted { task, attempt: None, known: None, elsewhere: true };
                        return Ok(Reply::Accepted(Box::new(accepted)));
                    }
                }
            }
            let held = &mut self.held[0];
            let (reply, changes) =
                held.database().book.decide(&held.holder, accept(), Moment::now());
            if let Reply::Accepted(accepted) = &reply {
                giving.give(method, key, accepted.task).map_err(keys_failed)?;
                held.recorded.push((method.to_owned(), key.clone()));
            }
            held.change(changes);
            return Ok(reply);
        }
    }

    /// Those that were adopted wait longest.
    fn claim(&mut self, limit: usize) -> Reply {
        let mut claimed = Vec::new();
        for at in (0..self.held.len()).rev() {
            // One suspect at a time, of whichever ledger.
            let busy =
                self.held.iter().any(|held| held.database().book.runs_a_suspect(&held.holder));
            let held = &mut self.held[at];
            let left = limit - claimed.len();
            let (attempts, changes) =
                held.database().book.claim(&held.holder, left, !busy, Moment::now());
            held.change(changes);
            claimed.extend(attempts);
        }
        Reply::Claimed(claimed)
    }

    fn list(&mut self, limit: usize) -> Reply {
        let (mut tasks, mut all) = (Vec::new(), 0);
        for held in &mut self.held {
            if let Reply::Listed(listed, count) = held.decide(Command::List { limit }) {
                tasks.extend(listed);
                all += count;
            }
        }
        tasks.sort_by_key(|view| std::cmp::Reverse(view.task.accepted));
        tasks.truncate(limit);
        Reply::Listed(tasks, all)
    }

    fn sweep(&mut self) -> Reply {
        self.look();
        if self.full {
            self.reserve();
        }
        let mut all = Swept { next: Some(LOOK), ..Swept::default() };
        for held in &mut self.held {
            if let Reply::Swept(swept) = held.decide(Command::Sweep) {
                all.expired.extend(swept.expired);
                all.due |= swept.due;
                all.next = [all.next, swept.next].into_iter().flatten().min();
            }
        }
        Reply::Swept(all)
    }

    /// Adopts ledgers whose server has been gone for a while.
    fn look(&mut self) {
        if self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = Instant::now();
        let Ok(ledgers) = self.folder.ledgers() else { return };
        for ledger in ledgers {
            if self.place(ledger).is_some()
                || self.broken.contains(&ledger)
                || !self.folder.file(ledger, "redb").exists()
            {
                continue;
            }
            let Ok(Some(lock)) = self.folder.try_lock(ledger) else {
                self.free.remove(&ledger);
                continue;
            };
            let since = *self.free.entry(ledger).or_insert_with(Instant::now);
            if since.elapsed() >= FREE {
                self.free.remove(&ledger);
                if let Err(error) = self.hold(lock) {
                    self.left_alone(ledger, &error);
                }
            }
        }
    }

    /// Opens a ledger whose lock was got: what ran in it has crashed.
    fn hold(&mut self, mut lock: Lock) -> Result<(), StoreError> {
        let database = self.read(lock.ledger)?;
        let (holder, mut changes) =
            database.book.open(&self.at.server, self.at.node, Moment::now().now);
        if !broken!("crashed tasks not resumed") {
            changes.extend(database.book.lost(|_| true, Moment::now()));
        }
        if broken!("recovery of a live twin") {
            for held in &mut self.held {
                let lost = held.database().book.lost(|_| true, Moment::now());
                held.change(lost);
            }
        }
        let path = self.folder.file(lock.ledger, "redb");
        let is_there = |number| database.book.task(number).is_some();
        let tidied = if broken!("stale claims kept") {
            Ok(())
        } else {
            self.keys.tidy(lock.ledger, is_there)
        };
        tidied.map_err(|error| failed("cannot tidy up the keys of", &path, &error))?;
        let signed = lock.sign(&self.at.server);
        signed.map_err(|error| failed("cannot sign the lock of", &path, &error))?;
        let (recorded, forgotten) = (Vec::new(), Vec::new());
        let database = Some(database);
        let mut held = Held { database, holder, changes: Vec::new(), recorded, forgotten, lock };
        held.change(changes);
        let changes = std::mem::take(&mut held.changes);
        held.database().write(&changes).map_err(|error| match error {
            WriteError::Broken(error) => error,
            WriteError::Full => {
                StoreError::new(format!("no room on the disk of {}", path.display()))
            }
        })?;
        self.held.push(held);
        Ok(())
    }

    /// Opens a ledger anew, after a write that failed: the book is again as it was written.
    fn reopen(&mut self, at: usize) -> Result<(), StoreError> {
        let held = &mut self.held[at];
        held.database = None;
        held.changes.clear();
        held.recorded.clear();
        held.forgotten.clear();
        let ledger = held.lock.ledger;
        self.held[at].database = Some(self.read(ledger)?);
        Ok(())
    }

    fn read(&self, ledger: Uuid) -> Result<Database, StoreError> {
        let path = self.folder.file(ledger, "redb");
        let is_new = !path.exists();
        // Whoever is killed while it is made leaves nothing that looks like a ledger.
        let made = if is_new { self.folder.file(ledger, "new") } else { path.clone() };
        let opened = redb::Builder::new().set_cache_size(CACHE).create(&made);
        let opened = opened.map_err(|error| failed("cannot open", &made, &error))?;
        let database = Database::read(opened, ledger, self.at.policy.clone())
            .map_err(|error| failed("cannot use", &made, &error))?;
        if is_new {
            let kept = fs::rename(&made, &path)
                .and_then(|()| fs::File::open(self.folder.path())?.sync_all());
            kept.map_err(|error| failed("cannot keep", &path, &error))?;
        }
        Ok(database)
    }

    /// Keeps some room for outcomes. Without it no new tasks are taken.
    fn reserve(&mut self) {
        let kept = |path| -> io::Result<()> {
            let mut file =
                fs::OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
            if file.metadata()?.len() < RESERVE as u64 {
                file.write_all(&vec![0; RESERVE])?;
                file.sync_all()?;
            }
            Ok(())
        };
        let path = self.folder.file(self.held[0].lock.ledger, "reserve");
        let kept = kept(&path);
        if kept.is_err() {
            // Half of it is of no use to anybody.
            let _ = fs::remove_file(path);
        }
        self.full = kept.is_err();
    }
}

/// Whether this is true of all commands.
fn all(jobs: &[Job], is: fn(&Command) -> bool) -> bool {
    jobs.iter().flat_map(|job| &job.batch).all(is)
}
