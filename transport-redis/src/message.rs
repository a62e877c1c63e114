//! Frames as they lie in Redis: several in one value, each after its length.
//!
//! ```text
//! pack     = *(length in 4 bytes, most significant first; frame)
//! message  = length of the sender's name in 1 byte; sender, a member; number in 8 bytes; pack
//! record   = pack                          of a hello, or a hello and an announcement
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use farcall_core::wire::{Announcement, Frame, Hello};

use crate::keys::Member;

/// Appends a frame to a pack.
pub(crate) fn add(frame: &Frame, pack: &mut BytesMut) {
    let at = pack.len();
    pack.reserve(frame.weight());
    pack.put_u32(0);
    frame.encode(pack);
    let length = u32::try_from(pack.len() - at - 4).expect("a frame is far below 4 GiB");
    pack[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// What precedes the frames of a message. Those of number 0 are outside of any order.
pub(crate) fn head(sender: &Member, number: u64, message: &mut BytesMut) {
    let name = sender.as_str().as_bytes();
    message.put_u8(u8::try_from(name.len()).expect("a member's name is short"));
    message.put_slice(name);
    message.put_u64(number);
}

/// How much that is.
pub(crate) fn head_size(sender: &Member) -> usize {
    9 + sender.as_str().len()
}

/// Bytes that are no message, or no pack.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("it ends within a frame")]
    Short,
    #[error("it holds no frame")]
    Empty,
    #[error("its sender is no name")]
    Sender,
    #[error("it holds a frame of {size} bytes, the limit is {limit}")]
    TooLarge { size: usize, limit: usize },
    #[error("it holds no frame of this protocol: {0}")]
    Frame(String),
    #[error("it holds a frame that does not belong there")]
    Kind,
}

/// Who sent a message, its number, and the pack of its frames.
pub(crate) fn open(mut message: Bytes) -> Result<(Member, u64, Bytes), Malformed> {
    if message.is_empty() {
        return Err(Malformed::Short);
    }
    let length = usize::from(message.get_u8());
    if message.len() < length + 8 {
        return Err(Malformed::Short);
    }
    let name = message.split_to(length);
    let name = std::str::from_utf8(&name).map_err(|_| Malformed::Sender)?;
    let member = Member::named(name);
    let number = message.get_u64();
    Ok((member, number, message))
}

/// The frames of a pack, as bytes. None is larger than `limit`.
pub(crate) fn split(mut pack: Bytes, limit: usize) -> Result<Vec<Bytes>, Malformed> {
    let mut frames = Vec::new();
    while !pack.is_empty() {
        if pack.len() < 4 {
            return Err(Malformed::Short);
        }
        let size = pack.get_u32() as usize;
        if size > limit {
            return Err(Malformed::TooLarge { size, limit });
        }
        if pack.len() < size {
            return Err(Malformed::Short);
        }
        frames.push(pack.split_to(size));
    }
    if frames.is_empty() { Err(Malformed::Empty) } else { Ok(frames) }
}

/// The frames of a pack.
pub(crate) fn frames(pack: Bytes, limit: usize) -> Result<Vec<Frame>, Malformed> {
    split(pack, limit)?.into_iter().map(decode).collect()
}

pub(crate) fn decode(frame: Bytes) -> Result<Frame, Malformed> {
    Frame::decode(frame).map_err(|error| Malformed::Frame(error.to_string()))
}

/// What a member says of itself.
pub(crate) fn record(hello: &Hello, announcement: Option<&Announcement>) -> Bytes {
    let mut record = BytesMut::new();
    add(&Frame::Hello(Box::new(hello.clone())), &mut record);
    if let Some(announcement) = announcement {
        add(&Frame::Announce(Box::new(announcement.clone())), &mut record);
    }
    record.freeze()
}

/// The most that a record takes.
const RECORD_BYTES: usize = 64 * 1024;

/// Reads what a member says of itself.
pub(crate) fn read_record(record: Bytes) -> Result<(Hello, Option<Announcement>), Malformed> {
    let mut frames = frames(record, RECORD_BYTES)?.into_iter();
    let Some(Frame::Hello(hello)) = frames.next() else { return Err(Malformed::Kind) };
    match frames.next() {
        None => Ok((*hello, None)),
        Some(Frame::Announce(announcement)) => Ok((*hello, Some(*announcement))),
        Some(_) => Err(Malformed::Kind),
    }
}

#[cfg(test)]
mod tests {
    use farcall_core::wire::CallId;

    use super::*;

    fn answer(id: u64) -> Frame {
        Frame::Answer { id: CallId(id), value: Bytes::from_static(&[0xf6]) }
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let mut message = BytesMut::new();
        let member = Member::named("abc-1");
        head(&member, 7, &mut message);
        add(&answer(1), &mut message);
        add(&answer(2), &mut message);
        let (sender, number, pack) = open(message.freeze()).unwrap();
        assert_eq!((sender, number), (member, 7));
        assert_eq!(frames(pack, 100), Ok(vec![answer(1), answer(2)]));
    }

    #[test]
    fn a_record_is_a_hello_and_perhaps_an_announcement() {
        let hello = Hello::new("default", "me");
        assert_eq!(read_record(record(&hello, None)), Ok((hello, None)));
        let mut pack = BytesMut::new();
        add(&answer(1), &mut pack);
        assert_eq!(read_record(pack.freeze()), Err(Malformed::Kind));
    }

    #[test]
    fn garbage_is_refused_before_it_is_believed() {
        let split = |bytes: &[u8]| split(Bytes::copy_from_slice(bytes), 100);
        assert_eq!(split(b""), Err(Malformed::Empty));
        assert_eq!(split(&[0, 0, 0]), Err(Malformed::Short));
        assert_eq!(split(&[0, 0, 0, 2, 1]), Err(Malformed::Short));
        let huge = Malformed::TooLarge { size: 1 << 30, limit: 100 };
        assert_eq!(split(&[0x40, 0, 0, 0, 1]), Err(huge));
        assert_eq!(open(Bytes::new()), Err(Malformed::Short));
        assert_eq!(open(Bytes::from_static(&[9, b'a'])), Err(Malformed::Short));
        let nameless = [&[1, 0xff][..], &[0; 8]].concat();
        assert_eq!(open(nameless.into()), Err(Malformed::Sender));
    }
}
