//! What a server says of itself at the beginning.

use compact_str::CompactString;
use redis::{Cmd, Pipeline, RedisError, ServerErrorKind, Value, from_redis_value};

use super::address::Endpoint;
use super::error::{ConnectError, Kind, VERSION};

/// The name that connections go by in `CLIENT LIST`.
const NAME: &str = "farcall";
/// The oldest server there is all of what we use in.
const OLDEST: (u32, u32) = (7, 0);

/// A server that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// Made up by the server at each start.
    pub(crate) run_id: CompactString,
    /// The number of this connection, which the server uses once in each run.
    pub(crate) client_id: u64,
}

/// The questions, sent at once.
///
/// HELLO tells the version, the role and the connection's number, and takes its name; no access
/// list can forbid it, as it can ROLE, CLIENT and INFO. Of these only INFO is needed. EXISTS has the
/// server judge `key` as it will for every other command: whether it is here, and can be read now.
pub(crate) fn questions(key: &str) -> Pipeline {
    let mut questions = redis::pipe();
    questions.add_command(hello());
    questions.cmd("INFO").arg("server");
    questions.cmd("EXISTS").arg(key);
    questions
}

fn hello() -> Cmd {
    let mut hello = redis::cmd("HELLO");
    hello.arg(3).arg("SETNAME").arg(NAME);
    hello
}

/// What the answers mean, of a node that was named by the configuration or, `in_cluster`, by other
/// nodes.
///
/// # Errors
/// The server is too old, is no master, does not have the key, or does not tell what is asked.
pub(crate) fn judge(
    to: &Endpoint,
    in_cluster: bool,
    answers: Vec<Value>,
) -> Result<Greeting, ConnectError> {
    let mut answers = answers.into_iter().map(Value::extract_error);
    let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
    let (hello, info, exists) = (next(), next(), next());
    let hello = hello.map_err(|error| ConnectError::at(to, &error))?;
    check_version(to, &field(&hello, "version"))?;
    let role = field(&hello, "role");
    if role != "master" {
        return Err(ConnectError::new(
            Kind::Passing,
            to,
            &format!("this is a {role}, and only a master takes writes"),
            "if it stays one, the URL must name the master, or redis.sentinel who knows it",
        ));
    }
    if let Err(error) = exists {
        check_key(to, in_cluster, &error)?;
    }
    let info = info.map_err(|error| ConnectError::at(to, &error))?;
    let info = from_redis_value::<String>(info).unwrap_or_default();
    let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::trim);
    match (run_id, field(&hello, "id").parse()) {
        (Some(run_id), Ok(client_id)) if !run_id.is_empty() => {
            Ok(Greeting { run_id: CompactString::new(run_id), client_id })
        }
        _ => Err(ConnectError::new(
            Kind::Hopeless,
            to,
            "the server tells neither its run_id nor the connection's id",
            VERSION,
        )),
    }
}

fn check_version(to: &Endpoint, version: &str) -> Result<(), ConnectError> {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found >= OLDEST {
        return Ok(());
    }
    let what = format!("the server has version {version}, which is too old");
    Err(ConnectError::new(Kind::Hopeless, to, &what, VERSION))
}

/// A user may be allowed scripts on the key and no EXISTS, so that is no reason.
fn check_key(to: &Endpoint, in_cluster: bool, error: &RedisError) -> Result<(), ConnectError> {
    match error.kind() {
        redis::ErrorKind::Server(ServerErrorKind::NoPerm) => Ok(()),
        redis::ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) if !in_cluster => {
            Err(ConnectError::new(
                Kind::Hopeless,
                to,
                "this is one node of a cluster",
                "name it, and some others, in redis.cluster instead of redis.url",
            ))
        }
        _ => Err(ConnectError::at(to, error)),
    }
}

/// A field of the answer to HELLO, as text.
fn field(hello: &Value, name: &str) -> String {
    let Value::Map(fields) = hello else {
        return String::new();
    };
    let is = |key: &Value| match key {
        Value::BulkString(key) => key == name.as_bytes(),
        Value::SimpleString(key) => key == name,
        _ => false,
    };
    let value = fields.iter().find(|(key, _)| is(key)).map(|(_, value)| value.clone());
    value.and_then(|value| from_redis_value(value).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:4f9c\r\ntcp_port:6379\r\n";

    fn endpoint() -> Endpoint {
        Endpoint::Tcp { host: "h".to_owned(), port: 1, tls: false }
    }

    fn hello(version: &str, role: &str) -> Value {
        let text = |text: &str| Value::BulkString(text.into());
        Value::Map(vec![
            (text("server"), text("redis")),
            (text("version"), text(version)),
            (text("id"), Value::Int(7)),
            (text("role"), text(role)),
        ])
    }

    fn info() -> Value {
        Value::VerbatimString { format: redis::VerbatimFormat::Text, text: INFO.to_owned() }
    }

    fn failed(line: &str) -> Value {
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap()
    }

    fn refused(in_cluster: bool, answers: Vec<Value>) -> ConnectError {
        judge(&endpoint(), in_cluster, answers).unwrap_err()
    }

    #[test]
    fn a_master_that_is_new_enough_is_good() {
        for version in ["7.0.0", "7.0.15", "8.2", "10.0.1"] {
            let answers = vec![hello(version, "master"), info(), Value::Int(0)];
            let greeting = Greeting { run_id: "4f9c".into(), client_id: 7 };
            assert_eq!(judge(&endpoint(), false, answers), Ok(greeting), "{version}");
        }
    }

    #[test]
    fn an_old_server_is_hopeless() {
        for version in ["6.2.14", "5.0", ""] {
            let error = refused(false, vec![hello(version, "master"), info(), Value::Int(0)]);
            assert_eq!(error.kind, Kind::Hopeless);
            assert!(error.message.contains(&format!("version {version},")), "{error}");
        }
    }

    #[test]
    fn a_replica_may_become_a_master() {
        let error = refused(false, vec![hello("7.0.15", "replica"), info(), Value::Int(0)]);
        assert_eq!(error.kind, Kind::Passing);
        assert!(error.message.contains("this is a replica"), "{error}");
    }

    #[test]
    fn a_node_of_a_cluster_is_no_server_alone() {
        let answers = || vec![hello("7.0.15", "master"), info(), failed("MOVED 1 10.0.0.2:6379")];
        let error = refused(false, answers());
        assert_eq!(error.kind, Kind::Hopeless);
        assert!(error.message.contains("redis.cluster"), "{error}");
        assert_eq!(refused(true, answers()).kind, Kind::Passing);
    }

    #[test]
    fn a_server_that_loads_its_data_may_be_ready_later() {
        let loading = failed("LOADING Redis is loading the dataset in memory");
        let error = refused(false, vec![hello("7.0.15", "master"), info(), loading]);
        assert_eq!(error.kind, Kind::Passing);
    }

    #[test]
    fn info_is_needed_and_exists_is_not() {
        let denied = || failed("NOPERM this user has no permissions to run the 'info' command");
        let answers = vec![hello("7.0.15", "master"), info(), denied()];
        assert!(judge(&endpoint(), false, answers).is_ok());
        let error = refused(false, vec![hello("7.0.15", "master"), denied(), Value::Int(0)]);
        assert_eq!(error.kind, Kind::Hopeless);
        assert!(error.message.contains("'info'"), "{error}");
    }
}
