//! Servers: reachable, alone in their identity, and gone without a trace.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use farcall_core::transport::{Inbound, ServeError, Watch};
use farcall_core::wire::{CallId, Frame, ServerState};
use farcall_transport_unix::UnixConfig;
use tempfile::tempdir;

use crate::node::{Node, answer, attachment, call, config, pair, run};
use crate::raw::Raw;

fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join("s/default/calc").join(name)
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn frames_travel_both_ways() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut server, to_client, mut client, to_server) = pair(dir.path()).await;
        client.send(to_server, call(1, 10)).await;
        assert_eq!(server.frame().await, (to_client, call(1, 10)));
        server.send(to_client, answer(1, 20)).await;
        assert_eq!(client.frame().await, (to_server, answer(1, 20)));
        // The server may call its client as well.
        server.send(to_client, call(7, 30)).await;
        assert_eq!(client.frame().await, (to_server, call(7, 30)));
    });
}

#[test]
fn a_peer_is_shown_with_its_hello_and_credentials_before_anything_it_sends() {
    run(async {
        let dir = tempdir().unwrap();
        let mut server = Node::open(dir.path()).await;
        server.serve("calc", "a").await.unwrap();
        let mut at = attachment();
        at.hello.identity = "somebody".into();
        let mut client = Node::open_as(dir.path(), at).await;
        client.watch("calc").await;
        let (to_server, _) = client.server().await;
        client.send(to_server, call(1, 1)).await;
        let Inbound::PeerUp { peer, hello, credentials } = server.next().await else { panic!() };
        assert_eq!(hello.identity, "somebody");
        assert_eq!(credentials.pid, Some(std::process::id()));
        assert_eq!(credentials.uid, Some(rustix_uid()));
        assert_eq!(server.frame().await.0, peer);
    });
}

fn rustix_uid() -> u32 {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap())
}

#[test]
fn frames_of_one_call_arrive_in_order_whatever_their_sizes() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut server, to_client, mut client, to_server) = pair(dir.path()).await;
        let sizes = [1, 8 << 20, 3, 8191, 8192, 8193, 40 << 10, 1, 65536, 65536, 100, 1 << 20, 7];
        for round in 0..3 {
            for size in sizes {
                client.send(to_server, answer(round, size)).await;
            }
            for size in sizes {
                let (from, frame) = server.frame().await;
                assert_eq!(from, to_client);
                assert!(frame == answer(round, size), "of {size} bytes");
                client.flush_once().await;
            }
        }
    });
}

#[test]
fn a_second_server_of_an_identity_is_refused() {
    run(async {
        let dir = tempdir().unwrap();
        let mut first = Node::open(dir.path()).await;
        first.serve("calc", "a").await.unwrap();
        let mut second = Node::open(dir.path()).await;
        let Err(ServeError::IdentityTaken(words)) = second.serve("calc", "a").await else {
            panic!("served twice");
        };
        assert!(words.contains(&format!("process {}", std::process::id())), "{words}");
        assert!(words.contains("`calc`") && words.contains("`a`"), "{words}");
        // Another id, service or namespace is another identity.
        second.serve("calc", "b").await.unwrap();
        second.serve("text", "a").await.unwrap();
        let mut at = attachment();
        at.hello.namespace = "other".into();
        Node::open_as(dir.path(), at).await.serve("calc", "a").await.unwrap();
    });
}

#[test]
fn a_draining_server_keeps_its_identity_until_it_is_gone() {
    run(async {
        let dir = tempdir().unwrap();
        let mut first = Node::open(dir.path()).await;
        first.serve("calc", "a").await.unwrap();
        first.announce("calc", "a", ServerState::Draining).await;
        let mut second = Node::open(dir.path()).await;
        let refused = second.serve("calc", "a").await;
        assert!(matches!(refused, Err(ServeError::IdentityTaken(_))), "{refused:?}");
        first.announce("calc", "a", ServerState::Gone).await;
        second.serve("calc", "a").await.unwrap();
    });
}

#[test]
fn one_node_serves_a_service_once() {
    run(async {
        let dir = tempdir().unwrap();
        let mut node = Node::open(dir.path()).await;
        node.serve("calc", "a").await.unwrap();
        let refused = node.serve("calc", "b").await;
        assert!(matches!(refused, Err(ServeError::AlreadyServed(_))), "{refused:?}");
        node.announce("calc", "a", ServerState::Gone).await;
        node.serve("calc", "a").await.unwrap();
    });
}

#[test]
fn epochs_grow_with_every_start() {
    run(async {
        let dir = tempdir().unwrap();
        let mut epochs = Vec::new();
        for _ in 0..5 {
            let mut node = Node::open(dir.path()).await;
            epochs.push(node.serve("calc", "a").await.unwrap());
        }
        assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    });
}

#[test]
fn an_epoch_is_over_the_one_that_a_dead_server_left() {
    run(async {
        let dir = tempdir().unwrap();
        let mut node = Node::open(dir.path()).await;
        let now = node.serve("calc", "a").await.unwrap();
        drop(node);
        let far = now + 1_000_000_000_000;
        fs::write(file(dir.path(), "a.lock"), format!("pid 1\nepoch {far}\n")).unwrap();
        let mut node = Node::open(dir.path()).await;
        assert_eq!(node.serve("calc", "a").await.unwrap(), far + 1);
        let mut client = Node::open(dir.path()).await;
        client.watch("calc").await;
        assert_eq!(client.server().await.1.epoch, far + 1);
    });
}

/// What a server leaves behind that was killed.
fn leave_a_corpse(dir: &Path) {
    fs::create_dir_all(file(dir, "")).unwrap();
    drop(UnixListener::bind(file(dir, "a.sock")).unwrap());
    fs::write(file(dir, "a.lock"), "pid 1\nepoch 5\n").unwrap();
}

#[test]
fn what_a_dead_server_left_does_not_stop_the_next() {
    run(async {
        let dir = tempdir().unwrap();
        leave_a_corpse(dir.path());
        drop(UnixListener::bind(file(dir.path(), "a.new")).unwrap());
        let mut server = Node::open(dir.path()).await;
        server.serve("calc", "a").await.unwrap();
        let mut client = Node::open(dir.path()).await;
        client.watch("calc").await;
        client.server().await;
    });
}

#[test]
fn a_client_removes_what_a_dead_server_left() {
    run(async {
        let dir = tempdir().unwrap();
        leave_a_corpse(dir.path());
        let mut client = Node::open(dir.path()).await;
        client.watch("calc").await;
        assert!(!file(dir.path(), "a.sock").exists() && !file(dir.path(), "a.lock").exists());
        assert!(client.so_far().await.is_empty());
    });
}

#[test]
fn a_socket_that_refuses_is_left_alone_while_its_server_lives() {
    run(async {
        let dir = tempdir().unwrap();
        leave_a_corpse(dir.path());
        let lock = fs::File::open(file(dir.path(), "a.lock")).unwrap();
        lock.try_lock().unwrap();
        let mut client = Node::open(dir.path()).await;
        client.watch("calc").await;
        assert!(file(dir.path(), "a.sock").exists() && file(dir.path(), "a.lock").exists());
    });
}

#[test]
fn a_path_too_long_is_refused_with_its_length_and_the_setting() {
    run(async {
        let dir = tempdir().unwrap();
        let mut node = Node::open(dir.path()).await;
        let id = "x".repeat(64);
        let Err(ServeError::Unusable(words)) = node.serve(&"y".repeat(64), &id).await else {
            panic!("served");
        };
        assert!(words.contains(&id) && words.contains("107"), "{words}");
        assert!(words.contains("[unix] socket_dir"), "{words}");

        let config =
            UnixConfig { socket_dir: dir.path().join("d".repeat(100)), ..UnixConfig::default() };
        let error = Node::try_open(config, attachment()).await.err().unwrap().to_string();
        assert!(error.contains("[unix] socket_dir"), "{error}");
    });
}

#[test]
fn folders_and_sockets_are_for_us_alone() {
    run(async {
        let dir = tempdir().unwrap();
        let mut node = Node::open(dir.path()).await;
        node.serve("calc", "a").await.unwrap();
        for folder in ["s", "s/default", "s/default/calc"] {
            assert_eq!(mode(dir.path().join(folder)), 0o700, "{folder}");
        }
        assert_eq!(mode(file(dir.path(), "a.sock")), 0o600);
        assert_eq!(mode(file(dir.path(), "a.lock")), 0o600);
    });
}

#[test]
fn folders_and_sockets_are_open_if_others_are_allowed() {
    run(async {
        let dir = tempdir().unwrap();
        let config = UnixConfig { allow_uids: vec![12], ..config(dir.path()) };
        let mut node = Node::try_open(config, attachment()).await.unwrap();
        node.serve("calc", "a").await.unwrap();
        for folder in ["s", "s/default", "s/default/calc"] {
            assert_eq!(mode(dir.path().join(folder)), 0o755, "{folder}");
        }
        assert_eq!(mode(file(dir.path(), "a.sock")), 0o666);
        assert_eq!(mode(file(dir.path(), "a.lock")), 0o600);
    });
}

#[test]
fn a_folder_that_others_may_write_in_is_refused() {
    run(async {
        let dir = tempdir().unwrap();
        let open = |path: PathBuf| {
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        };
        open(dir.path().join("s/default"));
        let mut node = Node::open(dir.path()).await;
        let words = node.serve("calc", "a").await.unwrap_err().to_string();
        assert!(words.contains("s/default") && words.contains("chmod"), "{words}");

        open(dir.path().join("s"));
        let refused = Node::try_open(config(dir.path()), attachment()).await;
        let words = refused.err().unwrap().to_string();
        assert!(words.contains("mode 777"), "{words}");
    });
}

#[test]
fn a_draining_server_is_not_found_and_its_sessions_go_on() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut server, to_client, mut client, to_server) = pair(dir.path()).await;
        client.send(to_server, call(1, 1)).await;
        server.announce("calc", "a", ServerState::Draining).await;
        assert!(!file(dir.path(), "a.sock").exists());
        let (from, it) = client.server().await;
        assert_eq!((from, it.state), (to_server, ServerState::Draining));

        let mut late = Node::open(dir.path()).await;
        late.watch("calc").await;
        assert!(late.so_far().await.is_empty());

        assert_eq!(server.frame().await, (to_client, call(1, 1)));
        server.send(to_client, answer(1, 1)).await;
        assert_eq!(client.frame().await, (to_server, answer(1, 1)));
    });
}

#[test]
fn a_server_that_is_gone_leaves_nothing_and_may_come_back() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut server, _, mut client, to_server) = pair(dir.path()).await;
        server.announce("calc", "a", ServerState::Gone).await;
        assert_eq!(client.server().await.1.state, ServerState::Gone);
        assert_eq!(fs::read_dir(file(dir.path(), "")).unwrap().count(), 0);
        // Of the same node, while the old session is still there.
        server.serve("calc", "a").await.unwrap();
        let (again, it) = client.server().await;
        assert_eq!(it.state, ServerState::Ready);
        assert_ne!(again, to_server);
        client.reaches(again, &mut server).await;
    });
}

#[test]
fn closing_sends_what_waits_and_then_a_clean_goodbye() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut server, to_client, mut client, to_server) = pair(dir.path()).await;
        // More than a socket takes at once.
        for id in 0..64 {
            server.send(to_client, answer(id, 1 << 20)).await;
        }
        let closed = tokio::task::spawn_local(server.close());
        for id in 0..64 {
            assert!(client.frame().await == (to_server, answer(id, 1 << 20)));
        }
        let (reason, clean) = client.down(to_server).await;
        assert!(clean, "{reason}");
        closed.await.unwrap();
        assert_eq!(fs::read_dir(file(dir.path(), "")).unwrap().count(), 0);
    });
}

#[test]
fn a_call_that_was_on_its_way_to_a_closing_server_is_not_delivered() {
    run(async {
        let dir = tempdir().unwrap();
        let (server, to_client, mut client, to_server) = pair(dir.path()).await;
        // The closing server does not get to know it, so that its goodbye is true.
        client.send(to_server, call(1, 1)).await;
        let rest = server.close().await;
        assert!(
            !rest.iter().any(|it| matches!(it, Inbound::Frame { frame: Frame::Call(_), .. })),
            "{rest:?} of {to_client}"
        );
        assert!(client.down(to_server).await.1);
    });
}

#[test]
fn a_link_that_is_dropped_says_nothing_and_leaves_nothing() {
    run(async {
        let dir = tempdir().unwrap();
        let (server, _, mut client, to_server) = pair(dir.path()).await;
        drop(server);
        assert_eq!(fs::read_dir(file(dir.path(), "")).unwrap().count(), 0);
        let (reason, clean) = client.down(to_server).await;
        assert!(!clean, "{reason}");
    });
}

#[test]
fn a_socket_that_somebody_removed_is_made_again() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut server, _, mut client, to_server) = pair(dir.path()).await;
        fs::remove_dir_all(dir.path().join("s")).unwrap();
        let mut late = Node::open(dir.path()).await;
        late.watch("calc").await;
        let (to_server_too, _) = late.server().await;
        late.reaches(to_server_too, &mut server).await;
        client.reaches(to_server, &mut server).await;
        let mut second = Node::open(dir.path()).await;
        let refused = second.serve("calc", "a").await;
        assert!(matches!(refused, Err(ServeError::IdentityTaken(_))), "{refused:?}");
    });
}

#[test]
fn what_can_be_found_can_be_connected_to() {
    run(async {
        let dir = tempdir().unwrap();
        let socket = file(dir.path(), "a.sock");
        // Somebody who looks all the time, from a thread of its own.
        let looking = std::thread::spawn({
            let socket = socket.clone();
            move || {
                let mut found = 0;
                while found < 200 {
                    let Ok(it) = fs::symlink_metadata(&socket) else { continue };
                    assert!(it.file_type().is_socket());
                    match std::os::unix::net::UnixStream::connect(&socket) {
                        Ok(_) => found += 1,
                        // It went away in between.
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                        Err(error) if !socket.exists() => drop(error),
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        });
        let mut node = Node::open(dir.path()).await;
        while !looking.is_finished() {
            node.serve("calc", "a").await.unwrap();
            tokio::task::yield_now().await;
            node.announce("calc", "a", ServerState::Gone).await;
        }
        looking.join().unwrap();
    });
}

#[test]
fn a_node_may_serve_and_call_the_same_service() {
    run(async {
        let dir = tempdir().unwrap();
        let mut node = Node::open(dir.path()).await;
        node.serve("calc", "a").await.unwrap();
        node.watch_for(Watch::Everything).await;
        let (to_self, _) = node.server().await;
        for id in 0..1000 {
            node.send(to_self, call(id, 10_000)).await;
        }
        for id in 0..1000 {
            let (from, frame) = node.frame().await;
            assert_ne!(from, to_self, "its own end has another number");
            assert_eq!(frame.call_id(), Some(CallId(id)));
        }
    });
}

#[test]
fn a_bare_connection_leaves_no_trace() {
    run(async {
        let dir = tempdir().unwrap();
        let mut node = Node::open(dir.path()).await;
        node.serve("calc", "a").await.unwrap();
        drop(Raw::connect(&file(dir.path(), "a.sock")).await);
        drop(Raw::greet(&file(dir.path(), "a.sock")).await);
        let peer = node.peer().await;
        node.down(peer).await;
        assert!(node.so_far().await.is_empty(), "only the one that said hello is seen");
    });
}
