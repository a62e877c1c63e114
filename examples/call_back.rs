//! A server that calls its client: to ask something during a call, and to tell something later.
//!
//!     cargo run --example call_back
//!
//! Server and client are two nodes of this one program here, so that it is short to read. They know
//! nothing of each other but what travels: in two processes they work as they do here.

use farcall::prelude::*;

/// What a release server does for those who call it.
#[farcall::service]
trait Releases {
    /// Publishes a version, once its caller has confirmed it.
    async fn publish(&self, ctx: &Context, version: &str) -> Result<(), PublishError>;
}

/// What a client does for the servers that it calls.
#[farcall::service]
trait Prompt {
    /// Asks whoever sits there.
    async fn confirm(&self, question: &str) -> bool;
    /// Shows a line.
    async fn tell(&self, line: &str);
}

#[farcall::data]
#[derive(Debug)]
enum PublishError {
    Declined,
    NobodyToAsk(String),
}

impl std::fmt::Display for PublishError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PublishError::Declined => f.write_str("its caller declined"),
            PublishError::NobodyToAsk(why) => write!(f, "its caller cannot be asked: {why}"),
        }
    }
}

/// So that `?` passes on what a call inside of the handler met with.
impl From<CallError> for PublishError {
    fn from(error: CallError) -> Self {
        PublishError::NobodyToAsk(error.to_string())
    }
}

struct ReleaseServer;

impl Releases for ReleaseServer {
    async fn publish(&self, ctx: &Context, version: &str) -> Result<(), PublishError> {
        // The caller waits for this handler, which waits for its caller: both go on meanwhile.
        let caller = PromptClient::from(ctx.peer().client("prompt"));
        let question = format!("Publish version {version}?");
        if caller.confirm(&question).await? { Ok(()) } else { Err(PublishError::Declined) }
    }
}

/// Stands for a person at a terminal.
struct Terminal;

impl Prompt for Terminal {
    async fn confirm(&self, question: &str) -> bool {
        let yes = !question.contains("beta");
        println!("  client is asked: {question} {}", if yes { "yes" } else { "no" });
        yes
    }

    async fn tell(&self, line: &str) {
        println!("  client is told: {line}");
    }
}

/// A node in the namespace of this run, by whatever transport is configured.
async fn open(identity: &str) -> farcall::Result<Node> {
    let mut resolved = farcall::resolve()?;
    let namespace = format!("call-back-{}", std::process::id());
    resolved.config.namespace = namespace.parse().map_err(farcall::Error::other)?;
    resolved.config.client.identity = Some(identity.parse().map_err(farcall::Error::other)?);
    Node::open_with(resolved.config, resolved.transport).await
}

#[farcall::main]
async fn main() -> farcall::Result<()> {
    let server = open("release-server").await?;
    server.serve(ReleasesServer::new(ReleaseServer)).await?;

    let client = open("terminal").await?;
    // Only the servers that this client is connected to can call it, and nobody finds it in a list.
    client.offer(PromptServer::new(Terminal)).await?;
    let releases = ReleasesClient::new(&client);

    println!("during a call, the server asks its caller:");
    releases.publish("1.0").await?;
    println!("  1.0 is published");
    match releases.publish("2.0-beta").await {
        Err(MethodError::Returned(error)) => println!("  2.0-beta is not: {error}"),
        other => return Err(format!("the client said no, and got {other:?}").into()),
    }

    println!("\nbetween calls, the server tells every client that it has:");
    for peer in server.peers().await? {
        let prompt = PromptClient::from(server.peer(&peer).client("prompt"));
        prompt.tell(&format!("{}, a newer version is out", peer.identity)).await?;
    }

    println!("\na client that offers nothing is an error like any other:");
    let silent = open("silent").await?;
    match ReleasesClient::new(&silent).publish("3.0").await {
        Err(MethodError::Returned(error)) => println!("  3.0 is not published: {error}"),
        other => return Err(format!("nobody could be asked, and yet: {other:?}").into()),
    }
    Ok(())
}
