//! Replies of the broker, looked into without believing anything of their form.

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};

use crate::entry_id::EntryId;

/// Sends a command; an error of the server is one.
pub(crate) async fn to(io: &mut MultiplexedConnection, command: &redis::Cmd) -> RedisResult<Value> {
    match io.send_packed_command(command).await? {
        it @ Value::ServerError(_) => Err(error(it)),
        value => Ok(value),
    }
}

/// What the server says in the place of a reply.
pub(crate) fn error(value: Value) -> redis::RedisError {
    match value {
        Value::ServerError(error) => error.into(),
        _ => std::io::Error::from(std::io::ErrorKind::InvalidData).into(),
    }
}

/// An array's items.
pub(crate) fn array(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

/// An array's items, to be taken apart.
pub(crate) fn into_array(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

/// A number that is not negative.
pub(crate) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        value => text(value)?.parse().ok(),
    }
}

/// The score of a member of a sorted set, which counts something. Less than nothing is nothing.
pub(crate) fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Double(score) => Some(score.max(0.0) as u64),
        value => number(value),
    }
}

pub(crate) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// Bytes, without copying them.
pub(crate) fn into_bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(bytes.into()),
        _ => None,
    }
}

/// An entry of a stream.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    /// Names and values. None if it was deleted.
    pub(crate) fields: Vec<(Value, Value)>,
}

/// What was read of streams, each after its key: `None` if there was nothing in time.
pub(crate) fn streams(value: Value) -> Option<Vec<(String, Vec<Entry>)>> {
    let pairs: Vec<(Value, Value)> = match value {
        Value::Map(pairs) => pairs,
        Value::Array(items) => items.into_iter().filter_map(pair).collect(),
        _ => return None,
    };
    let stream = |(key, entries): (Value, Value)| {
        let entries = into_array(entries)?.into_iter().filter_map(entry).collect();
        Some((text(&key)?.to_owned(), entries))
    };
    Some(pairs.into_iter().filter_map(stream).collect())
}

fn pair(value: Value) -> Option<(Value, Value)> {
    let mut items = into_array(value)?.into_iter();
    Some((items.next()?, items.next()?))
}

fn entry(value: Value) -> Option<Entry> {
    let (id, fields) = pair(value)?;
    let id = text(&id)?.parse().ok()?;
    let mut fields = into_array(fields).unwrap_or_default().into_iter();
    let mut pairs = Vec::new();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        pairs.push((name, value));
    }
    Some(Entry { id, fields: pairs })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn streams_are_read_in_both_versions_of_the_protocol() {
        let entries = || {
            let fields = Value::Array(vec![bulk("f"), bulk("x")]);
            Value::Array(vec![Value::Array(vec![bulk("5-1"), fields])])
        };
        let two = Value::Array(vec![Value::Array(vec![bulk("k"), entries()])]);
        let three = Value::Map(vec![(bulk("k"), entries())]);
        for value in [two, three] {
            let streams = streams(value).unwrap();
            assert_eq!(streams[0].0, "k");
            assert_eq!(streams[0].1[0].id, EntryId { ms: 5, number: 1 });
            assert_eq!(text(&streams[0].1[0].fields[0].1), Some("x"));
        }
        assert!(streams(Value::Nil).is_none());
    }

    #[test]
    fn an_entry_that_was_deleted_has_no_fields() {
        let deleted = Value::Array(vec![bulk("5-1"), Value::Nil]);
        assert!(entry(deleted).unwrap().fields.is_empty());
        assert!(entry(Value::Array(vec![bulk("five")])).is_none());
    }
}
