use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

use super::*;
use crate::ledger::{ArgumentsHash, Reply};
use crate::ledger::{Caller, Command, Ending, Holder, Key, Moment, NewTask, Outcome, Timestamp};
use crate::wire::NodeId;

/// A disk that forgets what was not synced, and fails when it is told to.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    /// What a reader sees.
    now: Vec<u8>,
    /// What survives.
    safe: Vec<u8>,
    /// What was done since the last sync.
    since: VecDeque<Op>,
    writes: usize,
    syncs: usize,
    full_at: Option<usize>,
    fails_at: Option<usize>,
    /// What the disk had before each sync, and what was on its way.
    history: Vec<(Vec<u8>, Vec<Op>)>,
}

#[derive(Clone, Debug)]
enum Op {
    Len(usize),
    Write(usize, Vec<u8>),
}

impl Op {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Op::Len(len) => to.resize(*len, 0),
            Op::Write(at, bytes) => {
                if to.len() < at + bytes.len() {
                    to.resize(at + bytes.len(), 0);
                }
                to[*at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

impl Disk {
    fn of(bytes: Vec<u8>) -> Self {
        Disk(Arc::new(Mutex::new(State { now: bytes.clone(), safe: bytes, ..State::default() })))
    }

    fn op(&self, op: Op) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.writes += 1;
        if state.full_at.is_some_and(|at| state.writes >= at) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        op.apply(&mut state.now);
        state.since.push_back(op);
        Ok(())
    }

    fn writes(&self) -> usize {
        self.0.lock().unwrap().writes
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.0.lock().unwrap();
        let offset = offset as usize;
        let bytes = state.now.get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.op(Op::Len(len as usize))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let state = &mut *self.0.lock().unwrap();
        state.syncs += 1;
        let since: Vec<Op> = state.since.drain(..).collect();
        state.history.push((state.safe.clone(), since.clone()));
        if state.fails_at.is_some_and(|at| state.syncs >= at) {
            return Err(io::Error::other("the disk is broken"));
        }
        since.iter().for_each(|op| op.apply(&mut state.safe));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.op(Op::Write(offset as usize, data.to_vec()))
    }
}

const LEDGER: Uuid = Uuid::from_u128(7);

fn open(disk: Disk) -> Result<Database, StoreError> {
    let redb = redb::Builder::new().set_cache_size(1 << 20).create_with_backend(disk);
    let redb = redb.map_err(|error| StoreError::new(error.to_string()))?;
    Database::read(redb, LEDGER, Policy::default())
}

/// A life of a ledger, step by step. Gives what each step has changed.
fn steps() -> Vec<Vec<Change>> {
    let mut book = Book::new(LEDGER, Policy::default());
    let moment = Moment { now: Timestamp(1000), random: 0 };
    let mut steps = Vec::new();
    let (holder, changes) = book.open("a", NodeId::generate(), moment.now);
    changes.iter().for_each(|change| book.apply(change));
    steps.push(changes);
    let mut tell = |holder: &Holder, command| {
        let (reply, changes) = book.decide(holder, command, moment);
        changes.iter().for_each(|change| book.apply(change));
        steps.push(changes);
        reply
    };
    let key = |name: &str| Key { key: name.to_owned(), arguments: ArgumentsHash([1; 32]) };
    let new = |begin, key: Option<Key>| {
        Command::Accept(Box::new(NewTask {
            method: "m".into(),
            params: vec![0x55; 3000].into(),
            caller: Caller::of_tests(),
            headers: Vec::new(),
            key,
            expires_in: None,
            begin,
        }))
    };
    let Reply::Accepted(first) = tell(&holder, new(true, None)) else { panic!() };
    tell(&holder, new(false, Some(key("k"))));
    let value = vec![0x44; 2000].into();
    tell(&holder, Command::Progress { task: first.task, token: 1, value });
    let ending = Ending::Outcome(Outcome::Done(vec![0x66; 5000].into()));
    tell(&holder, Command::Finish { task: first.task, token: 1, ending });
    tell(&holder, Command::Claim { limit: 1 });
    tell(&holder, Command::Purge(first.task));
    steps
}

/// What a book is after so many steps.
fn after(steps: &[Vec<Change>]) -> String {
    let mut book = Book::new(LEDGER, Policy::default());
    steps.iter().flatten().for_each(|change| book.apply(change));
    shown(&book)
}

fn shown(book: &Book) -> String {
    let tasks = (1..10).filter_map(|number| book.task(number));
    format!("{:?} {}", tasks.collect::<Vec<_>>(), book.unfinished())
}

/// Lives that life on a disk. Gives how many steps were written.
fn live(disk: &Disk, steps: &[Vec<Change>]) -> usize {
    let Ok(mut database) = open(disk.clone()) else { return 0 };
    for (done, step) in steps.iter().enumerate() {
        step.iter().for_each(|change| database.book.apply(change));
        if database.write(step).is_err() {
            return done;
        }
    }
    steps.len()
}

/// All states that a book has in that life, in their order.
fn states(steps: &[Vec<Change>]) -> Vec<String> {
    (0..=steps.len()).map(|count| after(&steps[..count])).collect()
}

#[test]
fn what_was_written_is_read_again() {
    let (steps, disk) = (steps(), Disk::default());
    assert_eq!(live(&disk, &steps), steps.len());
    let safe = disk.0.lock().unwrap().safe.clone();
    assert_eq!(shown(&open(Disk::of(safe)).unwrap().book), after(&steps));
}

#[test]
fn a_step_takes_one_sync_where_the_file_need_not_grow() {
    let (steps, disk) = (steps(), Disk::default());
    let database = open(disk.clone()).unwrap();
    let syncs = || disk.0.lock().unwrap().syncs;
    for step in &steps {
        database.write(step).unwrap();
    }
    let before = syncs();
    for _ in 0..100 {
        database.write(&steps[1]).unwrap();
    }
    let taken = syncs() - before;
    assert!((100..=105).contains(&taken), "{taken}");
}

#[test]
fn power_failures_leave_a_state_that_was_and_nothing_that_was_answered_is_lost() {
    let (steps, disk) = (steps(), Disk::default());
    let states = states(&steps);
    {
        // What is written while it is closed is another matter.
        let database = open(disk.clone()).unwrap();
        let mut written = disk.0.lock().unwrap().history.len();
        let mut tried = 0;
        for (done, step) in steps.iter().enumerate() {
            database.write(step).unwrap();
            let history = disk.0.lock().unwrap().history.clone();
            for (safe, since) in &history[written..] {
                // Every subset of what was on its way, in its order, or as many as there is time for.
                let subsets = 1_u64.checked_shl(since.len() as u32).unwrap_or(u64::MAX).min(512);
                for subset in 0..subsets {
                    let mut bytes = safe.clone();
                    let kept = since.iter().enumerate().filter(|(at, _)| subset >> at & 1 == 1);
                    kept.for_each(|(_, op)| op.apply(&mut bytes));
                    let book = open(Disk::of(bytes)).unwrap().book;
                    let found = shown(&book);
                    assert!(
                        found == states[done] || found == states[done + 1],
                        "step {done}, subset {subset:b} of {}",
                        since.len()
                    );
                    tried += 1;
                }
            }
            written = history.len();
        }
        assert!(tried > 100, "{tried}");
    }
}

#[test]
fn a_disk_that_is_full_at_any_write_leaves_what_was_there_and_says_so() {
    let (steps, whole) = (steps(), Disk::default());
    let states = states(&steps);
    let begun = {
        let disk = Disk::default();
        drop(open(disk.clone()).unwrap());
        disk.writes()
    };
    live(&whole, &steps);
    for at in begun..=whole.writes() {
        let disk = Disk::default();
        let mut database = open(disk.clone()).unwrap();
        disk.0.lock().unwrap().full_at = Some(at);
        let mut failed = None;
        for (done, step) in steps.iter().enumerate() {
            step.iter().for_each(|change| database.book.apply(change));
            match database.write(step) {
                Ok(()) => {}
                Err(WriteError::Full) => {
                    failed = Some(done);
                    break;
                }
                Err(WriteError::Broken(error)) => panic!("write {at}: {error}"),
            }
        }
        drop(database);
        let mut state = disk.0.lock().unwrap().clone();
        // What the operating system has may be more than what is safe; both are to be right.
        for bytes in [std::mem::take(&mut state.safe), state.now] {
            let found = shown(&open(Disk::of(bytes)).unwrap().book);
            let may_be = match failed {
                Some(done) => &states[done..=done + 1],
                None => &states[steps.len()..],
            };
            assert!(may_be.contains(&found), "write {at}, failed {failed:?}");
        }
    }
}

#[test]
fn a_sync_that_fails_is_no_success_whatever_the_disk_has_then() {
    let (steps, whole) = (steps(), Disk::default());
    let states = states(&steps);
    live(&whole, &steps);
    let syncs = whole.0.lock().unwrap().syncs;
    for at in 1..=syncs {
        let disk = Disk::default();
        disk.0.lock().unwrap().fails_at = Some(at);
        let done = live(&disk, &steps);
        let safe = disk.0.lock().unwrap().safe.clone();
        match open(Disk::of(safe)) {
            Ok(database) => {
                let found = shown(&database.book);
                let may_be = &states[done..states.len().min(done + 2)];
                assert!(may_be.contains(&found), "sync {at}, done {done}");
            }
            // Half made, and never used.
            Err(error) => assert_eq!(done, 0, "{error}"),
        }
    }
}

#[test]
fn a_file_that_is_cut_off_is_an_earlier_state_or_refused() {
    let (steps, disk) = (steps(), Disk::default());
    let states = states(&steps);
    live(&disk, &steps);
    let whole = disk.0.lock().unwrap().safe.clone();
    for end in (0..whole.len()).step_by(whole.len() / 300) {
        let cut = whole[..end].to_vec();
        let opened = std::panic::catch_unwind(|| open(Disk::of(cut)).map(|it| shown(&it.book)));
        // The database's own code panics at some of them: that ends the thread, and is a refusal.
        if let Ok(Ok(found)) = opened {
            assert!(states.contains(&found), "cut at {end} of {}", whole.len());
        }
    }
}

#[test]
fn what_a_later_version_wrote_is_refused() {
    let disk = Disk::default();
    drop(open(disk.clone()).unwrap());
    {
        let redb = redb::Builder::new().create_with_backend(disk.clone()).unwrap();
        let begun = redb.begin_write().unwrap();
        begun.open_table(META).unwrap().insert("format", 2).unwrap();
        begun.commit().unwrap();
    }
    let error = open(disk).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "it is of format 2, this version knows 1: a later version wrote it");
}
