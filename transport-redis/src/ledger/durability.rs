//! What the broker keeps, and whether that is enough.

use farcall_core::ledger::StoreError;
use farcall_core::wire::Durability;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value, from_redis_value};

use crate::config::durability_word;
use crate::fault::{Fault, classify};
use crate::reply;

/// What a record survives at this broker. One that does not tell whether it syncs its disk is taken for one that does not.
pub(super) async fn of(io: &mut MultiplexedConnection) -> RedisResult<Durability> {
    let mut info = redis::cmd("INFO");
    info.arg("persistence");
    let info = from_redis_value::<String>(reply::to(io, &info).await?).unwrap_or_default();
    if !info.lines().any(|line| line.trim() == "aof_enabled:1") {
        return Ok(Durability::Memory);
    }
    let mut ask = redis::cmd("CONFIG");
    ask.arg("GET").arg("appendfsync");
    match reply::to(io, &ask).await {
        Ok(value) => Ok(match second(&value) {
            Some("always") => Durability::Always,
            Some("everysec") => Durability::EverySecond,
            _ => Durability::Memory,
        }),
        Err(error) => match classify(&error) {
            // Some services have no such command at all.
            Fault::NoPermission(why) | Fault::Bug(why) => {
                tracing::warn!(
                    why,
                    "the broker does not tell how it keeps tasks: taken for memory"
                );
                Ok(Durability::Memory)
            }
            _ => Err(error),
        },
    }
}

/// The second of a pair, in either version of the protocol.
fn second(value: &Value) -> Option<&str> {
    reply::text(match value {
        Value::Map(pairs) => &pairs.first()?.1,
        value => reply::array(value)?.get(1)?,
    })
}

/// Whether it is at least what the configuration wants.
///
/// # Errors
/// It is less.
pub(super) fn check(wanted: Durability, has: Durability) -> Result<(), StoreError> {
    if has >= wanted {
        return Ok(());
    }
    let (wanted, has) = (durability_word(wanted), durability_word(has));
    Err(StoreError::new(format!(
        "redis.durability is \"{wanted}\", and the broker keeps tasks as \"{has}\": it needs `appendonly yes` \
         and `appendfsync {wanted}`, and this user `+config|get` to see that"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_what_is_wanted_is_refused() {
        use Durability::{Always, EverySecond, Memory};
        for (wanted, has, good) in [
            (Memory, Memory, true),
            (EverySecond, Memory, false),
            (EverySecond, EverySecond, true),
            (EverySecond, Always, true),
            (Always, EverySecond, false),
            (Always, Always, true),
        ] {
            assert_eq!(check(wanted, has).is_ok(), good, "{wanted:?} of {has:?}");
        }
        let error = check(Always, Memory).unwrap_err().to_string();
        assert!(error.contains("redis.durability is \"always\""), "{error}");
    }
}
