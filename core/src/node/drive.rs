//! Moves batches between the link and the actors, for as long as the node is open.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix::Addr;
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use crate::client::{ClientActor, ClientFrames, ClientInbound, Close, Submissions};
use crate::event::Event;
use crate::queue::{Batches, Sender};
use crate::server::{CloseServer, ServerActor, ServerFrames, ServerInbound};
use crate::transport::{Inbound, Link, LinkError, LinkSink, LinkStream, Outbound};
use crate::wire::{Frame, Towards};

/// The most that is read before the actors get it.
const READ_BATCH: usize = 1024;

/// Frames that may wait for the link before the node stops reading: more answers would only add to
/// them. Every one of them belongs to a call that was admitted, or refuses one.
const WAITING_FRAMES: usize = 64 * 1024;

/// The time that a closing node gives the link to send what waits.
const FLUSH: Duration = Duration::from_secs(2);

/// All that a node's link and actors need of each other.
pub(super) struct Driver {
    pub(super) link: Link,
    pub(super) outgoing: Batches<Outbound>,
    pub(super) out: Sender<Outbound>,
    pub(super) client: Addr<ClientActor>,
    pub(super) server: Addr<ServerActor>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) submissions: Submissions,
    pub(super) closing: CancellationToken,
    pub(super) closed: CancellationToken,
}

/// Drives a node until it is told to close or its link is lost.
pub(super) async fn drive(driver: Driver) {
    let Driver { link, outgoing, out, client, server, events, submissions, closing, closed } =
        driver;
    // However this ends, nobody waits for a node that is no more.
    let _closed = closed.drop_guard();
    let Link { sink, mut stream, .. } = link;
    let room = Rc::new(Notify::new());
    let writer = Writer { sink, outgoing, batch: VecDeque::new(), spare: Vec::new() };
    let writer = actix::spawn(write(writer, Rc::clone(&room)));

    let reader = read(&mut stream, &out, &room, &client, &server, &events);
    tokio::select! {
        () = closing.cancelled() => {}
        reason = reader => {
            tracing::error!(%reason, "the link was lost");
            let _ = events.send(Event::LinkLost { reason });
        }
    }
    submissions.close();
    // An actor whose mailbox is closed has nothing left to end.
    let _ = client.send(Close).await;
    let _ = server.send(CloseServer).await;
    out.close();
    match tokio::time::timeout(FLUSH, writer).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(%error, "the link failed while it was closed"),
        Ok(Err(error)) => tracing::error!(%error, "the writer of the link failed"),
        Err(_) => tracing::warn!("the link did not take all that was left to send"),
    }
    // The stream outlives the sink: some transports need both to say goodbye.
    drop(stream);
}

async fn read(
    stream: &mut LinkStream,
    out: &Sender<Outbound>,
    room: &Notify,
    client: &Addr<ClientActor>,
    server: &Addr<ServerActor>,
    events: &broadcast::Sender<Event>,
) -> String {
    loop {
        let (mut for_client, mut for_server) = (Vec::new(), Vec::new());
        let lost = poll_fn(|cx| {
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
        })
        .await;
        // Awaited: the mailboxes are bounded, and so is what is read ahead of the actors.
        if !for_client.is_empty() && client.send(ClientFrames(for_client)).await.is_err() {
            return "the client actor ended".to_owned();
        }
        if !for_server.is_empty() && server.send(ServerFrames(for_server)).await.is_err() {
            return "the server actor ended".to_owned();
        }
        if let Some(reason) = lost {
            return reason;
        }
        while out.len() > WAITING_FRAMES {
            room.notified().await;
        }
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
        Inbound::Frame { from, frame, .. } => match frame.towards() {
            Towards::Caller => client.push(ClientInbound::Frame(from, frame)),
            Towards::Callee => server.push(ServerInbound::Frame(from, frame)),
            Towards::Session => {
                // The rest of these is the transport's own.
                if let Frame::Announce(_) = frame {
                    client.push(ClientInbound::Frame(from, frame));
                }
            }
        },
        Inbound::HandedOver { id } => client.push(ClientInbound::HandedOver(id)),
        Inbound::Undelivered { id, reason, written } => {
            client.push(ClientInbound::Undelivered { id, reason, written });
        }
        Inbound::PeerUp { peer, hello, credentials } => {
            let hello = Box::new(hello);
            server.push(ServerInbound::PeerUp(peer, hello.clone(), credentials));
            client.push(ClientInbound::PeerUp(peer, hello));
        }
        Inbound::PeerDown { peer, reason, clean } => {
            server.push(ServerInbound::PeerDown(peer));
            client.push(ClientInbound::PeerDown { peer, reason, clean });
        }
        Inbound::Watching(watch) => client.push(ClientInbound::Watching(watch)),
        Inbound::Serving { service, result } => {
            server.push(ServerInbound::Serving(service, result));
        }
        Inbound::Rejected { reason } => {
            tracing::warn!(%reason, "a peer was rejected");
            let _ = events.send(Event::Rejected { reason });
        }
    }
}

/// Feeds the link's sink with all that waits, and flushes once.
struct Writer {
    sink: LinkSink,
    outgoing: Batches<Outbound>,
    batch: VecDeque<Outbound>,
    spare: Vec<Outbound>,
}

async fn write(mut writer: Writer, room: Rc<Notify>) -> Result<(), LinkError> {
    let fed = poll_fn(|cx| writer.poll_feed(cx, &room)).await;
    // Readers must not wait for a writer that is gone.
    room.notify_waiters();
    fed?;
    poll_fn(|cx| writer.sink.as_mut().poll_close(cx)).await
}

impl Writer {
    /// Ready when the queue is closed and all of it is fed.
    fn poll_feed(&mut self, cx: &mut Context<'_>, room: &Notify) -> Poll<Result<(), LinkError>> {
        loop {
            while !self.batch.is_empty() {
                match self.sink.as_mut().poll_ready(cx)? {
                    Poll::Ready(()) => {}
                    Poll::Pending => {
                        let _flushing = self.sink.as_mut().poll_flush(cx)?;
                        return Poll::Pending;
                    }
                }
                if let Some(outbound) = self.batch.pop_front() {
                    self.sink.as_mut().start_send(outbound)?;
                }
            }
            match self.outgoing.poll_swap(&mut self.spare, cx) {
                Poll::Ready(true) => {
                    // Neither direction moves an item, and both vectors keep their memory.
                    let taken = std::mem::take(&mut self.spare);
                    self.spare = std::mem::replace(&mut self.batch, taken.into()).into();
                    room.notify_waiters();
                }
                Poll::Ready(false) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    // One flush for all. It need not finish: a slow peer is the transport's to
                    // wait for, which wakes this task when there is more to write.
                    let _flushing = self.sink.as_mut().poll_flush(cx)?;
                    return Poll::Pending;
                }
            }
        }
    }
}
