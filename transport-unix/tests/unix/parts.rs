//! Large frames in parts: what they let pass, and what becomes of half of one.

use std::time::Duration;

use bytes::Bytes;
use farcall_core::transport::{Inbound, LinkLimits};
use farcall_core::wire::{Assembler, CallId, Cutter, Frame, MAX_OPEN_MESSAGES, PART_BYTES};
use tempfile::tempdir;

use crate::delivery::met_as;
use crate::hostile::{Scene, hasty};
use crate::node::{Node, answer, call, limits, pair, run};
use crate::raw::{Raw, framed, hello_with_parts};

const LARGE: usize = 16 << 20;

/// More parts than a socket holds by itself.
const IN_THE_SOCKET: usize = 8;

fn part(message: u64, last: bool, bytes: impl Into<Bytes>) -> Frame {
    Frame::Part { message, last, bytes: bytes.into() }
}

/// A frame in parts of these sizes, the last of which is repeated.
fn parts(message: u64, frame: &Frame, sizes: &[usize]) -> Vec<Frame> {
    let mut cutter = Cutter::new(frame);
    let mut sizes = sizes.iter().chain(sizes.last().into_iter().cycle());
    let mut parts = Vec::new();
    while !cutter.is_empty() {
        let piece = cutter.cut(*sizes.next().unwrap());
        let bytes = [&piece.head[..], &piece.payload[..]].concat();
        parts.push(part(message, cutter.is_empty(), bytes));
    }
    parts
}

/// Reads frames until one is no part, and answers it with how many parts came before.
async fn first_whole(raw: &mut Raw, parts: &mut Assembler) -> (Frame, usize) {
    let mut count = 0;
    loop {
        match raw.next().await.expect("the session has ended") {
            Frame::Part { message, last, bytes } => {
                assert!(bytes.len() <= PART_BYTES);
                if let Some(whole) = parts.push(message, last, &bytes).unwrap() {
                    return (Frame::decode(whole.freeze()).unwrap(), count);
                }
                count += 1;
            }
            frame => return (frame, count),
        }
    }
}

#[test]
fn a_small_call_is_answered_while_a_large_one_is_on_its_way_to_a_slow_reader() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut client, peer, mut raw, _listener) = met_as(dir.path(), hello_with_parts()).await;
        let mut parts = Assembler::new(2 * LARGE);
        client.send(peer, call(1, LARGE)).await;
        for id in 2..10 {
            client.send(peer, call(id, 10)).await;
            let (frame, before) = first_whole(&mut raw, &mut parts).await;
            assert_eq!(frame, call(id, 10));
            assert!(before < IN_THE_SOCKET, "{before} parts came before it");
            raw.send(&answer(id, 10)).await;
            assert_eq!(client.frame().await, (peer, answer(id, 10)));
        }
        assert!(first_whole(&mut raw, &mut parts).await.0 == call(1, LARGE));
    });
}

#[test]
fn a_small_answer_overtakes_a_large_one() {
    run(async {
        let mut scene = Scene::set(limits()).await;
        let mut raw = Raw::greet_as(&scene.socket(), hello_with_parts()).await;
        let peer = scene.server.peer().await;
        let mut parts = Assembler::new(2 * LARGE);
        scene.server.send(peer, answer(1, LARGE)).await;
        scene.server.send(peer, answer(2, 10)).await;
        raw.send(&Frame::Ping { nonce: 7 }).await;
        for expected in [answer(2, 10), Frame::Pong { nonce: 7 }] {
            let (frame, before) = first_whole(&mut raw, &mut parts).await;
            assert_eq!(frame, expected);
            assert!(before < IN_THE_SOCKET, "{before} parts came before it");
        }
        assert!(first_whole(&mut raw, &mut parts).await.0 == answer(1, LARGE));
    });
}

#[test]
fn large_frames_take_turns() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut client, peer, mut raw, _listener) = met_as(dir.path(), hello_with_parts()).await;
        let mut parts = Assembler::new(2 * LARGE);
        client.send(peer, call(1, LARGE / 2)).await;
        client.send(peer, call(2, 2 * PART_BYTES)).await;
        assert!(first_whole(&mut raw, &mut parts).await.0 == call(2, 2 * PART_BYTES));
        assert!(first_whole(&mut raw, &mut parts).await.0 == call(1, LARGE / 2));
    });
}

#[test]
fn calls_and_answers_of_all_sizes_arrive_both_ways() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut server, to_client, mut client, to_server) = pair(dir.path()).await;
        let sizes = [1, PART_BYTES, 3, PART_BYTES - 40, LARGE, 100, 5 << 20, 1, 300_000, 1 << 20];
        for (id, size) in (0..).zip(sizes) {
            client.send(to_server, call(id, size)).await;
            server.send(to_client, answer(id, size)).await;
        }
        let (mut calls, mut answers) = (0, 0);
        for _ in sizes {
            let (_, frame) = server.frame().await;
            let id = frame.call_id().unwrap().0;
            assert!(frame == call(id, sizes[id as usize]), "call {id}");
            calls += id;
            let (_, frame) = client.frame().await;
            let id = frame.call_id().unwrap().0;
            assert!(frame == answer(id, sizes[id as usize]), "answer {id}");
            answers += id;
        }
        assert_eq!((calls, answers), (45, 45), "each came once");
    });
}

#[test]
fn parts_are_put_together_however_they_were_cut_and_sent() {
    run(async {
        let mut scene = Scene::set(limits()).await;
        let mut raw = Raw::greet_as(&scene.socket(), hello_with_parts()).await;
        let peer = scene.server.peer().await;
        let sizes: [&[usize]; 5] =
            [&[1, 1, 100], &[40_000], &[200_000, 1, 50_000], &[PART_BYTES], &[usize::MAX]];
        for (id, sizes) in (1..).zip(sizes) {
            let large = call(id, 300_000);
            let mut bytes = Vec::new();
            for part in parts(id, &large, sizes) {
                bytes.extend_from_slice(&framed(&part));
                bytes.extend_from_slice(&framed(&call(1000, 3)));
            }
            for piece in bytes.chunks(7001 * id as usize) {
                raw.write(piece).await;
                // So that the server reads it by itself.
                tokio::task::yield_now().await;
            }
            loop {
                let (from, frame) = scene.server.frame().await;
                assert_eq!(from, peer);
                if frame != call(1000, 3) {
                    assert!(frame == large, "in parts of {sizes:?}");
                    break;
                }
            }
        }
    });
}

#[test]
fn the_rest_of_a_cancelled_call_is_not_sent() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut client, peer, mut raw, _listener) = met_as(dir.path(), hello_with_parts()).await;
        // The second waits for the first to be out, and the peer never hears of it.
        client.send(peer, call(1, LARGE)).await;
        client.send(peer, call(2, LARGE)).await;
        for id in [2, 1] {
            client.send(peer, Frame::Cancel { id: CallId(id) }).await;
        }
        client.send(peer, call(3, 1)).await;
        client.flush_once().await;
        let mut given_up = 0;
        for count in 0.. {
            assert!(count < IN_THE_SOCKET, "{count} parts");
            match raw.next().await.unwrap() {
                Frame::Part { message: 1, last, bytes } => {
                    assert_eq!(last, bytes.is_empty());
                    given_up += usize::from(last);
                }
                frame => {
                    assert_eq!(frame, call(3, 1));
                    break;
                }
            }
        }
        assert_eq!(given_up, 1);
        client.flush().await;
        assert!(client.so_far().await.is_empty());
    });
}

#[test]
fn a_message_that_is_given_up_leaves_no_trace() {
    run(async {
        let mut scene = Scene::set(limits()).await;
        let mut raw = Raw::greet_as(&scene.socket(), hello_with_parts()).await;
        let peer = scene.server.peer().await;
        for message in 1..100 {
            raw.send(&part(message, false, vec![0; PART_BYTES])).await;
            raw.send(&part(message, true, Bytes::new())).await;
        }
        raw.send(&call(1, 1)).await;
        assert_eq!(scene.server.frame().await, (peer, call(1, 1)));
    });
}

#[test]
fn a_call_of_which_the_last_part_was_not_written_comes_back_as_not_written() {
    run(async {
        for confirm in [false, true] {
            let dir = tempdir().unwrap();
            let (mut client, peer, mut raw, _listener) =
                met_as(dir.path(), hello_with_parts()).await;
            match confirm {
                true => client.send_confirmed(peer, call(1, LARGE)).await,
                false => client.send(peer, call(1, LARGE)).await,
            }
            assert!(matches!(raw.next().await, Some(Frame::Part { last: false, .. })));
            drop(raw);
            let back = client.next().await;
            let Inbound::Undelivered { id: CallId(1), written: false, .. } = back else {
                panic!("{back:?}");
            };
            assert!(matches!(client.next().await, Inbound::PeerDown { .. }));
        }
    });
}

#[test]
fn a_confirmation_waits_for_the_last_part() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut client, peer, mut raw, _listener) = met_as(dir.path(), hello_with_parts()).await;
        let mut parts = Assembler::new(2 * LARGE);
        client.send_confirmed(peer, call(1, LARGE)).await;
        client.send_confirmed(peer, call(2, 1)).await;
        let mut confirmed = Vec::new();
        for expected in [2, 1] {
            let (frame, _) = first_whole(&mut raw, &mut parts).await;
            assert_eq!(frame.call_id(), Some(CallId(expected)));
            let id = client.until(|it| match it {
                Inbound::HandedOver { id } => Some(id.0),
                _ => None,
            });
            confirmed.push(id.await);
        }
        assert_eq!(confirmed, [2, 1]);
    });
}

#[test]
fn goodbye_comes_after_the_last_part_of_all() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut client, peer, mut raw, _listener) = met_as(dir.path(), hello_with_parts()).await;
        let mut parts = Assembler::new(2 * LARGE);
        client.send(peer, answer(1, LARGE)).await;
        let reading = async {
            assert!(first_whole(&mut raw, &mut parts).await.0 == answer(1, LARGE));
            assert!(matches!(raw.next().await, Some(Frame::Goodbye { clean: true, .. })));
            assert_eq!(raw.next().await, None);
        };
        tokio::join!(client.close(), reading);
    });
}

#[test]
fn wrong_parts_cost_their_sender_the_session_and_nobody_else() {
    run(async {
        let small = LinkLimits { max_frame_bytes: 1 << 20, ..limits() };
        let mut scene = Scene::set(small).await;
        let half = vec![0; 600_000];
        let too_many = (0..=MAX_OPEN_MESSAGES as u64).map(|message| part(message, false, "a"));
        let nested = Cutter::new(&part(7, true, "a")).cut(usize::MAX).head;
        let pong = [part(3, false, &b"\x82\x0e"[..]), part(3, true, &b"\x01"[..])];
        let wrong: [(&str, Vec<Frame>); 10] = [
            ("more than 4 messages", too_many.collect()),
            ("message 3", [&pong[..], &pong[1..]].concat()),
            ("message 2", vec![part(3, false, "a"), part(2, false, "a")]),
            ("without bytes", vec![part(1, false, "")]),
            ("without bytes", vec![part(1, true, "")]),
            ("limit", vec![part(1, false, half.clone()), part(1, false, half.clone())]),
            ("limit", vec![part(1, false, half.clone()), part(2, false, half)]),
            ("garbage", vec![part(1, false, "\u{1}"), part(1, true, vec![0; 100_000])]),
            ("parts of a part", vec![part(1, false, nested), part(1, true, "a")]),
            ("hello twice", parts(1, &hello_with_parts(), &[10])),
        ];
        for (why, frames) in wrong {
            let mut raw = Raw::greet_as(&scene.socket(), hello_with_parts()).await;
            let peer = scene.server.peer().await;
            let bytes: Vec<u8> = frames.iter().flat_map(framed).collect();
            // It may be thrown out before it has said all.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.0, &bytes).await;
            let (reason, _) = scene.server.down(peer).await;
            assert!(reason.contains(why), "{reason}");
            assert!(scene.server.rejected().await.contains(&reason));
        }
        scene.all_is_well().await;
    });
}

#[test]
fn half_a_message_is_waited_for_only_so_long_whatever_else_is_sent() {
    run(async {
        let mut scene = Scene::set(hasty()).await;
        let mut raw = Raw::greet_as(&scene.socket(), hello_with_parts()).await;
        let peer = scene.server.peer().await;
        raw.send(&part(1, false, vec![0; PART_BYTES])).await;
        let chatting = tokio::task::spawn_local(async move {
            for message in 2.. {
                let mut bytes = framed(&Frame::Pong { nonce: message }).to_vec();
                bytes.extend_from_slice(&framed(&part(message, true, &b"\x82\x0e\x01"[..])));
                if tokio::io::AsyncWriteExt::write_all(&mut raw.0, &bytes).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let (reason, _) = scene.server.down(peer).await;
        assert!(reason.contains("in parts unfinished"), "{reason}");
        chatting.await.unwrap();
        scene.all_is_well().await;
    });
}

#[test]
fn who_takes_nothing_of_a_message_is_thrown_out() {
    run(async {
        let mut scene = Scene::set(hasty()).await;
        let _raw = Raw::greet_as(&scene.socket(), hello_with_parts()).await;
        let peer = scene.server.peer().await;
        scene.server.send(peer, answer(1, LARGE)).await;
        scene.all_is_well().await;
        assert!(scene.server.down(peer).await.0.contains("read nothing"));
    });
}

#[test]
fn half_a_message_is_let_go_of_with_its_session() {
    run(async {
        let mut scene = Scene::set(limits()).await;
        let mut raw = Raw::greet_as(&scene.socket(), hello_with_parts()).await;
        let peer = scene.server.peer().await;
        raw.send(&part(1, false, vec![0; PART_BYTES])).await;
        raw.send(&call(1, 1)).await;
        drop(raw);
        assert_eq!(scene.server.frame().await, (peer, call(1, 1)));
        let (reason, clean) = scene.server.down(peer).await;
        assert!(reason.contains("closed") && !clean, "{reason}");
        scene.all_is_well().await;
    });
}

#[test]
fn who_does_not_take_parts_gets_none() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut client, peer, mut raw, _listener) = met_as(dir.path(), crate::raw::hello()).await;
        client.send(peer, call(1, LARGE)).await;
        client.send(peer, call(2, 1)).await;
        assert!(raw.next().await == Some(call(1, LARGE)));
        assert_eq!(raw.next().await, Some(call(2, 1)));
    });
}

#[test]
fn a_large_call_reaches_a_node_that_leaves_and_comes_back() {
    run(async {
        let dir = tempdir().unwrap();
        let (server, _, mut client, peer) = pair(dir.path()).await;
        client.send(peer, call(1, LARGE)).await;
        drop(server);
        client.down(peer).await;
        let mut server = Node::open(dir.path()).await;
        server.serve("calc", "a").await.unwrap();
        let (peer, _) = client.server().await;
        client.send(peer, call(1, LARGE)).await;
        assert!(server.frame().await.1 == call(1, LARGE));
    });
}
