//! The golden bytes of `docs/vectors`, and what `docs/WIRE.md` says, against what this crate does.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use ciborium::Value as Cbor;
use farcall_core::params::Params;
use farcall_core::service::{Descriptor, MethodDescriptor, ParamDescriptor};
use farcall_core::wire::{
    Announcement, CallFrame, CallId, CallOptions, Durability, FRAME_OVERHEAD, Failure, Frame,
    Hello, MAX_HEADER_BYTES, MAX_HEADERS, MAX_NAME_BYTES, NodeId, Reason, ReasonClass, ServerState,
    StreamId, TaskOptions, WireError,
};
use farcall_core::{ClientStatus, NodeStatus, ServiceStatus, value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

#[test]
fn every_vector_is_read_as_its_frame_and_written_as_its_bytes() {
    for vector in vectors("frames.json") {
        let (name, bytes, frame) = (name(&vector), hex(&vector["hex"]), frame(&vector["frame"]));
        assert_eq!(Frame::decode(bytes.clone()), Ok(frame.clone()), "{name}");
        assert_eq!(encode(&frame), bytes, "{name}");
    }
}

#[test]
fn every_kind_has_a_vector() {
    let frames = vectors("frames.json");
    // Kinds are below 24, and so are the elements: the kind is the second byte.
    let mut kinds: Vec<u8> = frames.iter().map(|vector| hex(&vector["hex"])[1]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, Vec::from_iter(0..=16));
    let next = Frame::decode(Bytes::from_static(&[0x82, 17, 0]));
    assert_eq!(next, Err(WireError::UnknownKind(17)), "a new kind needs vectors");
}

#[test]
fn forms_that_are_not_written_are_read_all_the_same() {
    let frames = vectors("frames.json");
    for vector in vectors("accepted.json") {
        let (name, bytes) = (name(&vector), hex(&vector["hex"]));
        let meant = frames.iter().find(|it| it["name"] == vector["same_as"]).expect("is there");
        assert_eq!(Frame::decode(bytes), Ok(frame(&meant["frame"])), "{name}");
    }
}

#[test]
fn what_is_no_frame_is_refused() {
    for vector in refused("frame") {
        let (name, bytes) = (name(&vector), hex(&vector["hex"]));
        let error = Frame::decode(bytes).expect_err(name);
        let word = match error {
            WireError::Truncated => "truncated",
            WireError::Trailing(_) => "trailing",
            WireError::Malformed(_) => "malformed",
            WireError::UnknownKind(_) => "unknown_kind",
            WireError::TooMuch { .. } => "too_much",
            other => panic!("{name}: a new error: {other}"),
        };
        assert_eq!(vector["error"], word, "{name}: {error}");
    }
}

#[test]
fn what_is_no_value_is_refused() {
    for vector in refused("value") {
        let (name, bytes) = (name(&vector), hex(&vector["hex"]));
        assert!(value::decode::<Cbor>(&bytes).is_err(), "{name}");
    }
}

#[test]
fn what_are_no_parameters_is_refused() {
    for vector in refused("params") {
        let (name, bytes) = (name(&vector), hex(&vector["hex"]));
        let failure = two_numbers(bytes).expect_err(name);
        assert_eq!(failure.reason, Reason::WrongArguments, "{name}");
    }
}

/// Reads parameters as a method `(a: Option<i64>, b: Option<i64>)` does.
fn two_numbers(params: Bytes) -> Result<[Option<i64>; 2], Failure> {
    let params = Params::new(params);
    let mut arguments = params.arguments(&["a", "b"])?;
    let read = [arguments.next()?, arguments.next()?];
    arguments.finish()?;
    Ok(read)
}

#[test]
fn a_frame_cut_anywhere_is_refused() {
    for vector in vectors("frames.json") {
        let (name, bytes) = (name(&vector), hex(&vector["hex"]));
        let whole = Frame::decode(bytes.clone()).expect(name);
        for cut in 0..bytes.len() {
            match Frame::decode(bytes.slice(..cut)) {
                Err(_) => {}
                // The payload is the last element and its reader's to judge. No CBOR item begins
                // with another, so that the reader cannot take a part of it for the whole.
                Ok(frame) => {
                    assert!(payload(&whole).is_some(), "{name} cut at {cut}");
                    let payload = payload(&frame).expect("the same kind as the whole");
                    assert!(value::decode::<Cbor>(payload).is_err(), "{name} cut at {cut}");
                }
            }
        }
    }
}

#[test]
fn a_byte_more_is_refused() {
    for vector in vectors("frames.json") {
        let (name, bytes) = (name(&vector), hex(&vector["hex"]));
        let whole = Frame::decode(bytes.clone()).expect(name);
        for more in 0..=u8::MAX {
            let longer = [&bytes[..], &[more]].concat();
            match Frame::decode(longer.into()) {
                Err(error) => assert_eq!(error, WireError::Trailing(1), "{name} and {more:#x}"),
                // As above: whatever follows the payload is taken for a part of it.
                Ok(frame) => {
                    assert!(has_payload(&whole), "{name} and {more:#x}");
                    let payload = payload(&frame).expect("the same kind as the whole");
                    let read = value::decode::<Cbor>(payload);
                    assert_eq!(read, Err(value::ValueError::Trailing(1)), "{name} and {more:#x}");
                }
            }
        }
    }
}

/// What is left to its own reader: the payload, or the value of a failure.
fn payload(frame: &Frame) -> Option<&Bytes> {
    match frame {
        Frame::End { failure, .. } => failure.as_ref()?.value.as_ref(),
        // A byte string, which has a length of its own.
        Frame::Part { .. } => None,
        _ => frame.payload(),
    }
}

/// Whether the last element is one that is left to its own reader. A failure's is, also when it
/// says that there is no value.
fn has_payload(frame: &Frame) -> bool {
    matches!(frame, Frame::Failure { .. } | Frame::End { failure: Some(_), .. })
        || payload(frame).is_some()
}

#[test]
fn values_are_written_as_documented() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Point {
        x: i32,
        y: i32,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Metres(u32);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum State {
        Idle,
        Moving(u8),
        At(i32, i32),
        Stopped { why: String },
    }

    let values = Values::load();
    values.has("unit", ());
    values.has("unit", Unit);
    values.has("true", true);
    values.has("small", 23_u8);
    values.has("small", 23_i128);
    values.has("negative", -500_i64);
    values.has("largest_u64", u64::MAX);
    values.has("smallest_i64", i64::MIN);
    values.has("smallest_of_65_bits", -(1_i128 << 64));
    values.has("u128_over_64_bits", 1_u128 << 64);
    values.has("largest_u128", u128::MAX);
    values.has("smallest_i128", i128::MIN);
    values.has("half", 1.5_f64);
    values.has("half", 1.5_f32);
    values.has("single", f32::MAX);
    values.has("single", f64::from(f32::MAX));
    values.has("double", 0.1_f64);
    values.has("negative_zero", -0.0_f64);
    values.has("infinity", f64::INFINITY);
    values.has("char", 'ü');
    values.has("text", "nul \0, 🦀".to_owned());
    values.has("bytes", farcall_core::Bytes::from(vec![0x00, 0xff]));
    values.has("none", None::<u8>);
    values.has("some", Some(7_u8));
    values.has("list", vec![1_u8, 2, 3]);
    values.has("tuple", (1_u8, "a".to_owned()));
    values.has("map_with_number_keys", BTreeMap::from([(1, "a".to_owned()), (2, "b".to_owned())]));
    values.has("struct", Point { x: 1, y: -1 });
    values.has("newtype", Metres(5));
    values.has("unit_variant", State::Idle);
    values.has("newtype_variant", State::Moving(3));
    values.has("tuple_variant", State::At(1, 2));
    values.has("struct_variant", State::Stopped { why: "red light".into() });
    values.has("duration", Duration::from_millis(1500));
    values.has("date_and_time", DateTime::parse_from_rfc3339("2026-11-14T12:30:00+01:00").unwrap());
    values.has("status", status());
    values.has("descriptor", descriptor());
    values.has("descriptor_with_schemas", with_schemas());
    let uuid = Uuid::from_u128(0x0b6a_1f6e_5f0e_4c43_9a55_2f1f_7f9d_3c11);
    assert_eq!(values.bytes("uuid"), value::encode_bytes(uuid.as_bytes()));
    assert_eq!(values.bytes("nan"), value::encode(&f64::NAN).unwrap());
    assert!(value::decode::<f32>(&values.bytes("nan")).unwrap().is_nan());
}

fn status() -> NodeStatus {
    NodeStatus {
        identity: "shop-1".into(),
        services: vec![ServiceStatus {
            service: "calc".into(),
            server: "7x2m9q4r1b".into(),
            state: "ready".into(),
            running: 2,
            waiting: 0,
            concurrency: 256,
            backlog: 1024,
        }],
        clients: vec![ClientStatus { identity: "cron".into(), uid: Some(1000), pid: None }],
    }
}

fn descriptor() -> Descriptor {
    let param = |name: &'static str| ParamDescriptor {
        name: name.into(),
        ty: "f64".into(),
        ..ParamDescriptor::default()
    };
    Descriptor {
        name: "calc".into(),
        docs: "Sums.".into(),
        methods: vec![MethodDescriptor {
            stream: false,
            name: "div".into(),
            docs: "".into(),
            params: vec![param("a"), param("b")],
            result: "f64".into(),
            error: Some("CalcError".into()),
            idempotent: true,
            timeout: Some(Duration::from_secs(2)),
            ..MethodDescriptor::default()
        }],
        ..Descriptor::default()
    }
}

/// What the query `describe` gives of a service whose types are known.
fn with_schemas() -> Descriptor {
    let number = serde_json::json!({"type": "number", "format": "double"});
    let mut descriptor = descriptor();
    descriptor.schema = "b5bb9d8014a0f9b1d61e21e7".into();
    let [method] = &mut descriptor.methods[..] else { panic!("one method") };
    for param in &mut method.params {
        param.schema = number.clone().into();
    }
    method.params[1].optional = true;
    method.result_schema = number.into();
    let error = serde_json::json!({"$ref": "#/$defs/written/CalcError"});
    method.error_schema = Some(error.into());
    let words = serde_json::json!({"type": "string", "enum": ["DivisionByZero"]});
    descriptor.definitions.written.insert("CalcError".to_owned(), words.into());
    descriptor
}

#[test]
fn the_document_lists_every_reason_of_a_failure() {
    let text = document();
    let listed = rows(&text, "### Codes");
    let known: Vec<Vec<String>> = Reason::ALL
        .iter()
        .map(|reason| {
            let (class, retry) = match reason.class() {
                ReasonClass::Returned => ("returned", "unsafe"),
                ReasonClass::NotSent => ("not sent", "safe"),
                ReasonClass::Refused => ("refused", "safe"),
                ReasonClass::Failed => ("failed", "unsafe"),
                ReasonClass::OutcomeUnknown => ("outcome unknown", "if idempotent"),
            };
            [&reason.code().to_string(), reason.as_str(), class, retry].map(str::to_owned).into()
        })
        .collect();
    let listed: Vec<&[String]> = listed.iter().map(|row| &row[..4]).collect();
    assert_eq!(listed, known);
}

#[test]
fn the_document_states_the_limits() {
    let text = document();
    let stated: BTreeMap<String, u64> = rows(&text, "## Limits")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].replace(' ', "").parse().expect("a number")))
        .collect();
    let known = [
        ("bytes of a frame beyond its payload", FRAME_OVERHEAD as u64),
        ("bytes of a name", MAX_NAME_BYTES as u64),
        ("headers of a call", MAX_HEADERS as u64),
        ("bytes of its headers, names and values together", MAX_HEADER_BYTES as u64),
        ("depth of a value", value::MAX_DEPTH as u64),
        ("items of a value", value::MAX_ITEMS),
    ];
    for (what, limit) in known {
        assert_eq!(stated.get(what), Some(&limit), "{what}");
    }
}

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/WIRE.md");
    std::fs::read_to_string(path).expect("docs/WIRE.md is there")
}

/// The cells of the first table below a heading, without its head; their backticks are dropped.
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    text.lines()
        .skip_while(|line| *line != heading)
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
        })
        .collect()
}

fn vectors(file: &str) -> Vec<Json> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors").join(file);
    let text = std::fs::read_to_string(path).expect("the vectors are there");
    let mut json: Json = serde_json::from_str(&text).expect("they are JSON");
    assert_eq!(json["wire"], farcall_core::wire::VERSION);
    match json["vectors"].take() {
        Json::Array(vectors) => vectors,
        other => panic!("{file} holds no list but {other}"),
    }
}

fn refused(at: &str) -> impl Iterator<Item = Json> {
    vectors("refused.json").into_iter().filter(move |vector| vector["at"] == at)
}

fn name(vector: &Json) -> &str {
    vector["name"].as_str().expect("vectors have names")
}

fn hex(digits: &Json) -> Bytes {
    let digits = digits.as_str().expect("bytes are hexadecimal text");
    assert!(digits.len().is_multiple_of(2), "{digits}");
    let bytes = (0..digits.len()).step_by(2);
    bytes.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits")).collect()
}

fn encode(frame: &Frame) -> Bytes {
    let mut out = BytesMut::new();
    frame.encode(&mut out);
    out.freeze()
}

/// The values of `values.json` by name.
struct Values(Vec<Json>);

impl Values {
    fn load() -> Self {
        Values(vectors("values.json"))
    }

    fn bytes(&self, name: &str) -> Bytes {
        let vector = self.0.iter().find(|it| it["name"] == name).expect(name);
        hex(&vector["hex"])
    }

    /// `value` is written as these bytes, and read from them.
    fn has<T: Serialize + DeserializeOwned + PartialEq + Debug>(&self, name: &str, value: T) {
        let bytes = self.bytes(name);
        assert_eq!(value::encode(&value).unwrap(), bytes, "{name}");
        assert_eq!(value::decode::<T>(&bytes), Ok(value), "{name}");
    }
}

/// A frame from its description.
fn frame(json: &Json) -> Frame {
    let id = CallId(if json["id"].is_null() { 0 } else { number(&json["id"]) });
    let stream = || StreamId(u32::try_from(number(&json["stream"])).expect("32 bits"));
    match text(&json["kind"]) {
        "hello" => Frame::Hello(Box::new(Hello {
            versions: (small(&json["versions"][0]), small(&json["versions"][1])),
            namespace: text(&json["namespace"]).into(),
            node: node(&json["node"]),
            identity: text(&json["identity"]).into(),
            passive: json["passive"] == true,
            max_message_bytes: number(&json["max_message_bytes"]),
            features: list(&json["features"]).map(|it| text(it).into()).collect(),
        })),
        "call" => Frame::Call(Box::new(CallFrame {
            id,
            low: CallId(number(&json["low"])),
            time_left: Duration::from_micros(number(&json["time_left"])),
            service: text(&json["service"]).into(),
            method: text(&json["method"]).into(),
            options: options(&json["options"]).into_frame(),
            params: hex(&json["params"]),
        })),
        "started" => Frame::Started { id, credit: number(&json["credit"]) },
        "answer" => Frame::Answer { id, value: hex(&json["value"]) },
        "failure" => Frame::Failure { id, failure: failure(&json["failure"]).into() },
        "cancel" => Frame::Cancel { id },
        "item" => Frame::Item { id, stream: stream(), value: hex(&json["value"]) },
        "credit" => Frame::Credit { id, stream: stream(), bytes: number(&json["bytes"]) },
        "end" => Frame::End {
            id,
            stream: stream(),
            failure: given(&json["failure"]).map(failure).map(Box::new),
        },
        "stop" => Frame::Stop { id, stream: stream() },
        "accepted" => Frame::Accepted {
            id,
            token: text(&json["token"]).into(),
            durability: match small(&json["durability"]) {
                0 => Durability::Memory,
                1 => Durability::EverySecond,
                2 => Durability::Always,
                more => Durability::Replicated(more - 2),
            },
        },
        "query" => Frame::Query {
            id,
            subject: text(&json["subject"]).into(),
            params: hex(&json["params"]),
        },
        "announce" => Frame::Announce(Box::new(Announcement {
            service: text(&json["service"]).into(),
            server: text(&json["server"]).into(),
            epoch: number(&json["epoch"]),
            node: node(&json["node"]),
            state: match text(&json["state"]) {
                "ready" => ServerState::Ready,
                "draining" => ServerState::Draining,
                "gone" => ServerState::Gone,
                other => panic!("no state: {other}"),
            },
            schema: text(&json["schema"]).into(),
            concurrency: number(&json["concurrency"]),
            backlog: number(&json["backlog"]),
        })),
        "ping" => Frame::Ping { nonce: number(&json["nonce"]) },
        "pong" => Frame::Pong { nonce: number(&json["nonce"]) },
        "part" => Frame::Part {
            message: number(&json["message"]),
            last: json["last"] == true,
            bytes: hex(&json["bytes"]),
        },
        "goodbye" => {
            Frame::Goodbye { reason: text(&json["reason"]).into(), clean: json["clean"] == true }
        }
        other => panic!("no kind: {other}"),
    }
}

fn options(json: &Json) -> CallOptions {
    CallOptions {
        one_way: json["one_way"] == true,
        attempt: json["attempt"].as_u64().unwrap_or(0).try_into().expect("8 bits"),
        headers: given(&json["headers"])
            .map(|headers| list(headers).map(|it| (text(&it[0]).into(), text(&it[1]).into())))
            .map(Iterator::collect)
            .unwrap_or_default(),
        streams: given(&json["streams"]).map_or(0, small),
        credit: given(&json["credit"]).map_or(0, number),
        task: given(&json["task"]).map(|task| TaskOptions {
            key: given(&task["key"]).map(|key| text(key).into()),
            expires_in: micros(&task["expires_in"]),
            detached: task["detached"] == true,
        }),
        nested: json["nested"] == true,
    }
}

fn failure(json: &Json) -> Failure {
    let code = u16::try_from(number(&json["code"])).expect("16 bits");
    let reason = Reason::from_code(code).expect("a code of this version");
    assert_eq!(json["reason"], reason.as_str());
    let mut failure = Failure::new(reason, text(&json["message"]));
    failure.retry_after = micros(&json["retry_after"]);
    failure.nearest = given(&json["nearest"])
        .map(|nearest| list(nearest).map(|name| text(name).to_owned()).collect())
        .unwrap_or_default();
    failure.value = given(&json["value"]).map(hex);
    failure
}

fn given(json: &Json) -> Option<&Json> {
    Some(json).filter(|json| !json.is_null())
}

fn list(json: &Json) -> impl Iterator<Item = &Json> {
    json.as_array().expect("a list").iter()
}

fn text(json: &Json) -> &str {
    json.as_str().expect("a text")
}

/// A number, or the digits of one that other languages' JSON would round.
fn number(json: &Json) -> u64 {
    let digits = || json.as_str()?.parse().ok();
    json.as_u64().or_else(digits).expect("a number or its digits")
}

fn small(json: &Json) -> u32 {
    number(json).try_into().expect("32 bits")
}

fn micros(json: &Json) -> Option<Duration> {
    given(json).map(|json| Duration::from_micros(number(json)))
}

fn node(json: &Json) -> NodeId {
    NodeId(text(json).parse().expect("a uuid"))
}
