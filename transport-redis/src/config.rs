//! The table `[redis]`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use farcall_core::config::{Section, hide_passwords};
use farcall_core::wire::Durability;

use crate::connect::address::{self, Address, Endpoint};

/// Which Redis carries the calls, and how it is reached.
///
/// One server is a URL. Where sentinels watch over several, `sentinel` names them, and the master
/// is asked for at each connection; of a cluster, `cluster` names some nodes, and the rest is found.
///
/// ```
/// use farcall_transport_redis::RedisConfig;
///
/// let config = RedisConfig { url: "rediss://broker.example:6380".into(), ..RedisConfig::default() };
/// assert_eq!(config.lease.as_secs(), 15);
/// ```
///
/// ```toml
/// [redis]
/// url = "rediss://calls@broker.example:6380"    # and FARCALL_REDIS__PASSWORD, out of the file
/// tls_ca = "/etc/calls/roots.pem"
/// ```
///
/// Neither passwords nor those inside URLs are shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// The server: `redis://[[user]:password@]host[:port][/database]`, the same with `rediss://` for
    /// TLS, or `redis+unix:///path/to/socket[?db=1&user=…&pass=…]`, for which `unix://` will do too.
    /// Default: `redis://127.0.0.1:6379`.
    ///
    /// What a URL gives a meaning to, such as `@` or `/` in a password, is written with percent
    /// signs (`%40`, `%2F`), or stands in `password` as it is.
    ///
    /// With `sentinel`, this says how the master is spoken with: user, password, database, and
    /// whether by TLS, which then holds for the sentinels too. Its host and port are not used, and
    /// it is no socket. With `cluster` it is not used at all, and a mistake if it is written.
    pub url: String,
    /// The user, instead of that in `url`. Without one, a password is the default user's.
    pub username: Option<String>,
    /// The password, instead of that in `url`: in the variable `FARCALL_REDIS__PASSWORD`, it need not
    /// be in any file.
    pub password: Option<String>,
    /// How long this node is believed to live after it was last heard of: 15 s, from 300 ms to 1 h.
    ///
    /// A node that is killed is gone for others after this time. One that cannot reach the server for
    /// as long loses what it was doing, even if it lives.
    pub lease: Duration,
    /// The sentinels that know the master.
    pub sentinel: Option<SentinelConfig>,
    /// Some nodes of a cluster, `redis://host:port` or all of them `rediss://host:port`; empty if it is
    /// none. One that answers is enough, the others stand in for it. User and password are
    /// `username` and `password`; a cluster has no databases to choose from.
    pub cluster: Vec<String>,
    /// A file of certificates in PEM, each of which is trusted to sign those of servers, for a private
    /// authority. It takes the place of the public authorities that Mozilla trusts, a list of which is
    /// built in; the system's own list is such a file, mostly `/etc/ssl/certs/ca-certificates.crt`.
    pub tls_ca: Option<PathBuf>,
    /// The file of this client's certificate in PEM, with those it was signed by, for servers that want
    /// one.
    pub tls_cert: Option<PathBuf>,
    /// The file of the key of `tls_cert`, in PEM and without a passphrase.
    pub tls_key: Option<PathBuf>,
    /// How long one attempt to connect may take, with everything that belongs to it: 2 s, from 10 ms
    /// to 10 min.
    pub connect_timeout: Duration,
    /// How long the server may take to answer a command that does not wait by itself, before the
    /// connection is given up: 2 s, from 10 ms to 10 min.
    pub response_timeout: Duration,
    /// What the record of a task is to survive at least: `"memory"` (the default; servers, and not the broker),
    /// `"everysec"` (all but the last second before the broker's machine fails) or `"always"`. A broker that keeps
    /// less, or does not tell, is refused for ledgers.
    pub durability: Durability,
}

/// The table `[redis.sentinel]`: who knows the master.
///
/// ```toml
/// [redis]
/// sentinel = { nodes = ["10.0.0.1:26379", "10.0.0.2:26379", "10.0.0.3:26379"], master = "calls" }
/// ```
///
/// As variables: `FARCALL_REDIS__SENTINEL__NODES=10.0.0.1:26379,10.0.0.2:26379` and
/// `FARCALL_REDIS__SENTINEL__MASTER=calls`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SentinelConfig {
    /// The sentinels, `host:port` each. They are asked one after the other, first the one that
    /// knew last time.
    pub nodes: Vec<String>,
    /// The name they know the master by.
    pub master: String,
    /// The user of the sentinels themselves, if they have one.
    pub username: Option<String>,
    /// The password of the sentinels themselves, if they have one. That of the master is not tried.
    pub password: Option<String>,
}

const SECOND: Duration = Duration::from_secs(1);
const SHORTEST_LEASE: Duration = Duration::from_millis(300);
const LONGEST_LEASE: Duration = Duration::from_secs(3600);
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(600);

impl Default for RedisConfig {
    fn default() -> Self {
        RedisConfig {
            url: "redis://127.0.0.1:6379".to_owned(),
            username: None,
            password: None,
            lease: 15 * SECOND,
            sentinel: None,
            cluster: Vec::new(),
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            connect_timeout: 2 * SECOND,
            response_timeout: 2 * SECOND,
            durability: Durability::Memory,
        }
    }
}

/// A durability as Redis calls it.
pub(crate) fn durability_word(durability: Durability) -> &'static str {
    match durability {
        Durability::Memory => "memory",
        Durability::EverySecond => "everysec",
        Durability::Always | Durability::Replicated(_) => "always",
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster: Vec<_> = self.cluster.iter().map(|url| hide_passwords(url)).collect();
        f.debug_struct("RedisConfig")
            .field("url", &hide_passwords(&self.url))
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| Hidden))
            .field("lease", &self.lease)
            .field("sentinel", &self.sentinel)
            .field("cluster", &cluster)
            .field("tls_ca", &self.tls_ca)
            .field("tls_cert", &self.tls_cert)
            .field("tls_key", &self.tls_key)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("durability", &self.durability)
            .finish()
    }
}

impl fmt::Debug for SentinelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<_> = self.nodes.iter().map(|node| hide_passwords(node)).collect();
        f.debug_struct("SentinelConfig")
            .field("nodes", &nodes)
            .field("master", &self.master)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| Hidden))
            .finish()
    }
}

/// Stands where a password was.
struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl RedisConfig {
    pub(crate) fn read(section: &mut Section<'_>) -> Self {
        let default = RedisConfig::default();
        let config = RedisConfig {
            url: section.text_or("url", &default.url),
            username: section.text("username"),
            password: section.text("password"),
            lease: section.duration("lease", default.lease, SHORTEST_LEASE..=LONGEST_LEASE),
            sentinel: SentinelConfig::read(&mut section.section("sentinel")),
            cluster: section.list("cluster", &[]),
            tls_ca: section.path("tls_ca"),
            tls_cert: section.path("tls_cert"),
            tls_key: section.path("tls_key"),
            connect_timeout: section.duration(
                "connect_timeout",
                default.connect_timeout,
                SHORTEST_WAIT..=LONGEST_WAIT,
            ),
            response_timeout: section.duration(
                "response_timeout",
                default.response_timeout,
                SHORTEST_WAIT..=LONGEST_WAIT,
            ),
            durability: match section.choice("durability", &DURABILITIES, "memory") {
                "always" => Durability::Always,
                "everysec" => Durability::EverySecond,
                _ => Durability::Memory,
            },
        };
        if !config.cluster.is_empty() && section.is_set("url") {
            let help = "remove one of them; user and password of a cluster are redis.username \
                        and redis.password";
            section.reject_with("url", "nothing beside redis.cluster", help);
        }
        for flaw in config.flaws() {
            if section.is_set(flaw.key) {
                section.reject_with(flaw.key, flaw.accepted, flaw.why);
            } else {
                section.missing(flaw.key, flaw.accepted);
            }
        }
        config
    }

    /// Everything that a value of the right type can still get wrong.
    pub(crate) fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let mut flaw = |key, accepted, why: String| flaws.push(Flaw { key, accepted, why });
        let address = Address::parse(&self.url);
        if let (Err(why), true) = (&address, self.cluster.is_empty()) {
            flaw("url", address::ACCEPTED, why.clone());
        }
        if self.username.is_some() && self.password.is_none() {
            let in_url = address.as_ref().is_ok_and(|address| address.password.is_some());
            if !in_url || !self.cluster.is_empty() {
                flaw("password", "the password of redis.username", NO_PASSWORD.to_owned());
            }
        }
        if let Some(sentinel) = &self.sentinel {
            if !self.cluster.is_empty() {
                let why = "a Redis is watched by sentinels or is a cluster: remove one of the two";
                flaw("cluster", "nothing beside redis.sentinel", why.to_owned());
            }
            if address.is_ok_and(|address| matches!(address.endpoint, Endpoint::Unix(_))) {
                let why = "it says how the master is spoken with, wherever that is";
                let accepted = "redis:// or rediss:// beside redis.sentinel";
                flaw("url", accepted, why.to_owned());
            }
            sentinel.flaws(flaw);
        } else if let Err(why) = address::cluster(&self.cluster) {
            flaw("cluster", address::CLUSTER_ACCEPTED, why);
        }
        let tls_files =
            [("tls_ca", &self.tls_ca), ("tls_cert", &self.tls_cert), ("tls_key", &self.tls_key)];
        let named = tls_files.iter().find(|(_, file)| file.is_some());
        if let (Some((key, _)), true, false) = (named, flaws.is_empty(), self.uses_tls()) {
            let why = "nothing is encrypted without rediss://".to_owned();
            flaws.push(Flaw { key, accepted: "nothing beside redis://", why });
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            let key = if self.tls_cert.is_some() { "tls_key" } else { "tls_cert" };
            let why = "a certificate is of no use without its key, nor a key without it";
            flaws.push(Flaw { key, accepted: "the path of a file in PEM", why: why.to_owned() });
        }
        flaws
    }

    /// Whether servers are spoken with by TLS. Where it cannot be told there is another flaw.
    pub(crate) fn uses_tls(&self) -> bool {
        let url = self.cluster.first().unwrap_or(&self.url);
        Address::parse(url).is_ok_and(|address| address.endpoint.is_tls())
    }
}

impl SentinelConfig {
    /// There are sentinels if anything of them is set.
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let keys = ["nodes", "master", "username", "password"];
        let is_set = keys.iter().any(|key| section.is_set(key));
        let config = SentinelConfig {
            nodes: section.list("nodes", &[]),
            master: section.text("master").unwrap_or_default(),
            username: section.text("username"),
            password: section.text("password"),
        };
        is_set.then_some(config)
    }

    fn flaws(&self, mut flaw: impl FnMut(&'static str, &'static str, String)) {
        const NODES: &str = "a list of host:port, such as [\"10.0.0.1:26379\", \"10.0.0.2:26379\"]";
        if self.nodes.is_empty() {
            flaw("sentinel.nodes", NODES, "there must be one at least".to_owned());
        }
        if let Some(Err(why)) =
            self.nodes.iter().map(|node| address::sentinel(node)).find(|node| node.is_err())
        {
            flaw("sentinel.nodes", NODES, why);
        }
        if self.master.is_empty() {
            let accepted = "the name that the sentinels know the master by, such as \"mymaster\"";
            flaw("sentinel.master", accepted, "a name has a letter at least".to_owned());
        }
        if self.username.is_some() && self.password.is_none() {
            let accepted = "the password of redis.sentinel.username";
            flaw("sentinel.password", accepted, NO_PASSWORD.to_owned());
        }
    }
}

const DURABILITIES: [&str; 3] = ["memory", "everysec", "always"];

const NO_PASSWORD: &str = "of a user without a password, any will do";

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// Within `[redis]`.
    pub(crate) key: &'static str,
    pub(crate) accepted: &'static str,
    pub(crate) why: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Flaw { key, accepted, why } = self;
        write!(f, "redis.{key} is to be {accepted}: {why}")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use farcall_core::config::{ConfigError, Layers, Settings};

    use super::*;

    fn read(
        text: &str,
        variables: &[(&str, &str)],
    ) -> (RedisConfig, Result<Settings, ConfigError>) {
        let variables = variables.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        let layers = Layers::new(Some((Path::new("farcall.toml"), text)), variables).unwrap();
        let mut reading = layers.read();
        let config = RedisConfig::read(&mut reading.section("redis"));
        (config, reading.finish())
    }

    fn good(text: &str, variables: &[(&str, &str)]) -> RedisConfig {
        let (config, result) = read(text, variables);
        result.unwrap();
        config
    }

    /// The only mistake of a file.
    fn mistake(text: &str) -> String {
        let error = read(text, &[]).1.unwrap_err();
        assert_eq!(error.mistakes().len(), 1, "{error}");
        let mistake = error.mistakes()[0].to_string();
        assert!(!mistake.contains("s3cret"), "{mistake}");
        mistake
    }

    #[test]
    fn an_empty_table_is_the_default() {
        assert_eq!(good("", &[]), RedisConfig::default());
        assert_eq!(RedisConfig::default().flaws(), []);
    }

    #[test]
    fn every_default_can_be_written_as_it_is_reported() {
        let (_, settings) = read("", &[]);
        for setting in &settings.unwrap() {
            let Some(value) = &setting.value else {
                continue;
            };
            if setting.key.ends_with("nodes") || setting.key.ends_with("cluster") {
                assert_eq!(value, "[]");
                continue;
            }
            assert_eq!(good(&format!("{} = {value}", setting.key), &[]), RedisConfig::default());
        }
    }

    #[test]
    fn the_table_is_read() {
        let config = good(
            "[redis]\nurl = 'rediss://me@h:1/2'\nlease = '3s'\ntls_ca = 'ca.pem'\ntls_cert = 'c.pem'\n\
             tls_key = 'k.pem'\nconnect_timeout = '1s'\nresponse_timeout = '500ms'\ndurability = 'everysec'\n"
                .replace("me@", "me:pw@")
                .as_str(),
            &[("FARCALL_REDIS__USERNAME", "you"), ("FARCALL_REDIS__PASSWORD", "0012")],
        );
        assert_eq!(
            config,
            RedisConfig {
                url: "rediss://me:pw@h:1/2".to_owned(),
                username: Some("you".to_owned()),
                password: Some("0012".to_owned()),
                lease: 3 * SECOND,
                sentinel: None,
                cluster: Vec::new(),
                tls_ca: Some("ca.pem".into()),
                tls_cert: Some("c.pem".into()),
                tls_key: Some("k.pem".into()),
                connect_timeout: SECOND,
                response_timeout: SECOND / 2,
                durability: Durability::EverySecond,
            }
        );
    }

    #[test]
    fn sentinels_are_a_table_or_variables() {
        let sentinel = SentinelConfig {
            nodes: vec!["a:1".to_owned(), "b:2".to_owned()],
            master: "m".to_owned(),
            username: None,
            password: None,
        };
        let in_file = "redis.sentinel = { nodes = ['a:1', 'b:2'], master = 'm' }";
        assert_eq!(good(in_file, &[]).sentinel, Some(sentinel.clone()));
        let variables = [
            ("FARCALL_REDIS__SENTINEL__NODES", "a:1,b:2"),
            ("FARCALL_REDIS__SENTINEL__MASTER", "m"),
        ];
        assert_eq!(good("", &variables).sentinel, Some(sentinel));
    }

    #[test]
    fn nodes_of_a_cluster_are_a_list() {
        let config = good("", &[("FARCALL_REDIS__CLUSTER", "redis://a:1, redis://b:2")]);
        assert_eq!(config.cluster, ["redis://a:1", "redis://b:2"]);
    }

    #[test]
    fn every_mistake_says_its_key_and_what_would_do() {
        for (text, key, part) in [
            ("url = 'http://h'", "redis.url", "rediss://… for TLS"),
            ("url = 'redis://:s3cret@h/x'", "redis.url", "the database is a number"),
            ("url = 'redis://:s3cret@h/1?x=1'", "redis.url", "no parameters"),
            ("lease = '299ms'", "redis.lease", "from 300ms to 1h"),
            ("durability = 'disk'", "redis.durability", "one of memory, everysec, always"),
            ("username = 'me'", "redis.password", "must be set"),
            ("cluster = ['redis://a', 'rediss://b']", "redis.cluster", "all are"),
            ("cluster = ['redis://a']\nurl = 'redis://b'", "redis.url", "redis.username"),
            ("cluster = ['redis://:s3cret@a']", "redis.cluster", "redis.password"),
            ("sentinel = { nodes = ['a:1'] }", "redis.sentinel.master", "must be set"),
            ("sentinel = { master = 'm' }", "redis.sentinel.nodes", "host:port"),
            ("sentinel = { nodes = [], master = 'm' }", "redis.sentinel.nodes", "one at least"),
            ("sentinel = { nodes = ['a:x'], master = 'm' }", "redis.sentinel.nodes", "65535"),
            ("sentinel = { nodes = 'a:1', master = 'm' }", "redis.sentinel.nodes", "brackets"),
            (
                "sentinel = { nodes = ['a'], master = 'm', username = 'u' }",
                "redis.sentinel.password",
                "must be set",
            ),
            (
                "url = 'unix:///r.sock'\nsentinel = { nodes = ['a'], master = 'm' }",
                "redis.url",
                "beside redis.sentinel",
            ),
            (
                "cluster = ['redis://a']\nsentinel = { nodes = ['a'], master = 'm' }",
                "redis.cluster",
                "remove one of the two",
            ),
            ("tls_ca = 'ca.pem'", "redis.tls_ca", "rediss://"),
            ("url = 'rediss://h'\ntls_cert = 'c.pem'", "redis.tls_key", "must be set"),
            ("url = 'rediss://h'\ntls_key = 'k.pem'", "redis.tls_cert", "must be set"),
        ] {
            let mistake = mistake(&format!("[redis]\n{text}"));
            assert!(mistake.contains(&format!("{key}: ")), "{text}: {mistake}");
            assert!(mistake.contains(part), "{text}: {mistake}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let error = read("[redis]\nurl = 'h'\nlease = 1\ncluster = 'a'", &[]).1.unwrap_err();
        assert_eq!(error.mistakes().len(), 3, "{error}");
    }

    #[test]
    fn passwords_are_not_shown() {
        let config = RedisConfig {
            url: "redis://me:s3cret@h".to_owned(),
            password: Some("s3cret".to_owned()),
            sentinel: Some(SentinelConfig {
                nodes: vec!["x:s3cret@h".to_owned()],
                password: Some("s3cret".to_owned()),
                ..SentinelConfig::default()
            }),
            cluster: vec!["redis://:s3cret@h".to_owned()],
            ..RedisConfig::default()
        };
        let shown = format!("{config:?}");
        assert!(!shown.contains("s3cret") && shown.contains("redis://me:***@h"), "{shown}");
        let flaws: Vec<_> = config.flaws().iter().map(Flaw::to_string).collect();
        assert!(
            !flaws.is_empty() && flaws.iter().all(|flaw| !flaw.contains("s3cret")),
            "{flaws:?}"
        );

        let text = "[redis]\nurl = 'redis://me:s3cret@h'\npassword = 's3cret'";
        let (_, settings) = read(text, &[]);
        for setting in &settings.unwrap() {
            assert!(setting.value.as_deref().is_none_or(|value| !value.contains("s3cret")));
        }
    }
}
