//! How services become reachable, and say so.

use std::rc::Rc;

use compact_str::CompactString;

use super::{Audience, Serve, ServerActor, Taken};
use crate::context::Serving;
use crate::event::Event;
use crate::ledger::{FromLedger, LedgerActor, LedgerStore, Opening as LedgerOpening, StoreError};
use crate::observe::ServedMeters;
use crate::server::services::{Opening, Served, make, methods};
use crate::transport::{Outbound, ServeError};
use crate::wire::{Announcement, Failure, Reason, ServerState};

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
        let recoverable = descriptor.methods.iter().any(|method| method.recoverable);
        let opening = Opening { service, descriptor, announcement, to, reply, ledger: None };
        if let Some(kind) = self.ledgers.as_ref().filter(|_| recoverable) {
            // Before anybody can find it: what comes then can be recorded.
            let ledger = kind.open(LedgerOpening {
                namespace: self.node.config().namespace.as_str().into(),
                service: name.clone(),
                server: self.node.server_id().clone(),
                node: self.node.id(),
                policy: self.node.config().ledger.policy(),
            });
            self.services.opening(name.clone(), opening);
            let to_server = self.to_ledgers.clone();
            actix::spawn(async move {
                let _ = to_server.push(FromLedger::Opened(name, ledger.await));
            });
            return;
        }
        self.services.opening(name.clone(), opening);
        self.reach(&name);
    }

    /// The ledger of a service is open, or not.
    pub(super) fn ledger_opened(
        &mut self,
        name: &CompactString,
        result: Result<Box<dyn LedgerStore>, StoreError>,
    ) {
        match (self.services.opening_mut(name), result) {
            (Some(opening), Ok(store)) => {
                opening.ledger = Some(store);
                self.reach(name);
            }
            (Some(_), Err(error)) => {
                if let Some(opening) = self.services.take_opening(name) {
                    let _ = opening.reply.send(Err(ServeError::Ledger(error)));
                }
            }
            (None, _) => {}
        }
    }

    /// Makes a service reachable for those it is for.
    fn reach(&mut self, name: &CompactString) {
        let Some(opening) = self.services.opening_mut(name) else { return };
        match opening.to {
            Audience::Everybody => {
                let ask = Outbound::Serve(Box::new(opening.announcement.clone()));
                self.batch.push(ask);
            }
            Audience::Peers => {
                if let Some(opening) = self.services.take_opening(name) {
                    self.opened(name.clone(), opening, 0);
                }
            }
        }
    }

    /// The transport has made a service reachable, or not.
    pub(super) fn serving(&mut self, name: &CompactString, result: Result<u64, ServeError>) {
        let Some(opening) = self.services.take_opening(name) else {
            if let (Err(error), Some(at)) = (result, self.services.live(name)) {
                self.identity_lost(at, &error);
            }
            return;
        };
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
        let Opening { service, descriptor, mut announcement, to, reply, ledger } = opening;
        announcement.epoch = epoch;
        let meters = ServedMeters::new(&name, descriptor.methods.len());
        let (node, server) = (self.node.clone(), announcement.server.clone());
        if let Some(ledger) = ledger {
            let (at, durability) = (self.services.count(), ledger.durability());
            let asks = LedgerActor::open(ledger, at, self.to_ledgers.clone());
            let names = (self.node.config().namespace.clone(), name.clone());
            self.tasks.open(at, durability, names, asks);
            self.calls.sessions.keep_tasks();
        }
        let scope = Rc::new(Serving { node, service: name, server, epoch });
        let limits = &self.node.config().server;
        self.calls.serve(limits.concurrency, limits.backlog);
        let _ = reply.send(Ok(announcement.clone()));
        let methods = methods(&descriptor);
        let served = Served { service, descriptor, methods, scope, announcement, to, meters };
        self.services.push(served);
    }

    /// Another server has the identity of one here, since this node was away for too long. Who called
    /// it has been told that it was lost: nothing more is to run here.
    fn identity_lost(&mut self, at: usize, error: &ServeError) {
        let served = self.services.at_mut(at);
        served.announcement.state = ServerState::Gone;
        let (service, server) = (served.scope.service.clone(), served.scope.server.clone());
        let reason = error.to_string();
        tracing::error!(%service, %server, %reason, "a server has lost its identity, and serves no longer");
        for (key, mut taken) in self.calls.take_service(at) {
            // Whoever calls by a session that is still there hears of it once more.
            if let Some(receipt) = taken.take_receipt() {
                self.let_go(Some(receipt));
            } else {
                let reason = match &taken {
                    Taken::Waiting(_) => Reason::Draining,
                    Taken::Running(_) => Reason::Abandoned,
                };
                let failure = Failure::new(reason, "the server has lost its identity");
                self.refuse(key, taken.reply_to(), failure);
            }
            if let Taken::Running(running) = taken {
                running.stop();
            }
        }
        self.node.tell(Event::IdentityLost { service, server, reason });
    }

    pub(super) fn announce(&mut self, state: ServerState) {
        for served in self.services.iter_mut() {
            // An identity that was lost is not this server's to speak for.
            if served.announcement.state != state && served.announcement.state != ServerState::Gone
            {
                served.announcement.state = state;
                if served.to == Audience::Peers {
                    continue;
                }
                self.batch.push(Outbound::Announce(Box::new(served.announcement.clone())));
            }
        }
    }
}
