//! What an error of a command means for whoever sent it.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What to do about a command that failed.
///
/// Errors that a script runs into mostly keep the code they have outside of it, followed by the place
/// in the script, so both are judged alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is gone, or leads to a server that cannot do this at present: connect again,
    /// which finds the right one and says what is wrong if there is none.
    Reconnect,
    /// The server does not know the script: load it, and send the command again.
    Reload,
    /// The server's memory is full and it evicts nothing: only what frees memory is done.
    OutOfMemory,
    /// The server takes no writes at present, for this reason: its disk fails, or too few replicas
    /// follow.
    Unwritable(String),
    /// The stream or its group is not there: a flush, or a failover that lost it.
    NoGroup,
    /// This user may not do it; the server's own words.
    NoPermission(String),
    /// Nothing that a server in order says: a mistake of ours, or somebody else's data.
    Bug(String),
}

/// What an error of a command, or of a command inside a script, means.
pub(crate) fn classify(error: &RedisError) -> Fault {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse | ErrorKind::ClusterConnectionNotFound => Fault::Reconnect,
        // The user was removed, or its password changed: connecting tells which.
        ErrorKind::AuthenticationFailed => Fault::Reconnect,
        ErrorKind::Server(kind) => of_server(kind, error),
        ErrorKind::Extension => of_code(error),
        _ => Fault::Bug(error.to_string()),
    }
}

fn of_server(kind: ServerErrorKind, error: &RedisError) -> Fault {
    match kind {
        ServerErrorKind::NoScript => Fault::Reload,
        ServerErrorKind::NoPerm => Fault::NoPermission(words(error)),
        ServerErrorKind::BusyLoading
        | ServerErrorKind::MasterDown
        | ServerErrorKind::ReadOnly
        | ServerErrorKind::Moved
        | ServerErrorKind::Ask
        | ServerErrorKind::TryAgain
        | ServerErrorKind::ClusterDown => Fault::Reconnect,
        ServerErrorKind::ResponseError if is_forbidden_to_script(error) => {
            Fault::NoPermission(words(error))
        }
        _ => Fault::Bug(words(error)),
    }
}

/// Redis 7.0 has no code for what the user of a script may not do; 7.2 says NOPERM.
fn is_forbidden_to_script(error: &RedisError) -> bool {
    error.detail().is_some_and(|text| text.starts_with("The user executing the script can't "))
}

/// Codes that the client has no name for.
fn of_code(error: &RedisError) -> Fault {
    match error.code().unwrap_or_default() {
        "OOM" => Fault::OutOfMemory,
        "NOGROUP" => Fault::NoGroup,
        "MISCONF" | "NOREPLICAS" => Fault::Unwritable(words(error)),
        // A read that waited when its server became a replica; a script that blocks the server; a
        // user that is not known any more.
        "UNBLOCKED" | "BUSY" | "NOAUTH" | "WRONGPASS" => Fault::Reconnect,
        _ => Fault::Bug(words(error)),
    }
}

/// What the server said, as it said it.
pub(crate) fn words(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use farcall_integration_tests::{RedisOptions, RedisServer};

    use super::*;

    /// As the server sends it.
    fn reply(line: &str) -> Fault {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        classify(&value.extract_error().unwrap_err())
    }

    #[test]
    fn what_another_connection_mends_is_told_apart() {
        for line in [
            "READONLY You can't write against a read only replica.",
            "LOADING Redis is loading the dataset in memory",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "MOVED 3999 127.0.0.1:6381",
            "ASK 3999 127.0.0.1:6381",
            "CLUSTERDOWN Hash slot not served",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "UNBLOCKED force unblock from blocking operation, instance state changed",
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            "NOAUTH Authentication required.",
        ] {
            assert_eq!(reply(line), Fault::Reconnect, "{line}");
        }
        let lost = RedisError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(classify(&lost), Fault::Reconnect);
        let slow = RedisError::from(io::Error::from(io::ErrorKind::TimedOut));
        assert_eq!(classify(&slow), Fault::Reconnect);
    }

    #[test]
    fn an_error_inside_a_script_is_judged_by_its_own_code() {
        let place = " script: 7c5e7d4, on @user_script:1.";
        for (line, fault) in [
            ("OOM command not allowed when used memory > 'maxmemory'.", Fault::OutOfMemory),
            ("READONLY You can't write against a read only replica.", Fault::Reconnect),
            ("NOGROUP No such key 's' or consumer group 'g'", Fault::NoGroup),
        ] {
            assert_eq!(reply(line), fault);
            assert_eq!(reply(&format!("{line}{place}")), fault);
        }
    }

    #[test]
    fn an_unknown_script_is_loaded_again() {
        assert_eq!(reply("NOSCRIPT No matching script. Please use EVAL."), Fault::Reload);
    }

    #[test]
    fn a_server_that_takes_no_writes_says_why() {
        for line in [
            "MISCONF Redis is configured to save RDB snapshots",
            "NOREPLICAS Not enough good replicas to write.",
        ] {
            assert_eq!(reply(line), Fault::Unwritable(line.to_owned()));
        }
    }

    #[test]
    fn a_missing_permission_is_told_in_the_words_of_the_server() {
        let line = "NOPERM this user has no permissions to run the 'evalsha' command";
        assert_eq!(reply(line), Fault::NoPermission(line.to_owned()));
    }

    #[test]
    fn a_missing_permission_inside_a_script_has_two_forms() {
        for line in [
            "ERR The user executing the script can't run this command or subcommand script: 2bb",
            "ERR The user executing the script can't access at least one of the keys mentioned",
            "NOPERM ACL failure in script: User w has no permissions to run the 'set' command",
        ] {
            assert_eq!(reply(line), Fault::NoPermission(line.to_owned()));
        }
    }

    #[test]
    fn all_else_is_a_mistake() {
        for line in [
            "ERR wrong number of arguments for 'xadd' command",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "CROSSSLOT Keys in request don't hash to the same slot",
        ] {
            assert_eq!(reply(line), Fault::Bug(line.to_owned()));
        }
    }

    /// What a server says to a script.
    fn script(server: &RedisServer, lua: &str) -> Fault {
        classify(&server.try_ask::<redis::Value>(&["EVAL", lua, "1", "key"]).unwrap_err())
    }

    const WRITE: &str = "return redis.call('SET', KEYS[1], 'value')";

    #[test]
    fn a_script_that_finds_no_group_says_so() {
        let server = RedisServer::start();
        let read = "return redis.call('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', KEYS[1], '>')";
        assert_eq!(script(&server, read), Fault::NoGroup);
        let read = ["XREADGROUP", "GROUP", "g", "c", "STREAMS", "key", ">"];
        let error = server.try_ask::<redis::Value>(&read).unwrap_err();
        assert_eq!(classify(&error), Fault::NoGroup);
    }

    #[test]
    fn a_script_that_is_not_there_is_loaded_again() {
        let server = RedisServer::start();
        let call = ["EVALSHA", "ffffffffffffffffffffffffffffffffffffffff", "1", "key"];
        let error = server.try_ask::<redis::Value>(&call).unwrap_err();
        assert_eq!(classify(&error), Fault::Reload);
    }

    #[test]
    fn a_script_at_a_full_server_is_out_of_memory() {
        let server = RedisOptions::new().config("maxmemory 1").start();
        assert_eq!(script(&server, WRITE), Fault::OutOfMemory);
        let error = server.try_ask::<redis::Value>(&["SET", "key", "value"]).unwrap_err();
        assert_eq!(classify(&error), Fault::OutOfMemory);
    }

    #[test]
    fn a_script_at_a_replica_is_for_another_connection() {
        let server = RedisOptions::new().config("replicaof 127.0.0.1 1").start();
        assert_eq!(script(&server, WRITE), Fault::Reconnect);
    }

    #[test]
    fn a_script_that_too_few_replicas_would_follow_has_the_reason() {
        let server = RedisOptions::new().config("min-replicas-to-write 1").start();
        let Fault::Unwritable(why) = script(&server, WRITE) else {
            panic!("it was written");
        };
        assert!(why.starts_with("NOREPLICAS "), "{why}");
    }

    #[test]
    fn a_script_that_may_not_do_something_says_what() {
        let acl = "user worker on >secret ~key -@all +eval +get";
        let server = RedisOptions::new().acl(acl).start();
        let client = redis::Client::open(server.url_as("worker", "secret")).unwrap();
        let mut connection = client.get_connection().unwrap();
        let call = redis::cmd("EVAL").arg(WRITE).arg(1).arg("key").to_owned();
        let Fault::NoPermission(why) = classify(&call.exec(&mut connection).unwrap_err()) else {
            panic!("it is not allowed");
        };
        assert!(why.contains("command"), "{why}");
    }

    #[test]
    fn a_script_with_a_mistake_is_one() {
        let server = RedisServer::start();
        server.command(&["SET", "key", "value"]);
        for lua in ["return redis.call('LPUSH', KEYS[1], 'x')", "error('no')", "return {", "x()"] {
            assert!(matches!(script(&server, lua), Fault::Bug(_)), "{lua}");
        }
    }

    #[tokio::test]
    async fn a_read_that_waits_at_a_server_that_becomes_a_replica_is_for_another_connection() {
        let server = RedisServer::start();
        let client = redis::Client::open(server.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let id: i64 = redis::cmd("CLIENT").arg("ID").query_async(&mut connection).await.unwrap();
        let waiting = tokio::spawn(async move {
            let wait = redis::cmd("BLPOP").arg("nothing").arg(0).to_owned();
            wait.exec_async(&mut connection).await
        });
        let list = ["CLIENT", "LIST", "ID", &id.to_string()];
        while !server.ask::<String>(&list).contains(" cmd=blpop ") {
            tokio::task::yield_now().await;
        }
        server.command(&["REPLICAOF", "127.0.0.1", "1"]);
        let error = waiting.await.unwrap().unwrap_err();
        assert_eq!(error.code(), Some("UNBLOCKED"));
        assert_eq!(classify(&error), Fault::Reconnect);
    }
}
