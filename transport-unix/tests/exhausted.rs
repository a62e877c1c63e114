//! A process that may open no more files. Alone in its program: the limit is for all of it.

#[expect(dead_code, reason = "this program needs only a part of it")]
#[path = "unix/node.rs"]
mod node;

use std::fs::File;

use farcall_core::transport::Watch;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::tempdir;

use crate::node::{Node, run};

/// Opens files until there is no room for one more.
fn exhaust() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[test]
fn a_process_without_free_descriptors_goes_on_once_there_are_some() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(100), maximum }).unwrap();
    run(async {
        let dir = tempdir().unwrap();
        let mut server = Node::open(dir.path()).await;
        server.serve("calc", "a").await.unwrap();
        let mut client = Node::open(dir.path()).await;
        client.watch("calc").await;
        let (to_server, _) = client.server().await;
        // It has no place for a watcher, and none to look into the folder.
        let mut late = Node::open(dir.path()).await;
        let taken = exhaust();
        let watched = late.try_watch_for(Watch::Service("calc".into())).await;
        assert!(watched.unwrap_err().to_string().contains("open files"));
        assert!(late.so_far().await.is_empty());
        // One more, so that it can connect and the server cannot accept.
        let mut taken = taken.into_iter();
        drop(taken.next());
        client.reaches(to_server, &mut server).await;
        drop(taken);
        let (to_server_too, _) = late.server().await;
        late.reaches(to_server_too, &mut server).await;
        // Found without a watcher, by looking.
        let mut second = Node::open(dir.path()).await;
        second.serve("calc", "b").await.unwrap();
        let (to_second, _) = late.server().await;
        late.reaches(to_second, &mut second).await;
    });
}
