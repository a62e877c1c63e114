//! A cluster, any node of which knows where a key is.

use redis::{RedisConnectionInfo, RedisError, ServerErrorKind, Value, from_redis_value};
use tokio::time::Instant;

use super::address::Endpoint;
use super::candidates::Candidates;
use super::dialer::Dialer;
use super::error::{ConnectError, Kind};
use super::slot::slot;

/// The nodes of a cluster that are known, beginning with those of the configuration.
pub(crate) struct Cluster {
    candidates: Candidates,
}

impl Cluster {
    pub(crate) fn new(seeds: Vec<Endpoint>) -> Self {
        Cluster { candidates: Candidates::new(seeds) }
    }

    /// The master that has a key, as the first node says that answers; the others that it names can be
    /// asked the next time.
    ///
    /// # Errors
    /// No node answers, or none has the key.
    pub(crate) async fn owner(
        &self,
        dialer: &Dialer,
        login: &RedisConnectionInfo,
        key: &str,
        until: Instant,
    ) -> Result<Endpoint, ConnectError> {
        let what = format!("the node of the cluster that has slot {}", slot(key));
        let ask = async |node: Endpoint| {
            let mut question = redis::cmd("CLUSTER");
            question.arg("SLOTS");
            let answer = dialer.ask(&node, login, question).await;
            let ranges = read(&node, answer)?;
            Ok((node, ranges))
        };
        let (asked, ranges) = self.candidates.ask(&what, until, ask).await?;
        let nodes = ranges.iter().flat_map(|range| range.nodes.iter().cloned());
        self.candidates.learn(std::iter::once(asked.clone()).chain(nodes));
        owner(&asked, &ranges, slot(key))
    }

    /// What was said last time is not true any more.
    pub(crate) fn distrust(&self) {
        self.candidates.distrust();
    }
}

/// Slots that the same nodes have.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    first: u16,
    last: u16,
    /// The master, then replicas; without those whose address is not known.
    nodes: Vec<Endpoint>,
    has_master: bool,
}

fn owner(asked: &Endpoint, ranges: &[Range], slot: u16) -> Result<Endpoint, ConnectError> {
    let range = ranges.iter().find(|range| (range.first..=range.last).contains(&slot));
    match range {
        Some(Range { nodes, has_master: true, .. }) => Ok(nodes[0].clone()),
        _ => Err(ConnectError::passing(format!(
            "no node of the cluster has slot {slot} at present, says {asked}; `redis-cli --cluster \
             check` tells why"
        ))),
    }
}

/// What the answer to CLUSTER SLOTS means.
fn read(asked: &Endpoint, answer: Result<Value, RedisError>) -> Result<Vec<Range>, ConnectError> {
    let answer = answer.map_err(|error| failure(asked, &error))?;
    let ranges = match answer {
        Value::Array(ranges) => ranges.into_iter().map(|it| range(asked, it)).collect(),
        _ => None,
    };
    ranges.ok_or_else(|| {
        ConnectError::new(Kind::Passing, asked, "its map of slots cannot be understood", "")
    })
}

fn range(asked: &Endpoint, range: Value) -> Option<Range> {
    let Value::Array(fields) = range else {
        return None;
    };
    let mut fields = fields.into_iter();
    let (first, last) = (number(fields.next()?)?, number(fields.next()?)?);
    let mut nodes = fields.map(|fields| node(asked, fields));
    let master = nodes.next()??;
    let has_master = master.is_some();
    let replicas = nodes.collect::<Option<Vec<_>>>()?.into_iter().flatten();
    Some(Range { first, last, nodes: master.into_iter().chain(replicas).collect(), has_master })
}

/// `[host, port, id, other addresses]`. A host that is null or empty is the one that was asked; `?` is
/// a name that is not known, for which the address in the last field stands in.
fn node(asked: &Endpoint, fields: Value) -> Option<Option<Endpoint>> {
    let Value::Array(fields) = fields else {
        return None;
    };
    let Endpoint::Tcp { host: asked_host, tls, .. } = asked else {
        return None;
    };
    let mut fields = fields.into_iter();
    let host: Option<String> = from_redis_value(fields.next()?).ok()?;
    let port = number(fields.next()?)?;
    let host = match host.as_deref() {
        None | Some("") => Some(asked_host.clone()),
        Some("?") => fields.nth(1).and_then(address),
        Some(host) => Some(host.to_owned()),
    };
    Some(host.map(|host| Endpoint::Tcp { host, port, tls: *tls }))
}

/// A slot or a port. The client itself would cut larger ones to size.
fn number(value: Value) -> Option<u16> {
    from_redis_value::<i64>(value).ok()?.try_into().ok()
}

/// The field `ip` of a node's other addresses.
fn address(others: Value) -> Option<String> {
    let others: Vec<(String, String)> = from_redis_value(others).ok()?;
    others.into_iter().find(|(name, _)| name == "ip").map(|(_, ip)| ip)
}

fn failure(asked: &Endpoint, error: &RedisError) -> ConnectError {
    let disabled = error.detail().is_some_and(|detail| detail.contains("cluster support disabled"));
    match error.kind() {
        redis::ErrorKind::Server(ServerErrorKind::ResponseError) if disabled => ConnectError::new(
            Kind::Hopeless,
            asked,
            "this is no node of a cluster",
            "a server alone is redis.url instead of redis.cluster",
        ),
        _ => ConnectError::at(asked, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Endpoint {
        Endpoint::Tcp { host: host.to_owned(), port, tls: true }
    }

    fn parse(text: &str) -> Result<Vec<Range>, ConnectError> {
        let value = redis::parse_redis_value(text.replace(' ', "\r\n").as_bytes()).unwrap();
        read(&tcp("asked", 1), value.extract_error())
    }

    const MAP: &str = "*2 \
        *4 :0 :5460 *4 $8 10.0.0.1 :6379 $2 id %0 *4 $8 10.0.0.4 :6379 $2 id %0 \
        *3 :5461 :16383 *4 _ :6380 $2 id %0 ";

    #[test]
    fn the_owner_is_the_master_of_the_slot() {
        let ranges = parse(MAP).unwrap();
        let asked = tcp("asked", 1);
        assert_eq!(owner(&asked, &ranges, 0), Ok(tcp("10.0.0.1", 6379)));
        assert_eq!(owner(&asked, &ranges, 5460), Ok(tcp("10.0.0.1", 6379)));
        assert_eq!(ranges[0].nodes[1], tcp("10.0.0.4", 6379));
    }

    #[test]
    fn a_node_that_names_no_host_is_the_one_that_was_asked() {
        let ranges = parse(MAP).unwrap();
        assert_eq!(owner(&tcp("asked", 1), &ranges, 16383), Ok(tcp("asked", 6380)));
    }

    #[test]
    fn an_unknown_name_is_replaced_by_the_address_or_left_out() {
        let known = "*1 *3 :0 :1 *4 $1 ? :7 $2 id %1 $2 ip $8 10.0.0.9 ";
        assert_eq!(parse(known).unwrap()[0].nodes, [tcp("10.0.0.9", 7)]);
        let unknown = "*1 *4 :0 :1 *4 $1 ? :7 $2 id %0 *4 $1 r :8 $2 id %0 ";
        let ranges = parse(unknown).unwrap();
        assert_eq!(ranges[0].nodes, [tcp("r", 8)]);
        assert_eq!(owner(&tcp("asked", 1), &ranges, 0).unwrap_err().kind, Kind::Passing);
    }

    #[test]
    fn a_slot_that_nobody_has_may_be_taken_later() {
        let error = owner(&tcp("asked", 1), &parse("*0 ").unwrap(), 7).unwrap_err();
        assert_eq!(error.kind, Kind::Passing);
        assert!(error.message.contains("slot 7"), "{error}");
    }

    #[test]
    fn what_is_no_map_of_slots_is_refused() {
        for text in
            [":1 ", "*1 :1 ", "*1 *2 :0 :1 ", "*1 *3 :0 :99999 *2 $1 h :1 ", "*1 *3 :0 :1 :2 "]
        {
            assert_eq!(parse(text).unwrap_err().kind, Kind::Passing, "{text}");
        }
    }

    #[test]
    fn a_server_alone_is_hopeless() {
        let line = b"-ERR This instance has cluster support disabled\r\n";
        let value = redis::parse_redis_value(line).unwrap();
        let error = read(&tcp("asked", 1), value.extract_error()).unwrap_err();
        assert_eq!(error.kind, Kind::Hopeless);
        assert!(error.message.contains("redis.url"), "{error}");
    }
}
