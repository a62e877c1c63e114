//! `farcall list`: live services, servers, clients, and load.

use std::collections::BTreeMap;
use std::time::Duration;

use farcall::{Error, Event, Node, NodeStatus, Reason, ServerInfo, ServiceStatus};
use futures::FutureExt;
use futures::future::join_all;
use serde::Serialize;

use crate::args::ListArgs;
use crate::columns::columns;
use crate::exit::{Exit, Status};
use crate::terminal::Terminal;

/// What `--json` prints; these names stay as they are.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Listing {
    transport: String,
    namespace: String,
    /// Whether every server that can be found is listed.
    complete: bool,
    servers: Vec<Server>,
    clients: Vec<Client>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Server {
    service: String,
    server: String,
    epoch: u64,
    /// `ready`, `draining` or `unresponsive`.
    state: String,
    /// Calls that run; unknown if the server did not say.
    running: Option<usize>,
    /// Calls that wait.
    waiting: Option<usize>,
    /// Calls that it has taken from the shared queue and not answered; unknown where there is none.
    pending: Option<u64>,
    /// Calls in the shared queue of its service that no server has taken yet; likewise.
    lag: Option<u64>,
    concurrency: u64,
    backlog: u64,
    /// How many clients are connected to its node.
    clients: Option<usize>,
    /// Why the server's load is not known.
    problem: Option<String>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Client {
    identity: String,
    uid: Option<u32>,
    pid: Option<u32>,
    /// The ids of the servers it is connected to.
    servers: Vec<String>,
}

/// What came of asking a server how it is.
enum Answer {
    Status(NodeStatus),
    /// It left while it was asked.
    Gone,
    Silent,
    Failed(String),
}

/// Runs the command.
///
/// # Errors
/// The node is closed, or the answer cannot be written.
pub(crate) async fn run(
    node: &Node,
    args: &ListArgs,
    terminal: &mut Terminal<'_>,
) -> Result<Status, Exit> {
    let Look { servers, unreachable, ended } =
        look(node, args.service.as_deref(), args.timeout).await?;
    let complete = ended && unreachable.is_empty();
    let asked = servers.into_iter().map(|server| async {
        let answer = ask(node, &server, args.timeout).await;
        (server, answer)
    });
    let answers = join_all(asked).await;

    let config = node.config();
    let mut listing = listing(answers, node.identity(), args.timeout);
    listing.transport.clone_from(&config.transport);
    listing.namespace = config.namespace.to_string();
    listing.complete = complete;
    if !ended && unreachable.is_empty() {
        let time = args.timeout;
        terminal.note(format_args!(
            "the look at the servers did not end within {time:?}: one of them may hang"
        ));
    }
    for (what, reason) in unreachable {
        terminal.note(format_args!("{what}: {reason}"));
    }
    if complete && listing.servers.is_empty() {
        let of = args.service.iter().map(|service| format!(" of `{service}`")).collect::<String>();
        let Listing { transport, namespace, .. } = &listing;
        terminal.note(format_args!(
            "no servers{of} in namespace `{namespace}` (transport {transport})"
        ));
    }
    if args.json {
        let json = serde_json::to_string_pretty(&listing);
        terminal.answer(json.expect("keys are text, and writing to memory works"))?;
    } else if !listing.servers.is_empty() {
        terminal.answer(tables(&listing))?;
    }
    Ok(Status::Done)
}

/// What came of looking for servers.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) servers: Vec<ServerInfo>,
    /// What could not be reached or looked into, and why, both for people.
    pub(crate) unreachable: BTreeMap<String, String>,
    /// Whether it came to its end.
    ended: bool,
}

/// Looks for servers. One that hangs before it has said who it is keeps the look from its end, and must
/// not hide the others.
pub(crate) async fn look(
    node: &Node,
    service: Option<&str>,
    timeout: Duration,
) -> Result<Look, Error> {
    let mut events = node.events();
    let whole = async {
        match service {
            Some(service) => node.servers(service).await,
            None => node.all_servers().await,
        }
    };
    let whole = tokio::time::timeout(timeout, whole).await.ok().transpose()?;
    let mut found = BTreeMap::new();
    let mut look = Look::default();
    let unresponsive = |service: &str, server: &str| format!("{service} {server} is unresponsive");
    while let Some(Some(event)) = events.next().now_or_never() {
        match event {
            Event::ServerUp(server) | Event::ServerDraining(server) => {
                look.unreachable.remove(&unresponsive(&server.service, &server.server));
                found.insert((server.service.clone(), server.peer), server);
            }
            Event::ServerDown { server, .. } => {
                found.remove(&(server.service, server.peer));
            }
            Event::ServerUnreachable { service, server, reason } => {
                look.unreachable.insert(unresponsive(&service, &server), reason);
            }
            Event::WatchFailed { service, reason } => {
                let of = service.map_or_else(|| "all services".to_owned(), String::from);
                look.unreachable.insert(of, reason);
            }
            _ => {}
        }
    }
    look.ended = whole.is_some();
    look.servers = whole.unwrap_or_else(|| found.into_values().collect());
    Ok(look)
}

async fn ask(node: &Node, server: &ServerInfo, timeout: Duration) -> Answer {
    match tokio::time::timeout(timeout, node.peer(server.peer).status()).await {
        Ok(Ok(status)) => Answer::Status(status),
        Ok(Err(error)) => match error.reason() {
            Reason::PeerGone | Reason::ServerLost => Answer::Gone,
            Reason::DeadlineExceeded => Answer::Silent,
            _ => Answer::Failed(error.details().message.clone()),
        },
        Err(_) => Answer::Silent,
    }
}

/// Brings the answers together; `own` is the identity of the client that asked, which is none of
/// those to be listed.
fn listing(answers: Vec<(ServerInfo, Answer)>, own: &str, timeout: Duration) -> Listing {
    type Key = (String, Option<u32>, Option<u32>);
    let mut servers = Vec::new();
    let mut clients: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    for (info, answer) in answers {
        let mut server = Server {
            service: info.service.to_string(),
            server: info.server.to_string(),
            epoch: info.epoch,
            state: info.state.as_str().to_owned(),
            running: None,
            waiting: None,
            pending: info.pending,
            lag: info.lag,
            concurrency: info.concurrency,
            backlog: info.backlog,
            clients: None,
            problem: None,
        };
        match answer {
            Answer::Gone => continue,
            Answer::Silent => {
                server.state = "unresponsive".to_owned();
                server.problem = Some(format!("no answer within {timeout:?}"));
            }
            Answer::Failed(problem) => server.problem = Some(problem),
            Answer::Status(status) => {
                let mut own_load = status.services.iter();
                let of = |it: &&_| is_of(it, &info);
                if let Some(load) = own_load.find(of) {
                    server.state.clone_from(&load.state);
                    server.running = Some(load.running);
                    server.waiting = Some(load.waiting);
                }
                let mut connected: Vec<Key> = status
                    .clients
                    .into_iter()
                    .filter(|client| client.identity != own)
                    .map(|client| (client.identity, client.uid, client.pid))
                    .collect();
                // A client of two services of one node has two sessions there.
                connected.sort_unstable();
                connected.dedup();
                server.clients = Some(connected.len());
                for key in connected {
                    let of = clients.entry(key).or_default();
                    if !of.contains(&server.server) {
                        of.push(server.server.clone());
                    }
                }
            }
        }
        servers.push(server);
    }
    servers.sort_by(|a, b| (&a.service, &a.server).cmp(&(&b.service, &b.server)));
    let client = |((identity, uid, pid), servers)| Client { identity, uid, pid, servers };
    let clients = clients.into_iter().map(client).collect();
    Listing { servers, clients, ..Listing::default() }
}

fn is_of(load: &ServiceStatus, info: &ServerInfo) -> bool {
    info.service == *load.service && info.server == *load.server
}

/// Two tables, for people.
fn tables(listing: &Listing) -> String {
    let unknown = || "?".to_owned();
    let of = |value: Option<usize>, limit: u64| match value {
        Some(value) => format!("{value}/{limit}"),
        None => format!("?/{limit}"),
    };
    let count = |count: Option<u64>| count.map_or_else(unknown, |count| count.to_string());
    let row = |it: &Server| {
        [
            it.service.clone(),
            it.server.clone(),
            it.state.clone(),
            of(it.running, it.concurrency),
            of(it.waiting, it.backlog),
            count(it.pending),
            count(it.lag),
            count(it.clients.map(|count| count as u64)),
            it.problem.clone().unwrap_or_default(),
        ]
    };
    let servers: Vec<_> = listing.servers.iter().map(row).collect();
    let heads =
        ["SERVICE", "SERVER", "STATE", "RUNNING", "WAITING", "PENDING", "LAG", "CLIENTS", ""];
    let has_queue = listing.servers.iter().any(|it| it.pending.is_some() || it.lag.is_some());
    let mut tables = if has_queue {
        columns(heads, &servers)
    } else {
        // Of a queue there is nothing to say.
        let without =
            |[service, server, state, running, waiting, _, _, clients, problem]: [_; 9]| {
                [service, server, state, running, waiting, clients, problem]
            };
        let heads = ["SERVICE", "SERVER", "STATE", "RUNNING", "WAITING", "CLIENTS", ""];
        columns(heads, &servers.into_iter().map(without).collect::<Vec<[String; 7]>>())
    };
    if listing.clients.is_empty() {
        return tables;
    }
    let number = |id: Option<u32>| id.map_or_else(unknown, |id| id.to_string());
    let clients: Vec<_> = listing
        .clients
        .iter()
        .map(|it| [it.identity.clone(), number(it.pid), number(it.uid), it.servers.join(" ")])
        .collect();
    tables.push_str("\n\n");
    tables.push_str(&columns(["CLIENT", "PID", "UID", "CONNECTED TO"], &clients));
    tables
}

#[cfg(test)]
mod tests {
    use farcall::transport::PeerId;
    use farcall::wire::{NodeId, ServerState};
    use farcall::{ClientStatus, Config, Functions, Memory, block_on};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(2);

    fn info(service: &str, server: &str) -> ServerInfo {
        ServerInfo {
            service: service.into(),
            server: server.into(),
            epoch: 7,
            node: NodeId::generate(),
            state: ServerState::Ready,
            concurrency: 8,
            backlog: 9,
            peer: PeerId(1),
            in_flight: 0,
            pending: None,
            lag: None,
        }
    }

    fn client(identity: &str) -> ClientStatus {
        ClientStatus { identity: identity.into(), uid: Some(1000), pid: None }
    }

    fn busy(service: &str, server: &str, clients: &[&str]) -> Answer {
        let load = ServiceStatus {
            service: service.into(),
            server: server.into(),
            state: "draining".into(),
            running: 3,
            ..ServiceStatus::default()
        };
        let clients = clients.iter().map(|identity| client(identity)).collect();
        Answer::Status(NodeStatus { services: vec![load], clients, ..NodeStatus::default() })
    }

    #[test]
    fn servers_and_clients_are_listed_once_each() {
        let answers = vec![
            (info("text", "b"), Answer::Silent),
            (info("calc", "b"), busy("calc", "b", &["me", "x", "x"])),
            (info("calc", "a"), busy("calc", "a", &["x", "me"])),
            (info("calc", "c"), Answer::Gone),
        ];
        let listing = listing(answers, "me", TIMEOUT);
        assert_eq!(
            tables(&listing),
            "SERVICE  SERVER  STATE         RUNNING  WAITING  CLIENTS\n\
             calc     a       draining      3/8      0/9      1\n\
             calc     b       draining      3/8      0/9      1\n\
             text     b       unresponsive  ?/8      ?/9      ?        no answer within 2s\n\
             \n\
             CLIENT  PID  UID   CONNECTED TO\n\
             x       ?    1000  b a"
        );
    }

    #[test]
    fn a_shared_queue_has_columns_of_its_own() {
        let mut taken = info("calc", "a");
        (taken.pending, taken.lag) = (Some(3), Some(12));
        let answers = vec![(taken, busy("calc", "a", &[])), (info("text", "b"), Answer::Silent)];
        assert_eq!(
            tables(&listing(answers, "me", TIMEOUT)),
            "SERVICE  SERVER  STATE         RUNNING  WAITING  PENDING  LAG  CLIENTS\n\
             calc     a       draining      3/8      0/9      3        12   0\n\
             text     b       unresponsive  ?/8      ?/9      ?        ?    ?        no answer within 2s"
        );
    }

    #[test]
    fn names_in_json_stay_as_they_are() {
        let listing = listing(vec![(info("calc", "a"), busy("calc", "a", &["x"]))], "me", TIMEOUT);
        assert_eq!(
            serde_json::to_string(&listing).unwrap(),
            r#"{"transport":"","namespace":"","complete":false,"servers":[{"service":"calc","server":"a","epoch":7,"state":"draining","running":3,"waiting":0,"pending":null,"lag":null,"concurrency":8,"backlog":9,"clients":1,"problem":null}],"clients":[{"identity":"x","uid":1000,"pid":null,"servers":["a"]}]}"#
        );
    }

    #[test]
    fn a_node_that_serves_is_found_and_the_one_that_asks_is_not() {
        let mut answers = Vec::new();
        block_on(async {
            let memory = Memory::new();
            let server = Node::open_with(Config::default(), memory.transport()).await.unwrap();
            server.serve(Functions::new("calc").add("one", || 1)).await.unwrap();
            let node = Node::open_with(Config::default(), memory.transport()).await.unwrap();
            let args = ListArgs { service: None, timeout: TIMEOUT, json: true };
            let mut notes = Vec::new();
            let mut terminal = Terminal::new(&mut answers, &mut notes);
            assert_eq!(run(&node, &args, &mut terminal).await.unwrap(), Status::Done);
            assert!(notes.is_empty());
        });
        let listing: serde_json::Value = serde_json::from_slice(&answers).unwrap();
        assert_eq!(listing["namespace"], "default");
        assert_eq!(listing["complete"], true);
        assert_eq!(listing["servers"][0]["service"], "calc");
        assert_eq!(listing["servers"][0]["running"], 0);
        assert_eq!(listing["clients"], serde_json::json!([]));
    }

    #[test]
    fn what_is_offered_to_peers_alone_is_no_server() {
        let mut answers = Vec::new();
        block_on(async {
            let memory = Memory::new();
            let open = || Node::open_with(Config::default(), memory.transport());
            let (server, client, node) =
                (open().await.unwrap(), open().await.unwrap(), open().await.unwrap());
            let service = |name: &'static str| Functions::new(name).add("one", || 1);
            server.serve(service("calc")).await.unwrap();
            server.offer(service("hidden")).await.unwrap();
            client.offer(service("hidden")).await.unwrap();
            client.client("calc").call::<i32>("one", ()).await.unwrap();
            let args = ListArgs { service: None, timeout: TIMEOUT, json: true };
            let mut notes = Vec::new();
            let mut terminal = Terminal::new(&mut answers, &mut notes);
            assert_eq!(run(&node, &args, &mut terminal).await.unwrap(), Status::Done);
            assert!(notes.is_empty());
            // Nor is it waited for as one.
            let found = node.servers("hidden").await.unwrap();
            assert!(found.is_empty());
            let identity = client.identity().to_owned();
            drop(client);
            let listing: serde_json::Value = serde_json::from_slice(&answers).unwrap();
            let services: Vec<_> = listing["servers"].as_array().unwrap().iter().collect();
            assert_eq!(services.len(), 1, "{listing}");
            assert_eq!(
                (&services[0]["service"], &services[0]["clients"]),
                (&"calc".into(), &1.into())
            );
            assert_eq!(listing["clients"][0]["identity"], identity);
        });
    }
}
