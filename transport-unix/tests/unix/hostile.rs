//! Peers that do not keep to the rules: they are thrown out, and nobody else notices.

use std::time::Duration;

use farcall_core::transport::{Attachment, Inbound, LinkLimits};
use farcall_core::wire::{FRAME_OVERHEAD, Frame, Hello};
use tempfile::{TempDir, tempdir};

use crate::node::{Node, answer, attachment, call, limits, run};
use crate::raw::{Raw, framed, hello, listen};

/// A server with a client that means well.
pub(crate) struct Scene {
    dir: TempDir,
    pub(crate) server: Node,
    client: Node,
    to_server: farcall_core::transport::PeerId,
}

impl Scene {
    pub(crate) async fn set(limits: LinkLimits) -> Scene {
        let dir = tempdir().unwrap();
        let mut server = Node::open_as(dir.path(), Attachment { limits, ..attachment() }).await;
        server.serve("calc", "a").await.unwrap();
        let mut client = Node::open(dir.path()).await;
        client.watch("calc").await;
        let (to_server, _) = client.server().await;
        server.peer().await;
        Scene { dir, server, client, to_server }
    }

    pub(crate) fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("s/default/calc/a.sock")
    }

    pub(crate) async fn all_is_well(&mut self) {
        self.client.reaches(self.to_server, &mut self.server).await;
    }
}

pub(crate) fn hasty() -> LinkLimits {
    let moment = Duration::from_millis(100);
    LinkLimits { handshake: moment, stall: moment, ..limits() }
}

#[test]
fn garbage_costs_its_sender_the_session_and_nobody_else() {
    run(async {
        let mut scene = Scene::set(limits()).await;
        let garbage: [&[u8]; 8] = [
            b"\0\0\0\x01\xff",
            b"\0\0\0\0",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"\0\0\0\x03\x83\x01\x02",
            b"\0\0\0\x02\x81\x63",
            b"\xff\xff\xff\xff",
            &framed(&Frame::Part { message: 1, last: true, bytes: b"x"[..].into() }),
            &framed(&hello()),
        ];
        for bytes in garbage {
            let mut raw = Raw::greet(&scene.socket()).await;
            let peer = scene.server.peer().await;
            raw.send(&call(1, 1)).await;
            raw.write(bytes).await;
            let said = raw.goodbye().await.expect("no goodbye");
            let (reason, clean) = scene.server.down(peer).await;
            assert!(reason == said && !clean, "{reason}; {said}");
            assert!(scene.server.rejected().await.contains(&reason));
            // What came before it was good.
            assert_eq!(scene.server.frame().await, (peer, call(1, 1)));
        }
        scene.all_is_well().await;
    });
}

#[test]
fn ten_thousand_garbage_frames_change_nothing() {
    run(async {
        // So few places that those thrown out must be let go of.
        let mut scene = Scene::set(LinkLimits { max_peers: 3, ..limits() }).await;
        let garbage = b"\0\0\0\x04\xde\xad\xbe\xef".repeat(50);
        for round in 0..200 {
            let mut raw = match round % 2 {
                0 => Raw::connect(&scene.socket()).await,
                _ => Raw::greet(&scene.socket()).await,
            };
            raw.write(&garbage).await;
            assert!(raw.goodbye().await.is_some());
            assert!(scene.server.rejected().await.contains("thrown out"));
        }
        scene.all_is_well().await;
    });
}

#[test]
fn a_length_over_the_limit_is_refused_before_memory_is_taken() {
    run(async {
        let small = LinkLimits { max_frame_bytes: 1000, ..limits() };
        let mut scene = Scene::set(small).await;
        for len in [1001_u32, 1 << 30, u32::MAX] {
            let mut raw = Raw::greet(&scene.socket()).await;
            raw.write(&len.to_be_bytes()).await;
            let said = raw.goodbye().await.unwrap();
            assert!(said.contains(&len.to_string()) && said.contains("1000"), "{said}");
            scene.server.rejected().await;
        }
        scene.all_is_well().await;
    });
}

#[test]
fn a_hello_has_a_limit_of_its_own_which_holds_for_nothing_after_it() {
    run(async {
        let mut scene = Scene::set(limits()).await;
        let most = FRAME_OVERHEAD;
        for len in [most as u32 + 1, 1 << 20, 32 << 20] {
            let mut raw = Raw::connect(&scene.socket()).await;
            raw.write(&len.to_be_bytes()).await;
            let said = raw.goodbye().await.unwrap();
            assert!(said.contains(&len.to_string()) && said.contains("65536"), "{said}");
            scene.server.rejected().await;
        }
        // A hello that is as long as that, and what comes with it.
        let mut raw = Raw::connect(&scene.socket()).await;
        let mut bytes = framed(&hello()).to_vec();
        let (key, value) = (b"\x65extra", vec![b'a'; most - (bytes.len() - 4) - 6 - 5]);
        bytes[5 + 1] += 1;
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&[0x7a]);
        bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&value);
        assert_eq!(bytes.len() - 4, most);
        bytes[..4].copy_from_slice(&(most as u32).to_be_bytes());
        bytes.extend_from_slice(&framed(&call(1, 100_000)));
        raw.write(&bytes).await;
        assert_eq!(scene.server.frame().await.1, call(1, 100_000));
        scene.all_is_well().await;
    });
}

#[test]
fn a_frame_as_long_as_the_limit_is_taken() {
    run(async {
        let len = framed(&call(1, 100_000)).len() - 4;
        let mut scene = Scene::set(LinkLimits { max_frame_bytes: len, ..limits() }).await;
        scene.client.send(scene.to_server, call(1, 100_000)).await;
        assert_eq!(scene.server.frame().await.1, call(1, 100_000));
        scene.client.send(scene.to_server, call(2, 100_001)).await;
        assert!(scene.server.rejected().await.contains("100"));
    });
}

#[test]
fn half_a_hello_is_waited_for_only_so_long() {
    run(async {
        let mut scene = Scene::set(hasty()).await;
        let whole = framed(&hello());
        for part in [0, 2, 4, whole.len() - 1] {
            let mut raw = Raw::connect(&scene.socket()).await;
            raw.write(&whole[..part]).await;
            let said = raw.goodbye().await.unwrap();
            assert!(said.contains("hello") || said.contains("unfinished"), "{said}");
            scene.server.rejected().await;
        }
        scene.all_is_well().await;
    });
}

#[test]
fn half_a_frame_is_waited_for_only_so_long() {
    run(async {
        let mut scene = Scene::set(hasty()).await;
        for (bytes, part) in [(10, 3), (10, 20), (100_000, 50_000)] {
            let mut raw = Raw::greet(&scene.socket()).await;
            let peer = scene.server.peer().await;
            let frame = framed(&call(1, bytes));
            raw.write(&frame).await;
            raw.write(&frame[..part]).await;
            let said = raw.goodbye().await.unwrap();
            assert!(said.contains("unfinished"), "{said}");
            assert_eq!(scene.server.frame().await, (peer, call(1, bytes)));
            scene.server.down(peer).await;
        }
        scene.all_is_well().await;
    });
}

#[test]
fn a_byte_now_and_then_does_not_buy_time() {
    run(async {
        let mut scene = Scene::set(hasty()).await;
        let mut raw = Raw::greet(&scene.socket()).await;
        let peer = scene.server.peer().await;
        let frame = framed(&call(1, 10_000));
        let dripping = tokio::task::spawn_local(async move {
            for byte in frame.iter() {
                use tokio::io::AsyncWriteExt;
                if raw.0.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            panic!("it was let finish");
        });
        assert!(scene.server.down(peer).await.0.contains("unfinished"));
        dripping.await.unwrap();
        scene.all_is_well().await;
    });
}

#[test]
fn who_does_not_agree_is_told_why() {
    run(async {
        let mut scene = Scene::set(limits()).await;
        let namespace = Hello::new("other", "raw");
        let version = Hello { versions: (7, 9), ..Hello::new("default", "raw") };
        for (hello, why) in [(namespace, "namespaces differ"), (version, "7 to 9")] {
            let mut raw = Raw::connect(&scene.socket()).await;
            raw.send(&Frame::Hello(hello.into())).await;
            let said = raw.goodbye().await.unwrap();
            assert!(said.contains(why), "{said}");
            assert!(scene.server.rejected().await.contains(why));
        }
        // A frame that is no hello is none either.
        let mut raw = Raw::connect(&scene.socket()).await;
        raw.send(&call(1, 1)).await;
        assert!(raw.goodbye().await.unwrap().contains("hello first"));
        scene.all_is_well().await;
        let seen = scene.server.so_far().await;
        assert!(!seen.iter().any(|it| matches!(it, Inbound::PeerUp { .. })), "{seen:?}");
    });
}

#[test]
fn a_client_does_not_believe_a_server_that_does_not_agree() {
    run(async {
        let dir = tempdir().unwrap();
        let listener = listen(dir.path());
        let mut client = Node::open(dir.path()).await;
        let server = async {
            let (socket, _) = listener.accept().await.unwrap();
            let mut raw = Raw(socket);
            raw.send(&Frame::Hello(Box::new(Hello::new("other", "raw")))).await;
            raw.goodbye().await.unwrap()
        };
        let (said, ()) = tokio::join!(server, client.watch("calc"));
        assert!(said.contains("namespaces differ"), "{said}");
        assert!(client.rejected().await.contains("namespaces differ"));
    });
}

#[test]
fn more_peers_than_a_server_takes_are_turned_away() {
    run(async {
        let mut scene = Scene::set(LinkLimits { max_peers: 3, ..limits() }).await;
        let first = Raw::greet(&scene.socket()).await;
        let _second = Raw::greet(&scene.socket()).await;
        let mut third = Raw::connect(&scene.socket()).await;
        assert!(third.goodbye().await.unwrap().contains("as many peers as it takes (3)"));
        assert!(scene.server.rejected().await.contains("turned away"));
        let peer = scene.server.peer().await;
        drop(first);
        scene.server.down(peer).await;
        let _fourth = Raw::greet(&scene.socket()).await;
        scene.all_is_well().await;
    });
}

#[test]
fn a_flood_is_read_no_faster_than_it_is_taken() {
    run(async {
        let mut scene = Scene::set(limits()).await;
        let mut raw = Raw::greet(&scene.socket()).await;
        let flooder = scene.server.peer().await;
        let flood = framed(&call(1, 1000)).repeat(64);
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let sent = std::rc::Rc::new(std::cell::Cell::new(0_usize));
        let flooding = tokio::task::spawn_local({
            let sent = std::rc::Rc::clone(&sent);
            async move {
                use tokio::io::AsyncWriteExt;
                loop {
                    tokio::select! {
                        biased;
                        _ = &mut stopped => return raw,
                        written = raw.0.write_all(&flood) => written.unwrap(),
                    }
                    sent.set(sent.get() + 64);
                }
            }
        });
        // Nobody takes anything until the flood has come to a stop by itself.
        let mut before = usize::MAX;
        while sent.get() != before {
            before = sent.get();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(before < 20_000, "{before} frames of 1 kB were read with nobody to take them");
        scene.all_is_well().await;
        drop(stop);
        let raw = flooding.await.unwrap();
        drop(raw);
        scene.server.down(flooder).await;
    });
}

#[test]
fn those_who_read_nothing_leave_room_for_others() {
    run(async {
        let room = LinkLimits { max_peer_bytes: 5 << 20, max_queued_bytes: 6 << 20, ..limits() };
        let mut scene = Scene::set(room).await;
        let mut deaf = Vec::new();
        for _ in 0..2 {
            deaf.push((Raw::greet(&scene.socket()).await, scene.server.peer().await));
        }
        // Each has less than one peer may have, together they have more than there may be.
        for _ in 0..4 {
            for (_, peer) in &deaf {
                scene.server.send(*peer, answer(1, 1 << 20)).await;
            }
        }
        scene.all_is_well().await;
        let said = scene.server.rejected().await;
        assert!(said.contains("too slow") && said.contains("max_queued_bytes"), "{said}");
    });
}

#[test]
fn half_a_frame_is_not_forgotten_over_a_pause_of_ours() {
    run(async {
        let limits = LinkLimits { stall: Duration::from_millis(200), ..limits() };
        let mut scene = Scene::set(limits).await;
        let mut raw = Raw::greet(&scene.socket()).await;
        let peer = scene.server.peer().await;
        // More than is read with nobody to take it, and half a frame after that.
        let mut flood = framed(&call(1, 1000)).repeat(1500);
        flood.extend_from_slice(&framed(&call(2, 1000))[..500]);
        let writing = tokio::task::spawn_local(async move {
            raw.write(&flood).await;
            raw.goodbye().await
        });
        // For longer than a peer may stall, it is not the peer who does.
        tokio::time::sleep(Duration::from_millis(500)).await;
        for _ in 0..1500 {
            assert_eq!(scene.server.frame().await, (peer, call(1, 1000)));
        }
        assert!(scene.server.down(peer).await.0.contains("unfinished"));
        assert!(writing.await.unwrap().unwrap().contains("unfinished"));
    });
}

#[test]
fn pings_are_answered_without_core() {
    run(async {
        let mut scene = Scene::set(limits()).await;
        let mut raw = Raw::greet(&scene.socket()).await;
        scene.server.peer().await;
        for nonce in 0..3 {
            raw.send(&Frame::Ping { nonce }).await;
            assert_eq!(raw.next().await, Some(Frame::Pong { nonce }));
        }
        raw.send(&Frame::Pong { nonce: 9 }).await;
        raw.send(&call(1, 1)).await;
        assert_eq!(scene.server.frame().await.1, call(1, 1));
        assert!(scene.server.so_far().await.is_empty());
    });
}

#[test]
fn core_can_end_a_session_and_the_peer_hears_why() {
    run(async {
        use farcall_core::transport::Outbound;
        let mut scene = Scene::set(limits()).await;
        let mut raw = Raw::greet(&scene.socket()).await;
        let peer = scene.server.peer().await;
        scene.server.send(peer, crate::node::answer(1, 1 << 20)).await;
        let reason = "call 1 was sent twice".to_owned();
        scene.server.ask(Outbound::Disconnect { peer, reason: reason.clone() }).await;
        // What was sent before comes first.
        assert_eq!(raw.next().await, Some(crate::node::answer(1, 1 << 20)));
        assert_eq!(
            raw.next().await,
            Some(Frame::Goodbye { reason: reason.as_str().into(), clean: false })
        );
        assert_eq!(raw.next().await, None);
        assert_eq!(scene.server.down(peer).await, (reason.clone(), false));
        assert!(scene.server.rejected().await.contains(&reason));
        scene.all_is_well().await;
    });
}
