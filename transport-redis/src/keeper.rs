//! The connection and the membership of a branch: made, and made again.

use std::rc::Rc;
use std::time::Duration;

use farcall_core::transport::{Backoff, ServeError};
use redis::PushKind::Disconnection;
use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::branch::Branch;
use crate::connect::{Connection, Purpose};
use crate::fault::{Fault, classify};
use crate::keys::{Keys, Member};
use crate::lease::{Hold, Role, Told, keep as keep_for};
use crate::message::record;
use crate::reply;
use crate::requests;
use crate::scripts::{Arguments, Script};

/// A connection through which this node is a member.
pub(crate) struct Live {
    pub(crate) io: MultiplexedConnection,
    pub(crate) member: Member,
}

/// How long a node that leaves gives the broker to take what waits.
const LEAVE: Duration = Duration::from_millis(1800);

/// The first retries come quickly, since most interruptions are short.
pub(crate) fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(20), Duration::from_secs(2)).at_once()
}

/// Keeps a branch connected and a member, for as long as the link is there.
pub(crate) async fn keep(branch: Rc<Branch>) {
    let (news, mut heard) = unbounded_channel();
    branch.hub.spawn({
        let branch = Rc::clone(&branch);
        async move {
            while let Some(told) = heard.recv().await {
                branch.news(told);
            }
        }
    });
    let mut backoff = backoff();
    loop {
        tokio::time::sleep(backoff.next(Backoff::random())).await;
        let connection =
            match branch.hub.connector.connect(&branch.keys.prefix, Purpose::Pushes).await {
                Ok(connection) => connection,
                Err(error) => {
                    branch.tell_trouble(&error.message);
                    continue;
                }
            };
        if let Err(trouble) = stay(&branch, connection, &news, &mut backoff).await {
            branch.tell_trouble(&trouble);
        }
        branch.live.send_replace(None);
    }
}

/// Is a member through one connection, until that is lost.
async fn stay(
    branch: &Rc<Branch>,
    mut connection: Connection,
    news: &UnboundedSender<Told>,
    backoff: &mut Backoff,
) -> Result<(), String> {
    let mut pushes = connection.pushes.take();
    let io = &mut connection.io;
    let mut arguments = branch.arguments();
    arguments.add(&connection.run_id);
    let reply = branch.hub.scripts.attach.run(io, &arguments).await.map_err(words)?;
    let reply = reply::array(&reply).unwrap_or_default();
    let is_member = reply.first().and_then(reply::number) == Some(1);
    if let Some(clock) = reply.get(1).and_then(reply::number) {
        branch.hub.clock.set(clock);
    }
    if branch.state.borrow().joined && !is_member {
        branch.begin_anew("the broker was restarted or has lost its memory");
    }
    let mut held = None;
    loop {
        let member = branch.state.borrow().member.clone();
        if !branch.state.borrow().listens && held.as_ref() != Some(&member) {
            branch.hub.leases.hold(Hold {
                namespace: branch.hub.hello.namespace.clone(),
                service: branch.service.clone(),
                keys: branch.keys.clone(),
                member: member.to_string(),
                news: news.clone(),
            });
            held = Some(member.clone());
        }
        if branch.state.borrow().listens {
            if branch.state.borrow().must_join && !branch.state.borrow().leaving {
                join(branch, &mut connection, &member).await?;
            }
            let is_live = branch.live.borrow().as_ref().is_some_and(|live| live.member == member);
            let is_joined = branch.state.borrow().joined && branch.state.borrow().member == member;
            if is_joined && !is_live {
                branch.live.send_replace(Some(Rc::new(Live { io: connection.io.clone(), member })));
                backoff.reset();
                branch.presence.look_again();
                branch.work.notify_one();
            }
        }
        // Nothing is subscribed to here: the one thing that the connection has to say is that it is lost. What is
        // sent after that waits for the next, and is in no doubt.
        let lost = async {
            match &mut pushes {
                Some(pushes) => {
                    while pushes.next().await.is_some_and(|it| it.kind != Disconnection) {}
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = branch.trouble.notified() => {}
            () = lost => return Ok(()),
        }
        if branch.live.borrow().is_none() && branch.state.borrow().joined {
            // Somebody found it broken.
            return Ok(());
        }
    }
}

async fn join(
    branch: &Rc<Branch>,
    connection: &mut Connection,
    member: &Member,
) -> Result<(), String> {
    let hub = &branch.hub;
    requests::prepare(branch).await.map_err(|error| error.message)?;
    let is_other = || branch.state.borrow().member != *member;
    if is_other() {
        return Ok(());
    }
    let (arguments, role) = {
        let mut state = branch.state.borrow_mut();
        state.must_join = false;
        let mut arguments = branch.arguments_of(member);
        arguments.add(&connection.run_id);
        arguments.add(hub.lease.as_millis()).add(keep_for(hub.lease).as_millis());
        let client = if state.watches { record(&hub.hello, None) } else { bytes::Bytes::new() };
        arguments.bytes(client);
        match &state.serving {
            None => {
                arguments.add("").add("").add(0).add(0).add(0);
            }
            Some(serving) => {
                let it = &serving.announcement;
                arguments.add(&it.server).bytes(record(&hub.hello, Some(it)));
                arguments.add(it.concurrency).add(it.backlog).add(u8::from(serving.takes_calls()));
            }
        }
        (arguments, Role { serves: state.serving.is_some(), calls: state.watches })
    };
    let reply = hub.scripts.join.run(&mut connection.io, &arguments).await;
    if is_other() {
        // It began anew meanwhile, and this one is left to end with its lease.
        return Ok(());
    }
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => {
            branch.state.borrow_mut().must_join = true;
            return Err(refused(branch, &error));
        }
    };
    let reply = reply::array(&reply).unwrap_or_default();
    if reply.first().and_then(reply::text) == Some("taken") {
        identity_taken(branch);
        return Ok(());
    }
    if let Some(clock) = reply.get(1).and_then(reply::number) {
        hub.clock.set(clock);
    }
    let epoch = reply.get(2).and_then(reply::number).unwrap_or(0);
    let first = !std::mem::replace(&mut branch.state.borrow_mut().joined, true);
    hub.leases.joined(&branch.service, role);
    if first {
        branch.begin_tasks();
    }
    let (is_told, begins) = {
        let mut state = branch.state.borrow_mut();
        match &mut state.serving {
            // One that was added meanwhile joins next.
            Some(serving) if role.serves => {
                serving.announcement.epoch = epoch;
                let consumer = format!("{}:{epoch}", serving.announcement.server);
                let begins = serving.consumer.replace(consumer).is_none();
                (std::mem::replace(&mut serving.is_told, true), begins)
            }
            _ => (true, false),
        }
    };
    if begins {
        requests::begin(branch);
    }
    if role.serves && !is_told {
        branch.serving(Ok(epoch));
    }
    branch.presence.look_again();
    Ok(())
}

/// The broker does not let this node join.
fn refused(branch: &Branch, error: &redis::RedisError) -> String {
    let trouble = words(error.clone());
    if let Fault::NoPermission(words) = classify(error) {
        let mut state = branch.state.borrow_mut();
        let waits = state.serving.as_ref().is_some_and(|serving| !serving.is_told);
        if waits {
            (state.serving, state.members.serves) = (None, false);
            drop(state);
            let error = farcall_core::transport::LinkError::new(format!(
                "the broker does not permit it: {words}; see docs/REDIS.md for what a server needs"
            ));
            branch.serving(Err(ServeError::Transport(error)));
        }
    }
    trouble
}

/// Another process has this server's identity, and lives.
fn identity_taken(branch: &Branch) {
    let mut state = branch.state.borrow_mut();
    let Some(serving) = state.serving.take() else { return };
    state.members.serves = false;
    state.must_join = state.watches || state.joined;
    drop(state);
    let message = format!(
        "a live server of `{}` has the id `{}`; give this one another (server.id), or none",
        branch.service, serving.announcement.server
    );
    branch.serving(Err(ServeError::IdentityTaken(message)));
    branch.trouble.notify_one();
}

fn words(error: redis::RedisError) -> String {
    crate::fault::words(&error)
}

/// Spreads a change of the server.
pub(crate) async fn announce(branch: &Rc<Branch>) {
    let arguments = {
        let state = branch.state.borrow();
        let Some(serving) = state.serving.as_ref().filter(|serving| serving.consumer.is_some())
        else {
            return;
        };
        let mut arguments = branch.arguments();
        arguments.add(u8::from(serving.takes_calls()));
        arguments.bytes(record(&branch.hub.hello, Some(&serving.announcement)));
        arguments
    };
    branch.ask(&branch.hub.scripts.state, &arguments).await;
}

pub(crate) async fn expel(branch: &Rc<Branch>, member: &Member) {
    let mut arguments = branch.arguments();
    arguments.add(member);
    branch.ask(&branch.hub.scripts.expel, &arguments).await;
}

/// Sends what waits, and ends the membership.
pub(crate) async fn leave(branch: &Rc<Branch>) {
    let left = async {
        requests::stop(branch).await;
        branch.work.notify_one();
        crate::exchange::drained(branch).await;
        // What waits in a queue is for nobody, and may be much: it goes in as many exchanges as it takes.
        branch.state.borrow_mut().recall();
        branch.work.notify_one();
        crate::exchange::drained(branch).await;
        let arguments = branch.arguments();
        let is_member = branch.state.borrow().joined;
        branch.state.borrow_mut().leaving = true;
        if is_member {
            branch.ask(&branch.hub.scripts.leave, &arguments).await;
        }
    };
    if tokio::time::timeout(LEAVE, left).await.is_err() {
        tracing::warn!(service = %branch.service, "the broker was not told that this node leaves");
    }
    branch.hub.leases.release(&branch.service);
}

impl Branch {
    /// What every script is given.
    pub(crate) fn arguments(&self) -> Arguments {
        self.arguments_of(&self.state.borrow().member)
    }

    fn arguments_of(&self, member: &Member) -> Arguments {
        let keys: &Keys = &self.keys;
        Arguments::new(keys, member.as_str())
    }

    /// The connection, as soon as there is one.
    pub(crate) async fn connected(&self) -> Rc<Live> {
        let mut live = self.live.subscribe();
        let live = live.wait_for(Option::is_some).await.expect("the sender is a field beside it");
        live.clone().expect("it was waited for")
    }

    /// A connection is of no use any more.
    pub(crate) fn broken(&self, live: &Rc<Live>) {
        let was = self.live.send_if_modified(|it| {
            let is_it = it.as_ref().is_some_and(|it| Rc::ptr_eq(it, live));
            if is_it {
                *it = None;
            }
            is_it
        });
        if was {
            self.trouble.notify_one();
        }
    }

    /// Runs a script that may be run twice, as often as the connection is lost meanwhile. `None` if
    /// it failed otherwise, or this is another member by now.
    pub(crate) async fn ask(&self, script: &Script, arguments: &Arguments) -> Option<Value> {
        let member = self.state.borrow().member.clone();
        loop {
            let live = self.connected().await;
            if live.member != member {
                return None;
            }
            let mut io = live.io.clone();
            let error = match script.run(&mut io, arguments).await {
                Ok(reply) => return Some(reply),
                Err(error) => error,
            };
            match classify(&error) {
                Fault::Reconnect | Fault::Reload => self.broken(&live),
                _ => {
                    let error = words(error);
                    tracing::error!(service = %self.service, error, "the broker refuses a step");
                    return None;
                }
            }
        }
    }
}
