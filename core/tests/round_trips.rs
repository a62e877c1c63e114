//! Values come out of a call as they went in: there and back between two nodes, as the types they
//! are and as whatever CBOR makes of them. What cannot travel unharmed is stated here as well.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use ciborium::Value;
use farcall_core::params::Params;
use farcall_core::service::{Descriptor, IntoService, Invocation, MethodDescriptor, Service};
use farcall_core::wire::Failure;
use farcall_core::{
    Bytes, CallError, Config, Context, Functions, Memory, MethodError, Node, Opaque, Reason,
    blocking, value,
};
use proptest::collection::{btree_map, hash_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Two nodes on one thread: a server that gives back what it gets, and a client.
struct Pair {
    // Dropped before the client, which drives both.
    _server: Node,
    client: blocking::Node,
}

impl Pair {
    /// The server reads and writes the type, or whatever comes.
    fn of<T: Serialize + DeserializeOwned + 'static>() -> Pair {
        let memory = Memory::new();
        let client = blocking::Node::open_with(Config::default(), memory.transport()).unwrap();
        let echo = Functions::new("echo")
            .add("typed", |value: Opaque<T>| value)
            .add("any", |value: Opaque<Value>| value)
            .add("second", |_before: Opaque<Value>, value: Opaque<T>| value);
        let server = client.wait(async {
            let server = Node::open_with(Config::default(), memory.transport()).await.unwrap();
            server.serve(echo).await.unwrap();
            server
        });
        Pair { _server: server, client }
    }

    fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        args: impl Serialize,
    ) -> Result<T, CallError> {
        self.client.wait(self.client.client("echo").call(method, args))
    }

    /// The value by every way there is.
    fn ways<T>(&self, value: &T) -> Result<[T; 4], CallError>
    where
        T: Serialize + DeserializeOwned,
    {
        let dynamic: Value = self.call("typed", (value,))?;
        Ok([
            self.call("typed", (value,))?,
            self.call("second", ("before", value))?,
            self.call("any", (value,))?,
            self.call("typed", (dynamic,))?,
        ])
    }
}

/// Every value of `strategy` comes back as one that is the `same`.
fn come_back<S>(strategy: S, same: fn(&S::Value, &S::Value) -> bool)
where
    S: Strategy,
    S::Value: Serialize + DeserializeOwned + 'static,
{
    let pair = Pair::of::<S::Value>();
    let tried = TestRunner::default().run(&strategy, |value| {
        for back in pair.ways(&value).map_err(|error| TestCaseError::fail(error.to_string()))? {
            prop_assert!(same(&value, &back), "{:?} came back", back);
        }
        Ok(())
    });
    if let Err(error) = tried {
        panic!("{error}");
    }
}

fn come_back_equal<S>(strategy: S)
where
    S: Strategy,
    S::Value: Serialize + DeserializeOwned + PartialEq + 'static,
{
    come_back(strategy, |there, back| there == back);
}

fn any_come_back<T>()
where
    T: Arbitrary + Serialize + DeserializeOwned + PartialEq + 'static,
{
    come_back_equal(any::<T>());
}

/// A value comes back as another, which is all that is wrong with it.
fn comes_back_as<T>(there: T, back: T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
{
    let pair = Pair::of::<T>();
    assert!(pair.ways(&there).unwrap().iter().all(|found| *found == back), "{there:?}");
}

#[test]
fn integers_of_every_width() {
    any_come_back::<(u8, u16, u32, u64, i8, i16, i32, i64)>();
    come_back_equal(prop_oneof![Just(u64::MAX), Just(1 << 63), any::<u64>()]);
    come_back_equal(prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>()]);
}

#[test]
fn integers_of_128_bits() {
    let edges = [i128::MIN, -(1 << 64) - 1, -(1 << 64), i64::MIN.into(), u64::MAX.into(), 1 << 64];
    come_back_equal(prop_oneof![any::<i128>(), prop::sample::select(edges.to_vec())]);
    let edges = [u64::MAX.into(), 1 << 64, 1 << 127, u128::MAX, 0xff << 64];
    come_back_equal(prop_oneof![any::<u128>(), prop::sample::select(edges.to_vec())]);
}

/// All floats, the strange ones often.
fn doubles() -> impl Strategy<Value = f64> {
    use prop::num::f64::{ANY, INFINITE, QUIET_NAN, SUBNORMAL, ZERO};
    prop_oneof![4 => ANY, 1 => INFINITE, 1 => QUIET_NAN, 1 => SUBNORMAL, 1 => ZERO]
}

fn singles() -> impl Strategy<Value = f32> {
    use prop::num::f32::{ANY, INFINITE, QUIET_NAN, SUBNORMAL, ZERO};
    prop_oneof![4 => ANY, 1 => INFINITE, 1 => QUIET_NAN, 1 => SUBNORMAL, 1 => ZERO]
}

#[test]
fn floats() {
    come_back(doubles(), |there, back| {
        there.to_bits() == back.to_bits() || there.is_nan() && back.is_nan()
    });
    come_back(singles(), |there, back| {
        there.to_bits() == back.to_bits() || there.is_nan() && back.is_nan()
    });
}

#[test]
fn chars_and_texts() {
    come_back_equal(prop_oneof![Just('\0'), Just('🦀'), Just(char::MAX), any::<char>()]);
    let texts = prop_oneof![
        any::<String>(),
        Just("a\0b\0".to_owned()),
        Just("👩‍👩‍👧‍👦🏴‍☠️".to_owned()),
        // Larger than any buffer on the way.
        (0..20_000_usize).prop_map(|len| "né".repeat(len)),
    ];
    come_back_equal(texts);
}

#[test]
fn bytes() {
    let lengths = prop_oneof![0..40_usize, 4000..5000_usize, Just(70_000)];
    let bytes = (lengths, any::<u8>()).prop_map(|(len, first)| -> Vec<u8> {
        (0..len).map(|at| first.wrapping_add(at as u8)).collect()
    });
    come_back_equal(bytes.clone().prop_map(Bytes::from));
    come_back_equal(bytes.clone().prop_map(Value::Bytes));
    let nested = (any::<u8>(), vec(option::of(bytes.prop_map(Bytes::from)), 0..3));
    come_back_equal(nested);
}

#[test]
fn bytes_as_numbers_are_read_as_bytes() {
    let pair = Pair::of::<Bytes>();
    let back: Bytes = pair.call("typed", (vec![0_u8, 200, 255],)).unwrap();
    assert_eq!(back[..], [0, 200, 255]);
    let numbers: Vec<u8> = pair.call("typed", (Value::Bytes(vec![1, 200]),)).unwrap();
    assert_eq!(numbers, [1, 200]);
}

#[test]
fn maps_with_keys_of_every_type() {
    fn with_keys<K>(keys: impl Strategy<Value = K> + Clone)
    where
        K: Serialize + DeserializeOwned + Ord + Debug + 'static,
    {
        come_back_equal(btree_map(keys, any::<Option<i32>>(), 0..8));
    }
    with_keys(any::<String>());
    with_keys(any::<i64>());
    with_keys(any::<u128>());
    with_keys(any::<bool>());
    with_keys(any::<char>());
    with_keys(any::<(u8, String, Option<bool>)>());
    with_keys(vec(any::<u8>(), 0..40).prop_map(Bytes::from));
    with_keys(btree_map(any::<u8>(), any::<bool>(), 0..3));
    with_keys(key());
    come_back_equal(hash_map(any::<u64>(), vec(any::<String>(), 0..3), 0..8));
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Key {
    All,
    Number(u8),
    Range { from: i8, to: i8 },
}

fn key() -> impl Strategy<Value = Key> + Clone {
    prop_oneof![
        Just(Key::All),
        any::<u8>().prop_map(Key::Number),
        any::<(i8, i8)>().prop_map(|(from, to)| Key::Range { from, to }),
    ]
}

#[test]
fn dates() {
    const LAST: i64 = 253_402_300_799;
    let moments = || (-LAST / 4..=LAST, 0..1_000_000_000_u32);
    come_back_equal(
        moments().prop_map(|(secs, nanos)| Utc.timestamp_opt(secs, nanos).single().unwrap()),
    );
    come_back_equal((moments(), -1439..1440).prop_map(|((secs, nanos), minutes)| {
        let offset = FixedOffset::east_opt(minutes * 60).unwrap();
        offset.timestamp_opt(secs, nanos).single().unwrap()
    }));
    come_back_equal(moments().prop_map(|(secs, nanos)| -> NaiveDateTime {
        DateTime::from_timestamp(secs, nanos).unwrap().naive_utc()
    }));
    come_back_equal(moments().prop_map(|(secs, _)| -> NaiveDate {
        DateTime::from_timestamp(secs, 0).unwrap().date_naive()
    }));
    come_back_equal(
        (0..86_400_u32, 0..2_000_000_000_u32)
            .prop_filter_map("leap seconds are at the end of a minute", |(secs, nanos)| {
                NaiveTime::from_num_seconds_from_midnight_opt(secs, nanos)
            }),
    );
}

#[test]
fn times_and_addresses_of_the_standard_library() {
    any_come_back::<(Duration, IpAddr)>();
    come_back_equal(
        (0..1_u64 << 40, 0..1_000_000_000_u32)
            .prop_map(|(secs, nanos)| SystemTime::UNIX_EPOCH + Duration::new(secs, nanos)),
    );
}

/// Every form that serde gives an enum, nested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Nothing,
    Newtype(i64),
    Text(String),
    Tuple(u8, Option<char>),
    Struct { wide: i128, maybe: Option<Box<Shape>>, bytes: Bytes },
    Unit(()),
    Inner(Inner),
    List(Vec<Shape>),
    Boxed(Box<Shape>),
    Named(BTreeMap<String, Shape>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Inner {
    FirstOne,
    Another { r#type: Marker, newtype: Metres },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Marker;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Metres(u32);

fn shape() -> impl Strategy<Value = Shape> + Clone {
    let inner = prop_oneof![
        Just(Inner::FirstOne),
        any::<u32>().prop_map(|metres| Inner::Another { r#type: Marker, newtype: Metres(metres) }),
    ];
    let leaf = prop_oneof![
        Just(Shape::Nothing),
        any::<i64>().prop_map(Shape::Newtype),
        any::<String>().prop_map(Shape::Text),
        any::<(u8, Option<char>)>().prop_map(|(number, letter)| Shape::Tuple(number, letter)),
        Just(Shape::Unit(())),
        inner.prop_map(Shape::Inner),
    ];
    leaf.prop_recursive(4, 24, 4, |shape| {
        let maybe = option::of(shape.clone().prop_map(Box::new));
        let bytes = vec(any::<u8>(), 0..9).prop_map(Bytes::from);
        prop_oneof![
            (any::<i128>(), maybe, bytes).prop_map(|(wide, maybe, bytes)| Shape::Struct {
                wide,
                maybe,
                bytes
            }),
            vec(shape.clone(), 0..4).prop_map(Shape::List),
            shape.clone().prop_map(|shape| Shape::Boxed(Box::new(shape))),
            btree_map(any::<String>(), shape, 0..3).prop_map(Shape::Named),
        ]
    })
}

#[test]
fn nested_enums() {
    come_back_equal(shape());
    come_back_equal(vec(option::of(shape()), 0..3));
}

/// Anything that CBOR can say, except floats that equal nothing.
fn cbor() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        doubles().prop_filter("not a number", |float| !float.is_nan()).prop_map(Value::Float),
        any::<String>().prop_map(Value::Text),
        vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::Array),
            vec((inner.clone(), inner.clone()), 0..4).prop_map(Value::Map),
            // Tags 2 and 3 make integers of bytes: those come back as what they mean.
            (4..1000_u64, inner).prop_map(|(tag, inner)| Value::Tag(tag, Box::new(inner))),
        ]
    })
}

#[test]
fn whatever_cbor_can_say() {
    come_back_equal(cbor());
    come_back_equal(Just(Value::Float(f64::INFINITY)));
    comes_back_as(Value::Tag(2, Box::new(Value::Bytes(vec![1, 0]))), Value::from(256));
}

fn lists(depth: usize) -> Value {
    (1..depth).fold(Value::Array(Vec::new()), |inner, _| Value::Array(vec![inner]))
}

#[test]
fn values_nest_as_deep_as_the_limit_and_no_deeper() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Tree(Vec<Tree>);

    come_back_equal((1..=value::MAX_DEPTH).prop_map(lists));
    let pair = Pair::of::<Tree>();
    let tree = (1..value::MAX_DEPTH).fold(Tree(vec![]), |inner, _| Tree(vec![inner]));
    assert_eq!(pair.call::<Tree>("typed", (&tree,)).unwrap(), tree);

    let error = pair.call::<Value>("any", (lists(value::MAX_DEPTH + 1),)).unwrap_err();
    assert_eq!(error.reason(), Reason::WrongArguments, "{error}");
    assert!(error.details().message.contains("nested deeper than 256"), "{error}");
    assert_eq!(pair.call::<u8>("any", (7,)).unwrap(), 7, "nobody else is harmed");
}

#[test]
fn a_long_value_nests_as_deep_as_a_short_one() {
    let pair = Pair::of::<Value>();
    let (deep, long) = (lists(value::MAX_DEPTH), "x".repeat(5000));
    assert_eq!(pair.call::<Value>("second", (long, &deep)).unwrap(), deep);
}

// What does not come back as it went in. Each of these is stated in `docs/WIRE.md`.

#[test]
fn some_of_what_is_written_as_null_comes_back_as_none() {
    comes_back_as(Some(Some(7)), Some(Some(7)));
    comes_back_as(None::<Option<i32>>, None);
    comes_back_as(Some(None::<i32>), None);
    comes_back_as(Some(()), None);
    comes_back_as(Some(Marker), None);
    // An enum in between keeps them apart.
    comes_back_as(vec![Ok::<_, ()>(None::<i32>), Ok(Some(7))], vec![Ok(None), Ok(Some(7))]);
}

#[test]
fn wide_integers_do_not_travel_where_serde_looks_ahead() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Internal {
        Wide { number: i128 },
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Wide(u128),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        inner: Wide,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wide {
        number: i128,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind", content = "is")]
    enum Adjacent {
        Wide(i128),
    }

    for number in [7, 1 << 100] {
        refused(Internal::Wide { number });
        refused(Untagged::Wide(number as u128));
        refused(Flat { inner: Wide { number } });
        comes_back_as(Wide { number }, Wide { number });
        comes_back_as(Adjacent::Wide(number), Adjacent::Wide(number));
    }
}

#[test]
fn integers_are_no_floats_and_floats_no_integers() {
    let pair = Pair::of::<f64>();
    let error = pair.call::<f64>("typed", (2,)).unwrap_err();
    assert_eq!(error.reason(), Reason::WrongArguments, "{error}");
    let error = pair.call::<i64>("typed", (2.0,)).unwrap_err();
    assert_eq!(error.reason(), Reason::WrongResult, "{error}");
}

#[test]
fn types_that_ask_for_a_lent_text_get_4096_bytes() {
    #[derive(Debug, PartialEq, Serialize)]
    struct Lent(String);
    impl<'de> Deserialize<'de> for Lent {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Reader;
            impl serde::de::Visitor<'_> for Reader {
                type Value = Lent;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a text")
                }

                fn visit_str<E>(self, text: &str) -> Result<Lent, E> {
                    Ok(Lent(text.to_owned()))
                }
            }
            deserializer.deserialize_str(Reader)
        }
    }
    comes_back_as(Lent("x".repeat(4096)), Lent("x".repeat(4096)));
    refused(Lent("x".repeat(4097)));
}

/// The server cannot read it, says so, and goes on.
fn refused<T: Serialize + DeserializeOwned + Debug + 'static>(value: T) {
    let pair = Pair::of::<T>();
    let error = pair.call::<T>("typed", (&value,)).unwrap_err();
    assert_eq!(error.reason(), Reason::WrongArguments, "{value:?}: {error}");
    assert_eq!(pair.call::<u8>("any", (7,)).unwrap(), 7, "nobody else is harmed");
}

#[test]
fn own_errors_come_back_as_they_were_returned() {
    let memory = Memory::new();
    let client = blocking::Node::open_with(Config::default(), memory.transport()).unwrap();
    let failing = Functions::new("failing")
        .try_add("fail", |Opaque(shape): Opaque<Shape>| Err::<(), _>(Raised(shape)));
    client.wait(client.serve(failing)).unwrap();
    let service = client.client("failing");
    let tried = TestRunner::default().run(&shape(), |shape| {
        let call = service.try_call::<(), Raised>("fail", (&shape,));
        match client.wait(call).unwrap_err() {
            MethodError::Returned(Raised(back)) => prop_assert_eq!(back, shape),
            MethodError::Call(error) => prop_assert!(false, "{}", error),
        }
        Ok(())
    });
    if let Err(error) = tried {
        panic!("{error}");
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Raised(#[schemars(with = "Opaque<Shape>")] Shape);

impl std::fmt::Display for Raised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("raised")
    }
}

#[test]
fn an_own_error_that_is_written_as_null_comes_back() {
    let memory = Memory::new();
    let client = blocking::Node::open_with(Config::default(), memory.transport()).unwrap();
    let failing = Functions::new("failing").try_add("fail", || Err::<(), _>(NotFound));
    client.wait(client.serve(failing)).unwrap();
    let error = client.wait(client.client("failing").try_call::<(), NotFound>("fail", ()));
    assert!(matches!(error, Err(MethodError::Returned(NotFound))), "{error:?}");
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct NotFound;

impl std::fmt::Display for NotFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not found")
    }
}

#[test]
fn what_does_not_fit_into_a_frame_is_not_sent_and_harms_nobody() {
    let pair = Pair::of::<Value>();
    let (long, header) = ("m".repeat(256), "h".repeat(16 * 1024 + 1));
    let client = pair.client.client("echo");
    let calls = [
        client.call::<Value>(long.clone(), ()),
        client.call::<Value>("any", (7,)).header(long.clone(), ""),
        client.call::<Value>("any", (7,)).header("h", header),
    ];
    for call in calls {
        let mut other = Box::pin(client.call::<Value>("any", (7,)));
        let ended = pair.client.wait(futures::future::join(call, &mut other));
        assert!(matches!(ended.0, Err(CallError::NotSent(_))), "{:?}", ended.0);
        assert_eq!(ended.1.unwrap(), Value::from(7));
    }
}

/// A service written by hand, whose one method gives no value at all.
struct Careless;

impl IntoService for Careless {
    fn into_service(self: Box<Self>) -> Result<Rc<dyn Service>, String> {
        Ok(Rc::new(Careless))
    }
}

impl Service for Careless {
    fn descriptor(&self) -> Descriptor {
        let method = MethodDescriptor { name: "nothing".into(), ..MethodDescriptor::default() };
        Descriptor { name: "careless".into(), methods: vec![method], ..Descriptor::default() }
    }

    fn call(&self, _: usize, _: Params, _: &Context) -> Result<Invocation, Failure> {
        Ok(Box::pin(std::future::ready(Ok(bytes::Bytes::new()))))
    }
}

#[test]
fn a_service_that_gives_no_value_fails_its_caller_alone() {
    let memory = Memory::new();
    let client = blocking::Node::open_with(Config::default(), memory.transport()).unwrap();
    client.wait(client.serve(Careless)).unwrap();
    let error = client.wait(client.client("careless").call::<()>("nothing", ())).unwrap_err();
    assert_eq!(error.reason(), Reason::ResultUnencodable, "{error}");
}
