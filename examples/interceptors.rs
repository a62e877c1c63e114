//! Calls that need a token, which is looked up before a handler runs, and a log of all calls.
//!
//!     cargo run --example interceptors

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use farcall::prelude::*;
use farcall::{CallLog, Config, Incoming, Interceptor, Memory, Outgoing, Reason, Refusal};

#[farcall::service]
trait Safe {
    /// What lies in the safe of whoever asks.
    async fn open(&self, ctx: &Context) -> String;
}

struct Vault;

impl Safe for Vault {
    async fn open(&self, ctx: &Context) -> String {
        // Set by the interceptor for each call that it lets pass: no caller can make it up.
        let owner = ctx.header("user").unwrap_or("nobody");
        format!("the gold of {owner}")
    }
}

/// At a client: says who is calling.
struct Token(&'static str);

impl Interceptor for Token {
    fn outgoing(&self, call: &mut Outgoing<'_>) -> Result<(), Refusal> {
        call.set_header("token", self.0);
        Ok(())
    }
}

/// At a server: lets those in who have a token, and tells handlers who they are.
struct Tokens {
    users: Arc<Users>,
}

impl Interceptor for Tokens {
    fn incoming(&self, call: &mut Incoming) -> Result<(), Refusal> {
        let token = call.header("token").ok_or("a header `token` is needed")?.to_owned();
        let users = Arc::clone(&self.users);
        // Other calls run meanwhile.
        call.check(async move {
            let user = users.by_token(&token).await.ok_or("nobody has this token")?;
            Ok(vec![("user".into(), user.into())])
        });
        Ok(())
    }
}

/// Stands for a database, which takes its time.
struct Users(HashMap<&'static str, &'static str>);

impl Users {
    async fn by_token(&self, token: &str) -> Option<&'static str> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.0.get(token).copied()
    }
}

#[farcall::main]
async fn main() -> farcall::Result<()> {
    let memory = Memory::new();
    let server = Node::open_with(Config::default(), memory.transport()).await?;
    let client = Node::open_with(Config::default(), memory.transport()).await?;

    // The log is outside of the tokens, so that it has those who are refused as well.
    let users = Arc::new(Users(HashMap::from([("sesame", "ali")])));
    let guarded = server.with(CallLog::to(std::io::stdout())).with(Tokens { users });
    guarded.serve(SafeServer::new(Vault)).await?;

    let ali = SafeClient::new(&client.with(Token("sesame")));
    println!("with a token: {}\n", ali.open().await?);

    let stranger = SafeClient::new(&client.with(Token("please")));
    for (who, safe) in [("a wrong one", stranger), ("none", SafeClient::new(&client))] {
        match safe.open().await {
            Err(error) if error.reason() == Reason::Unauthorized => {
                println!("with {who}: {error}\n")
            }
            other => return Err(format!("with {who}: {other:?}").into()),
        }
    }
    Ok(())
}
