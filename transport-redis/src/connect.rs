//! Connections to the right server.

pub(crate) mod address;
mod candidates;
mod cluster;
mod dialer;
mod error;
mod greeting;
mod pushes;
mod sentinel;
mod slot;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError};
use tokio::time::{Instant, timeout_at};

use self::address::{Address, Endpoint};
use self::cluster::Cluster;
use self::dialer::Dialer;
pub(crate) use self::error::{ConnectError, Kind};
pub(crate) use self::pushes::Pushes;
use self::sentinel::Sentinels;
use self::tls::Tls;
use crate::RedisConfig;

/// Finds the server that has a key, and connects to it.
#[derive(Clone)]
pub(crate) struct Connector {
    shared: Arc<Shared>,
}

struct Shared {
    way: Way,
    dialer: Dialer,
    login: RedisConnectionInfo,
    connect_timeout: Duration,
    response_timeout: Duration,
}

/// How the server is found.
enum Way {
    Direct(Endpoint),
    Sentinels(Sentinels),
    Cluster(Cluster),
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Commands that the server answers at once.
    Commands,
    /// Commands that wait at the server: their answers may take as long as they like. Keepalive
    /// finds out that the server's machine is gone, but not that its process hangs: commands should wait
    /// for a finite time, and whoever sent them a little longer.
    Blocking,
    /// What the server sends by itself, such as messages of channels; and commands, as above.
    Pushes,
}

/// A connection to a master.
///
/// It never recovers: after an error of IO it is dropped and made anew. Dropping all clones of `io`
/// closes it, also while a command waits.
pub(crate) struct Connection {
    pub(crate) io: MultiplexedConnection,
    /// Another one means that the server was restarted, or that this is another server.
    pub(crate) run_id: CompactString,
    /// The number of this connection at this run of the server.
    pub(crate) client_id: u64,
    /// What the server sends by itself; of [`Purpose::Pushes`] only.
    pub(crate) pushes: Option<Pushes>,
    /// For messages: where it leads, without a password.
    pub(crate) node: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Connection { node, run_id, client_id, .. } = self;
        write!(f, "Connection({node}, run {run_id}, client {client_id})")
    }
}

impl Connector {
    /// Reads the files of the configuration, and connects to nothing yet.
    ///
    /// # Errors
    /// What is wrong with the configuration: always hopeless.
    pub(crate) fn new(config: &RedisConfig) -> Result<Self, ConnectError> {
        if let Some(flaw) = config.flaws().first() {
            return Err(ConnectError::hopeless(flaw.to_string()));
        }
        let (way, login) = way(config).map_err(ConnectError::hopeless)?;
        let tls = config.uses_tls().then(|| Tls::load(config)).transpose()?;
        let shared = Shared {
            way,
            dialer: Dialer::new(tls, config.lease),
            login,
            connect_timeout: config.connect_timeout,
            response_timeout: config.response_timeout,
        };
        Ok(Connector { shared: Arc::new(shared) })
    }

    /// The number of the database.
    pub(crate) fn database(&self) -> i64 {
        self.shared.login.db()
    }

    /// Whether keys lie on several servers.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.shared.way, Way::Cluster(_))
    }

    /// One attempt, which ends within `connect_timeout`, to connect to the server that has `key`.
    ///
    /// # Errors
    /// There is no connection now; [`kind`](ConnectError::kind) says whether there may be one
    /// later.
    ///
    /// # Cancellation
    /// A dropped attempt leaves nothing behind.
    pub(crate) async fn connect(
        &self,
        key: &str,
        purpose: Purpose,
    ) -> Result<Connection, ConnectError> {
        let shared = &*self.shared;
        let until = Instant::now() + shared.connect_timeout;
        let attempt = timeout_at(until, shared.connect(key, purpose, until)).await;
        let result = attempt.unwrap_or_else(|_| {
            let what = format!("not connected within {:?}", shared.connect_timeout);
            let fix = error::timed_out(shared.dialer.is_tls());
            Err(ConnectError::new(Kind::Passing, &shared.way, &what, fix))
        });
        // Whoever sent us there may not have heard yet that another server is the master now.
        if result.is_err() {
            shared.way.distrust();
        }
        result
    }
}

/// How the server is found, and how to log in there.
fn way(config: &RedisConfig) -> Result<(Way, RedisConnectionInfo), String> {
    let (username, password) = (config.username.as_deref(), config.password.as_deref());
    if !config.cluster.is_empty() {
        let cluster = Cluster::new(address::cluster(&config.cluster)?);
        return Ok((Way::Cluster(cluster), dialer::login(username, password)));
    }
    let address = Address::parse(&config.url)?;
    let username = username.or(address.username.as_deref());
    let password = password.or(address.password.as_deref());
    let login = dialer::login(username, password).set_db(address.db);
    let way = match &config.sentinel {
        Some(sentinel) => Way::Sentinels(Sentinels::new(sentinel, address.endpoint.is_tls())?),
        None => Way::Direct(address.endpoint),
    };
    Ok((way, login))
}

impl Shared {
    async fn connect(
        &self,
        key: &str,
        purpose: Purpose,
        until: Instant,
    ) -> Result<Connection, ConnectError> {
        let to = &match &self.way {
            Way::Direct(endpoint) => endpoint.clone(),
            Way::Sentinels(sentinels) => sentinels.master(&self.dialer, until).await?,
            Way::Cluster(cluster) => cluster.owner(&self.dialer, &self.login, key, until).await?,
        };
        let failed = |error: RedisError| ConnectError::at(to, &error);
        let (config, pushes) = self.settings(purpose);
        let mut io = self.dialer.dial(to, &self.login, config).await.map_err(failed)?;
        let questions = greeting::questions(key);
        let answers =
            io.send_packed_commands(&questions, 0, questions.len()).await.map_err(failed)?;
        let in_cluster = matches!(self.way, Way::Cluster(_));
        let greeting::Greeting { run_id, client_id } = greeting::judge(to, in_cluster, answers)?;
        Ok(Connection { io, run_id, client_id, pushes, node: to.to_string() })
    }

    fn settings(&self, purpose: Purpose) -> (AsyncConnectionConfig, Option<Pushes>) {
        let config = AsyncConnectionConfig::new();
        match purpose {
            Purpose::Commands => (config.set_response_timeout(Some(self.response_timeout)), None),
            Purpose::Blocking => (config.set_response_timeout(None), None),
            Purpose::Pushes => {
                let (sender, pushes) = Pushes::channel();
                let config = config.set_response_timeout(Some(self.response_timeout));
                (config.set_push_sender(sender), Some(pushes))
            }
        }
    }
}

impl Way {
    fn distrust(&self) {
        match self {
            Way::Direct(_) => {}
            Way::Sentinels(sentinels) => sentinels.distrust(),
            Way::Cluster(cluster) => cluster.distrust(),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Direct(endpoint) => endpoint.fmt(f),
            Way::Sentinels(sentinels) => write!(f, "the master `{}`", sentinels.master),
            Way::Cluster(_) => f.write_str("the cluster"),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({})", self.shared.way)
    }
}

#[cfg(test)]
mod tests;
