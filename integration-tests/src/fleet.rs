//! Server processes and clients of one Redis, however it is reached.

use std::process::{Command, Stdio};
use std::time::Duration;

use farcall::redis::{Redis, RedisConfig};
use farcall::{Config, Node};
use farcall_testkit::Options;

use crate::Process;

/// Nodes that share a broker: servers in processes of their own, clients here.
#[derive(Clone, Debug)]
pub struct Fleet {
    program: &'static str,
    namespace: &'static str,
    servers: RedisConfig,
    clients: RedisConfig,
}

impl Fleet {
    /// Its servers are this program, and all of it reaches the broker like this.
    #[must_use]
    pub fn new(program: &'static str, config: RedisConfig) -> Self {
        Fleet { program, namespace: "default", servers: config.clone(), clients: config }
    }

    /// Its clients reach the broker in another way than its servers.
    #[must_use]
    pub fn with_clients(self, config: RedisConfig) -> Self {
        Fleet { clients: config, ..self }
    }

    /// The same, in a namespace.
    #[must_use]
    pub fn in_namespace(self, namespace: &'static str) -> Self {
        Fleet { namespace, ..self }
    }

    /// The same, with servers of another program.
    #[must_use]
    pub fn with_program(self, program: &'static str) -> Self {
        Fleet { program, ..self }
    }

    /// Starts a server of this id; it may return before it can be called.
    ///
    /// # Panics
    /// The program cannot be started.
    #[must_use = "it is killed when it is dropped"]
    pub fn spawn(&self, id: &'static str) -> Process {
        let options = Options { namespace: self.namespace, ..Options::new(id) };
        let child = Command::new(self.program)
            .env("FARCALL_TRANSPORT", "redis")
            .envs(variables(&self.servers))
            .envs(options.variables())
            .stdin(Stdio::piped())
            .spawn();
        Process::new(child.expect("the server's program starts"))
    }

    /// A client, which waits long enough for a process to start on a busy machine.
    ///
    /// # Panics
    /// The transport does not open.
    pub async fn client(&self) -> Node {
        self.open(&self.clients).await
    }

    /// A node that may serve.
    ///
    /// # Panics
    /// The transport does not open.
    pub async fn server(&self) -> Node {
        self.open(&self.servers).await
    }

    async fn open(&self, redis: &RedisConfig) -> Node {
        let namespace = self.namespace.parse().expect("the tests' own names are names");
        let mut config = Config { namespace, ..Config::default() };
        config.client.wait_for_server = Duration::from_secs(30);
        let transport = Box::new(Redis::new(redis.clone()));
        Node::open_with(config, transport).await.expect("the transport opens")
    }
}

/// The table `[redis]` as variables, for a process that reads its configuration by itself.
fn variables(config: &RedisConfig) -> Vec<(&'static str, String)> {
    let default = RedisConfig::default();
    let mut variables = vec![("FARCALL_REDIS__LEASE", format!("{}ms", config.lease.as_millis()))];
    let mut add = |name, value: Option<String>| variables.extend(value.map(|value| (name, value)));
    add("FARCALL_REDIS__URL", (config.url != default.url).then(|| config.url.clone()));
    add("FARCALL_REDIS__USERNAME", config.username.clone());
    add("FARCALL_REDIS__PASSWORD", config.password.clone());
    let cluster = (!config.cluster.is_empty()).then(|| config.cluster.join(","));
    add("FARCALL_REDIS__CLUSTER", cluster);
    if let Some(sentinel) = &config.sentinel {
        add("FARCALL_REDIS__SENTINEL__NODES", Some(sentinel.nodes.join(",")));
        add("FARCALL_REDIS__SENTINEL__MASTER", Some(sentinel.master.clone()));
    }
    for (name, path) in [
        ("FARCALL_REDIS__TLS_CA", &config.tls_ca),
        ("FARCALL_REDIS__TLS_CERT", &config.tls_cert),
        ("FARCALL_REDIS__TLS_KEY", &config.tls_key),
    ] {
        add(name, path.as_ref().map(|path| path.display().to_string()));
    }
    variables
}
