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
    let mut why = String::new();
    tokio::select! {
        server = &mut up => return server.ok_or_else(closed),
        found = node.servers(service) => {
            // What cannot be looked for now may be there before the wait is over.
            match found {
                Ok(found) => {
                    if let Some(server) = found.iter().find(|it| ready(it)) {
                        return Ok(server.peer);
                    }
                }
                Err(error) => why = format!(" ({error})"),
            }
        }
    }
    match tokio::time::timeout(wait.saturating_sub(begun.elapsed()), up).await {
        Ok(server) => server.ok_or_else(closed),
        Err(_) => Err(Failure::new(
            Reason::NoServer,
            format!(
                "no server of `{service}` within {wait:?}{why}; start one, or raise \
                 client.wait_for_server"
            ),
        )),
    }
}

/// A method as it would be declared, or nearly: streams are told in words.
pub(crate) fn signature(method: &MethodDescriptor) -> String {
    let stream = |stream: bool, ty: &str| match stream {
        true => format!("stream of {ty}"),
        false => ty.to_owned(),
    };
    let params = method
        .params
        .iter()
        .map(|param| format!("{}: {}", param.name, stream(param.stream, &param.ty)));
    let params = params.collect::<Vec<_>>().join(", ");
    let result = match &method.error {
        Some(error) => format!("Result<{}, {error}>", method.result),
        None => method.result.to_string(),
    };
    format!("{}({params}) -> {}", method.name, stream(method.stream, &result))
}

#[cfg(test)]
mod tests {
    use farcall::service::ParamDescriptor;

    use super::*;

    #[test]
    fn streams_are_told_in_words() {
        let param = |name: &'static str, stream| ParamDescriptor {
            name: name.into(),
            ty: "u64".into(),
            stream,
            ..ParamDescriptor::default()
        };
        let mut method = MethodDescriptor {
            name: "ticks".into(),
            params: vec![param("every_ms", false), param("pauses", true)],
            result: "u64".into(),
            stream: true,
            ..MethodDescriptor::default()
        };
        let takes = "ticks(every_ms: u64, pauses: stream of u64)";
        assert_eq!(signature(&method), format!("{takes} -> stream of u64"));
        method.error = Some("Late".into());
        assert_eq!(signature(&method), format!("{takes} -> stream of Result<u64, Late>"));
        method.stream = false;
        assert_eq!(signature(&method), format!("{takes} -> Result<u64, Late>"));
    }
}
