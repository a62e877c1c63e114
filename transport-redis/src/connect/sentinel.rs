//! Sentinels, who know the master.

use redis::{RedisConnectionInfo, RedisError, ServerErrorKind, Value, from_redis_value};
use tokio::time::Instant;

use super::address::{self, Endpoint};
use super::candidates::Candidates;
use super::dialer::{Dialer, sentinel_login};
use super::error::{ConnectError, Kind};
use crate::config::SentinelConfig;

/// The sentinels of one master.
pub(crate) struct Sentinels {
    candidates: Candidates,
    pub(crate) master: String,
    login: RedisConnectionInfo,
    tls: bool,
}

impl Sentinels {
    /// # Errors
    /// A sentinel's address cannot be read.
    pub(crate) fn new(config: &SentinelConfig, tls: bool) -> Result<Self, String> {
        let seed = |node: &String| {
            address::sentinel(node).map(|(host, port)| Endpoint::Tcp { host, port, tls })
        };
        let seeds = config.nodes.iter().map(seed).collect::<Result<_, _>>()?;
        Ok(Sentinels {
            candidates: Candidates::new(seeds),
            master: config.master.clone(),
            login: sentinel_login(config.username.as_deref(), config.password.as_deref()),
            tls,
        })
    }

    /// Where the master is, as the first sentinel says that answers.
    ///
    /// # Errors
    /// No sentinel answers, or none knows the master.
    pub(crate) async fn master(
        &self,
        dialer: &Dialer,
        until: Instant,
    ) -> Result<Endpoint, ConnectError> {
        let what = format!("the master `{}`", self.master);
        self.candidates.ask(&what, until, |sentinel| self.ask(dialer, sentinel)).await
    }

    /// What was said last time is not true any more.
    pub(crate) fn distrust(&self) {
        self.candidates.distrust();
    }

    async fn ask(&self, dialer: &Dialer, sentinel: Endpoint) -> Result<Endpoint, ConnectError> {
        let mut question = redis::cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(&self.master);
        let answer = dialer.ask(&sentinel, &self.login, question).await;
        read(&sentinel, &self.master, self.tls, answer)
    }
}

/// What a sentinel's answer means.
fn read(
    sentinel: &Endpoint,
    master: &str,
    tls: bool,
    answer: Result<Value, RedisError>,
) -> Result<Endpoint, ConnectError> {
    let answer = answer.map_err(|error| failure(sentinel, &error))?;
    match from_redis_value::<Option<(String, u16)>>(answer) {
        Ok(Some((host, port))) => Ok(Endpoint::Tcp { host, port, tls }),
        Ok(None) => Err(ConnectError::hopeless(format!(
            "the sentinel at {sentinel} knows no master `{master}`; redis.sentinel.master is the \
             name that its configuration gives"
        ))),
        Err(error) => Err(ConnectError::new(
            Kind::Passing,
            sentinel,
            &format!("the sentinel's answer cannot be understood: {error}"),
            "",
        )),
    }
}

fn failure(sentinel: &Endpoint, error: &RedisError) -> ConnectError {
    let unknown = error.detail().is_some_and(|detail| detail.contains("unknown command"));
    match error.kind() {
        redis::ErrorKind::Server(ServerErrorKind::ResponseError) if unknown => ConnectError::new(
            Kind::Hopeless,
            sentinel,
            "this is no sentinel",
            "redis.sentinel.nodes are sentinels, mostly at port 26379",
        ),
        _ => ConnectError::at_sentinel(sentinel, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> Result<Endpoint, ConnectError> {
        let sentinel = Endpoint::Tcp { host: "s".to_owned(), port: 26379, tls: true };
        let value = redis::parse_redis_value(line.as_bytes()).unwrap();
        read(&sentinel, "calls", true, value.extract_error())
    }

    #[test]
    fn the_master_is_where_the_sentinel_says() {
        let master = ask("*2\r\n$2\r\n::\r\n$4\r\n6379\r\n").unwrap();
        assert_eq!(master, Endpoint::Tcp { host: "::".to_owned(), port: 6379, tls: true });
    }

    #[test]
    fn a_name_that_is_not_known_is_hopeless() {
        let error = ask("*-1\r\n").unwrap_err();
        assert_eq!(error.kind, Kind::Hopeless);
        assert!(error.message.contains("no master `calls`"), "{error}");
    }

    #[test]
    fn a_server_that_is_no_sentinel_is_hopeless() {
        let error = ask("-ERR unknown command 'SENTINEL', with args beginning with: \r\n");
        let error = error.unwrap_err();
        assert_eq!(error.kind, Kind::Hopeless);
        assert!(error.message.contains("no sentinel"), "{error}");
    }

    #[test]
    fn the_password_of_a_sentinel_is_its_own() {
        let error = ask("-NOAUTH Authentication required.\r\n").unwrap_err();
        assert_eq!(error.kind, Kind::Hopeless);
        assert!(error.message.contains("redis.sentinel.password"), "{error}");
    }

    #[test]
    fn an_answer_of_another_kind_may_pass() {
        assert_eq!(ask("*2\r\n$1\r\nh\r\n$5\r\n99999\r\n").unwrap_err().kind, Kind::Passing);
    }
}
