//! One connection to one server, by its address.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, RedisResult,
};

use super::address::Endpoint;
use super::tls::Tls;

/// What connections of one configuration have in common.
#[derive(Clone)]
pub(crate) struct Dialer {
    /// If servers are spoken with by TLS.
    tls: Option<Tls>,
    tcp: TcpSettings,
}

impl Dialer {
    pub(crate) fn new(tls: Option<Tls>, lease: Duration) -> Self {
        Dialer { tls, tcp: tcp(lease) }
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects, for as long as whoever asks for it waits.
    pub(crate) async fn dial(
        &self,
        to: &Endpoint,
        login: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let addr = match (to, &self.tls) {
            (Endpoint::Tcp { host, port, .. }, Some(tls)) => tls.address(host, *port),
            (Endpoint::Tcp { host, port, .. }, None) => ConnectionAddr::Tcp(host.clone(), *port),
            (Endpoint::Unix(path), _) => ConnectionAddr::Unix(path.clone()),
        };
        let info = addr.into_connection_info()?.set_redis_settings(login.clone());
        let client = Client::open(info.set_tcp_settings(self.tcp.clone()))?;
        // The attempt that this belongs to has a limit.
        let config = config.set_connection_timeout(None);
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Connects only to ask something.
    pub(crate) async fn ask(
        &self,
        to: &Endpoint,
        login: &RedisConnectionInfo,
        question: redis::Cmd,
    ) -> RedisResult<redis::Value> {
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        question.query_async(&mut self.dial(to, login, config).await?).await
    }
}

/// How to log in at a server.
pub(crate) fn login(username: Option<&str>, password: Option<&str>) -> RedisConnectionInfo {
    let login = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name("farcall", env!("CARGO_PKG_VERSION"));
    with_credentials(login, username, password)
}

/// How to log in at a sentinel, which is asked one thing, and by what sentinels of all versions
/// understand.
pub(crate) fn sentinel_login(
    username: Option<&str>,
    password: Option<&str>,
) -> RedisConnectionInfo {
    let login = RedisConnectionInfo::default().set_skip_set_lib_name();
    with_credentials(login, username, password)
}

fn with_credentials(
    mut login: RedisConnectionInfo,
    username: Option<&str>,
    password: Option<&str>,
) -> RedisConnectionInfo {
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
