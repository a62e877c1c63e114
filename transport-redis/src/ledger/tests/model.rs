//! The scripts decide as the book of core does.

use farcall_core::ledger::{Book, Holder, Moment, State, Timestamp, View};
use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// A command of a test, about tasks by their numbers.
#[derive(Clone, Debug)]
enum Act {
    Accept { key: Option<(u8, u8)>, expires_in: Option<Duration>, params: usize, begin: bool },
    Claim(usize),
    Finish { number: u64, token: u64, ending: Ending },
    Progress { number: u64, token: u64, bytes: usize },
    Cancel(u64),
    Retry(u64),
    Purge(u64),
    Show(u64),
    List(usize),
    Sweep,
}

#[derive(Clone, Debug)]
enum Step {
    Batch(usize, Vec<Act>),
    /// A server ends without letting go of anything, and starts again.
    Crash(usize),
}

impl Act {
    fn command(&self, ledger: Uuid) -> Command {
        let id = |number: &u64| TaskId { ledger, number: *number };
        match self {
            Act::Accept { key, expires_in, params, begin } => {
                let key = key.map(|(key, arguments)| Key {
                    key: key.to_string(),
                    arguments: ArgumentsHash([arguments; 32]),
                });
                let params = bytes::Bytes::from(vec![0xf6; *params]);
                let (expires_in, begin) = (*expires_in, *begin);
                Command::Accept(Box::new(NewTask { key, expires_in, params, begin, ..waiting() }))
            }
            Act::Claim(limit) => Command::Claim { limit: *limit },
            Act::Finish { number, token, ending } => {
                Command::Finish { task: id(number), token: *token, ending: ending.clone() }
            }
            Act::Progress { number, token, bytes } => {
                let value = vec![0xf6; *bytes].into();
                Command::Progress { task: id(number), token: *token, value }
            }
            Act::Cancel(number) => Command::Cancel(id(number)),
            Act::Retry(number) => Command::Retry(id(number)),
            Act::Purge(number) => Command::Purge(id(number)),
            Act::Show(number) => Command::Show(id(number)),
            Act::List(limit) => Command::List { limit: *limit },
            Act::Sweep => Command::Sweep,
        }
    }
}

fn endings() -> impl Strategy<Value = Ending> {
    prop_oneof![
        4 => (0_usize..600).prop_map(|it| Ending::Outcome(Outcome::Done(vec![0xf6; it].into()))),
        1 => Just(Ending::Outcome(Outcome::Failed { code: 30, message: "no".into(), value: None })),
        1 => Just(Ending::Outcome(Outcome::Expired)),
        3 => Just(Ending::Again("not yet".to_owned())),
        2 => Just(Ending::Released),
    ]
}

fn acts() -> impl Strategy<Value = Act> {
    let number = || 1_u64..10;
    let token = || prop_oneof![8 => Just(1_u64), 4 => Just(2), 1 => 0_u64..5];
    let expires =
        prop_oneof![5 => Just(None), 1 => Just(Some(HOUR)), 1 => Just(Some(Duration::ZERO))];
    let key = proptest::option::weighted(0.3, (0_u8..3, 0_u8..2));
    prop_oneof![
        5 => (key, expires, 1_usize..600, any::<bool>()).prop_map(
            |(key, expires_in, params, begin)| Act::Accept { key, expires_in, params, begin }
        ),
        4 => (0_usize..4).prop_map(Act::Claim),
        6 => (number(), token(), endings())
            .prop_map(|(number, token, ending)| Act::Finish { number, token, ending }),
        1 => (number(), token(), 0_usize..600)
            .prop_map(|(number, token, bytes)| Act::Progress { number, token, bytes }),
        1 => number().prop_map(Act::Cancel),
        1 => number().prop_map(Act::Retry),
        1 => number().prop_map(Act::Purge),
        1 => number().prop_map(Act::Show),
        1 => (0_usize..12).prop_map(Act::List),
        2 => Just(Act::Sweep),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_usize..2, prop::collection::vec(acts(), 1..5))
            .prop_map(|(holder, acts)| Step::Batch(holder, acts)),
        1 => (0_usize..2).prop_map(Step::Crash),
    ];
    prop::collection::vec(step, 1..30)
}

fn policies() -> impl Strategy<Value = Policy> {
    let kept = || prop_oneof![Just(Duration::ZERO), Just(HOUR)];
    let many = || prop_oneof![Just(3_usize), Just(1000)];
    let bytes = prop_oneof![Just(2000_usize), Just(1 << 20)];
    let dead = prop_oneof![Just(0_usize), Just(1), Just(1000)];
    (1_u32..4, 1_u32..4, kept(), kept(), dead, many(), bytes).prop_map(
        |(crashes, failures, retention, dead_retention, max_dead, max_unfinished, max_bytes)| {
            Policy {
                crashes,
                failures,
                // All that waits is due.
                backoff: Duration::ZERO,
                longest_backoff: Duration::ZERO,
                retention,
                dead_retention,
                max_dead,
                max_unfinished,
                max_bytes,
            }
        },
    )
}

/// The same without what differs: the ledger's name, times, and epochs.
fn plain(mut reply: Reply) -> Reply {
    let id = |task: &mut TaskId| task.ledger = Uuid::nil();
    let time = |time: &mut Timestamp| *time = Timestamp(0);
    let left = |left: &mut Option<Duration>| *left = left.map(|_| Duration::ZERO);
    let task = |task: &mut Task| {
        time(&mut task.accepted);
        task.expires.iter_mut().for_each(time);
        match &mut task.state {
            State::Waiting { due, .. } => time(due),
            State::Running { holder, since } => {
                holder.epoch = 0;
                time(since);
            }
            State::Ended { at, .. } => time(at),
        }
    };
    let view = |view: &mut View| {
        id(&mut view.id);
        task(&mut view.task);
    };
    let attempt = |attempt: &mut Attempt| {
        id(&mut attempt.task);
        left(&mut attempt.time_left);
    };
    match &mut reply {
        Reply::Accepted(accepted) => {
            id(&mut accepted.task);
            accepted.attempt.iter_mut().for_each(attempt);
            accepted.known.iter_mut().for_each(|known| task(known));
        }
        Reply::Claimed(attempts) => attempts.iter_mut().for_each(attempt),
        Reply::Ended(Verdict::Ended(it)) | Reply::Shown(it) => view(it),
        Reply::Listed(views, _) => views.iter_mut().for_each(view),
        Reply::Swept(swept) => {
            swept.expired.iter_mut().for_each(id);
            left(&mut swept.next);
        }
        _ => {}
    }
    reply
}

/// A book, and who holds it.
struct Model {
    book: Book,
    holders: Vec<Holder>,
    now: u64,
}

impl Model {
    /// Later than before.
    fn moment(&mut self) -> Moment {
        self.now = Timestamp::now().0.max(self.now + 1);
        Moment { now: Timestamp(self.now), random: 0 }
    }

    fn open(&mut self, at: &Opening) -> Holder {
        let now = self.moment().now;
        let (holder, changes) = self.book.open(&at.server, at.node, now);
        changes.iter().for_each(|change| self.book.apply(change));
        holder
    }

    fn lost(&mut self, place: usize) {
        let (moment, lost) = (self.moment(), self.holders[place].clone());
        let changes = self.book.lost(|holder| *holder == lost, moment);
        changes.iter().for_each(|change| self.book.apply(change));
    }

    fn batch(&mut self, by: usize, acts: &[Act]) -> Vec<Reply> {
        let moment = self.moment();
        let decide = |act: &Act| {
            let command = act.command(self.book.ledger());
            let (reply, changes) = self.book.decide(&self.holders[by], command, moment);
            changes.iter().for_each(|change| self.book.apply(change));
            reply
        };
        acts.iter().map(decide).collect()
    }
}

/// Tries it with the broker and the book, and compares what both say, and in the end what both have.
fn same(broker: &RedisServer, policy: &Policy, steps: &[Step]) -> Result<(), TestCaseError> {
    broker.command(&["FLUSHALL"]);
    let ledger = ledger(broker);
    let book = Book::new(Uuid::from_u128(1), policy.clone());
    let mut model = Model { book, holders: Vec::new(), now: 0 };
    let mut stores = Vec::new();
    let servers = ["a", "b"];
    for server in servers {
        let at = opening(server, policy.clone());
        let holder = model.open(&at);
        model.holders.push(holder);
        stores.push(block_on(ledger.open(at)).unwrap());
    }
    let name: String = broker.ask(&["HGET", "farcall:{default/s}:ledger:meta", "ledger"]);
    let id = Uuid::try_parse(&name).unwrap();
    let last = Step::Batch(0, vec![Act::List(100), Act::Sweep, Act::List(100)]);
    for (at, step) in steps.iter().chain([&last]).enumerate() {
        match step {
            Step::Batch(by, acts) => {
                let commands = acts.iter().map(|act| act.command(id)).collect();
                let theirs = block_on(stores[*by].apply(commands)).unwrap();
                let theirs: Vec<Reply> = theirs.into_iter().map(plain).collect();
                let ours = model.batch(*by, acts).into_iter().map(plain).collect::<Vec<_>>();
                prop_assert_eq!(theirs, ours, "step {}: {:?}", at, step);
            }
            Step::Crash(place) => {
                drop(stores.remove(*place));
                model.lost(*place);
                let opening = opening(servers[*place], policy.clone());
                model.holders[*place] = model.open(&opening);
                stores.insert(*place, block_on(ledger.open(opening)).unwrap());
            }
        }
    }
    let bytes: Option<usize> = broker.ask(&["HGET", "farcall:{default/s}:ledger:meta", "bytes"]);
    let bytes = bytes.unwrap_or_default();
    let running: usize = broker.ask(&["ZCARD", "farcall:{default/s}:ledger:running"]);
    let tasks: usize = broker.ask(&["HLEN", "farcall:{default/s}:ledger:tasks"]);
    prop_assert!(bytes >= 256 * tasks && (tasks > 0 || bytes == 0));
    prop_assert!(running <= tasks);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn the_scripts_decide_as_the_book_does(policy in policies(), steps in steps()) {
        thread_local! {
            static BROKER: RedisServer = RedisServer::start();
        }
        BROKER.with(|broker| same(broker, &policy, &steps))?;
    }
}
