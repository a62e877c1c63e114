//! Recoverable methods give a `TaskCall`, which alone has a key and can be started.

use std::time::Duration;

use farcall_core::{CallError, Config, Context, Memory, MethodError, Node, Task, TaskCall};
use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Reports {
    #[farcall(recoverable, timeout = "5s")]
    async fn monthly(&self, ctx: &Context, month: &str) -> Result<String, String>;
    #[farcall(recoverable)]
    async fn bytes(&self, of: Vec<u8>) -> Vec<u8>;
    async fn plain(&self) -> u8;
}

struct Server;

impl Reports for Server {
    async fn monthly(&self, ctx: &Context, month: &str) -> Result<String, String> {
        ctx.progress(&1).map_err(|error| error.to_string())?;
        match month {
            "never" => Err("no such month".to_owned()),
            month => Ok(format!("{month}, attempt {}", ctx.task().unwrap().attempt())),
        }
    }

    async fn bytes(&self, of: Vec<u8>) -> Vec<u8> {
        of
    }

    async fn plain(&self) -> u8 {
        1
    }
}

fn main() {
    farcall_core::block_on(async {
        let memory = Memory::new();
        let node = Node::open_with(Config::default(), memory.transport()).await.unwrap();
        node.serve(ReportsServer::new(Server)).await.unwrap();
        let reports = ReportsClient::new(&node);
        let call: TaskCall<String, MethodError<String>> = reports.monthly("may");
        assert_eq!(call.await.unwrap(), "may, attempt 1");
        let never = reports.monthly("never").await.unwrap_err();
        assert_eq!(never.returned().as_deref(), Some("no such month"));
        let bytes: TaskCall<Vec<u8>, CallError> = reports.bytes(vec![1, 2]);
        let task = bytes.key("k").expires_in(Duration::from_secs(60)).start().await.unwrap();
        assert_eq!(task.result().await.unwrap(), [1, 2]);
        let call = reports.monthly("june").start().await.unwrap();
        let attached = Task::<String, MethodError<String>>::attach(&node, call.token().clone());
        assert_eq!(attached.result().await.unwrap(), "june, attempt 1");
        assert_eq!(reports.plain().await.unwrap(), 1);
    });
}
