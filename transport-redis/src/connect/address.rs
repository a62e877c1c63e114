//! Where a server is and how it is spoken with, as URLs say it.

use std::fmt;
use std::path::PathBuf;

use redis::{ConnectionAddr, IntoConnectionInfo};

/// What `[redis] url` accepts.
pub(crate) const ACCEPTED: &str = "redis://[[user]:password@]host[:port][/database], \
    rediss://… for TLS, or redis+unix:///path/to/socket[?db=1&user=…&pass=…]";
/// What `[redis] cluster` accepts.
pub(crate) const CLUSTER_ACCEPTED: &str =
    "a list of redis://host:port, or all of them rediss:// for TLS";

const SENTINEL_PORT: u16 = 26379;

/// A URL that was understood.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) endpoint: Endpoint,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) db: i64,
}

/// What can be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

impl Address {
    /// # Errors
    /// What is wrong, without quoting anything that may be secret.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        const SCHEMES: [&str; 4] = ["redis", "rediss", "redis+unix", "unix"];
        let scheme = url.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if !SCHEMES.contains(&scheme.as_str()) {
            return Err("it begins with redis://, rediss://, redis+unix:// or unix://".to_owned());
        }
        let is_unix = scheme.ends_with("unix");
        let parsed = redis::parse_redis_url(url).ok_or_else(|| {
            "it cannot be read as a URL: special characters of a password are written with percent \
             signs, such as %40 for @ and %2F for /, or the password stands in redis.password"
                .to_owned()
        })?;
        match parsed.fragment() {
            Some("insecure") => {
                return Err("certificates are always checked: redis.tls_ca names those that are \
                            trusted"
                    .to_owned());
            }
            Some(_) => return Err("nothing follows a #, which a password writes as %23".to_owned()),
            None => {}
        }
        let known: &[&str] = if is_unix { &["db", "user", "pass"] } else { &[] };
        if parsed.query_pairs().any(|(key, _)| !known.contains(&&*key)) {
            return Err(match is_unix {
                true => "its parameters are db, user and pass".to_owned(),
                false => "it has no parameters: a database is /1, and a password writes ? as %3F"
                    .to_owned(),
            });
        }
        if parsed.host_str().unwrap_or_default().is_empty() != is_unix {
            return Err(match is_unix {
                true => "three slashes go before the path: redis+unix:///run/redis.sock".to_owned(),
                false => "it names no host".to_owned(),
            });
        }
        let info = parsed.into_connection_info().map_err(|error| reason(&error))?;
        let redis = info.redis_settings();
        let address = Address {
            endpoint: Endpoint::of(info.addr())?,
            username: redis.username().map(str::to_owned),
            password: redis.password().map(str::to_owned),
            db: redis.db(),
        };
        address.check()
    }

    fn check(self) -> Result<Self, String> {
        if self.db < 0 {
            return Err("databases are counted from 0".to_owned());
        }
        if self.username.is_some() && self.password.is_none() {
            return Err("it has a user and no password: a password alone is :password@, and of a \
                        user without one, any will do"
                .to_owned());
        }
        Ok(self)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({}, db {})", self.endpoint, self.db)
    }
}

impl Endpoint {
    fn of(addr: &ConnectionAddr) -> Result<Self, String> {
        match addr {
            ConnectionAddr::Tcp(host, port) => {
                Ok(Endpoint::Tcp { host: host.clone(), port: *port, tls: false })
            }
            ConnectionAddr::TcpTls { host, port, .. } => {
                Ok(Endpoint::Tcp { host: host.clone(), port: *port, tls: true })
            }
            ConnectionAddr::Unix(path) => Ok(Endpoint::Unix(path.clone())),
            _ => Err("this kind of URL is not known here".to_owned()),
        }
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Endpoint::Tcp { tls: true, .. })
    }
}

impl fmt::Display for Endpoint {
    /// As a URL, without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp { host, port, tls } => {
                let scheme = if *tls { "rediss" } else { "redis" };
                if host.contains(':') {
                    write!(f, "{scheme}://[{host}]:{port}")
                } else {
                    write!(f, "{scheme}://{host}:{port}")
                }
            }
            Endpoint::Unix(path) => write!(f, "redis+unix://{}", path.display()),
        }
    }
}

/// The nodes of a cluster.
///
/// # Errors
/// What is wrong, without quoting anything that may be secret.
pub(crate) fn cluster(urls: &[String]) -> Result<Vec<Endpoint>, String> {
    let mut nodes: Vec<Endpoint> = Vec::with_capacity(urls.len());
    for (index, url) in urls.iter().enumerate() {
        let place = format!("item {}", index + 1);
        let address = Address::parse(url).map_err(|why| format!("{place}: {why}"))?;
        if address.password.is_some() {
            return Err(format!(
                "{place}: user and password are redis.username and redis.password, for all nodes"
            ));
        }
        if address.db != 0 {
            return Err(format!("{place}: a cluster has database 0 only"));
        }
        if matches!(address.endpoint, Endpoint::Unix(_)) {
            return Err(format!("{place}: nodes of a cluster name each other by host and port"));
        }
        if nodes.first().is_some_and(|first| first.is_tls() != address.endpoint.is_tls()) {
            return Err("all are redis://, or all are rediss://".to_owned());
        }
        nodes.push(address.endpoint);
    }
    Ok(nodes)
}

/// `host:port` of a sentinel; the port may be left out.
///
/// # Errors
/// What is wrong, without quoting anything that may be secret.
pub(crate) fn sentinel(text: &str) -> Result<(String, u16), String> {
    if text.contains("://") || text.contains('@') {
        return Err("host:port, without redis:// and without a password".to_owned());
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("a [ is closed by a ]")?,
        // More than one colon is an IPv6 address without brackets.
        None if text.matches(':').count() > 1 => (text, ""),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    if host.is_empty() || host.contains(char::is_whitespace) || host.contains('/') {
        return Err("one of them names no host".to_owned());
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => SENTINEL_PORT,
        Some(digits) => digits.parse().map_err(|_| "a port is a number up to 65535")?,
        None => return Err("a port follows a colon".to_owned()),
    };
    Ok((host.to_owned(), port))
}

/// What the parser says, in our words: its own quotes what may be secret.
fn reason(error: &redis::RedisError) -> String {
    let text = error.to_string();
    if text.contains("database") {
        "the database is a number, such as /1".to_owned()
    } else if text.contains("wildcard") {
        "0.0.0.0 and :: are addresses to listen at, not to connect to".to_owned()
    } else if text.contains("UTF-8") {
        "what is behind its percent signs is no UTF-8".to_owned()
    } else {
        "it does not name a server".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: u16 = 6379;

    fn tcp(host: &str, port: u16, tls: bool) -> Endpoint {
        Endpoint::Tcp { host: host.to_owned(), port, tls }
    }

    fn why(url: &str) -> String {
        let why = Address::parse(url).unwrap_err();
        assert!(!why.contains("s3cret"), "{why}");
        why
    }

    #[test]
    fn a_url_has_a_host_a_port_and_a_database() {
        let address = Address::parse("redis://h:7/3").unwrap();
        assert_eq!((address.endpoint, address.db), (tcp("h", 7, false), 3));
        assert_eq!(Address::parse("redis://h").unwrap().endpoint, tcp("h", PORT, false));
        assert_eq!(Address::parse("rediss://[::1]").unwrap().endpoint, tcp("::1", PORT, true));
    }

    #[test]
    fn a_url_may_have_a_user_and_a_password_with_percent_signs() {
        let address = Address::parse("redis://me:p%40s%2Fw@h").unwrap();
        assert_eq!(address.username.as_deref(), Some("me"));
        assert_eq!(address.password.as_deref(), Some("p@s/w"));
        let address = Address::parse("redis://:pw@h").unwrap();
        assert_eq!((address.username, address.password.as_deref()), (None, Some("pw")));
    }

    #[test]
    fn a_socket_has_its_parameters() {
        for scheme in ["redis+unix", "unix"] {
            let url = format!("{scheme}:///run/r.sock?db=2&user=me&pass=p%40w");
            let address = Address::parse(&url).unwrap();
            assert_eq!(address.endpoint, Endpoint::Unix("/run/r.sock".into()));
            assert_eq!(address.db, 2);
            assert_eq!(address.username.as_deref(), Some("me"));
            assert_eq!(address.password.as_deref(), Some("p@w"));
        }
    }

    #[test]
    fn what_is_no_url_is_told_without_its_password() {
        for (url, part) in [
            ("", "begins with redis://"),
            ("localhost:6379", "begins with redis://"),
            ("http://h", "begins with redis://"),
            ("redis://:s3cret/x@h", "percent signs"),
            ("redis://h/one", "/1"),
            ("redis://h/-1", "counted from 0"),
            ("redis:///1", "no host"),
            ("redis:h", "no host"),
            ("redis://0.0.0.0", "not to connect to"),
            ("redis://h?db=1", "no parameters"),
            ("rediss://h/#insecure", "tls_ca"),
            ("redis://:s3#cret@h", "percent signs"),
            ("redis://s3cret@h", ":password@"),
            ("redis+unix://run/r.sock", "three slashes"),
            ("unix:///r.sock?password=s3cret", "db, user and pass"),
        ] {
            let why = why(url);
            assert!(why.contains(part), "{url}: {why}");
        }
    }

    #[test]
    fn an_endpoint_is_shown_as_a_url() {
        for url in ["redis://h:1", "rediss://[::1]:2", "redis+unix:///run/r.sock"] {
            assert_eq!(Address::parse(url).unwrap().endpoint.to_string(), url);
        }
        let address = Address::parse("redis://me:s3cret@h:1/2").unwrap();
        assert_eq!(format!("{address:?}"), "Address(redis://h:1, db 2)");
    }

    #[test]
    fn nodes_of_a_cluster_are_all_alike() {
        let nodes =
            |urls: &[&str]| cluster(&urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            nodes(&["rediss://a:1", "rediss://b"]).unwrap(),
            [tcp("a", 1, true), tcp("b", PORT, true)]
        );
        for (urls, part) in [
            (&["redis://a", "rediss://b"][..], "all are"),
            (&["redis://a", "redis://:s3cret@b"], "item 2: user and password"),
            (&["redis://a/1"], "database 0"),
            (&["unix:///r.sock"], "host and port"),
            (&["a:1"], "item 1: it begins with"),
        ] {
            let why = nodes(urls).unwrap_err();
            assert!(why.contains(part), "{urls:?}: {why}");
        }
    }

    #[test]
    fn a_sentinel_is_a_host_and_mostly_a_port() {
        for (text, host, port) in [
            ("h:1", "h", 1),
            ("h", "h", SENTINEL_PORT),
            ("[::1]:2", "::1", 2),
            ("::1", "::1", SENTINEL_PORT),
        ] {
            assert_eq!(sentinel(text), Ok((host.to_owned(), port)), "{text}");
        }
        for text in ["", ":1", "h:x", "h:70000", "redis://h:1", "pw@h", "[::1", "[::1]x", "a b"] {
            assert!(sentinel(text).is_err(), "{text}");
        }
    }
}
