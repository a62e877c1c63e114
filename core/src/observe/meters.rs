//! The metrics of a node, by the facade of the crate `metrics`. `docs/OBSERVABILITY.md` says what
//! each of them means.
//!
//! What a recorder gives for a name and its labels is kept: per method at a server, and in a bounded
//! table at a client. A recorder is looked for as calls are made, so one that is installed after
//! the node was opened is found, and as long as there is none nothing is kept, counted or timed.

use std::cell::OnceCell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use compact_str::CompactString;
use metrics::{Counter, Gauge, Histogram, Unit, counter, gauge, histogram};

use super::Ended;
use crate::client::Counters;
use crate::event::{Event, ServerInfo};
use crate::wire::Reason;

const CALLS: &str = "farcall_calls_total";
const DURATION: &str = "farcall_call_duration_seconds";
const IN_FLIGHT: &str = "farcall_calls_in_flight";
const WAITING: &str = "farcall_calls_waiting";
const RETRIES: &str = "farcall_retries_total";
const RECONNECTS: &str = "farcall_reconnects_total";
const DROPPED: &str = "farcall_dropped_frames_total";
const REJECTED: &str = "farcall_rejected_peers_total";

/// What stands for names that are not known to be one of a server's. The word is that of
/// OpenTelemetry's conventions.
const OTHER: &str = "_OTHER";

/// Services that a client keeps meters for; the calls of more count as `_OTHER`.
const MAX_SERVICES: usize = 256;

/// Methods of one service that a client keeps meters for.
const MAX_METHODS: usize = 1024;

/// Servers that are remembered as lost, to know a reconnection when it comes.
const MAX_LOST: usize = 1024;

/// Whether there is a recorder. One that records nothing has no state; any other has.
fn listening() -> bool {
    metrics::with_recorder(|recorder| size_of_val(recorder) != 0)
}

/// Says to the recorder what the names mean.
fn describe() {
    metrics::describe_counter!(CALLS, Unit::Count, "Calls that ended.");
    metrics::describe_histogram!(DURATION, Unit::Seconds, "How long calls took.");
    metrics::describe_gauge!(IN_FLIGHT, Unit::Count, "Calls under way.");
    metrics::describe_gauge!(WAITING, Unit::Count, "Calls that wait for their turn at a server.");
    metrics::describe_counter!(RETRIES, Unit::Count, "Calls started again at another server.");
    metrics::describe_counter!(RECONNECTS, Unit::Count, "Servers that were lost and came back.");
    metrics::describe_counter!(DROPPED, Unit::Count, "Frames that belonged to no call.");
    metrics::describe_counter!(REJECTED, Unit::Count, "Peers turned away or thrown out.");
}

/// The meters of one method on one side.
pub(crate) struct MethodMeters {
    side: &'static str,
    service: CompactString,
    method: CompactString,
    ended: [OnceLock<Counter>; Ended::COUNT],
    duration: Histogram,
}

impl MethodMeters {
    fn new(side: &'static str, service: &str, method: &str) -> Self {
        let labels = [("service", service.to_owned()), ("method", method.to_owned())];
        MethodMeters {
            side,
            service: service.into(),
            method: method.into(),
            ended: [const { OnceLock::new() }; Ended::COUNT],
            duration: histogram!(DURATION, &with_side(side, labels)),
        }
    }

    /// A call ended after so long.
    pub(crate) fn ended(&self, ended: Ended, took: Duration) {
        self.count(ended);
        self.duration.record(took.as_secs_f64());
    }

    /// A call ended that is not timed.
    pub(crate) fn count(&self, ended: Ended) {
        let counter = self.ended[ended.index()]
            .get_or_init(|| calls(self.side, &self.service, &self.method, ended));
        counter.increment(1);
    }
}

fn calls(side: &'static str, service: &str, method: &str, ended: Ended) -> Counter {
    let labels = [
        ("service", service.to_owned()),
        ("method", method.to_owned()),
        ("outcome", ended.as_str().to_owned()),
    ];
    counter!(CALLS, &with_side(side, labels))
}

fn with_side<const N: usize>(
    side: &'static str,
    labels: [(&'static str, String); N],
) -> Vec<(&'static str, String)> {
    std::iter::once(("side", side.to_owned())).chain(labels).collect()
}

/// A gauge to which several nodes of one program add.
struct Share {
    gauge: Gauge,
    added: usize,
}

impl Share {
    fn new(gauge: Gauge) -> Self {
        Share { gauge, added: 0 }
    }

    fn set(&mut self, now: usize) {
        if now > self.added {
            self.gauge.increment((now - self.added) as f64);
        } else if now < self.added {
            self.gauge.decrement((self.added - now) as f64);
        }
        self.added = now;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// The meters of a service that is served.
pub(crate) struct ServedMeters {
    service: CompactString,
    /// By the places of the methods in the descriptor.
    methods: Vec<OnceCell<Rc<MethodMeters>>>,
    load: Option<(Share, Share)>,
}

impl ServedMeters {
    pub(crate) fn new(service: &CompactString, methods: usize) -> Self {
        ServedMeters {
            service: service.clone(),
            methods: std::iter::repeat_with(OnceCell::new).take(methods).collect(),
            load: None,
        }
    }

    /// The meters of a method, if anybody listens.
    pub(crate) fn method(&mut self, at: usize, name: &str) -> Option<Rc<MethodMeters>> {
        if !listening() {
            return None;
        }
        if self.load.is_none() {
            describe();
            let labels = with_side("server", [("service", self.service.to_string())]);
            let share = |name| Share::new(gauge!(name, &labels));
            self.load = Some((share(IN_FLIGHT), share(WAITING)));
        }
        let make = || Rc::new(MethodMeters::new("server", &self.service, name));
        Some(Rc::clone(self.methods[at].get_or_init(make)))
    }

    /// So many calls run, and so many wait; of interest once a call has come while somebody listened.
    pub(crate) fn load(&mut self, running: usize, waiting: usize) {
        if let Some((in_flight, waits)) = &mut self.load {
            in_flight.set(running);
            waits.set(waiting);
        }
    }
}

/// A server refused a call at once. Names that it does not have are not said: they are the
/// caller's own words.
pub(crate) fn refused(service: Option<&str>, method: Option<&str>, reason: Reason) {
    if listening() {
        let (service, method) = (service.unwrap_or(OTHER), method.unwrap_or(OTHER));
        calls("server", service, method, Ended::Failed(reason)).increment(1);
    }
}

/// The meters of all calls that a node makes.
#[derive(Default)]
pub(crate) struct ClientMeters(Mutex<HashMap<CompactString, Arc<ClientService>>>);

impl ClientMeters {
    /// Those of a service, if anybody listens.
    pub(crate) fn service(&self, name: &CompactString) -> Option<Arc<ClientService>> {
        if !listening() {
            return None;
        }
        let mut services = lock(&self.0);
        if let Some(known) = services.get(name) {
            return Some(Arc::clone(known));
        }
        if services.is_empty() {
            describe();
        }
        let name = if services.len() < MAX_SERVICES { name } else { &OTHER.into() };
        let made = services.entry(name.clone()).or_insert_with_key(ClientService::new);
        Some(Arc::clone(made))
    }
}

/// The meters of calls to one service.
pub(crate) struct ClientService {
    name: CompactString,
    in_flight: Gauge,
    methods: Mutex<HashMap<CompactString, Arc<MethodMeters>>>,
}

impl ClientService {
    fn new(name: &CompactString) -> Arc<Self> {
        let labels = with_side("client", [("service", name.to_string())]);
        let in_flight = gauge!(IN_FLIGHT, &labels);
        Arc::new(ClientService { name: name.clone(), in_flight, methods: Mutex::default() })
    }

    /// A call is made. It is told that it [`ended`](ClientService::ended), once.
    pub(crate) fn begun(&self) {
        self.in_flight.increment(1);
    }

    /// A call has ended.
    pub(crate) fn ended(&self, method: &CompactString, ended: Ended, took: Duration) {
        self.in_flight.decrement(1);
        self.method(method, ended).ended(ended, took);
    }

    /// A name becomes a label once a server has not called it unknown.
    fn method(&self, name: &CompactString, ended: Ended) -> Arc<MethodMeters> {
        let mut methods = lock(&self.methods);
        if let Some(known) = methods.get(name) {
            return Arc::clone(known);
        }
        let told = matches!(ended, Ended::Failed(Reason::UnknownMethod | Reason::UnknownService));
        let name = if told || methods.len() >= MAX_METHODS { &OTHER.into() } else { name };
        match methods.entry(name.clone()) {
            Entry::Occupied(other) => Arc::clone(other.get()),
            Entry::Vacant(free) => {
                Arc::clone(free.insert(Arc::new(MethodMeters::new("client", &self.name, name))))
            }
        }
    }
}

fn lock<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked in one of these short sections left the table whole.
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The meters of what is no single call's: of the client actor and of the link.
#[derive(Default)]
pub(crate) struct LinkMeters {
    told: Counters,
    kept: Option<Kept>,
    /// Servers that are out of reach, by service and id.
    lost: HashSet<(CompactString, CompactString)>,
}

struct Kept {
    retries: Counter,
    late: Counter,
    stray: Counter,
}

impl LinkMeters {
    /// What was counted so far.
    pub(crate) fn counted(&mut self, now: Counters) {
        if now == self.told || !listening() {
            return;
        }
        let kept = self.kept.get_or_insert_with(|| Kept {
            retries: counter!(RETRIES),
            late: counter!(DROPPED, "kind" => "late_answer"),
            stray: counter!(DROPPED, "kind" => "stray"),
        });
        kept.retries.increment(now.retries - self.told.retries);
        kept.late.increment(now.late_answers - self.told.late_answers);
        kept.stray.increment(now.stray_frames - self.told.stray_frames);
        self.told = now;
    }

    /// Something happened around the node.
    pub(crate) fn happened(&mut self, event: &Event) {
        let key = |it: &ServerInfo| (it.service.clone(), it.server.clone());
        match event {
            Event::ServerDown { server, .. } if self.lost.len() < MAX_LOST => {
                self.lost.insert(key(server));
            }
            Event::ServerUp(server) if self.lost.remove(&key(server)) && listening() => {
                counter!(RECONNECTS, "service" => server.service.to_string()).increment(1);
            }
            _ => {}
        }
    }

    /// A peer was turned away.
    pub(crate) fn rejected() {
        if listening() {
            counter!(REJECTED).increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics::with_local_recorder;
    use metrics_util::MetricKind;
    use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

    use super::*;

    /// What was counted: name, labels and value, in order.
    fn seen(snapshotter: &Snapshotter) -> Vec<String> {
        let entries = snapshotter.snapshot().into_vec();
        let mut seen: Vec<String> = entries
            .into_iter()
            .map(|(key, _, _, value)| {
                let labels: Vec<&str> = key.key().labels().map(metrics::Label::value).collect();
                let value = match value {
                    DebugValue::Counter(value) => value.to_string(),
                    DebugValue::Gauge(value) => value.to_string(),
                    DebugValue::Histogram(values) => format!("{} values", values.len()),
                };
                format!("{} {}: {value}", key.key().name(), labels.join(" "))
            })
            .collect();
        seen.sort();
        seen
    }

    #[test]
    fn without_a_recorder_nothing_is_kept() {
        assert!(!listening());
        assert!(ClientMeters::default().service(&"calc".into()).is_none());
        assert!(ServedMeters::new(&"calc".into(), 1).method(0, "add").is_none());
    }

    #[test]
    fn a_name_is_a_label_once_a_server_knows_it() {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        with_local_recorder(&recorder, || {
            let meters = ClientMeters::default();
            let calc = meters.service(&"calc".into()).unwrap();
            for (method, ended) in [
                ("x", Ended::Failed(Reason::UnknownMethod)),
                ("add", Ended::Ok),
                ("add", Ended::Ok),
            ] {
                calc.begun();
                calc.ended(&method.into(), ended, Duration::ZERO);
            }
        });
        assert_eq!(
            seen(&snapshotter),
            [
                "farcall_call_duration_seconds client calc _OTHER: 1 values",
                "farcall_call_duration_seconds client calc add: 2 values",
                "farcall_calls_in_flight client calc: 0",
                "farcall_calls_total client calc _OTHER unknown_method: 1",
                "farcall_calls_total client calc add ok: 2",
            ]
        );
    }

    #[test]
    fn labels_of_a_client_are_bounded() {
        let recorder = DebuggingRecorder::new();
        with_local_recorder(&recorder, || {
            let meters = ClientMeters::default();
            for at in 0..2 * MAX_SERVICES {
                meters.service(&format!("service-{at}").into()).unwrap();
            }
            assert_eq!(lock(&meters.0).len(), MAX_SERVICES + 1);
            let service = meters.service(&"service-0".into()).unwrap();
            for at in 0..2 * MAX_METHODS {
                service.method(&format!("method-{at}").into(), Ended::Ok);
            }
            assert_eq!(lock(&service.methods).len(), MAX_METHODS + 1);
        });
    }

    #[test]
    fn nodes_add_to_one_gauge_and_take_back_their_share() {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        let _one = with_local_recorder(&recorder, || {
            let [mut one, mut two] = [(); 2].map(|()| ServedMeters::new(&"calc".into(), 1));
            assert!(one.method(0, "add").is_some() && two.method(0, "add").is_some());
            one.load(3, 2);
            two.load(4, 0);
            one.load(1, 0);
            drop(two);
            one
        });
        let mut seen = seen(&snapshotter);
        seen.retain(|it| it.starts_with("farcall_calls_"));
        let expected =
            ["farcall_calls_in_flight server calc: 1", "farcall_calls_waiting server calc: 0"];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_server_that_was_lost_and_is_back_is_a_reconnection() {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        let announcement = crate::wire::Announcement {
            service: "calc".into(),
            server: "a".into(),
            epoch: 1,
            node: crate::wire::NodeId::generate(),
            state: crate::wire::ServerState::Ready,
            schema: CompactString::default(),
            concurrency: 1,
            backlog: 1,
        };
        let server = ServerInfo::new(crate::transport::PeerId(1), &announcement, 0);
        with_local_recorder(&recorder, || {
            let mut meters = LinkMeters::default();
            meters.happened(&Event::ServerUp(server.clone()));
            assert_eq!(seen(&snapshotter), [""; 0]);
            meters.happened(&Event::ServerDown { server: server.clone(), reason: "".into() });
            meters.happened(&Event::ServerUp(server));
        });
        assert_eq!(seen(&snapshotter), ["farcall_reconnects_total calc: 1"]);
    }

    /// The table in `docs/OBSERVABILITY.md` has each name, with its kind and unit.
    #[test]
    fn what_is_described_is_documented() {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        with_local_recorder(&recorder, || {
            describe();
            // A description is shown for what was registered.
            counter!(CALLS).increment(0);
            histogram!(DURATION).record(0.0);
            let _ = (gauge!(IN_FLIGHT), gauge!(WAITING), counter!(RETRIES));
            let _ = (counter!(RECONNECTS), counter!(DROPPED), counter!(REJECTED));
        });
        let mut described: Vec<(String, String, String)> = snapshotter
            .snapshot()
            .into_vec()
            .into_iter()
            .map(|(key, unit, description, _)| {
                assert!(description.is_some(), "{key:?}");
                let kind = match key.kind() {
                    MetricKind::Counter => "counter",
                    MetricKind::Gauge => "gauge",
                    MetricKind::Histogram => "histogram",
                };
                let unit = unit.map_or("", |unit| unit.as_str());
                (key.key().name().to_owned(), kind.to_owned(), unit.to_owned())
            })
            .collect();
        let table = include_str!("../../../docs/OBSERVABILITY.md");
        let rows = table.lines().filter(|line| line.starts_with("| `farcall_"));
        let mut documented: Vec<(String, String, String)> = rows
            .map(|row| {
                let mut cells = row.split('|').skip(1).map(|cell| cell.trim().trim_matches('`'));
                let mut next = || cells.next().unwrap_or_default().to_owned();
                (next(), next(), next())
            })
            .collect();
        described.sort();
        documented.sort();
        assert_eq!(described, documented);
    }
}
