//! Connections to the right server.

pub(crate) mod address;
mod error;
mod greeting;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo,
    RedisConnectionInfo,
};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use self::address::{Address, Endpoint};
pub(crate) use self::error::{ConnectError, Kind};
use self::tls::Tls;
use crate::RedisConfig;

/// Finds the server that has a key, and connects to it.
#[derive(Clone)]
pub(crate) struct Connector {
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: Endpoint,
    login: RedisConnectionInfo,
    /// If servers are spoken with by TLS.
    tls: Option<Tls>,
    tcp: TcpSettings,
    connect_timeout: Duration,
    response_timeout: Duration,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Commands that the server answers at once.
    Commands,
    /// Commands that wait at the server: their answers may take as long as they like. Keepalive
    /// still finds out that the server's machine is gone.
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
    /// What the server sends by itself, then that the connection is gone
    /// ([`Disconnection`](redis::PushKind::Disconnection)).
    pub(crate) pushes: Option<UnboundedReceiver<PushInfo>>,
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
        let address = Address::parse(&config.url).map_err(ConnectError::hopeless)?;
        let tls = if address.endpoint.is_tls() { Some(Tls::load(config)?) } else { None };
        let username = config.username.as_deref().or(address.username.as_deref());
        let password = config.password.as_deref().or(address.password.as_deref());
        let shared = Shared {
            endpoint: address.endpoint,
            login: login(username, password).set_db(address.db),
            tls,
            tcp: tcp(config.lease),
            connect_timeout: config.connect_timeout,
            response_timeout: config.response_timeout,
        };
        Ok(Connector { shared: Arc::new(shared) })
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
        let limit = shared.connect_timeout;
        match tokio::time::timeout(limit, shared.connect(&shared.endpoint, key, purpose)).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::new(
                Kind::Passing,
                &shared.endpoint,
                &format!("not connected within {limit:?}"),
                "redis.connect_timeout says how long an attempt may take",
            )),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({})", self.shared.endpoint)
    }
}

impl Shared {
    async fn connect(
        &self,
        to: &Endpoint,
        key: &str,
        purpose: Purpose,
    ) -> Result<Connection, ConnectError> {
        let failed = |error: redis::RedisError| ConnectError::at(to, &error);
        let response_timeout = match purpose {
            Purpose::Commands | Purpose::Pushes => Some(self.response_timeout),
            Purpose::Blocking => None,
        };
        // The whole attempt has a limit, so its parts need none.
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(response_timeout);
        let mut pushes = None;
        if purpose == Purpose::Pushes {
            let (sender, receiver) = mpsc::unbounded_channel();
            config = config.set_push_sender(sender);
            pushes = Some(receiver);
        }
        let client = self.client(to, self.login.clone()).map_err(failed)?;
        let mut io =
            client.get_multiplexed_async_connection_with_config(&config).await.map_err(failed)?;
        let questions = greeting::questions(key);
        let answers =
            io.send_packed_commands(&questions, 0, questions.len()).await.map_err(failed)?;
        let greeting = greeting::judge(to, false, answers)?;
        Ok(Connection {
            io,
            run_id: greeting.run_id,
            client_id: greeting.client_id,
            pushes,
            node: to.to_string(),
        })
    }

    fn client(
        &self,
        to: &Endpoint,
        login: RedisConnectionInfo,
    ) -> redis::RedisResult<redis::Client> {
        let addr = match (to, &self.tls) {
            (Endpoint::Tcp { host, port, .. }, Some(tls)) => tls.address(host, *port),
            (Endpoint::Tcp { host, port, .. }, None) => ConnectionAddr::Tcp(host.clone(), *port),
            (Endpoint::Unix(path), _) => ConnectionAddr::Unix(path.clone()),
        };
        let info = addr.into_connection_info()?;
        redis::Client::open(info.set_redis_settings(login).set_tcp_settings(self.tcp.clone()))
    }
}

fn login(username: Option<&str>, password: Option<&str>) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name("farcall", env!("CARGO_PKG_VERSION"));
    if let Some(username) = username {
        login = login.set_username(username);
    }
    if let Some(password) = password {
        login = login.set_password(password);
    }
    login
}

/// A machine that vanished is known within a lease, also by a connection that only waits: three
/// probes go unanswered after a quarter of it, a quarter apart.
fn tcp(lease: Duration) -> TcpSettings {
    // The operating system counts in seconds.
    let quarter = (lease / 4).clamp(Duration::from_secs(1), Duration::from_secs(60));
    let keepalive = TcpKeepalive::new().with_time(quarter).with_interval(quarter).with_retries(3);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(4 * quarter);
    settings
}
