//! Frames to bytes.

use std::convert::Infallible;
use std::time::Duration;

use bytes::BytesMut;
use minicbor::Encoder;
use minicbor::encode::Error;

use super::frame::Durability;
use super::{Announcement, CallOptions, Failure, Frame, Hello, PartHead};

/// Why not `expect` alone: the writer cannot fail, and the compiler knows.
type Written = Result<(), Error<Infallible>>;

/// Numbers of the kinds; never used again for something else.
pub(super) mod kind {
    pub(crate) const HELLO: u64 = 0;
    pub(crate) const CALL: u64 = 1;
    pub(crate) const STARTED: u64 = 2;
    pub(crate) const ANSWER: u64 = 3;
    pub(crate) const FAILURE: u64 = 4;
    pub(crate) const CANCEL: u64 = 5;
    pub(crate) const ITEM: u64 = 6;
    pub(crate) const CREDIT: u64 = 7;
    pub(crate) const END: u64 = 8;
    pub(crate) const STOP: u64 = 9;
    pub(crate) const ACCEPTED: u64 = 10;
    pub(crate) const QUERY: u64 = 11;
    pub(crate) const ANNOUNCE: u64 = 12;
    pub(crate) const PING: u64 = 13;
    pub(crate) const PONG: u64 = 14;
    pub(crate) const PART: u64 = 15;
    pub(crate) const GOODBYE: u64 = 16;
}

struct Buffer<'a>(&'a mut BytesMut);

impl minicbor::encode::Write for Buffer<'_> {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl Frame {
    /// Appends the whole frame.
    pub fn encode(&self, out: &mut BytesMut) {
        self.encode_head(out);
        if let Some(payload) = self.payload() {
            out.extend_from_slice(payload);
        }
    }

    /// Appends all but the payload, for transports that write large payloads without copying them.
    pub fn encode_head(&self, out: &mut BytesMut) {
        let mut encoder = Encoder::new(Buffer(out));
        head(self, &mut encoder).expect("a growing buffer takes everything");
    }
}

fn head(frame: &Frame, e: &mut Encoder<Buffer<'_>>) -> Written {
    match frame {
        Frame::Hello(it) => {
            e.array(2)?.u64(kind::HELLO)?;
            hello(it, e)?;
        }
        Frame::Call(call) => {
            e.array(8)?.u64(kind::CALL)?.u64(call.id.0)?.u64(call.low.0)?;
            e.u64(micros(call.time_left))?.str(&call.service)?.str(&call.method)?;
            options(call.options.as_deref(), e)?;
        }
        Frame::Started { id, credit } => {
            e.array(3)?.u64(kind::STARTED)?.u64(id.0)?.u64(*credit)?;
        }
        Frame::Answer { id, .. } => {
            e.array(3)?.u64(kind::ANSWER)?.u64(id.0)?;
        }
        Frame::Failure { id, failure: it } => {
            e.array(6)?.u64(kind::FAILURE)?.u64(id.0)?;
            failure(it, e)?;
        }
        Frame::Cancel { id } => {
            e.array(2)?.u64(kind::CANCEL)?.u64(id.0)?;
        }
        Frame::Item { id, stream, .. } => {
            e.array(4)?.u64(kind::ITEM)?.u64(id.0)?.u32(stream.0)?;
        }
        Frame::Credit { id, stream, bytes } => {
            e.array(4)?.u64(kind::CREDIT)?.u64(id.0)?.u32(stream.0)?.u64(*bytes)?;
        }
        Frame::End { id, stream, failure: it } => {
            e.array(if it.is_some() { 7 } else { 3 })?;
            e.u64(kind::END)?.u64(id.0)?.u32(stream.0)?;
            if let Some(it) = it {
                failure(it, e)?;
                if let Some(value) = &it.value {
                    raw(value, e);
                }
            }
        }
        Frame::Stop { id, stream } => {
            e.array(3)?.u64(kind::STOP)?.u64(id.0)?.u32(stream.0)?;
        }
        Frame::Accepted { id, token, durability } => {
            e.array(4)?.u64(kind::ACCEPTED)?.u64(id.0)?.str(token)?;
            e.u64(match durability {
                Durability::Memory => 0,
                Durability::EverySecond => 1,
                Durability::Always => 2,
                Durability::Replicated(copies) => 2 + u64::from((*copies).max(1)),
            })?;
        }
        Frame::Query { id, subject, .. } => {
            e.array(4)?.u64(kind::QUERY)?.u64(id.0)?.str(subject)?;
        }
        Frame::Announce(it) => {
            e.array(2)?.u64(kind::ANNOUNCE)?;
            announcement(it, e)?;
        }
        Frame::Ping { nonce } => {
            e.array(2)?.u64(kind::PING)?.u64(*nonce)?;
        }
        Frame::Pong { nonce } => {
            e.array(2)?.u64(kind::PONG)?.u64(*nonce)?;
        }
        Frame::Part { message, last, bytes } => {
            part(PartHead { message: *message, last: *last, len: bytes.len() }, e)?;
        }
        Frame::Goodbye { reason, clean } => {
            e.array(3)?.u64(kind::GOODBYE)?.str(reason)?.bool(*clean)?;
        }
    }
    Ok(())
}

/// Appends all of a part but its bytes.
pub(super) fn part_head(head: PartHead, out: &mut BytesMut) {
    part(head, &mut Encoder::new(Buffer(out))).expect("a growing buffer takes everything");
}

fn part(head: PartHead, e: &mut Encoder<Buffer<'_>>) -> Written {
    e.array(4)?.u64(kind::PART)?.u64(head.message)?.bool(head.last)?;
    e.bytes_len(head.len as u64)?;
    Ok(())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn raw(value: &[u8], e: &mut Encoder<Buffer<'_>>) {
    e.writer_mut().0.extend_from_slice(value);
}

fn hello(it: &Hello, e: &mut Encoder<Buffer<'_>>) -> Written {
    e.map(8)?.str("protocol")?.str("farcall")?;
    e.str("versions")?.array(2)?.u32(it.versions.0)?.u32(it.versions.1)?;
    e.str("namespace")?.str(&it.namespace)?;
    e.str("node")?.bytes(it.node.0.as_bytes())?;
    e.str("identity")?.str(&it.identity)?;
    e.str("passive")?.bool(it.passive)?;
    e.str("max_message_bytes")?.u64(it.max_message_bytes)?;
    e.str("features")?.array(it.features.len() as u64)?;
    for feature in &it.features {
        e.str(feature)?;
    }
    Ok(())
}

fn announcement(it: &Announcement, e: &mut Encoder<Buffer<'_>>) -> Written {
    e.map(8)?.str("service")?.str(&it.service)?;
    e.str("server")?.str(&it.server)?;
    e.str("epoch")?.u64(it.epoch)?;
    e.str("node")?.bytes(it.node.0.as_bytes())?;
    e.str("state")?.str(it.state.as_str())?;
    e.str("schema")?.str(&it.schema)?;
    e.str("concurrency")?.u64(it.concurrency)?;
    e.str("backlog")?.u64(it.backlog)?;
    Ok(())
}

fn options(it: Option<&CallOptions>, e: &mut Encoder<Buffer<'_>>) -> Written {
    let Some(it) = it else {
        e.null()?;
        return Ok(());
    };
    let entries = [
        it.one_way,
        it.attempt != 0,
        !it.headers.is_empty(),
        it.streams != 0,
        it.credit != 0,
        it.task.is_some(),
        it.nested,
    ];
    e.map(entries.iter().filter(|present| **present).count() as u64)?;
    if it.one_way {
        e.str("one_way")?.bool(true)?;
    }
    if it.attempt != 0 {
        e.str("attempt")?.u8(it.attempt)?;
    }
    if !it.headers.is_empty() {
        e.str("headers")?.map(it.headers.len() as u64)?;
        for (name, value) in &it.headers {
            e.str(name)?.str(value)?;
        }
    }
    if it.streams != 0 {
        e.str("streams")?.u32(it.streams)?;
    }
    if it.credit != 0 {
        e.str("credit")?.u64(it.credit)?;
    }
    if let Some(task) = &it.task {
        let entries = [task.key.is_some(), task.expires_in.is_some(), task.detached];
        e.str("task")?.map(entries.iter().filter(|present| **present).count() as u64)?;
        if let Some(key) = &task.key {
            e.str("key")?.str(key)?;
        }
        if let Some(expires_in) = task.expires_in {
            e.str("expires_in")?.u64(micros(expires_in))?;
        }
        if task.detached {
            e.str("detached")?.bool(true)?;
        }
    }
    if it.nested {
        e.str("nested")?.bool(true)?;
    }
    Ok(())
}

/// The code, message and details; the value follows as the payload, or is written as null here.
fn failure(it: &Failure, e: &mut Encoder<Buffer<'_>>) -> Written {
    e.u16(it.reason.code())?.str(&it.message)?;
    let entries = [it.retry_after.is_some(), !it.nearest.is_empty()];
    match entries.iter().filter(|present| **present).count() {
        0 => e.null()?,
        present => e.map(present as u64)?,
    };
    if let Some(retry_after) = it.retry_after {
        e.str("retry_after")?.u64(micros(retry_after))?;
    }
    if !it.nearest.is_empty() {
        e.str("nearest")?.array(it.nearest.len() as u64)?;
        for name in &it.nearest {
            e.str(name)?;
        }
    }
    if it.value.is_none() {
        e.null()?;
    }
    Ok(())
}
