//! What becomes of a frame whose session dies.

use std::collections::BTreeSet;

use farcall_core::transport::{Attachment, Inbound, LinkLimits, PeerId};
use farcall_core::wire::{CallId, Frame};
use tempfile::tempdir;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;

use crate::node::{Node, answer, attachment, call, limits, outbound, pair, pair_as, run};
use crate::raw::{Raw, framed, hello, listen};

/// A client that has met a raw server.
async fn met(dir: &std::path::Path) -> (Node, PeerId, Raw, UnixListener) {
    met_as(dir, hello()).await
}

/// The same, if the server says this hello.
pub(crate) async fn met_as(
    dir: &std::path::Path,
    hello: Frame,
) -> (Node, PeerId, Raw, UnixListener) {
    let listener = listen(dir);
    let mut client = Node::open(dir).await;
    let (raw, ()) = tokio::join!(Raw::accept_as(&listener, hello), client.watch("calc"));
    let (peer, _) = client.server().await;
    client.so_far().await;
    (client, peer, raw, listener)
}

fn at(limits: LinkLimits) -> Attachment {
    Attachment { limits, ..attachment() }
}

#[test]
fn only_calls_of_which_nothing_was_written_come_back_and_before_the_peer_goes_down() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut client, peer, mut raw, _listener) = met(dir.path()).await;
        // Far more than the socket takes; nobody reads.
        for id in 0..3000 {
            client.send(peer, call(id, 1000)).await;
        }
        raw.0.shutdown().await.unwrap();
        let mut undelivered = BTreeSet::new();
        let mut order = Vec::new();
        loop {
            match client.next().await {
                Inbound::Undelivered { id, written, .. } => {
                    assert!(!written);
                    order.push(id);
                    undelivered.insert(id);
                }
                Inbound::PeerDown { peer: down, clean, .. } => {
                    assert!(down == peer && !clean);
                    break;
                }
                _ => {}
            }
        }
        assert!(order.is_sorted(), "in the order they were sent");
        let bytes = raw.rest().await;
        let one = framed(&call(1000, 1000)).len();
        assert!(!bytes.is_empty() && !undelivered.is_empty());
        // Those that the peer has read a byte of are exactly those that did not come back.
        let first_back = undelivered.first().unwrap().0;
        assert_eq!(undelivered.len() as u64, 3000 - first_back);
        let read: u64 = (bytes.len() as u64).div_ceil(one as u64);
        assert!(first_back.abs_diff(read) <= 20, "{first_back} came back, {read} were read");
        let mut frames = farcall_frames(&bytes);
        assert!(frames.all(|frame| !undelivered.contains(&frame.call_id().unwrap())));
    });
}

/// The whole frames in these bytes.
fn farcall_frames(mut bytes: &[u8]) -> impl Iterator<Item = Frame> {
    std::iter::from_fn(move || {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let frame = rest.get(..u32::from_be_bytes(*len) as usize)?;
        bytes = &rest[frame.len()..];
        Some(Frame::decode(frame.to_vec().into()).unwrap())
    })
}

#[test]
fn what_a_peer_sent_before_it_died_still_arrives() {
    run(async {
        let dir = tempdir().unwrap();
        for goodbye in [None, Some(true), Some(false)] {
            let dir = dir.path().join(format!("{goodbye:?}"));
            let (mut client, peer, mut raw, _listener) = met(&dir).await;
            for id in 0..100 {
                raw.send(&answer(id, 100)).await;
            }
            if let Some(clean) = goodbye {
                raw.send(&Frame::Goodbye { reason: "enough".into(), clean }).await;
            }
            drop(raw);
            // Writing fails from now on, and the answers are still in the socket.
            for id in 0..100 {
                client.send(peer, call(1000 + id, 100)).await;
            }
            for id in 0..100 {
                assert_eq!(client.frame().await, (peer, answer(id, 100)));
            }
            let (reason, clean) = client.down(peer).await;
            assert_eq!(clean, goodbye == Some(true), "{reason}");
            assert!(goodbye.is_none() || reason.contains("enough"), "{reason}");
        }
    });
}

#[test]
fn a_frame_is_confirmed_when_its_last_byte_is_written() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut client, peer, mut raw, _listener) = met(dir.path()).await;
        client.send_confirmed(peer, call(1, 10)).await;
        client.send_confirmed(peer, call(2, 16 << 20)).await;
        client.send_confirmed(peer, call(3, 10)).await;
        assert_eq!(handed_over(&mut client).await, CallId(1));
        assert!(client.so_far().await.is_empty(), "the second is stuck");
        for _ in 0..3 {
            raw.next().await;
        }
        assert_eq!(handed_over(&mut client).await, CallId(2));
        assert_eq!(handed_over(&mut client).await, CallId(3));
    });
}

async fn handed_over(client: &mut Node) -> CallId {
    client
        .until(|inbound| match inbound {
            Inbound::HandedOver { id } => Some(*id),
            _ => None,
        })
        .await
}

#[test]
fn a_frame_to_be_confirmed_comes_back_if_it_cannot_be() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut client, peer, raw, _listener) = met(dir.path()).await;
        client.send_confirmed(peer, call(1, 16 << 20)).await;
        client.send_confirmed(peer, call(2, 10)).await;
        drop(raw);
        for expected in [(CallId(1), true), (CallId(2), false)] {
            let back = client
                .until(|inbound| match inbound {
                    Inbound::Undelivered { id, written, .. } => Some((*id, *written)),
                    _ => None,
                })
                .await;
            assert_eq!(back, expected);
        }
    });
}

#[test]
fn a_frame_to_nobody_comes_back_if_it_is_a_call() {
    run(async {
        let dir = tempdir().unwrap();
        let (server, _, mut client, peer) = pair(dir.path()).await;
        drop(server);
        client.down(peer).await;
        client.so_far().await;
        client.send(peer, answer(1, 1)).await;
        client.send(peer, Frame::Cancel { id: CallId(1) }).await;
        client.send(PeerId(999), call(2, 1)).await;
        let Inbound::Undelivered { id: CallId(2), written: false, reason, .. } =
            client.next().await
        else {
            panic!();
        };
        assert!(reason.contains("peer 999"), "{reason}");
        assert!(client.so_far().await.is_empty());
    });
}

#[test]
fn calls_beyond_a_peers_share_come_back_and_others_go_on() {
    run(async {
        let dir = tempdir().unwrap();
        let small = at(LinkLimits { max_peer_bytes: 1 << 20, ..limits() });
        let listener = listen(dir.path());
        let mut client = Node::open_as(dir.path(), small).await;
        let (mut raw, ()) = tokio::join!(Raw::accept(&listener), client.watch("calc"));
        let (stuck, _) = client.server().await;
        let mut server = Node::open(dir.path()).await;
        server.serve("calc", "b").await.unwrap();
        let (well, _) = client.server().await;

        let mut sent = 0;
        let reason = loop {
            client.send(stuck, call(sent, 10_000)).await;
            sent += 1;
            if let Some(Inbound::Undelivered { id, written, reason, .. }) =
                client.so_far().await.pop()
            {
                assert!(id == CallId(sent - 1) && !written);
                break reason;
            }
        };
        assert!(reason.contains("max_peer_bytes"), "{reason}");
        // What may have to be said of those calls still fits.
        for id in 0..1000 {
            client.send(stuck, Frame::Cancel { id: CallId(id) }).await;
        }
        client.reaches(well, &mut server).await;
        for id in 0..sent - 1 {
            assert_eq!(raw.next().await, Some(call(id, 10_000)));
        }
        for id in 0..1000 {
            assert_eq!(raw.next().await, Some(Frame::Cancel { id: CallId(id) }));
        }
        client.send(stuck, call(1, 1)).await;
        assert_eq!(raw.next().await, Some(call(1, 1)));
    });
}

#[test]
fn the_total_of_all_queues_holds_back_the_sink() {
    run(async {
        let dir = tempdir().unwrap();
        let small = at(LinkLimits { max_queued_bytes: 1 << 20, ..limits() });
        let (mut server, _, mut client, peer) = pair_as(dir.path(), attachment(), small).await;
        let sender = tokio::task::spawn_local(async move {
            // `ask` waits for room; without it the queue would grow to 100 MiB.
            for id in 0..100 {
                client.ask(outbound(peer, call(id, 1 << 20), false)).await;
            }
            client.flush().await;
        });
        for id in 0..100 {
            assert_eq!(server.frame().await.1.call_id(), Some(CallId(id)));
        }
        sender.await.unwrap();
    });
}

#[test]
fn a_peer_that_does_not_read_its_answers_is_thrown_out() {
    run(async {
        let dir = tempdir().unwrap();
        let small = at(LinkLimits { max_peer_bytes: 1 << 20, ..limits() });
        let mut server = Node::open_as(dir.path(), small).await;
        server.serve("calc", "a").await.unwrap();
        let mut lazy = Raw::greet(&dir.path().join("s/default/calc/a.sock")).await;
        let mut client = Node::open(dir.path()).await;
        client.watch("calc").await;
        let (to_server, _) = client.server().await;
        let to_lazy = server.peer().await;

        let mut sent = 0;
        let down = loop {
            server.send(to_lazy, answer(sent, 10_000)).await;
            sent += 1;
            assert!(sent < 10_000, "it was never thrown out");
            let seen = server.so_far().await;
            let rejected = seen.iter().any(|it| matches!(it, Inbound::Rejected { .. }));
            if let Some(Inbound::PeerDown { reason, .. }) = seen
                .into_iter()
                .find(|it| matches!(it, Inbound::PeerDown { peer, .. } if *peer == to_lazy))
            {
                assert!(rejected);
                break reason;
            }
        };
        assert!(down.contains("too slow"), "{down}");
        client.reaches(to_server, &mut server).await;
        lazy.rest().await;
    });
}

#[test]
fn a_peer_that_takes_nothing_for_too_long_is_thrown_out_and_nobody_waits_for_it() {
    run(async {
        let dir = tempdir().unwrap();
        let hasty = LinkLimits { stall: std::time::Duration::from_millis(200), ..limits() };
        let mut server = Node::open_as(dir.path(), at(hasty)).await;
        server.serve("calc", "a").await.unwrap();
        let _lazy = Raw::greet(&dir.path().join("s/default/calc/a.sock")).await;
        let to_lazy = server.peer().await;
        let mut client = Node::open(dir.path()).await;
        client.watch("calc").await;
        let (to_server, _) = client.server().await;
        server.send(to_lazy, answer(1, 16 << 20)).await;
        client.reaches(to_server, &mut server).await;
        let (reason, _) = server.down(to_lazy).await;
        assert!(reason.contains("read nothing"), "{reason}");
        assert!(server.rejected().await.contains("read nothing"));
    });
}

#[test]
fn a_slow_reader_that_reads_is_left_alone() {
    run(async {
        let dir = tempdir().unwrap();
        let hasty = LinkLimits { stall: std::time::Duration::from_millis(400), ..limits() };
        let (mut server, to_client, mut client, to_server) =
            pair_as(dir.path(), at(hasty), attachment()).await;
        server.send(to_client, answer(1, 16 << 20)).await;
        // The client's thread is away, several times, each time for less than it may be.
        for _ in 0..8 {
            std::thread::sleep(std::time::Duration::from_millis(100));
            tokio::task::yield_now().await;
        }
        assert_eq!(client.frame().await.0, to_server);
        client.reaches(to_server, &mut server).await;
    });
}
