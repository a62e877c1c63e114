//! The transport and its kind, as core knows them.

use std::sync::Arc;

use farcall_core::config::Section;
use farcall_core::ledger::LedgerKind;
use farcall_core::transport::{Attachment, Link, LinkError, Transport, TransportKind};
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use crate::clock::Clock;
use crate::config::RedisConfig;
use crate::connect::{Connector, Kind, Purpose};
use crate::hub::{Hub, Parts};
use crate::keys;
use crate::lease::Leases;
use crate::ledger::RedisLedger;

/// The kind that `transport = "redis"` chooses.
pub static REDIS: RedisKind = RedisKind;

/// How the table `[redis]` becomes a [`Redis`].
#[derive(Clone, Copy, Debug, Default)]
pub struct RedisKind;

impl TransportKind for RedisKind {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Transport>> {
        Some(Box::new(Redis::new(RedisConfig::read(section))))
    }

    fn ledger(&self, section: &mut Section<'_>) -> Option<Arc<dyn LedgerKind>> {
        Some(Arc::new(RedisLedger::new(RedisConfig::read(section))))
    }
}

/// A broker, not in use yet.
///
/// Programs choose it in their configuration. With one made by hand, a test can have a broker of its
/// own:
///
/// ```
/// use farcall_core::transport::{Attachment, LinkError, Transport};
/// use farcall_transport_redis::{Redis, RedisConfig};
///
/// # async fn open(at: Attachment) -> Result<(), LinkError> {
/// let url = "redis+unix:///tmp/only-for-this-test/redis.sock".into();
/// let redis = Redis::new(RedisConfig { url, ..RedisConfig::default() });
/// let link = Box::new(redis).open(at).await?;
/// assert!(link.shared_queue);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Redis {
    config: RedisConfig,
}

impl Redis {
    /// The broker that the configuration names.
    #[must_use]
    pub fn new(config: RedisConfig) -> Self {
        Redis { config }
    }

    async fn open_now(&self, at: Attachment) -> Result<Link, LinkError> {
        let connector = Connector::new(&self.config).map_err(|it| LinkError::new(it.message))?;
        // What somebody has to mend is told at once; what passes by itself is waited for.
        let key = keys::services(&at.hello.namespace);
        match connector.connect(&key, Purpose::Commands).await {
            Err(error) if error.kind == Kind::Hopeless => {
                return Err(LinkError::new(error.message));
            }
            Err(error) => tracing::warn!(error = error.message, "the broker is not there yet"),
            Ok(_) => {}
        }
        let clock = Clock::default();
        let leases = Leases::start(connector.clone(), clock.clone(), self.config.lease)
            .map_err(|error| LinkError::with_source("cannot start the thread for leases", error))?;
        let (lease, database) = (self.config.lease, connector.database());
        let parts = Parts { connector, clock, leases, lease, database };
        Ok(Link::carried_by(Hub::start(at, parts), true))
    }
}

impl Transport for Redis {
    /// Needs a tokio runtime with IO and time, and a `LocalSet` (or an actix `System`) on it.
    ///
    /// # Errors
    /// The broker refuses this user, is too old, or cannot be spoken with for another reason that does not pass
    /// by itself. One that cannot be reached is no error: it is waited for.
    fn open(self: Box<Self>, at: Attachment) -> LocalBoxFuture<'static, Result<Link, LinkError>> {
        async move { self.open_now(at).await }.boxed_local()
    }

    /// In the same broker.
    fn ledger(&self) -> Option<Arc<dyn LedgerKind>> {
        Some(Arc::new(RedisLedger::new(self.config.clone())))
    }
}
