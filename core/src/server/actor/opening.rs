//! How services become reachable, and say so.

use std::rc::Rc;

use compact_str::CompactString;

use super::{Audience, Serve, ServerActor};
use crate::context::Serving;
use crate::observe::ServedMeters;
use crate::server::services::{Opening, Served, make, methods};
use crate::transport::{Outbound, ServeError};
use crate::wire::{Announcement, ServerState};

impl ServerActor {
    /// Readies a service and asks the transport to make it reachable.
    pub(super) fn open(&mut self, Serve { service, to, reply }: Serve) {
        let (service, descriptor) = match make(service) {
            Ok(made) => made,
            Err(words) => {
                let _ = reply.send(Err(ServeError::Unusable(words)));
                return;
            }
        };
        let name = CompactString::from(&*descriptor.name);
        let refusal = if self.draining {
            Some(ServeError::Closed)
        } else if self.services.has(&name) {
            Some(ServeError::AlreadyServed(name.clone()))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let _ = reply.send(Err(refusal));
            return;
        }
        let server = &self.node.config().server;
        let announcement = Announcement {
            service: name.clone(),
            server: self.node.server_id().clone(),
            epoch: 0,
            node: self.node.id(),
            state: ServerState::Ready,
            schema: CompactString::from(&*descriptor.schema),
            concurrency: server.concurrency as u64,
            backlog: server.backlog as u64,
        };
        let ask = Outbound::Serve(Box::new(announcement.clone()));
        let opening = Opening { service, descriptor, announcement, to, reply };
        match to {
            Audience::Everybody => {
                self.batch.push(ask);
                self.services.opening(name, opening);
            }
            Audience::Peers => self.opened(name, opening, 0),
        }
    }

    /// The transport has made a service reachable, or not.
    pub(super) fn serving(&mut self, name: &CompactString, result: Result<u64, ServeError>) {
        let Some(opening) = self.services.take_opening(name) else { return };
        match result {
            Err(refusal) => {
                let _ = opening.reply.send(Err(refusal));
            }
            Ok(epoch) if self.draining => {
                // It came too late: nobody is to find it.
                let mut announcement = opening.announcement;
                (announcement.epoch, announcement.state) = (epoch, ServerState::Gone);
                self.batch.push(Outbound::Announce(Box::new(announcement)));
                let _ = opening.reply.send(Err(ServeError::Closed));
            }
            Ok(epoch) => self.opened(name.clone(), opening, epoch),
        }
    }

    /// A service may be called.
    fn opened(&mut self, name: CompactString, opening: Opening, epoch: u64) {
        let Opening { service, descriptor, mut announcement, to, reply } = opening;
        announcement.epoch = epoch;
        let meters = ServedMeters::new(&name, descriptor.methods.len());
        let (node, server) = (self.node.clone(), announcement.server.clone());
        let scope = Rc::new(Serving { node, service: name, server, epoch });
        let limits = &self.node.config().server;
        self.calls.serve(limits.concurrency, limits.backlog);
        let _ = reply.send(Ok(announcement.clone()));
        let methods = methods(&descriptor);
        let served = Served { service, descriptor, methods, scope, announcement, to, meters };
        self.services.push(served);
    }

    pub(super) fn announce(&mut self, state: ServerState) {
        for served in self.services.iter_mut() {
            if served.announcement.state != state {
                served.announcement.state = state;
                if served.to == Audience::Peers {
                    continue;
                }
                self.batch.push(Outbound::Announce(Box::new(served.announcement.clone())));
            }
        }
    }
}
