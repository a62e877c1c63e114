//! The contract on the memory transport: servers have threads where others have processes.

use std::thread::JoinHandle;

use farcall_core::transport::Transport;
use farcall_core::wire::{Durability, NodeId};
use farcall_core::{Memory, Node, block_on};
use tokio::sync::oneshot;

use crate::{Options, Remote, World, contract_service, task_service};

/// A [`Memory`] of its own.
#[derive(Debug, Default)]
pub struct MemoryWorld {
    memory: Memory,
}

impl World for MemoryWorld {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn transport(&self) -> Box<dyn Transport> {
        self.memory.transport()
    }

    fn start(&self, options: &Options) -> Box<dyn Remote> {
        let (config, memory, tasks) = (options.config(), self.memory.clone(), options.tasks);
        let (stop, stopped) = oneshot::channel();
        let (started, start) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            block_on(async move {
                let drain = config.server.drain;
                let node = Node::open_with(config, memory.transport()).await.expect("it opens");
                node.serve(contract_service()).await.expect("it serves");
                if tasks {
                    node.serve(task_service()).await.expect("it serves tasks");
                }
                started.send(node.id()).expect("the starter waits");
                if stopped.await.is_ok() {
                    node.drain(drain).await;
                }
                node.close().await;
            });
        });
        let node = start.recv().expect("the server's thread says when it serves");
        let memory = self.memory.clone();
        Box::new(Thread { memory, node, stop: Some(stop), thread: Some(thread) })
    }

    fn tasks(&self) -> Option<Durability> {
        Some(Durability::Memory)
    }

    fn garbage(&self, _: &Options) -> bool {
        // Nothing but frames can be handed over here.
        false
    }
}

#[derive(Debug)]
struct Thread {
    memory: Memory,
    node: NodeId,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Remote for Thread {
    fn kill(&mut self) {
        self.memory.cut(self.node);
        self.stop = None;
    }

    fn terminate(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have been killed before.
            let _ = stop.send(());
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.kill();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the server's thread panicked");
        }
    }
}
