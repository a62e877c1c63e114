//! Who has a task, and what he says of it.
//!
//! A task belongs to one ledger, and a ledger has one holder or a few, which change when servers die. So all
//! servers of the service are asked; one that does not have the ledger says so at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::request::{About, Request};
use super::sent::Sent;
use super::{Reply, Target};
use crate::deadlines::LONGEST;
use crate::event::Event;
use crate::ledger::{Answer, TaskInfo, TaskToken};
use crate::node::Node;
use crate::params::encode_dynamic;
use crate::transport::PeerId;
use crate::value;
use crate::wire::{Failure, Reason, ServerState};

/// When nobody has a task now, it is asked for again after this long, or when a server comes up.
const AGAIN: Duration = Duration::from_millis(200);

/// When some servers have said that they have not got it and others say nothing, all are asked anew after this long.
const ANEW: Duration = Duration::from_secs(3);

/// What one server says.
enum Word<T> {
    /// He has the task, and this is the answer.
    Found(T),
    NotHere,
    /// He has its ledger, which does not know the task.
    Unknown,
    /// He is gone, or lets the task go.
    Lost,
}

/// Waits for the outcome of a task, wherever it runs.
pub(super) async fn outcome(node: &Node, token: &TaskToken) -> Reply {
    ask(node, token, "task.result", None, |reply| match reply {
        Ok(answer) => match raw(&answer) {
            Some(value) => Word::Found(Ok(value)),
            None => word(&answer).map_or_else(broken, |word: Word<()>| match word {
                Word::Unknown => Word::Unknown,
                Word::Found(()) | Word::NotHere | Word::Lost => Word::NotHere,
            }),
        },
        Err(failure) if is_lost(&failure) => Word::Lost,
        Err(failure) => Word::Found(Err(failure)),
    })
    .await
}

/// Asks whoever has a task, for as long as it may take to find him.
pub(super) async fn question<T: DeserializeOwned>(
    node: &Node,
    token: &TaskToken,
    subject: &'static str,
) -> Result<T, Failure> {
    let patience = node.config().client.wait_for_server;
    ask(node, token, subject, Some(patience), |reply| match reply {
        Ok(answer) => word(&answer).map_or_else(broken, |word| match word {
            Word::Found(answer) => Word::Found(Ok(answer)),
            Word::NotHere => Word::NotHere,
            Word::Unknown => Word::Unknown,
            Word::Lost => Word::Lost,
        }),
        Err(failure) if is_lost(&failure) => Word::Lost,
        Err(failure) => Word::Found(Err(failure)),
    })
    .await
}

async fn ask<T>(
    node: &Node,
    token: &TaskToken,
    subject: &'static str,
    patience: Option<Duration>,
    read: impl Fn(Reply) -> Word<Result<T, Failure>>,
) -> Result<T, Failure> {
    let namespace = node.config().namespace.as_str();
    if token.namespace() != namespace {
        let message = format!("the task is of another namespace, this node is in `{namespace}`");
        return Err(Failure::new(Reason::UnknownService, message));
    }
    let mut over = match patience {
        Some(patience) => node.sleep(patience).boxed(),
        None => futures::future::pending().boxed(),
    };
    'ask: loop {
        // Before the list is made, so that nobody comes up unnoticed between.
        let mut events = node.events();
        let servers = node.servers(token.service()).await;
        let servers = servers.map_err(|it| Failure::new(Reason::Closed, it.to_string()))?;
        let servers = servers.into_iter().filter(|server| server.state != ServerState::Gone);
        let mut asked: FuturesUnordered<_> =
            servers.map(|server| put(node, server.peer, token, subject)).collect();
        let (mut unknown, mut lost, mut elsewhere) = (false, false, false);
        let mut anew = node.sleep(ANEW).boxed();
        loop {
            let or_time = select(&mut over, &mut anew);
            let reply = match select(asked.next(), or_time).await {
                Either::Left((Some(reply), _)) => reply,
                Either::Left((None, _)) => break,
                // One that is stopped answers nobody: meanwhile the task may have come to another.
                Either::Right((Either::Right(_), _)) if elsewhere => continue 'ask,
                Either::Right((Either::Right(_), _)) => {
                    anew = node.sleep(ANEW).boxed();
                    continue;
                }
                Either::Right((Either::Left(_), _)) => {
                    let service = token.service();
                    let message =
                        format!("a server of `{service}` that may have the task does not answer");
                    return Err(Failure::new(Reason::NoServer, message));
                }
            };
            elsewhere = true;
            match read(reply) {
                Word::Found(answer) => return answer,
                Word::NotHere => {}
                Word::Unknown => unknown = true,
                Word::Lost => lost = true,
            }
        }
        if unknown && !lost {
            let message = "its ledger does not know the task: it was purged, or ended long ago \
                           (ledger.retention)";
            return Err(Failure::new(Reason::Forgotten, message));
        }
        let service = token.service();
        let up = events.find(|event| match event {
            Event::ServerUp(server) if server.service == service => Some(()),
            _ => None,
        });
        let again = select(Box::pin(up), node.sleep(AGAIN).boxed());
        if let Either::Right(_) = select(again, &mut over).await {
            let message = format!("no server of `{service}` has the ledger of the task now");
            return Err(Failure::new(Reason::NoServer, message));
        }
    }
}

/// Asks one server.
async fn put(node: &Node, peer: PeerId, token: &TaskToken, subject: &'static str) -> Reply {
    put_to(node, peer, subject, &(token.to_string(),)).await
}

/// Asks one server something with these parameters.
pub(super) async fn put_to(
    node: &Node,
    peer: PeerId,
    subject: &'static str,
    params: &impl Serialize,
) -> Reply {
    let (service, method) = ("farcall".into(), subject.into());
    let about = About { node: node.clone(), service, method, idempotent: false };
    let params = encode_dynamic(params);
    let target = Target::Core(peer.into());
    let request = Request::new(&about, target, params, Some(LONGEST), None);
    let (sent, _) = Sent::submit(request, &about, None)?;
    sent.await
}

/// Whether this is no answer of whoever has the task.
fn is_lost(failure: &Failure) -> bool {
    matches!(
        failure.reason,
        Reason::ServerLost
            | Reason::PeerGone
            | Reason::Pending
            | Reason::DeadlineExceeded
            | Reason::UnknownMethod
            | Reason::Overloaded
    )
}

/// The value in an answer that has one, as it lies there.
fn raw(answer: &Bytes) -> Option<Bytes> {
    const HEAD: &[u8] = &[0xa1, 0x64, b'h', b'e', b'r', b'e'];
    answer.starts_with(HEAD).then(|| answer.slice(HEAD.len()..))
}

fn word<T: DeserializeOwned>(answer: &Bytes) -> Result<Word<T>, Failure> {
    match value::decode(answer) {
        Ok(Answer::NotHere) => Ok(Word::NotHere),
        Ok(Answer::Unknown) => Ok(Word::Unknown),
        Ok(Answer::Here(answer)) => Ok(Word::Found(answer)),
        Ok(Answer::NotDead) => {
            Err(Failure::new(Reason::WrongArguments, "only a dead task can be tried again"))
        }
        Ok(Answer::NotEnded) => {
            Err(Failure::new(Reason::WrongArguments, "the task has not ended: cancel it first"))
        }
        Err(error) => Err(Failure::new(Reason::WrongResult, error.to_string())),
    }
}

fn broken<T>(failure: Failure) -> Word<Result<T, Failure>> {
    Word::Found(Err(failure))
}

/// Tasks, and how many there are.
type Listed = (Vec<TaskInfo>, usize);

/// The tasks of a service, of every server that has some: newest first within each ledger.
pub(super) async fn list(
    node: &Node,
    service: &str,
    limit: usize,
) -> Result<Vec<TaskInfo>, Failure> {
    let servers = node.servers(service).await;
    let servers = servers.map_err(|it| Failure::new(Reason::Closed, it.to_string()))?;
    let mut silent: BTreeSet<_> = servers.iter().map(|server| server.server.clone()).collect();
    let servers = servers.into_iter().filter(|server| server.state != ServerState::Gone);
    let mut tasks = BTreeMap::new();
    let params = &(service, limit);
    let mut asked: FuturesUnordered<_> = servers
        .map(|server| async move {
            (put_to(node, server.peer, "task.list", params).await, server.server)
        })
        .collect();
    let mut over = node.sleep(node.config().client.wait_for_server).boxed();
    loop {
        let (reply, server) = match select(asked.next(), &mut over).await {
            Either::Left((Some(said), _)) => said,
            Either::Left((None, _)) => break,
            Either::Right(_) => {
                let silent: Vec<_> = silent.iter().map(|server| format!("`{server}`")).collect();
                let message = format!("no answer from server {}", silent.join(", "));
                return Err(Failure::new(Reason::DeadlineExceeded, message));
            }
        };
        silent.remove(&server);
        match reply {
            Ok(answer) => {
                if let Word::Found((listed, _)) = word::<Listed>(&answer)? {
                    // Servers may share a ledger.
                    tasks.extend(listed.into_iter().map(|task| (task.token.clone(), task)));
                }
            }
            Err(failure) if is_lost(&failure) => {}
            Err(failure) => return Err(failure),
        }
    }
    let mut tasks: Vec<_> = tasks.into_values().collect();
    tasks.sort_by_key(|task| std::cmp::Reverse(task.accepted));
    tasks.truncate(limit);
    Ok(tasks)
}
