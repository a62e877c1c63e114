//! A peer that says whatever a test wants it to.

use std::path::Path;

use bytes::{Bytes, BytesMut};
use farcall_core::wire::{Announcement, Frame, Hello, NodeId, PARTS, ServerState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::node::PATIENCE;

pub(crate) struct Raw(pub(crate) UnixStream);

impl Raw {
    /// Connects and says nothing.
    pub(crate) async fn connect(socket: &Path) -> Raw {
        Raw(UnixStream::connect(socket).await.unwrap())
    }

    /// Connects as a client that is well behaved so far.
    pub(crate) async fn greet(socket: &Path) -> Raw {
        Raw::greet_as(socket, hello()).await
    }

    pub(crate) async fn greet_as(socket: &Path, hello: Frame) -> Raw {
        let mut raw = Raw::connect(socket).await;
        raw.send(&hello).await;
        assert!(matches!(raw.next().await, Some(Frame::Hello(_))));
        assert!(matches!(raw.next().await, Some(Frame::Announce(_))));
        raw
    }

    /// Accepts a client as server `a` of `calc`.
    pub(crate) async fn accept(listener: &UnixListener) -> Raw {
        Raw::accept_as(listener, hello()).await
    }

    pub(crate) async fn accept_as(listener: &UnixListener, hello: Frame) -> Raw {
        let (socket, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        let mut raw = Raw(socket);
        raw.send(&hello).await;
        assert!(matches!(raw.next().await, Some(Frame::Hello(_))));
        raw.send(&announce()).await;
        raw
    }

    pub(crate) async fn send(&mut self, frame: &Frame) {
        self.write(&framed(frame)).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next frame, or `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let read = async {
            let len = self.0.read_u32().await.ok()?;
            let mut bytes = vec![0; len as usize];
            self.0.read_exact(&mut bytes).await.ok()?;
            Some(Frame::decode(bytes.into()).unwrap())
        };
        timeout(PATIENCE, read).await.expect("no frame came")
    }

    /// Reads to the end and answers the goodbye, if there was one.
    pub(crate) async fn goodbye(&mut self) -> Option<String> {
        let mut said = None;
        while let Some(frame) = self.next().await {
            if let Frame::Goodbye { reason, .. } = frame {
                said = Some(reason.to_string());
            }
        }
        said
    }

    /// All bytes that are there, up to the end.
    pub(crate) async fn rest(&mut self) -> Bytes {
        let mut bytes = Vec::new();
        // A connection may also end with an error.
        let _ = timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.unwrap();
        bytes.into()
    }
}

/// A socket where that of server `a` of `calc` lies.
pub(crate) fn listen(dir: &Path) -> UnixListener {
    let folder = dir.join("s/default/calc");
    std::fs::create_dir_all(&folder).unwrap();
    UnixListener::bind(folder.join("a.sock")).unwrap()
}

pub(crate) fn framed(frame: &Frame) -> Bytes {
    let mut bytes = BytesMut::from(&[0; 4][..]);
    frame.encode(&mut bytes);
    let len = (bytes.len() - 4) as u32;
    bytes[..4].copy_from_slice(&len.to_be_bytes());
    bytes.freeze()
}

pub(crate) fn hello() -> Frame {
    Frame::Hello(Box::new(Hello::new("default", "raw")))
}

/// Of somebody who takes parts.
pub(crate) fn hello_with_parts() -> Frame {
    let mut hello = Hello::new("default", "raw");
    hello.add(PARTS);
    Frame::Hello(Box::new(hello))
}

pub(crate) fn announce() -> Frame {
    Frame::Announce(Box::new(Announcement {
        service: "calc".into(),
        server: "a".into(),
        epoch: 1,
        node: NodeId::generate(),
        state: ServerState::Ready,
        schema: "".into(),
        concurrency: 1,
        backlog: 1,
    }))
}
