//! Questions to the node itself, answered beside all calls.

use bytes::Bytes;

use super::ServerActor;
use crate::params::{NULL, Params};
use crate::server::replies::ReplyTo;
use crate::server::services::unknown;
use crate::server::{ClientStatus, NodeStatus, ServiceStatus};
use crate::service::{Descriptor, Outcome};
use crate::transport::PeerId;
use crate::value;
use crate::wire::{CallId, Failure, Reason, ServerState};

impl ServerActor {
    pub(super) fn query(&mut self, peer: PeerId, id: CallId, subject: &str, params: Bytes) {
        if subject.starts_with("task.") {
            return self.task_query((peer, id), subject, &params);
        }
        let outcome = match subject {
            "status" => encode(self.status()),
            "ping" => Ok(Bytes::from_static(NULL)),
            "describe" => self.describe(&params).and_then(encode),
            _ => {
                let known = ["status", "describe", "ping"];
                Err(unknown(Reason::UnknownMethod, "query", subject, known))
            }
        };
        self.reply((peer, id), ReplyTo::default(), outcome);
    }

    fn status(&self) -> NodeStatus {
        let services = self.services.iter().enumerate();
        // Those that lost their identity are no servers any more.
        let services = services.filter(|(_, it)| it.announcement.state != ServerState::Gone);
        let services = services.map(|(at, served)| {
            let (running, waiting) = self.calls.load(at);
            ServiceStatus {
                service: served.scope.service.to_string(),
                server: served.scope.server.to_string(),
                state: served.announcement.state.as_str().to_owned(),
                running,
                waiting,
                concurrency: self.node.config().server.concurrency,
                backlog: self.node.config().server.backlog,
            }
        });
        let clients = self.calls.sessions.peers().map(|caller| ClientStatus {
            identity: caller.identity.to_string(),
            uid: caller.credentials.uid,
            pid: caller.credentials.pid,
        });
        NodeStatus {
            identity: self.node.identity().to_owned(),
            services: services.collect(),
            clients: clients.collect(),
        }
    }

    fn describe(&self, params: &Bytes) -> Result<&Descriptor, Failure> {
        let params = Params::new(params.clone());
        let mut arguments = params.arguments(&["service"])?;
        let name: String = arguments.next()?;
        arguments.finish()?;
        Ok(&self.services.at(self.services.service(&name)?).descriptor)
    }
}

fn encode<T: serde::Serialize>(value: T) -> Outcome {
    match value::encode(&value) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(Failure::new(Reason::ResultUnencodable, error.to_string())),
    }
}
