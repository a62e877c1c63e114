//! What a service offers, as one of its servers says it.

use std::time::{Duration, Instant};

use farcall::service::{Descriptor, MethodDescriptor};
use farcall::transport::PeerId;
use farcall::wire::{Failure, ServerState};
use farcall::{Event, Node, Reason, ServerInfo};

/// What a service offers, from a server of it, once there is one. `None` if that does not say.
///
/// # Errors
/// There is no server, or none answers in time.
pub(crate) async fn of(
    node: &Node,
    service: &str,
    timeout: Duration,
) -> Result<Option<Descriptor>, Failure> {
    tokio::time::timeout(timeout, ask(node, service)).await.unwrap_or_else(|_| {
        Err(Failure::new(
            Reason::DeadlineBeforeSending,
            format!("the deadline came, and no server of `{service}` had answered"),
        ))
    })
}

async fn ask(node: &Node, service: &str) -> Result<Option<Descriptor>, Failure> {
    loop {
        let server = find_server(node, service).await?;
        match node.peer(server).describe(service).await {
            Ok(descriptor) => return Ok(Some(descriptor)),
            Err(error) => match error.reason() {
                // It has left meanwhile, or hangs: others may come until the caller's deadline.
                Reason::ServerLost | Reason::PeerGone | Reason::DeadlineExceeded => {}
                _ => return Ok(None),
            },
        }
    }
}

/// A server of a service that takes calls, waited for as a call would.
///
/// # Errors
/// There is none.
pub(crate) async fn find_server(node: &Node, service: &str) -> Result<PeerId, Failure> {
    let ready =
        |server: &ServerInfo| server.service == service && server.state == ServerState::Ready;
    let closed = || Failure::new(Reason::Closed, "the node was closed");
    let begun = Instant::now();
    let wait = node.config().client.wait_for_server;
    // From before the look, so that nobody comes between.
    let mut events = node.events();
    let up = events.find(|event| match event {
        Event::ServerUp(server) if ready(&server) => Some(server.peer),
        _ => None,
    });
    tokio::pin!(up);
    // The look waits for all that can be found. The first that shows itself will do, lest one that
    // hangs keeps calls from those that do not.
    tokio::select! {
        server = &mut up => return server.ok_or_else(closed),
        found = node.servers(service) => {
            if let Some(server) = found.map_err(|_| closed())?.iter().find(|it| ready(it)) {
                return Ok(server.peer);
            }
        }
    }
    match tokio::time::timeout(wait.saturating_sub(begun.elapsed()), up).await {
        Ok(server) => server.ok_or_else(closed),
        Err(_) => Err(Failure::new(
            Reason::NoServer,
            format!(
                "no server of `{service}` within {wait:?}; start one, or raise \
                 client.wait_for_server"
            ),
        )),
    }
}

/// A method as it would be declared.
pub(crate) fn signature(method: &MethodDescriptor) -> String {
    let stream = |stream: bool, ty: &str| match stream {
        true => format!("impl Stream<Item = {ty}>"),
        false => ty.to_owned(),
    };
    let params = method
        .params
        .iter()
        .map(|param| format!("{}: {}", param.name, stream(param.stream, &param.ty)));
    let params = params.collect::<Vec<_>>().join(", ");
    let result = stream(method.stream, &method.result);
    let result = match &method.error {
        Some(error) => format!("Result<{result}, {error}>"),
        None => result,
    };
    format!("{}({params}) -> {result}", method.name)
}
