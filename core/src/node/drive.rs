//! Moves batches between the link and the actors, for as long as the node is open.

use std::future::poll_fn;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::outlet::Outlet;
use super::spin::Spin;
use crate::client::{ClientActor, ClientFrames, ClientInbound, Close, Submissions};
use crate::event::Event;
use crate::observe::LinkMeters;
use crate::server::{CloseServer, ServerActor, ServerFrames, ServerInbound};
use crate::transport::{Inbound, LinkStream};
use crate::wire::{Frame, Towards};

/// The most that is read before the actors get it.
const READ_BATCH: usize = 32;

/// Frames that may wait for the link before the node stops reading: more answers would only add to
/// them. Every one of them belongs to a call that was admitted, or refuses one.
const WAITING_FRAMES: usize = 64 * 1024;

/// The same in bytes, beyond those that wait in the transport.
const WAITING_BYTES: usize = 64 * 1024 * 1024;

/// The time that a closing node gives the link to send what waits.
const FLUSH: Duration = Duration::from_secs(2);

/// All that a node's link and actors need of each other.
pub(super) struct Driver {
    pub(super) stream: LinkStream,
    pub(super) out: Outlet,
    /// How long to look again before sleeping, where that pays.
    pub(super) spin: Duration,
    pub(super) client: Addr<ClientActor>,
    pub(super) server: Addr<ServerActor>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) submissions: Submissions,
    pub(super) closing: CancellationToken,
    pub(super) closed: CancellationToken,
}

/// Drives a node until it is told to close or its link is lost.
pub(super) async fn drive(driver: Driver) {
    let Driver { mut stream, out, spin, client, server, events, submissions, closing, closed } =
        driver;
    // However this ends, nobody waits for a node that is no more.
    let _closed = closed.drop_guard();
    let mut writer = actix::spawn({
        let out = out.clone();
        async move { out.drive().await }
    });
    let reader = read(&mut stream, &out, &client, &server, &events, spin);
    let is_lost = tokio::select! {
        // Who is lost and told to close at once is lost.
        biased;
        reason = reader => lost(reason, &events),
        // Before it is told to, it ends only by failing.
        _ = &mut writer => lost("the link takes nothing more".to_owned(), &events),
        () = closing.cancelled() => false,
    };
    submissions.close();
    // An actor whose mailbox is closed has nothing left to end.
    let _ = client.send(Close).await;
    let _ = server.send(CloseServer { lost: is_lost }).await;
    out.close();
    if !writer.is_finished() {
        match tokio::time::timeout(FLUSH, writer).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the link failed while it was closed"),
            Ok(Err(error)) => tracing::error!(%error, "the writer of the link failed"),
            Err(_) => tracing::warn!("the link did not take all that was left to send"),
        }
    }
    // The stream outlives the sink: some transports need both to say goodbye.
    drop(stream);
}

fn lost(reason: String, events: &broadcast::Sender<Event>) -> bool {
    tracing::error!(%reason, "the link was lost");
    let _ = events.send(Event::LinkLost { reason });
    true
}

async fn read(
    stream: &mut LinkStream,
    out: &Outlet,
    client: &Addr<ClientActor>,
    server: &Addr<ServerActor>,
    events: &broadcast::Sender<Event>,
    spin: Duration,
) -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut spin = Spin::new(spin, processors);
    // Batches are mostly as large as the last one, and mostly for one of the two.
    let (mut client_size, mut server_size) = (0, 0);
    loop {
        let mut for_client = Vec::with_capacity(client_size);
        let mut for_server = Vec::with_capacity(server_size);
        let mut look = |cx: &mut TaskContext<'_>| {
            for read in 0..READ_BATCH {
                match stream.as_mut().poll_next(cx) {
                    Poll::Ready(Some(Ok(inbound))) => {
                        sort(inbound, &mut for_client, &mut for_server, events);
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(error.to_string())),
                    Poll::Ready(None) => {
                        return Poll::Ready(Some("the transport ended it".to_owned()));
                    }
                    Poll::Pending if read == 0 => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(None)
        };
        let lost = match look_again(&mut look, &mut spin).await {
            Some(lost) => lost,
            None => poll_fn(look).await,
        };
        (client_size, server_size) = (for_client.len(), for_server.len());
        if !for_client.is_empty() && !hand_over(client, ClientFrames(for_client)).await {
            return "the client actor ended".to_owned();
        }
        if !for_server.is_empty() && !hand_over(server, ServerFrames(for_server)).await {
            return "the server actor ended".to_owned();
        }
        if let Some(reason) = lost {
            return reason;
        }
        out.room(WAITING_FRAMES, WAITING_BYTES).await;
    }
}

/// Looks until something has come or the spin is over. Between two looks everything else on this
/// thread has its turn, and the operating system is asked what is ready.
async fn look_again<T>(
    look: &mut impl FnMut(&mut TaskContext<'_>) -> Poll<T>,
    spin: &mut Spin,
) -> Option<T> {
    if let Poll::Ready(found) = poll_fn(|cx| Poll::Ready(look(cx))).await {
        return Some(found);
    }
    let limit = spin.begin()?;
    let began = Instant::now();
    loop {
        tokio::task::yield_now().await;
        if let Poll::Ready(found) = poll_fn(|cx| Poll::Ready(look(cx))).await {
            spin.end(true);
            return Some(found);
        }
        if began.elapsed() >= limit {
            spin.end(false);
            return None;
        }
    }
}

/// Gives a batch to an actor, and waits only if its mailbox is full: what is read ahead of the actors
/// is bounded, and a batch more costs no wake-up of the reader. `false` if the actor is gone.
async fn hand_over<A, M>(actor: &Addr<A>, batch: M) -> bool
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message<Result = ()> + Send + 'static,
{
    match actor.try_send(batch) {
        Ok(()) => true,
        Err(SendError::Full(batch)) => actor.send(batch).await.is_ok(),
        Err(SendError::Closed(_)) => false,
    }
}

/// Each actor gets what is for it, in its order; what is for both goes to both.
fn sort(
    inbound: Inbound,
    client: &mut Vec<ClientInbound>,
    server: &mut Vec<ServerInbound>,
    events: &broadcast::Sender<Event>,
) {
    match inbound {
        Inbound::Frame { from, frame, receipt } => match frame.towards() {
            Towards::Caller => client.push(ClientInbound::Frame(from, frame)),
            Towards::Callee => server.push(ServerInbound::Frame(from, frame, receipt)),
            Towards::Session => {
                // The rest of these is the transport's own.
                if let Frame::Announce(_) = frame {
                    client.push(ClientInbound::Frame(from, frame));
                }
            }
        },
        Inbound::HandedOver { id } => client.push(ClientInbound::HandedOver(id)),
        Inbound::Undelivered { to, id, reason, written } => {
            client.push(ClientInbound::Undelivered { to, id, reason, written });
        }
        Inbound::Refused { id, failure } => client.push(ClientInbound::Refused(id, failure)),
        Inbound::Taken { id } => client.push(ClientInbound::Taken(id)),
        Inbound::GiveBack { service } => server.push(ServerInbound::GiveBack(service)),
        Inbound::Queue { service, waiting, pending } => {
            client.push(ClientInbound::Queue { service, waiting, pending });
        }
        Inbound::PeerUp { peer, hello, credentials } => {
            server.push(ServerInbound::PeerUp(peer, hello.clone(), credentials));
            client.push(ClientInbound::PeerUp(peer, hello));
        }
        Inbound::PeerDown { peer, reason, clean } => {
            server.push(ServerInbound::PeerDown(peer));
            client.push(ClientInbound::PeerDown { peer, reason, clean });
        }
        Inbound::Watching { watch, result } => client.push(ClientInbound::Watching(watch, result)),
        Inbound::Unreachable { service, server, reason } => {
            client.push(ClientInbound::Unreachable { service, server, reason });
        }
        Inbound::Serving { service, result } => {
            server.push(ServerInbound::Serving(service, result));
        }
        Inbound::Rejected { reason } => {
            tracing::warn!(%reason, "a peer was rejected");
            LinkMeters::rejected();
            let _ = events.send(Event::Rejected { reason });
        }
    }
}
