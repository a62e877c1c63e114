//! Whatever comes from a peer, reading it ends with a frame or an error; and what is written is read
//! as it was.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ciborium::Value;
use compact_str::CompactString;
use farcall_core::params::Params;
use farcall_core::value::{self, MAX_DEPTH, MAX_ITEMS};
use farcall_core::wire::{
    Announcement, Assembler, CallFrame, CallId, CallOptions, Cutter, Durability, Failure, Frame,
    Headers, Hello, MAX_HEADERS, MAX_NAME_BYTES, MAX_OPEN_MESSAGES, NodeId, PartHead, Reason,
    ServerState, StreamId, TaskOptions, well_formed,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::Union;
use uuid::Uuid;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 8 * ProptestConfig::default().cases,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..256)) {
        read_every_way(&bytes);
    }

    #[test]
    fn any_row_of_heads_is_read_without_panic(bytes in heads()) {
        read_every_way(&bytes);
    }

    #[test]
    fn any_beginning_of_a_frame_is_read_without_panic(
        kind in 0..20_u8, len in 1..10_u8, rest in heads(),
    ) {
        read_every_way(&[&[0x80 | len, kind], &rest[..]].concat());
    }

    #[test]
    fn a_damaged_frame_is_read_without_panic(frame in frame(), damage in vec(damage(), 1..6)) {
        let mut bytes = encode(&frame).to_vec();
        for blow in damage {
            blow.strike(&mut bytes);
        }
        read_every_way(&bytes);
    }

    #[test]
    fn frames_in_parts_are_put_together_whatever_their_turns(
        frames in vec(frame(), 1..=MAX_OPEN_MESSAGES), turns in vec((any::<Index>(), 1..200_usize), 1..100),
    ) {
        let whole: usize = frames.iter().map(|frame| encode(frame).len()).sum();
        let mut assembler = Assembler::new(whole);
        let mut cutters: Vec<_> = (0..).zip(frames.iter().map(Cutter::new)).collect();
        let mut begun = Vec::new();
        let mut turns = turns.iter().cycle();
        while !cutters.is_empty() {
            let (turn, at_most) = turns.next().expect("they are endless");
            let at = turn.index(cutters.len());
            let (frame, cutter) = &mut cutters[at];
            let frame: usize = *frame;
            // Numbers are given in the order in which messages begin.
            let message = begun.iter().position(|it| *it == frame).unwrap_or_else(|| {
                begun.push(frame);
                begun.len() - 1
            });
            let piece = cutter.cut(*at_most);
            let last = cutter.is_empty();
            let bytes = [&piece.head[..], &piece.payload[..]].concat();
            let put = assembler.push(message as u64, last, &bytes).unwrap();
            prop_assert_eq!(put.is_some(), last);
            if let Some(put) = put {
                prop_assert_eq!(&Frame::decode(put.freeze()).unwrap(), &frames[frame]);
                cutters.remove(at);
            }
        }
        prop_assert_eq!(assembler.oldest(), None);
    }

    #[test]
    fn any_parts_are_taken_or_refused_without_panic(
        parts in vec((0..8_u64, any::<bool>(), 0..40_usize), 0..60),
    ) {
        let mut assembler = Assembler::new(100);
        for (message, last, len) in parts {
            if let Ok(Some(whole)) = assembler.push(message, last, &[7; 40][..len]) {
                prop_assert!(!whole.is_empty() && whole.len() <= 100);
            }
        }
    }

    #[test]
    fn the_head_of_a_part_is_that_which_the_whole_has(rest in heads()) {
        let bytes = [b"\x84\x0f", &rest[..]].concat();
        if let Ok(Frame::Part { message, last, bytes: piece }) = Frame::decode(bytes.clone().into()) {
            let (head, took) = PartHead::peek(&bytes).unwrap();
            prop_assert_eq!(head, PartHead { message, last, len: piece.len() });
            prop_assert_eq!(took + piece.len(), bytes.len());
        } else {
            let _ = PartHead::peek(&bytes);
        }
    }

    #[test]
    fn a_damaged_value_is_read_without_panic(value in item(), damage in vec(damage(), 1..6)) {
        let mut bytes = value;
        for blow in damage {
            blow.strike(&mut bytes);
        }
        read_every_way(&bytes);
    }
}

proptest! {
    #[test]
    fn a_frame_is_read_as_it_was_written(frame in frame()) {
        let bytes = encode(&frame);
        prop_assert_eq!(Frame::decode(bytes.clone()), Ok(frame.clone()));
        // What transports write that do not copy payloads.
        let mut head = BytesMut::new();
        frame.encode_head(&mut head);
        head.extend_from_slice(frame.payload().map_or(&[], |payload| &payload[..]));
        prop_assert_eq!(head.freeze(), bytes);
    }

    #[test]
    fn every_item_is_walked_to_its_end(item in item(), more in vec(any::<u8>(), 0..4)) {
        let bytes = [&item[..], &more[..]].concat();
        let found = well_formed(&bytes, MAX_DEPTH, MAX_ITEMS);
        prop_assert_eq!(found.map(|found| found.len), Ok(item.len()));
    }

    #[test]
    fn a_walk_goes_on_to_the_last_byte(item in item()) {
        for cut in 0..item.len() {
            prop_assert!(well_formed(&item[..cut], MAX_DEPTH, MAX_ITEMS).is_err(), "cut at {}", cut);
        }
    }

    #[test]
    fn an_unknown_key_is_skipped_whatever_its_value(item in item()) {
        let options = [b"\xa2\x61x", &item[..], b"\x67attempt\x02"].concat();
        let call = [b"\x88\x01\x01\x01\x01\x61s\x61m", &options[..], b"\x80"].concat();
        match Frame::decode(call.into()) {
            Ok(Frame::Call(call)) => {
                prop_assert_eq!(call.options.map(|options| options.attempt), Some(2));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

/// All that is done with a peer's bytes, whatever they are.
fn read_every_way(bytes: &[u8]) {
    if let Ok(frame) = Frame::decode(Bytes::copy_from_slice(bytes)) {
        // What was read can be written, and means the same then.
        assert_eq!(Frame::decode(encode(&frame)), Ok(frame));
    }
    let walked = well_formed(bytes, MAX_DEPTH, 1000);
    assert!(walked.is_err() || walked.is_ok_and(|found| found.len <= bytes.len()));
    if value::decode::<Value>(bytes).is_ok() {
        // Whoever trusts the walk takes all that the reader takes.
        let walked = well_formed(bytes, 2 * MAX_DEPTH, MAX_ITEMS);
        assert_eq!(walked.map(|found| found.len), Ok(bytes.len()));
    }
    let _ = value::decode_bytes(bytes);
    let _ = value::decode::<Vec<Option<(String, f32)>>>(bytes);
    let params = Params::new(Bytes::copy_from_slice(bytes));
    if let Ok(mut arguments) = params.arguments(&["a", "b"]) {
        let _ = arguments.next::<Value>();
        let _ = arguments.next_bytes();
        let _ = arguments.finish();
    }
}

fn encode(frame: &Frame) -> Bytes {
    let mut out = BytesMut::new();
    frame.encode(&mut out);
    out.freeze()
}

/// One thing that can befall bytes.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Repeat(Index, Index),
}

impl Damage {
    fn strike(self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Damage::Flip(at, mask) => *at.get_mut(bytes) ^= mask,
            Damage::Insert(at, byte) => bytes.insert(at.index(bytes.len()), byte),
            Damage::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Damage::Repeat(from, to) => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                let piece = bytes[from.min(to)..from.max(to)].to_vec();
                let at = from.min(to);
                bytes.splice(at..at, piece);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, mask)| Damage::Flip(at, mask)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        at().prop_map(Damage::Remove),
        at().prop_map(Damage::Cut),
        (at(), at()).prop_map(|(from, to)| Damage::Repeat(from, to)),
    ]
}

/// Heads of CBOR items one after the other, whether they make sense together or not. Small
/// arguments are likely, and so are those that claim more than there is.
fn heads() -> impl Strategy<Value = Vec<u8>> {
    let argument = prop_oneof![
        4 => 0..24_u64,
        2 => 0..300_u64,
        1 => any::<u64>(),
        1 => Just(1 << 60),
        1 => Just(u64::MAX),
    ];
    let head = prop_oneof![
        8 => (0..8_u8, argument, 0..5_u8)
            .prop_map(|(major, argument, width)| head(major, argument, width)),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
        1 => Just(vec![0x9f]),
        1 => Just(vec![0xff]),
        1 => Just(b"\x67service".to_vec()),
    ];
    vec(head, 0..40).prop_map(|heads| heads.concat())
}

/// A head whose argument takes at least 0, 1, 2, 4 or 8 bytes.
fn head(major: u8, argument: u64, width: u8) -> Vec<u8> {
    let least = match argument {
        0..=23 => 0,
        24..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 3,
        _ => 4,
    };
    let major = major << 5;
    match width.max(least) {
        0 => vec![major | argument as u8],
        width => {
            let bytes = 1 << (width - 1);
            let mut head = vec![major | (23 + width)];
            head.extend_from_slice(&argument.to_be_bytes()[8 - bytes..]);
            head
        }
    }
}

/// One well-formed CBOR item, in any of the forms that there are.
fn item() -> impl Strategy<Value = Vec<u8>> {
    let width = || 0..5_u8;
    let number = (0..2_u8, any::<u64>(), width()).prop_map(|(m, value, w)| head(m, value, w));
    let bytes = (vec(any::<u8>(), 0..30), width())
        .prop_map(|(bytes, width)| [head(2, bytes.len() as u64, width), bytes].concat());
    let text = (".{0,12}", width())
        .prop_map(|(text, width)| [head(3, text.len() as u64, width), text.into_bytes()].concat());
    let bytes_in_pieces = vec(bytes.clone(), 0..3)
        .prop_map(|pieces| [&[0x5f], &pieces.concat()[..], &[0xff]].concat());
    let text_in_pieces = vec(text.clone(), 0..3)
        .prop_map(|pieces| [&[0x7f], &pieces.concat()[..], &[0xff]].concat());
    let float = any::<f64>().prop_map(|float| [&[0xfb], &float.to_be_bytes()[..]].concat());
    let simple = (0xf4..=0xf7_u8).prop_map(|simple| vec![simple]);
    let leaf = Union::new([
        number.boxed(),
        bytes.boxed(),
        text.boxed(),
        bytes_in_pieces.boxed(),
        text_in_pieces.boxed(),
        float.boxed(),
        simple.boxed(),
    ]);
    leaf.prop_recursive(6, 60, 5, move |inner| {
        let items = vec(inner.clone(), 0..5);
        let pairs = vec((inner.clone(), inner.clone()), 0..4)
            .prop_map(|pairs| pairs.into_iter().map(|(k, v)| [k, v].concat()).collect::<Vec<_>>());
        let open =
            |start: u8, items: Vec<Vec<u8>>| [&[start], &items.concat()[..], &[0xff]].concat();
        prop_oneof![
            (items.clone(), width()).prop_map(|(items, w)| [
                head(4, items.len() as u64, w),
                items.concat()
            ]
            .concat()),
            (pairs.clone(), width()).prop_map(|(pairs, w)| [
                head(5, pairs.len() as u64, w),
                pairs.concat()
            ]
            .concat()),
            items.prop_map(move |items| open(0x9f, items)),
            pairs.prop_map(move |pairs| open(0xbf, pairs)),
            (0..100_u64, inner).prop_map(|(tag, item)| [head(6, tag, 0), item].concat()),
        ]
    })
}

/// Any frame that can be sent.
fn frame() -> impl Strategy<Value = Frame> {
    let id = || any::<u64>().prop_map(CallId);
    let stream = || prop_oneof![Just(0), any::<u32>()].prop_map(StreamId);
    let kinds = [
        hello().prop_map(|it| Frame::Hello(Box::new(it))).boxed(),
        call().prop_map(|it| Frame::Call(Box::new(it))).boxed(),
        (id(), any::<u64>()).prop_map(|(id, credit)| Frame::Started { id, credit }).boxed(),
        (id(), payload()).prop_map(|(id, value)| Frame::Answer { id, value }).boxed(),
        (id(), failure())
            .prop_map(|(id, failure)| Frame::Failure { id, failure: failure.into() })
            .boxed(),
        id().prop_map(|id| Frame::Cancel { id }).boxed(),
        (id(), stream(), payload())
            .prop_map(|(id, stream, value)| Frame::Item { id, stream, value })
            .boxed(),
        (id(), stream(), any::<u64>())
            .prop_map(|(id, stream, bytes)| Frame::Credit { id, stream, bytes })
            .boxed(),
        (id(), stream(), option::of(failure()))
            .prop_map(|(id, stream, failure)| Frame::End {
                id,
                stream,
                failure: failure.map(Box::new),
            })
            .boxed(),
        (id(), stream()).prop_map(|(id, stream)| Frame::Stop { id, stream }).boxed(),
        (id(), text(), durability())
            .prop_map(|(id, token, durability)| Frame::Accepted { id, token, durability })
            .boxed(),
        (id(), name(), payload())
            .prop_map(|(id, subject, params)| Frame::Query { id, subject, params })
            .boxed(),
        announcement().prop_map(|it| Frame::Announce(Box::new(it))).boxed(),
        any::<u64>().prop_map(|nonce| Frame::Ping { nonce }).boxed(),
        any::<u64>().prop_map(|nonce| Frame::Pong { nonce }).boxed(),
        (any::<u64>(), any::<bool>(), vec(any::<u8>(), 0..300))
            .prop_map(|(message, last, bytes)| Frame::Part { message, last, bytes: bytes.into() })
            .boxed(),
        (text(), any::<bool>())
            .prop_map(|(reason, clean)| Frame::Goodbye { reason, clean })
            .boxed(),
    ];
    Union::new(kinds)
}

fn hello() -> impl Strategy<Value = Hello> {
    let features = vec(name(), 0..4);
    (any::<(u32, u32)>(), name(), node(), name(), any::<bool>(), any::<u64>(), features).prop_map(
        |(versions, namespace, node, identity, passive, max_message_bytes, features)| Hello {
            versions,
            namespace,
            node,
            identity,
            passive,
            max_message_bytes,
            features,
        },
    )
}

fn call() -> impl Strategy<Value = CallFrame> {
    (any::<u64>(), any::<u64>(), micros(), name(), name(), options(), payload()).prop_map(
        |(id, low, time_left, service, method, options, params)| CallFrame {
            id: CallId(id),
            low: CallId(low),
            time_left,
            service,
            method,
            options: options.into_frame(),
            params,
        },
    )
}

fn options() -> impl Strategy<Value = CallOptions> {
    let some =
        (
            any::<[bool; 2]>(),
            any::<u8>(),
            headers(),
            any::<u32>(),
            any::<u64>(),
            option::of(task()),
        )
            .prop_map(|([one_way, nested], attempt, headers, streams, credit, task)| {
                CallOptions { one_way, attempt, headers, streams, credit, task, nested }
            });
    prop_oneof![1 => Just(CallOptions::default()), 3 => some]
}

fn headers() -> impl Strategy<Value = Headers> {
    let header = || (name(), text());
    prop_oneof![9 => vec(header(), 0..4), 1 => vec(header(), MAX_HEADERS)]
}

fn task() -> impl Strategy<Value = TaskOptions> {
    (option::of(text()), option::of(micros()), any::<bool>())
        .prop_map(|(key, expires_in, detached)| TaskOptions { key, expires_in, detached })
}

fn failure() -> impl Strategy<Value = Failure> {
    let nearest = vec(name().prop_map(|name| name.to_string()), 0..4);
    (select(Reason::ALL), text(), option::of(micros()), nearest, option::of(payload())).prop_map(
        |(reason, message, retry_after, nearest, value)| {
            let mut failure = Failure::new(reason, message.to_string());
            let null = Bytes::from_static(&[0xf6]);
            failure.value = match reason {
                // A method's own error is always there, and may be null.
                Reason::Returned => Some(value.unwrap_or(null)),
                _ => value.filter(|value| *value != null),
            };
            (failure.retry_after, failure.nearest) = (retry_after, nearest);
            failure
        },
    )
}

fn announcement() -> impl Strategy<Value = Announcement> {
    let states = vec![ServerState::Ready, ServerState::Draining, ServerState::Gone];
    (name(), name(), any::<u64>(), node(), select(states), name(), any::<u64>(), any::<u64>())
        .prop_map(|(service, server, epoch, node, state, schema, concurrency, backlog)| {
            Announcement { service, server, epoch, node, state, schema, concurrency, backlog }
        })
}

fn durability() -> impl Strategy<Value = Durability> {
    prop_oneof![
        Just(Durability::Memory),
        Just(Durability::EverySecond),
        Just(Durability::Always),
        (1..=u32::MAX).prop_map(Durability::Replicated),
    ]
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<u128>().prop_map(|bits| NodeId(Uuid::from_u128(bits)))
}

/// Microseconds are what travels.
fn micros() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_micros)
}

fn name() -> impl Strategy<Value = CompactString> {
    let longest = Just("n".repeat(MAX_NAME_BYTES));
    prop_oneof![9 => ".{0,60}", 1 => longest].prop_map(CompactString::from)
}

fn text() -> impl Strategy<Value = CompactString> {
    let longest = Just("t".repeat(16 * 1024));
    prop_oneof![19 => "\\PC{0,80}", 1 => longest].prop_map(CompactString::from)
}

fn payload() -> impl Strategy<Value = Bytes> {
    item().prop_map(Bytes::from)
}
