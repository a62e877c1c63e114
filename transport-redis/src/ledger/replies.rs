//! What the script says, read without believing anything of its form.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use farcall_core::ledger::{
    AcceptRefusal, Accepted, ArgumentsHash, Attempt, Caller, DeadBy, Holder, Key, Outcome, Reply,
    State, Swept, Task, TaskId, Timestamp, Verdict, View, Why,
};
use farcall_core::value;
use farcall_core::wire::NodeId;
use redis::Value;
use uuid::Uuid;

use crate::reply;

/// The reply to one command. `None` if it is none.
pub(super) fn read(value: Value, ledger: Uuid) -> Option<Reply> {
    let mut items = Items::new(value, ledger)?;
    Some(match &*items.text()? {
        "accepted" => {
            let task = items.id()?;
            let attempt = items.inner(Items::attempt)?;
            let known = items.inner(Items::view)?.map(|view| Box::new(view.task));
            Reply::Accepted(Box::new(Accepted { task, attempt, known, elsewhere: false }))
        }
        "refused" => Reply::NotAccepted(match &*items.text()? {
            "conflict" => AcceptRefusal::KeyConflict,
            "many" => AcceptRefusal::TooMany,
            _ => AcceptRefusal::Full,
        }),
        "claimed" => Reply::Claimed(items.all(Items::attempt)?),
        "ended" => Reply::Ended(Verdict::Ended(Box::new(items.inner(Items::view)??))),
        "again" => Reply::Ended(Verdict::Again(Duration::from_micros(items.number()?))),
        "fenced" => Reply::Fenced,
        "done" => Reply::Done,
        "shown" => Reply::Shown(Box::new(items.inner(Items::view)??)),
        "listed" => {
            let all = items.number()?;
            Reply::Listed(items.all(Items::view)?, all)
        }
        "swept" => {
            let due = items.number::<u8>()? == 1;
            let next = items.optional_number()?.map(Duration::from_micros);
            let mut expired = Vec::new();
            while let Some(value) = items.next() {
                expired.push(TaskId { ledger, number: reply::number(&value)? });
            }
            Reply::Swept(Swept { expired, due, next, taken: Vec::new() })
        }
        "not dead" => Reply::NotDead,
        "not ended" => Reply::NotEnded,
        "unknown" => Reply::Unknown,
        _ => return None,
    })
}

/// An array that is taken apart.
struct Items {
    items: std::vec::IntoIter<Value>,
    ledger: Uuid,
}

impl Items {
    fn new(value: Value, ledger: Uuid) -> Option<Self> {
        Some(Items { items: reply::into_array(value)?.into_iter(), ledger })
    }

    fn next(&mut self) -> Option<Value> {
        self.items.next()
    }

    /// What lies in an array of its own, if it is there.
    fn inner<T>(&mut self, read: fn(&mut Items) -> Option<T>) -> Option<Option<T>> {
        match self.next()? {
            Value::Nil => Some(None),
            value => Some(Some(read(&mut Items::new(value, self.ledger)?)?)),
        }
    }

    fn all<T>(&mut self, read: fn(&mut Items) -> Option<T>) -> Option<Vec<T>> {
        let mut all = Vec::new();
        while let Some(value) = self.next() {
            all.push(read(&mut Items::new(value, self.ledger)?)?);
        }
        Some(all)
    }

    /// Bytes, or what stands for none.
    fn optional(&mut self) -> Option<Option<Bytes>> {
        match self.next()? {
            Value::Nil => Some(None),
            value => Some(Some(reply::into_bytes(value)?)),
        }
    }

    fn optional_text(&mut self) -> Option<Option<String>> {
        match self.optional()? {
            None => Some(None),
            Some(bytes) => Some(Some(String::from_utf8(bytes.into()).ok()?)),
        }
    }

    fn text(&mut self) -> Option<String> {
        self.optional_text()?
    }

    fn number<T: FromStr>(&mut self) -> Option<T> {
        self.text()?.parse().ok()
    }

    fn optional_number(&mut self) -> Option<Option<u64>> {
        match self.optional_text()? {
            None => Some(None),
            Some(text) => Some(Some(text.parse().ok()?)),
        }
    }

    fn id(&mut self) -> Option<TaskId> {
        Some(TaskId { ledger: self.ledger, number: self.number()? })
    }

    fn attempt(&mut self) -> Option<Attempt> {
        let (task, token, method) = (self.id()?, self.number()?, self.text()?);
        let (params, about) = (self.optional()??, self.optional()??);
        let (caller, headers): (Caller, Vec<(String, String)>) = value::decode(&about).ok()?;
        let headers = headers.into_iter().map(|(name, value)| (name.into(), value.into()));
        let (method, headers) = (method.into(), headers.collect());
        let time_left = self.optional_number()?.map(Duration::from_micros);
        Some(Attempt { task, token, method, params, caller, headers, time_left })
    }

    fn view(&mut self) -> Option<View> {
        let (id, method, about) = (self.id()?, self.text()?, self.optional()??);
        let (caller, headers): (Caller, Vec<(String, String)>) = value::decode(&about).ok()?;
        let key = match (self.optional_text()?, self.optional()?) {
            (Some(key), Some(hash)) => {
                Some(Key { key, arguments: ArgumentsHash((&*hash).try_into().ok()?) })
            }
            _ => None,
        };
        let accepted = Timestamp(self.number()?);
        let expires = self.optional_number()?.map(Timestamp);
        let (state, at) = (self.text()?, Timestamp(self.number()?));
        let (why, holder) = (self.optional_text()?, self.optional_text()?);
        let (outcome, value) = (self.optional_text()?, self.optional()?);
        let state = match &*state {
            "w" => State::Waiting { due: at, why: read_why(&why?)? },
            "r" => State::Running { holder: read_holder(&holder?)?, since: at },
            "e" => State::Ended { at, outcome: read_outcome(&outcome?, value)? },
            _ => return None,
        };
        let task = Task {
            number: id.number,
            method,
            caller,
            headers,
            key,
            accepted,
            expires,
            state,
            token: self.number()?,
            crashes: self.number()?,
            failures: self.number()?,
            interruptions: self.number()?,
            problem: self.optional_text()?,
            progress: self.optional()?.map(Into::into),
            retry_of: self.optional_number()?,
            params_size: self.number()?,
        };
        Some(View { id, task })
    }
}

fn read_why(word: &str) -> Option<Why> {
    Some(match word {
        "accepted" => Why::Accepted,
        "failed" => Why::Failed,
        "crashed" => Why::Crashed,
        "interrupted" => Why::Interrupted,
        _ => return None,
    })
}

/// `<server> <node> <epoch>`.
fn read_holder(text: &str) -> Option<Holder> {
    let mut parts = text.rsplitn(3, ' ');
    let epoch = parts.next()?.parse().ok()?;
    let node = NodeId(Uuid::try_parse(parts.next()?).ok()?);
    Some(Holder { server: parts.next()?.to_owned(), node, epoch })
}

fn read_outcome(word: &str, value: Option<Bytes>) -> Option<Outcome> {
    Some(match word {
        "done" => Outcome::Done(value?.into()),
        "failed" => {
            let (code, message, value) = value::decode(&value?).ok()?;
            Outcome::Failed { code, message, value }
        }
        "cancelled" => Outcome::Cancelled,
        "expired" => Outcome::Expired,
        "crashes" => Outcome::Dead(DeadBy::Crashes),
        "failures" => Outcome::Dead(DeadBy::Failures),
        _ => return None,
    })
}
