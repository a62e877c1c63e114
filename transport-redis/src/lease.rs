//! The thread that keeps this node's leases, which no handler can block.
//!
//! It holds one connection for each service of the node. That is also where news of other members come in, so it
//! shows for as long as this process lives: its subscription of `…:alive:<member>` ends with it, at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use compact_str::CompactString;
use farcall_core::transport::Backoff;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tokio::time::MissedTickBehavior;

use crate::clock::Clock;
use crate::connect::{Connection, Connector, Purpose};
use crate::fault::{Fault, classify};
use crate::keys::{self, Keys};
use crate::members::Gone;
use crate::reply;
use crate::scripts::{Arguments, Scripts};

/// The thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Leases(UnboundedSender<Order>);

/// One member's lease.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) namespace: CompactString,
    pub(crate) service: CompactString,
    pub(crate) keys: Keys,
    pub(crate) member: String,
    pub(crate) news: UnboundedSender<Told>,
}

#[derive(Debug)]
enum Order {
    Hold(Box<Hold>),
    /// It is a member now.
    Joined {
        service: CompactString,
        role: Role,
    },
    Release(CompactString),
}

/// What a member has said of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Role {
    /// It is a server.
    pub(crate) serves: bool,
    /// It is a client.
    pub(crate) calls: bool,
}

/// What the thread has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// News of others come from now on, and this process shows that it lives.
    Listening,
    /// A member came, changed, or went.
    Changed { member: String, gone: Gone },
    /// The number of changes so far.
    Version(u64),
    /// Some news may have been missed.
    Missed,
    /// The lease is over, and others know.
    Lost,
}

/// News, and whose. What is told of a member may come when its node is another one already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) member: String,
    pub(crate) news: News,
}

impl Hold {
    fn tell(&self, news: News) {
        // The receiver is the node's: without it the order to end is on its way.
        let _ = self.news.send(Told { member: self.member.clone(), news });
    }
}

/// How long keys live after the last sign of any member.
pub(crate) fn keep(lease: Duration) -> Duration {
    (4 * lease).max(Duration::from_secs(60))
}

/// The longest time between two renewals, and so what a member's death goes unnoticed beyond its lease.
const LONGEST_PERIOD: Duration = Duration::from_secs(1);

/// How often the index of services is told of a server.
const INDEX_PERIOD: Duration = Duration::from_secs(10);

impl Leases {
    pub(crate) fn start(
        connector: Connector,
        clock: Clock,
        lease: Duration,
    ) -> std::io::Result<Self> {
        let (orders, inbox) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("farcall-lease".to_owned()).spawn(move || {
            let keeper = Keeper { connector, clock, lease, scripts: Scripts::shared() };
            LocalSet::new().block_on(&runtime, obey(keeper, inbox));
        })?;
        Ok(Leases(orders))
    }

    /// Begins to listen for a member, which [`News::Listening`] answers. It takes the place of the one before in its
    /// service.
    pub(crate) fn hold(&self, hold: Hold) {
        // The thread ends with this handle, not before it.
        let _ = self.0.send(Order::Hold(Box::new(hold)));
    }

    /// The member has joined: its lease is to be renewed.
    pub(crate) fn joined(&self, service: &CompactString, role: Role) {
        let _ = self.0.send(Order::Joined { service: service.clone(), role });
    }

    /// No more of this service.
    pub(crate) fn release(&self, service: &CompactString) {
        let _ = self.0.send(Order::Release(service.clone()));
    }
}

#[derive(Clone)]
struct Keeper {
    connector: Connector,
    clock: Clock,
    lease: Duration,
    scripts: &'static Scripts,
}

struct Held {
    task: AbortHandle,
    joined: UnboundedSender<Role>,
}

async fn obey(keeper: Keeper, mut orders: UnboundedReceiver<Order>) {
    let mut held: HashMap<CompactString, Held> = HashMap::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Hold(hold) => {
                let (joined, is_joined) = unbounded_channel();
                let service = hold.service.clone();
                let task = spawn_local(keep_one(keeper.clone(), *hold, is_joined)).abort_handle();
                if let Some(before) = held.insert(service, Held { task, joined }) {
                    before.task.abort();
                }
            }
            Order::Joined { service, role } => {
                if let Some(held) = held.get(&service) {
                    // Its task ends only by being aborted.
                    let _ = held.joined.send(role);
                }
            }
            Order::Release(service) => {
                if let Some(held) = held.remove(&service) {
                    held.task.abort();
                }
            }
        }
    }
}

/// What is known of a lease from one connection to the next.
#[derive(Debug, Default)]
struct Known {
    /// There was a connection before.
    listened: bool,
    joined: bool,
    role: Role,
    /// Since when every renewal came in time. A member whose own was late cannot tell whether others
    /// are dead, or the broker was away for all of them.
    sound_since: Option<Instant>,
    renewed: Option<Instant>,
    /// What the broker's clock said then.
    clock: Option<u64>,
    indexed: Option<Instant>,
}

impl Known {
    /// The lease was renewed now, which was asked for at some time before. `true` if this member has kept its own for so
    /// long that those of others which are over are no fault of the broker: it was not away, nor was its clock set.
    fn renewed(&mut self, asked: Instant, now: Instant, clock: u64, lease: Duration) -> bool {
        let most = lease / 2;
        let is_late = match (self.renewed.replace(now), self.clock.replace(clock)) {
            (Some(before), Some(clock_before)) => {
                let expected = u128::from(clock_before) + (now - before).as_millis();
                now - before > most || u128::from(clock).abs_diff(expected) > most.as_millis()
            }
            (before, _) => before.is_none_or(|before| now - before > most),
        };
        if is_late || now - asked > most {
            self.sound_since = Some(now);
        }
        self.sound_since.is_some_and(|since| now - since >= lease)
    }
}

async fn keep_one(keeper: Keeper, hold: Hold, mut joined: UnboundedReceiver<Role>) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1)).at_once();
    let mut known = Known::default();
    loop {
        tokio::time::sleep(backoff.next(Backoff::random())).await;
        match keeper.connector.connect(&hold.keys.prefix, Purpose::Pushes).await {
            Ok(connection) => {
                if keeper.listen(connection, &hold, &mut known, &mut joined).await {
                    backoff.reset();
                }
            }
            // The node's own connection has the same trouble, and tells of it.
            Err(error) => tracing::debug!(service = %hold.service, %error, "no lease is renewed"),
        }
    }
}

impl Keeper {
    /// Renews and listens until the connection is lost; whether it was of any use, so that the next may come at once.
    async fn listen(
        &self,
        mut connection: Connection,
        hold: &Hold,
        known: &mut Known,
        joined: &mut UnboundedReceiver<Role>,
    ) -> bool {
        let Some(mut pushes) = connection.pushes.take() else { return false };
        for channel in [hold.keys.changes(), hold.keys.alive(&hold.member)] {
            let mut command = redis::cmd("SSUBSCRIBE");
            command.arg(channel);
            if let Err(error) = reply::to(&mut connection.io, &command).await {
                tracing::warn!(service = %hold.service, %error, "the broker lets nobody listen");
                return false;
            }
        }
        hold.tell(News::Listening);
        // Whether it has joined meanwhile may not be known here yet.
        if std::mem::replace(&mut known.listened, true) {
            hold.tell(News::Missed);
        }
        let period = (self.lease / 10).min(LONGEST_PERIOD);
        let began = Instant::now();
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                push = pushes.next() => match push.map(|push| news(&push)) {
                    None | Some(Pushed::End) => return began.elapsed() >= period,
                    Some(Pushed::News(news)) => hold.tell(news),
                    Some(Pushed::Other) => {}
                },
                role = joined.recv() => {
                    known.joined = true;
                    known.role = role.unwrap_or_default();
                    (known.sound_since, known.renewed) = (Some(Instant::now()), Some(Instant::now()));
                    (known.clock, known.indexed) = (None, None);
                    ticks.reset_immediately();
                }
                _ = ticks.tick(), if known.joined => {
                    if let Err(error) = self.renew(&mut connection, hold, known).await {
                        tracing::debug!(service = %hold.service, %error, "a lease was not renewed");
                        // What the broker refuses it refuses on another connection too, until somebody mends it.
                        if classify(&error) == Fault::Reconnect {
                            return began.elapsed() >= period;
                        }
                    }
                }
            }
        }
    }

    async fn renew(
        &self,
        connection: &mut Connection,
        hold: &Hold,
        known: &mut Known,
    ) -> redis::RedisResult<()> {
        let mut arguments = Arguments::new(&hold.keys, &hold.member);
        arguments.add(self.lease.as_millis()).add(keep(self.lease).as_millis());
        arguments.add(u8::from(known.role.serves)).add(u8::from(known.role.calls));
        let asked = Instant::now();
        let reply = self.scripts.renew.run(&mut connection.io, &arguments).await?;
        let Some(renewed) = Renewed::read(&reply) else { return Ok(()) };
        self.clock.set(renewed.clock);
        if !renewed.known {
            known.joined = false;
            hold.tell(News::Lost);
            return Ok(());
        }
        hold.tell(News::Version(renewed.version));
        let is_sound = known.renewed(asked, Instant::now(), renewed.clock, self.lease);
        if is_sound && !renewed.over.is_empty() {
            let mut arguments = Arguments::new(&hold.keys, &hold.member);
            for member in &renewed.over {
                arguments.add(member);
            }
            self.scripts.bury.run(&mut connection.io, &arguments).await?;
        }
        if known.role.serves && known.indexed.is_none_or(|at| at.elapsed() >= INDEX_PERIOD) {
            known.indexed = Some(Instant::now());
            self.index(connection, hold, renewed.clock).await?;
        }
        Ok(())
    }

    /// Tells the namespace's index that the service has a server. In a cluster it may lie elsewhere.
    async fn index(
        &self,
        connection: &mut Connection,
        hold: &Hold,
        clock: u64,
    ) -> redis::RedisResult<()> {
        let index = keys::services(&hold.namespace);
        let keep = keep(self.lease).as_millis();
        let mut pipeline = redis::pipe();
        pipeline.cmd("ZADD").arg(&index).arg(u128::from(clock) + keep).arg(&*hold.service);
        pipeline.cmd("ZREMRANGEBYSCORE").arg(&index).arg("-inf").arg(clock);
        pipeline.cmd("PEXPIRE").arg(&index).arg(keep);
        if self.connector.is_cluster() {
            let Ok(mut there) = self.connector.connect(&index, Purpose::Commands).await else {
                return Ok(());
            };
            return pipeline.query_async(&mut there.io).await;
        }
        pipeline.query_async(&mut connection.io).await
    }
}

/// The reply of a renewal.
#[derive(Debug, PartialEq, Eq)]
struct Renewed {
    known: bool,
    clock: u64,
    version: u64,
    /// Members whose lease is over.
    over: Vec<String>,
}

impl Renewed {
    fn read(reply: &Value) -> Option<Self> {
        let items = reply::array(reply)?;
        let number = |at: usize| items.get(at).and_then(reply::number);
        let over = items.iter().skip(3).filter_map(reply::text).map(str::to_owned).collect();
        let (known, clock) = (number(0)? == 1, number(1)?);
        Some(Renewed { known, clock, version: number(2).unwrap_or(0), over })
    }
}

enum Pushed {
    News(News),
    Other,
    End,
}

fn news(push: &PushInfo) -> Pushed {
    match push.kind {
        PushKind::Disconnection | PushKind::SUnsubscribe => Pushed::End,
        PushKind::SMessage => match push.data.get(1).and_then(reply::text).and_then(change) {
            Some(news) => Pushed::News(news),
            None => Pushed::Other,
        },
        _ => Pushed::Other,
    }
}

/// `joined`, `changed`, `left` or `lost`, and a member.
fn change(message: &str) -> Option<News> {
    let (how, member) = message.split_once(' ')?;
    let gone = if how == "left" { Gone::Left } else { Gone::Lost };
    Some(News::Changed { member: member.to_owned(), gone })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_read() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let push = |message: &str| PushInfo {
            kind: PushKind::SMessage,
            data: vec![text("channel"), text(message)],
        };
        let read = |message: &str| match news(&push(message)) {
            Pushed::News(news) => Some(news),
            _ => None,
        };
        let changed = |gone| Some(News::Changed { member: "m-1".to_owned(), gone });
        assert_eq!(read("left m-1"), changed(Gone::Left));
        assert_eq!(read("lost m-1"), changed(Gone::Lost));
        assert_eq!(read("garbage"), None);
    }

    /// Whether others may be buried, of renewals at these times in ms: by this process, and by the broker.
    fn sound(times: &[(u64, u64)]) -> Vec<bool> {
        let (mut known, began) = (Known::default(), Instant::now());
        let renewed = times.iter().map(|(own, clock)| {
            let now = began + Duration::from_millis(*own);
            known.renewed(now, now, 1_000_000 + clock, Duration::from_secs(10))
        });
        renewed.collect()
    }

    fn each_second(from: u64, to: u64, ahead: u64) -> Vec<(u64, u64)> {
        (from..=to).map(|second| (1000 * second, 1000 * second + ahead)).collect()
    }

    #[test]
    fn who_has_kept_its_lease_for_a_lease_may_end_others() {
        let expected: Vec<bool> = (0..=12).map(|second| second >= 10).collect();
        assert_eq!(sound(&each_second(0, 12, 0)), expected);
    }

    #[test]
    fn a_broker_that_was_away_is_no_death() {
        let times = [each_second(0, 10, 0), each_second(16, 27, 0)].concat();
        let expected = (0..=10).map(|it| it >= 10).chain((16..=27).map(|it| it >= 26));
        assert_eq!(sound(&times), expected.collect::<Vec<bool>>());
    }

    #[test]
    fn a_clock_that_is_set_is_no_death() {
        for (before, after) in [(0, 3_600_000), (3_600_000, 0), (0, 5001)] {
            let times = [each_second(0, 10, before), each_second(11, 22, after)].concat();
            let expected = (0..=22).map(|second| second == 10 || second >= 21);
            assert_eq!(sound(&times), expected.collect::<Vec<bool>>());
        }
        // By less than what everybody has left of its lease, it does no harm.
        let times = [each_second(0, 10, 0), each_second(11, 12, 4000)].concat();
        assert_eq!(&sound(&times)[10..], [true; 3]);
    }

    #[test]
    fn a_renewal_is_read() {
        let reply = Value::Array(vec![
            Value::Int(1),
            Value::Int(170),
            Value::Int(3),
            Value::BulkString(b"m-2".to_vec()),
        ]);
        let over = vec!["m-2".to_owned()];
        let renewed = Renewed { known: true, clock: 170, version: 3, over };
        assert_eq!(Renewed::read(&reply), Some(renewed));
        assert_eq!(Renewed::read(&Value::Nil), None);
    }
}
