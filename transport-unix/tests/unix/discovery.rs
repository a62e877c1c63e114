//! Clients: they find servers, whenever those come.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use farcall_core::transport::{Inbound, Outbound, Watch};
use tempfile::tempdir;

use crate::node::{Node, attachment, call, pair, run};
use crate::raw::{Raw, listen};

#[test]
fn watching_with_nobody_there_is_answered() {
    run(async {
        let dir = tempdir().unwrap();
        let mut client = Node::open(dir.path()).await;
        client.watch("calc").await;
        client.watch_for(Watch::Everything).await;
        client.watch("calc").await;
        assert!(client.so_far().await.is_empty());
    });
}

#[test]
fn servers_that_were_there_are_met_by_the_first_look() {
    run(async {
        let dir = tempdir().unwrap();
        let mut servers = Vec::new();
        for id in ["a", "b", "c"] {
            let mut server = Node::open(dir.path()).await;
            server.serve("calc", id).await.unwrap();
            servers.push(server);
        }
        let mut client = Node::open(dir.path()).await;
        client.watch("calc").await;
        // All of them have come before `Watching`; nothing is waited for here.
        let mut met = Vec::new();
        for _ in 0..3 {
            met.push(client.server().await.1.server.to_string());
        }
        met.sort();
        assert_eq!(met, ["a", "b", "c"]);
        // Once more, with everything known already.
        client.watch("calc").await;
    });
}

#[test]
fn a_server_that_comes_later_is_found() {
    run(async {
        let dir = tempdir().unwrap();
        let mut client = Node::open(dir.path()).await;
        client.watch("calc").await;
        let mut server = Node::open(dir.path()).await;
        server.serve("text", "not watched").await.unwrap_err();
        server.serve("text", "not-watched").await.unwrap();
        server.serve("calc", "a").await.unwrap();
        let (to_server, it) = client.server().await;
        assert_eq!((&*it.service, &*it.server), ("calc", "a"));
        client.reaches(to_server, &mut server).await;
    });
}

#[test]
fn everything_is_found_also_services_that_come_later() {
    run(async {
        let dir = tempdir().unwrap();
        let mut server = Node::open(dir.path()).await;
        server.serve("calc", "a").await.unwrap();
        let mut client = Node::open(dir.path()).await;
        client.watch_for(Watch::Everything).await;
        assert_eq!(client.server().await.1.service, "calc");
        server.serve("text", "a").await.unwrap();
        assert_eq!(client.server().await.1.service, "text");
    });
}

#[test]
fn namespaces_do_not_see_each_other() {
    run(async {
        let dir = tempdir().unwrap();
        let mut server = Node::open(dir.path()).await;
        server.serve("calc", "a").await.unwrap();
        let mut at = attachment();
        at.hello.namespace = "other".into();
        let mut client = Node::open_as(dir.path(), at).await;
        client.watch_for(Watch::Everything).await;
        client.watch("calc").await;
        assert!(client.so_far().await.is_empty());
    });
}

#[test]
fn a_restarted_server_is_a_new_peer() {
    run(async {
        let dir = tempdir().unwrap();
        let (mut server, _, mut client, mut before) = pair(dir.path()).await;
        for _ in 0..10 {
            drop(server);
            client.down(before).await;
            server = Node::open(dir.path()).await;
            server.serve("calc", "a").await.unwrap();
            let (after, _) = client.server().await;
            assert!(after > before);
            client.reaches(after, &mut server).await;
            before = after;
        }
    });
}

#[test]
fn a_session_that_breaks_is_made_again_while_the_socket_is_there() {
    run(async {
        let dir = tempdir().unwrap();
        let listener = listen(dir.path());
        let mut client = Node::open(dir.path()).await;
        let watching = client.watch("calc");
        let (mut raw, ()) = tokio::join!(Raw::accept(&listener), watching);
        for _ in 0..5 {
            let (peer, _) = client.server().await;
            drop(raw);
            client.down(peer).await;
            raw = Raw::accept(&listener).await;
        }
    });
}

#[test]
fn folders_that_were_removed_are_watched_again() {
    run(async {
        let dir = tempdir().unwrap();
        let mut client = Node::open(dir.path()).await;
        client.watch("calc").await;
        client.watch_for(Watch::Everything).await;
        for _ in 0..5 {
            fs::remove_dir_all(dir.path().join("s")).unwrap();
            let mut server = Node::open(dir.path()).await;
            server.serve("calc", "a").await.unwrap();
            let (peer, _) = client.server().await;
            drop(server);
            client.down(peer).await;
        }
    });
}

#[test]
fn other_files_are_no_servers() {
    run(async {
        let dir = tempdir().unwrap();
        let folder = dir.path().join("s/default/calc");
        fs::create_dir_all(folder.join("folder.sock")).unwrap();
        for name in ["file.sock", "a.lock", ".sock", "no name.sock"] {
            fs::write(folder.join(name), "").unwrap();
        }
        fs::write(dir.path().join("s/default/file"), "").unwrap();
        let mut client = Node::open(dir.path()).await;
        client.watch_for(Watch::Everything).await;
        client.watch("calc").await;
        assert!(client.so_far().await.is_empty());
        assert!(folder.join("file.sock").exists());
    });
}

#[test]
fn a_socket_that_says_it_is_another_servers_is_not_believed() {
    run(async {
        let dir = tempdir().unwrap();
        let listener = listen(dir.path());
        let folder = dir.path().join("s/default/calc");
        fs::rename(folder.join("a.sock"), folder.join("b.sock")).unwrap();
        let mut client = Node::open(dir.path()).await;
        let watching = client.watch("calc");
        let (mut raw, ()) = tokio::join!(Raw::accept(&listener), watching);
        assert!(client.rejected().await.contains("server `a` of `calc`"));
        assert!(raw.goodbye().await.is_some());
    });
}

#[test]
fn many_clients_find_many_servers() {
    run(async {
        let dir = tempdir().unwrap();
        let mut nodes = Vec::new();
        for _ in 0..8 {
            let mut node = Node::open(dir.path()).await;
            node.watch("calc").await;
            nodes.push(node);
        }
        for (at, node) in nodes.iter_mut().enumerate() {
            node.serve("calc", &at.to_string()).await.unwrap();
        }
        for node in &mut nodes {
            let mut found = Vec::new();
            for _ in 0..8 {
                let (peer, it) = node.server().await;
                found.push(it.server.to_string());
                node.send(peer, call(1, 1)).await;
            }
            found.sort();
            assert_eq!(found, ["0", "1", "2", "3", "4", "5", "6", "7"]);
        }
        for node in &mut nodes {
            for _ in 0..8 {
                node.frame().await;
            }
        }
    });
}

#[test]
fn a_folder_that_cannot_be_trusted_fails_the_watch_until_it_can() {
    run(async {
        let dir = tempdir().unwrap();
        let mut server = Node::open(dir.path()).await;
        server.serve("calc", "a").await.unwrap();
        let folder = dir.path().join("s/default/calc");
        let set_mode = |mode| {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        };
        let calc = Watch::Service("calc".into());
        set_mode(0o777);
        let mut client = Node::open(dir.path()).await;
        let error = client.try_watch_for(calc.clone()).await.unwrap_err().to_string();
        assert!(error.contains("cannot look for servers") && error.contains("chmod"), "{error}");
        // The others of the namespace are found all the same, and this is told of once.
        client.watch_for(Watch::Everything).await;
        assert!(client.so_far().await.is_empty());
        set_mode(0o755);
        let (peer, _) = client.server().await;
        client.reaches(peer, &mut server).await;
    });
}

#[test]
fn a_service_that_cannot_be_looked_into_is_told_of_beside_the_others() {
    run(async {
        let dir = tempdir().unwrap();
        let mut server = Node::open(dir.path()).await;
        server.serve("calc", "a").await.unwrap();
        server.serve("text", "a").await.unwrap();
        let folder = dir.path().join("s/default/calc");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        let mut client = Node::open(dir.path()).await;
        client.watch_for(Watch::Everything).await;
        assert_eq!(client.server().await.1.service, "text");
        let error = client.watching(Watch::Service("calc".into())).await.unwrap_err();
        assert!(error.to_string().contains("calc has mode 777"), "{error}");
    });
}

#[test]
fn a_service_of_an_impossible_name_cannot_be_watched() {
    run(async {
        let dir = tempdir().unwrap();
        let mut client = Node::open(dir.path()).await;
        let watch = Watch::Service("a/b".into());
        assert!(client.try_watch_for(watch).await.unwrap_err().to_string().contains("a/b"));
    });
}

#[test]
fn a_server_that_says_no_hello_is_told_of_long_before_it_is_given_up() {
    run(async {
        let dir = tempdir().unwrap();
        let listener = listen(dir.path());
        let mut client = Node::open(dir.path()).await;
        client.ask(Outbound::Watch(Watch::Service("calc".into()))).await;
        let (server, reason) = client.unreachable().await;
        assert_eq!(server, "calc/a");
        assert!(reason.contains("no hello within 500ms"), "{reason}");
        assert!(client.so_far().await.is_empty(), "the look goes on");
        // It is met once it speaks.
        let _raw = Raw::accept(&listener).await;
        client.watching(Watch::Service("calc".into())).await.unwrap();
        client.server().await;
    });
}

#[test]
fn a_server_that_cannot_be_met_is_told_of_once() {
    run(async {
        let dir = tempdir().unwrap();
        let listener = listen(dir.path());
        let mut client = Node::open(dir.path()).await;
        client.ask(Outbound::Watch(Watch::Service("calc".into()))).await;
        for _ in 0..4 {
            let (socket, _) = listener.accept().await.unwrap();
            drop(socket);
        }
        let (server, reason) = client.unreachable().await;
        assert_eq!((&*server, &*reason), ("calc/a", "it closed the connection"));
        client.watching(Watch::Service("calc".into())).await.unwrap();
        let seen = client.so_far().await;
        assert!(!seen.iter().any(|it| matches!(it, Inbound::Unreachable { .. })), "{seen:?}");
    });
}
