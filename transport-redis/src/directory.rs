//! All services of the namespace, for those who list them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use farcall_core::transport::{Backoff, Inbound, LinkError, Watch};
use foldhash::{HashSet, HashSetExt};
use redis::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::connect::Purpose;
use crate::fault::{Fault, classify, words};
use crate::hub::Hub;
use crate::{keys, reply};

/// How old what is known may be.
const PERIOD: Duration = Duration::from_secs(1);

/// How long services that cannot be seen may hold up the list of all: this node may not be let into one, or just be
/// connecting again.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who waits for a look at everything.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    is_looking: Cell<bool>,
    /// Core wants to be told of the next look.
    asked: Cell<bool>,
    again: Notify,
}

impl Directory {
    /// Asks for a look, which is told. `true` if nobody looks yet.
    pub(crate) fn ask(&self) -> bool {
        self.asked.set(true);
        self.again.notify_one();
        !self.is_looking.replace(true)
    }
}

/// Watches every service there is, and tells how full its queue is, for as long as the link is there.
pub(crate) async fn look(hub: Rc<Hub>) {
    let index = keys::services(&hub.hello.namespace);
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5)).at_once();
    let mut known = HashSet::new();
    // Services that were waited for in vain, until they are seen again.
    let mut late = HashSet::new();
    let asked = &hub.directory.asked;
    loop {
        let wait = backoff.next(Backoff::random());
        tokio::time::sleep(wait).await;
        let mut connection = match hub.connector.connect(&index, Purpose::Commands).await {
            Ok(connection) => connection,
            Err(error) => {
                if asked.take() {
                    let result = Err(LinkError::new(error.message));
                    hub.inbox.push(Inbound::Watching { watch: Watch::Everything, result });
                }
                continue;
            }
        };
        loop {
            // An entry that is over names a service without servers, which costs a look at it.
            let mut command = redis::cmd("ZRANGE");
            command.arg(&index).arg(0).arg(-1);
            let listed: redis::RedisResult<Value> = command.query_async(&mut connection.io).await;
            let listed = match listed {
                Ok(listed) => listed,
                Err(error) => {
                    // Another connection makes nothing better, so whoever asks is told.
                    if classify(&error) != Fault::Reconnect && asked.take() {
                        let error = format!("the services cannot be listed: {}", words(&error));
                        let result = Err(LinkError::new(error));
                        hub.inbox.push(Inbound::Watching { watch: Watch::Everything, result });
                    }
                    break;
                }
            };
            backoff.reset();
            let names = reply::array(&listed).unwrap_or_default().iter().filter_map(reply::text);
            for name in names {
                if known.insert(name.to_owned()) {
                    hub.branch(&name.into()).watch(false);
                }
            }
            let until = Instant::now() + PATIENCE;
            for branch in hub.branches() {
                if late.contains(&branch.service) && !branch.is_seen() {
                    continue;
                }
                let seen = async {
                    branch.has_looked().await;
                    branch.tell_depth().await;
                };
                if tokio::time::timeout_at(until, seen).await.is_ok() {
                    late.remove(&branch.service);
                } else {
                    tracing::debug!(service = %branch.service, "it is listed as it was known last");
                    late.insert(branch.service.clone());
                }
            }
            if asked.take() {
                let watch = Watch::Everything;
                hub.inbox.push(Inbound::Watching { watch, result: Ok(()) });
            }
            // Whoever asks again does not wait for the time to be over.
            let _ = tokio::time::timeout(PERIOD, hub.directory.again.notified()).await;
        }
    }
}
