//! A call's parameters: written by position, read by position or by name.

use std::rc::Rc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::stream::ArgumentStream;
use crate::value::{self, ValueError};
use crate::wire::{Failure, Reason, StreamId, WireError, well_formed};

/// Parameters as they arrived: a CBOR array (by position) or map (by name).
#[derive(Clone, Debug)]
pub struct Params(Bytes);

impl Params {
    /// The encoded parameters of a call.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Params(bytes)
    }

    /// Their size in bytes, encoded.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Gets ready to read the parameters of a method in the order of their `names`.
    ///
    /// # Errors
    /// There are too many, or one of an unknown name.
    pub fn arguments(&self, names: &'static [&'static str]) -> Result<Arguments<'_>, Failure> {
        // The list of them is no level of nesting of any.
        value::check(&self.0, value::MAX_DEPTH + 1)
            .map_err(|error| wrong(format!("arguments: {error}")))?;
        let mut decoder = minicbor::Decoder::new(&self.0);
        let form = match decoder.datatype() {
            Ok(minicbor::data::Type::Array) => {
                let given = decoder.array().map_err(malformed)?.unwrap_or_default();
                if given > names.len() as u64 {
                    let (takes, list) = (names.len(), list(names));
                    return Err(wrong(format!("{given} arguments given, it takes {takes}{list}")));
                }
                let left = usize::try_from(given).unwrap_or_default();
                Form::Positions { left, rest: &self.0[decoder.position()..] }
            }
            Ok(minicbor::data::Type::Map) => {
                let given = decoder.map().map_err(malformed)?.unwrap_or_default();
                Form::Names(self.names(&mut decoder, given, names)?)
            }
            _ => {
                let message = "arguments must be a list or a map of them, of definite length";
                return Err(wrong(message.into()));
            }
        };
        Ok(Arguments { names, next: 0, streams: 0, form })
    }

    fn names<'a>(
        &'a self,
        decoder: &mut minicbor::Decoder<'a>,
        given: u64,
        names: &[&str],
    ) -> Result<Vec<(&'a str, &'a [u8])>, Failure> {
        let mut found: Vec<(&str, &[u8])> = Vec::new();
        for _ in 0..given {
            let name = decoder.str().map_err(malformed)?;
            if !names.contains(&name) {
                let mut failure = wrong(format!(
                    "no argument is named `{}`, it takes {}{}",
                    name.escape_debug(),
                    names.len(),
                    list(names)
                ));
                failure.nearest = crate::nearest::nearest_few(name, names.iter().copied());
                return Err(failure);
            }
            if found.iter().any(|(earlier, _)| *earlier == name) {
                return Err(wrong(format!("argument `{name}` is given twice")));
            }
            let rest = &self.0[decoder.position()..];
            let len = well_formed(rest, value::MAX_DEPTH, value::MAX_ITEMS).map_err(malformed)?.len;
            found.push((name, &rest[..len]));
            decoder.set_position(decoder.position() + len);
        }
        match self.0.len() - decoder.position() {
            0 => Ok(found),
            trailing => Err(follow(trailing)),
        }
    }
}

/// Parameters about to be read, one after the other.
#[derive(Debug)]
pub struct Arguments<'a> {
    names: &'static [&'static str],
    next: usize,
    /// How many argument streams were taken.
    streams: u32,
    form: Form<'a>,
}

#[derive(Debug)]
enum Form<'a> {
    Positions { left: usize, rest: &'a [u8] },
    Names(Vec<(&'a str, &'a [u8])>),
}

/// CBOR null: what an absent argument is read from, so that optional ones are filled in.
pub(crate) const NULL: &[u8] = &[0xf6];

impl<'a> Arguments<'a> {
    /// Reads the next parameter. An absent one is read as null, which is `None` for an `Option`.
    ///
    /// # Errors
    /// It is absent and not optional, or not of the type.
    #[allow(clippy::should_implement_trait, reason = "the type differs from call to call")]
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        self.take(value::decode_next)
    }

    /// Reads the next parameter, which is a byte string; an array of numbers is taken too.
    ///
    /// # Errors
    /// It is absent, or neither of the two.
    pub fn next_bytes(&mut self) -> Result<Vec<u8>, Failure> {
        self.take(value::decode_next_bytes)
    }

    /// Takes the next argument stream, which has this name; `decode` reads its items.
    ///
    /// # Errors
    /// The call has no more of them.
    pub fn next_stream<T>(
        &mut self,
        context: &Context,
        name: &'static str,
        decode: fn(&[u8]) -> Result<T, ValueError>,
    ) -> Result<ArgumentStream<T>, Failure> {
        self.streams += 1;
        let stream = StreamId(self.streams);
        match context.streams() {
            Some(streams) if streams.has_argument(stream) => {
                Ok(ArgumentStream::new(Rc::clone(streams), stream, name, decode))
            }
            _ => Err(wrong(format!("argument `{name}` is a stream, which the call does not have"))),
        }
    }

    /// How many argument streams were taken so far.
    pub(crate) fn streams_taken(&self) -> usize {
        self.streams as usize
    }

    fn take<T>(
        &mut self,
        read: impl Fn(&mut &'a [u8]) -> Result<T, ValueError>,
    ) -> Result<T, Failure> {
        let name = self.names.get(self.next).copied().unwrap_or_default();
        self.next += 1;
        let given = match &mut self.form {
            Form::Positions { left: 0, .. } => None,
            Form::Positions { left, rest } => {
                *left -= 1;
                Some(read(rest))
            }
            Form::Names(found) => {
                let slice = found.iter().find(|(given, _)| *given == name);
                slice.map(|(_, slice)| read(&mut &**slice))
            }
        };
        match given {
            Some(value) => value.map_err(|error| wrong(format!("argument `{name}`: {error}"))),
            None => read(&mut &*NULL).map_err(|_| {
                let (takes, list) = (self.names.len(), list(self.names));
                wrong(format!("argument `{name}` is missing, it takes {takes}{list}"))
            }),
        }
    }

    /// Says that all parameters were read.
    ///
    /// # Errors
    /// Bytes follow them.
    pub fn finish(&self) -> Result<(), Failure> {
        match &self.form {
            Form::Positions { rest, .. } if !rest.is_empty() => Err(follow(rest.len())),
            _ => Ok(()),
        }
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

fn wrong(message: String) -> Failure {
    Failure::new(Reason::WrongArguments, message)
}

fn follow(trailing: usize) -> Failure {
    wrong(format!("{trailing} bytes follow the arguments"))
}

fn malformed(error: impl Into<WireError>) -> Failure {
    wrong(format!("arguments: {}", error.into()))
}

/// Parameters being written by position.
///
/// A failure to encode is kept and comes out with the call, so that writing needs no checks.
#[derive(Debug)]
pub struct ParamsWriter {
    out: Vec<u8>,
    failure: Option<Failure>,
}

impl ParamsWriter {
    /// For this many parameters.
    #[must_use]
    pub fn positions(count: usize) -> Self {
        let mut out = Vec::with_capacity(64);
        write_head(4, count as u64, &mut out);
        ParamsWriter { out, failure: None }
    }

    /// Writes the next one.
    pub fn push<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        if let Err(error) = value::encode_into(value, &mut self.out) {
            self.failure.get_or_insert_with(|| {
                Failure::new(Reason::ArgumentsUnencodable, format!("argument `{name}`: {error}"))
            });
        }
    }

    /// Writes the next one as a byte string.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 9);
        write_head(2, bytes.len() as u64, &mut self.out);
        self.out.extend_from_slice(bytes);
    }

    /// The encoded parameters.
    ///
    /// # Errors
    /// One of them could not be encoded.
    pub fn finish(self) -> Result<Bytes, Failure> {
        match self.failure {
            None => Ok(self.out.into()),
            Some(failure) => Err(failure),
        }
    }
}

/// Parameters of a dynamic call: a tuple or list (by position), a map or struct (by name), or `()`.
pub(crate) fn encode_dynamic<T: Serialize + ?Sized>(args: &T) -> Result<Bytes, Failure> {
    let bytes = value::encode(args).map_err(|error| {
        Failure::new(Reason::ArgumentsUnencodable, format!("arguments: {error}"))
    })?;
    match bytes.first().map(|initial| initial >> 5) {
        Some(4 | 5) => Ok(bytes.into()),
        // The unit.
        Some(7) if bytes[..] == *NULL => Ok(Bytes::from_static(&[0x80])),
        _ => Err(Failure::new(
            Reason::ArgumentsUnencodable,
            "arguments must be a tuple, list, map or struct of them; for a single one write `(x,)`",
        )),
    }
}

/// How many bytes the head of a CBOR item takes.
pub(crate) fn head_len(argument: u64) -> usize {
    match argument {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

/// Appends the head of a CBOR item.
pub(crate) fn write_head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    match argument {
        0..=23 => out.push(major | argument as u8),
        24..=0xff => out.extend_from_slice(&[major | 24, argument as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&(argument as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&(argument as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const NAMES: &[&str] = &["a", "b"];

    fn read(params: &Params) -> Result<(i64, Option<String>), Failure> {
        let mut arguments = params.arguments(NAMES)?;
        let read = (arguments.next()?, arguments.next()?);
        arguments.finish()?;
        Ok(read)
    }

    fn dynamic<T: Serialize>(args: T) -> Params {
        Params::new(encode_dynamic(&args).unwrap())
    }

    #[test]
    fn positions_and_names_give_the_same() {
        let expected = Ok((7, Some("x".to_owned())));
        assert_eq!(read(&dynamic((7, "x"))), expected);
        let by_name: BTreeMap<&str, ciborium::Value> =
            BTreeMap::from([("b", "x".into()), ("a", 7.into())]);
        assert_eq!(read(&dynamic(by_name)), expected);
    }

    #[test]
    fn an_absent_optional_argument_is_none() {
        assert_eq!(read(&dynamic((7,))), Ok((7, None)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (dynamic(()), "argument `a` is missing, it takes 2 (a, b)"),
            (dynamic((1, "x", 2)), "3 arguments given, it takes 2 (a, b)"),
            (dynamic(("one", "x")), "argument `a`: "),
            (dynamic((1, 2)), "argument `b`: "),
            (dynamic(BTreeMap::from([("aa", 1)])), "no argument is named `aa`"),
        ];
        for (params, message) in cases {
            let failure = read(&params).unwrap_err();
            assert_eq!(failure.reason, Reason::WrongArguments);
            assert!(failure.message.starts_with(message), "{} / {message}", failure.message);
        }
    }

    #[test]
    fn bytes_travel_as_a_byte_string() {
        let mut writer = ParamsWriter::positions(1);
        writer.push_bytes(&[1, 2, 3]);
        let bytes = writer.finish().unwrap();
        assert_eq!(bytes[..], [0x81, 0x43, 1, 2, 3]);
        let params = Params::new(bytes);
        assert_eq!(params.arguments(&["a"]).unwrap().next_bytes().unwrap(), [1, 2, 3]);
        let list = dynamic((vec![1_u8, 200],));
        assert_eq!(list.arguments(&["a"]).unwrap().next_bytes().unwrap(), [1, 200]);
    }

    #[test]
    fn heads_are_the_shortest_there_are() {
        for (argument, len) in
            [(23, 1), (24, 2), (255, 2), (256, 3), (65535, 3), (65536, 5), (1 << 32, 9)]
        {
            let mut out = Vec::new();
            write_head(2, argument, &mut out);
            assert_eq!((out.len(), head_len(argument)), (len, len));
            assert!(minicbor::Decoder::new(&out).u64().is_err(), "it is no number");
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode_dynamic(&(7, "x")).unwrap().to_vec();
        bytes.push(0);
        assert!(read(&Params::new(bytes.into())).unwrap_err().message.contains("follow"));
    }
}
