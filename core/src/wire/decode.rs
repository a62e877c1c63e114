//! Bytes to frames: nothing is allocated for what a length only claims.

use std::time::Duration;

use bytes::Bytes;
use compact_str::CompactString;
use minicbor::Decoder;
use minicbor::data::Type;
use uuid::Uuid;

use super::encode::kind;
use super::frame::Durability;
use super::{
    Announcement, CallFrame, CallId, CallOptions, Failure, Frame, Headers, Hello, MAX_HEADERS,
    MAX_LIST, MAX_NAME_BYTES, NodeId, PartHead, Reason, ServerState, StreamId, TaskOptions,
    WireError,
};

/// The longest text in a frame that is no name: a message, a header's value, a token.
const MAX_TEXT_BYTES: usize = 16 * 1024;
/// The most entries of the small maps, unknown ones included.
const MAX_ENTRIES: u64 = 64;

impl Frame {
    /// Reads one frame that fills `bytes`. The payload is a slice of it, not a copy.
    ///
    /// The payload is not walked through here: it is checked when it is decoded into a type
    /// (see [`crate::value`]), so that a wrong one is its call's failure and not its peer's.
    ///
    /// # Errors
    /// Anything that is not a whole frame of this version with lengths within bounds.
    pub fn decode(bytes: Bytes) -> Result<Frame, WireError> {
        Reader { d: Decoder::new(&bytes), bytes: &bytes }.frame()
    }
}

struct Reader<'b> {
    d: Decoder<'b>,
    bytes: &'b Bytes,
}

impl Reader<'_> {
    fn frame(&mut self) -> Result<Frame, WireError> {
        let len = self.array("frame")?;
        let kind = self.d.u64()?;
        let expected = match kind {
            kind::CALL => 8,
            kind::FAILURE => 6,
            kind::END if len == 7 => 7,
            kind::ITEM | kind::CREDIT | kind::ACCEPTED | kind::QUERY | kind::PART => 4,
            kind::STARTED | kind::ANSWER | kind::END | kind::STOP | kind::GOODBYE => 3,
            kind::HELLO | kind::CANCEL | kind::ANNOUNCE | kind::PING | kind::PONG => 2,
            unknown => return Err(WireError::UnknownKind(unknown)),
        };
        if len != expected {
            return Err(malformed(format!("kind {kind} has {expected} elements, not {len}")));
        }
        let frame = match kind {
            kind::HELLO => Frame::Hello(Box::new(self.hello()?)),
            kind::CALL => Frame::Call(Box::new(CallFrame {
                id: self.id()?,
                low: self.id()?,
                time_left: self.duration()?,
                service: self.name("name of a service")?,
                method: self.name("name of a method")?,
                options: self.options()?,
                params: self.rest()?,
            })),
            kind::STARTED => Frame::Started { id: self.id()?, credit: self.d.u64()? },
            kind::ANSWER => Frame::Answer { id: self.id()?, value: self.rest()? },
            kind::FAILURE => Frame::Failure { id: self.id()?, failure: Box::new(self.failure()?) },
            kind::CANCEL => Frame::Cancel { id: self.id()? },
            kind::ITEM => {
                Frame::Item { id: self.id()?, stream: self.stream()?, value: self.rest()? }
            }
            kind::CREDIT => {
                Frame::Credit { id: self.id()?, stream: self.stream()?, bytes: self.d.u64()? }
            }
            kind::END => Frame::End {
                id: self.id()?,
                stream: self.stream()?,
                failure: if len == 7 { Some(Box::new(self.failure()?)) } else { None },
            },
            kind::STOP => Frame::Stop { id: self.id()?, stream: self.stream()? },
            kind::ACCEPTED => Frame::Accepted {
                id: self.id()?,
                token: self.text("token")?,
                durability: self.durability()?,
            },
            kind::QUERY => Frame::Query {
                id: self.id()?,
                subject: self.name("subject of a query")?,
                params: self.rest()?,
            },
            kind::ANNOUNCE => Frame::Announce(Box::new(self.announcement()?)),
            kind::PING => Frame::Ping { nonce: self.d.u64()? },
            kind::PONG => Frame::Pong { nonce: self.d.u64()? },
            kind::PART => Frame::Part {
                message: self.d.u64()?,
                last: self.d.bool()?,
                bytes: {
                    let part = self.d.bytes()?;
                    self.bytes.slice_ref(part)
                },
            },
            kind::GOODBYE => Frame::Goodbye { reason: self.text("reason")?, clean: self.d.bool()? },
            _ => unreachable!("unknown kinds have returned above"),
        };
        match self.bytes.len() - self.d.position() {
            0 => Ok(frame),
            trailing => Err(WireError::Trailing(trailing)),
        }
    }

    /// The payload is whatever is left: it must be there, and its own reader checks the rest.
    fn rest(&mut self) -> Result<Bytes, WireError> {
        let start = self.d.position();
        if start == self.bytes.len() {
            return Err(WireError::Truncated);
        }
        self.d.set_position(self.bytes.len());
        Ok(self.bytes.slice(start..))
    }

    fn array(&mut self, what: &'static str) -> Result<u64, WireError> {
        self.d.array()?.ok_or_else(|| malformed(format!("{what} is of indefinite length")))
    }

    fn id(&mut self) -> Result<CallId, WireError> {
        Ok(CallId(self.d.u64()?))
    }

    fn stream(&mut self) -> Result<StreamId, WireError> {
        Ok(StreamId(self.d.u32()?))
    }

    fn duration(&mut self) -> Result<Duration, WireError> {
        Ok(Duration::from_micros(self.d.u64()?))
    }

    fn name(&mut self, what: &'static str) -> Result<CompactString, WireError> {
        self.str_within(what, MAX_NAME_BYTES)
    }

    fn text(&mut self, what: &'static str) -> Result<CompactString, WireError> {
        self.str_within(what, MAX_TEXT_BYTES)
    }

    fn str_within(&mut self, what: &'static str, limit: usize) -> Result<CompactString, WireError> {
        let text = self.d.str()?;
        if text.len() > limit {
            return Err(WireError::TooMuch { what, found: text.len() as u64, limit: limit as u64 });
        }
        Ok(CompactString::new(text))
    }

    fn node(&mut self) -> Result<NodeId, WireError> {
        Uuid::from_slice(self.d.bytes()?)
            .map(NodeId)
            .map_err(|_| malformed("the id of a node has 16 bytes".into()))
    }

    fn list(&mut self, what: &'static str) -> Result<Vec<CompactString>, WireError> {
        let len = self.array(what)?;
        if len > MAX_LIST as u64 {
            return Err(WireError::TooMuch { what, found: len, limit: MAX_LIST as u64 });
        }
        (0..len).map(|_| self.name(what)).collect()
    }

    /// Reads a map with text keys, handing each key to `entry`; `false` means an unknown key, whose
    /// value is skipped: that is how later versions add to these maps.
    fn map(
        &mut self,
        what: &'static str,
        mut entry: impl FnMut(&mut Self, &str) -> Result<bool, WireError>,
    ) -> Result<(), WireError> {
        let len =
            self.d.map()?.ok_or_else(|| malformed(format!("{what} is of indefinite length")))?;
        if len > MAX_ENTRIES {
            return Err(WireError::TooMuch { what, found: len, limit: MAX_ENTRIES });
        }
        for _ in 0..len {
            let key = self.name("key")?;
            if !entry(self, &key)? {
                self.d.skip()?;
            }
        }
        Ok(())
    }

    fn null(&mut self) -> Result<bool, WireError> {
        if self.d.datatype()? != Type::Null {
            return Ok(false);
        }
        self.d.null()?;
        Ok(true)
    }

    fn hello(&mut self) -> Result<Hello, WireError> {
        let (mut protocol, mut versions, mut node) = (None, None, None);
        let (mut namespace, mut identity) = (None, None);
        let (mut passive, mut max_message_bytes, mut features) = (false, None, Vec::new());
        self.map("hello", |r, key| {
            match key {
                "protocol" => protocol = Some(r.name("protocol")?),
                "versions" => {
                    if r.array("versions")? != 2 {
                        return Err(malformed("versions are two numbers".into()));
                    }
                    versions = Some((r.d.u32()?, r.d.u32()?));
                }
                "namespace" => namespace = Some(r.name("namespace")?),
                "node" => node = Some(r.node()?),
                "identity" => identity = Some(r.name("identity")?),
                "passive" => passive = r.d.bool()?,
                "max_message_bytes" => max_message_bytes = Some(r.d.u64()?),
                "features" => features = r.list("features")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if protocol.as_deref() != Some("farcall") {
            return Err(malformed("hello is not of the protocol farcall".into()));
        }
        Ok(Hello {
            versions: versions.ok_or_else(|| missing("hello", "versions"))?,
            namespace: namespace.ok_or_else(|| missing("hello", "namespace"))?,
            node: node.ok_or_else(|| missing("hello", "node"))?,
            identity: identity.ok_or_else(|| missing("hello", "identity"))?,
            passive,
            max_message_bytes: max_message_bytes
                .ok_or_else(|| missing("hello", "max_message_bytes"))?,
            features,
        })
    }

    fn announcement(&mut self) -> Result<Announcement, WireError> {
        let (mut service, mut server, mut node, mut state) = (None, None, None, None);
        let (mut epoch, mut concurrency, mut backlog) = (0, 0, 0);
        let mut schema = CompactString::default();
        self.map("announcement", |r, key| {
            match key {
                "service" => service = Some(r.name("name of a service")?),
                "server" => server = Some(r.name("id of a server")?),
                "epoch" => epoch = r.d.u64()?,
                "node" => node = Some(r.node()?),
                "state" => {
                    let word = r.name("state")?;
                    state = Some(ServerState::from_word(&word).ok_or_else(|| {
                        malformed(format!("a server's state is not `{}`", word.escape_debug()))
                    })?);
                }
                "schema" => schema = r.name("hash of a schema")?,
                "concurrency" => concurrency = r.d.u64()?,
                "backlog" => backlog = r.d.u64()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Announcement {
            service: service.ok_or_else(|| missing("announcement", "service"))?,
            server: server.ok_or_else(|| missing("announcement", "server"))?,
            node: node.ok_or_else(|| missing("announcement", "node"))?,
            state: state.ok_or_else(|| missing("announcement", "state"))?,
            epoch,
            schema,
            concurrency,
            backlog,
        })
    }

    fn options(&mut self) -> Result<Option<Box<CallOptions>>, WireError> {
        if self.null()? {
            return Ok(None);
        }
        let mut options = CallOptions::default();
        self.map("options", |r, key| {
            match key {
                "one_way" => options.one_way = r.d.bool()?,
                "attempt" => options.attempt = r.d.u8()?,
                "headers" => options.headers = r.headers()?,
                "streams" => options.streams = r.d.u32()?,
                "credit" => options.credit = r.d.u64()?,
                "task" => options.task = Some(r.task()?),
                "nested" => options.nested = r.d.bool()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(options.into_frame())
    }

    fn headers(&mut self) -> Result<Headers, WireError> {
        let len =
            self.d.map()?.ok_or_else(|| malformed("headers are of indefinite length".into()))?;
        if len > MAX_HEADERS as u64 {
            let limit = MAX_HEADERS as u64;
            return Err(WireError::TooMuch { what: "headers", found: len, limit });
        }
        (0..len).map(|_| Ok((self.name("name of a header")?, self.text("header")?))).collect()
    }

    fn task(&mut self) -> Result<TaskOptions, WireError> {
        let mut task = TaskOptions::default();
        self.map("task", |r, key| {
            match key {
                "key" => task.key = Some(r.text("idempotency key")?),
                "expires_in" => task.expires_in = Some(r.duration()?),
                "detached" => task.detached = r.d.bool()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(task)
    }

    fn durability(&mut self) -> Result<Durability, WireError> {
        Ok(match self.d.u64()? {
            0 => Durability::Memory,
            1 => Durability::EverySecond,
            2 => Durability::Always,
            more => Durability::Replicated(
                u32::try_from(more - 2).map_err(|_| malformed("too many copies".into()))?,
            ),
        })
    }

    /// The last element is the payload: null, or the method's own error.
    fn failure(&mut self) -> Result<Failure, WireError> {
        let code = self.d.u16()?;
        let reason = Reason::from_code(code)
            .ok_or_else(|| malformed(format!("unknown reason of a failure: {code}")))?;
        let mut failure = Failure::new(reason, self.text("message")?.to_string());
        if !self.null()? {
            self.map("details", |r, key| {
                match key {
                    "retry_after" => failure.retry_after = Some(r.duration()?),
                    "nearest" => {
                        let names = r.list("nearest names")?;
                        failure.nearest = names.iter().map(ToString::to_string).collect();
                    }
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        let value = self.rest()?;
        // Null is no value, unless a method's own error is written so.
        let none = value[..] == [0xf6] && reason != Reason::Returned;
        failure.value = if none { None } else { Some(value) };
        Ok(failure)
    }
}

/// Reads the beginning of a part, and answers how many bytes it took.
pub(super) fn part_head(frame: &[u8]) -> Option<(PartHead, usize)> {
    let mut d = Decoder::new(frame);
    if d.array().ok()? != Some(4) || d.u64().ok()? != kind::PART {
        return None;
    }
    let (message, last) = (d.u64().ok()?, d.bool().ok()?);
    // By hand: the decoder wants all of the bytes to be there.
    let (first, rest) = frame.get(d.position()..)?.split_first()?;
    let size = match first {
        0x40..=0x57 => 0,
        0x58..=0x5b => 1 << (first - 0x58),
        _ => return None,
    };
    let len = match size {
        0 => u64::from(first - 0x40),
        _ => rest.get(..size)?.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
    };
    let head = PartHead { message, last, len: usize::try_from(len).ok()? };
    Some((head, d.position() + 1 + size))
}

fn malformed(what: String) -> WireError {
    WireError::Malformed(what)
}

fn missing(what: &str, key: &str) -> WireError {
    malformed(format!("{what} lacks `{key}`"))
}
