//! Every row of the tables in `docs/EVOLUTION.md`, run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use farcall_core::schema::{
    Describe, Described, Describer, Methods, Part, ServiceSchema, Verdict, compare, describe,
};
use farcall_core::service::Descriptor;
use farcall_core::{Bytes, Opaque};
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What clients expect and servers offer, of one version.
struct Version {
    expects: Descriptor,
    offers: Descriptor,
}

fn version(methods: impl FnOnce(&mut Methods)) -> Version {
    let documents = describe("service".into(), "".into(), methods);
    let expects = documents.clone().into_expects();
    Version { expects, offers: documents.into_offers() }
}

fn of<T: JsonSchema>(describer: &mut Describer) -> Described {
    describer.describe::<T>()
}

fn optional<T: JsonSchema>(describer: &mut Describer) -> Described {
    describer.describe::<Option<T>>().optional(true)
}

const NUMBER: Describe = of::<i64>;

/// A method of these parameters.
fn method(params: &[(&'static str, Describe)]) -> Version {
    version(|methods| {
        let mut method = methods.method("add".into(), "".into(), "i64".into(), NUMBER);
        for (name, of) in params {
            method = method.param((*name).into(), "".into(), *of);
        }
        method.options(false, None);
    })
}

/// A method that takes the type, and gives it.
fn both<T: JsonSchema>() -> Version {
    version(|methods| {
        let method = methods.method("echo".into(), "".into(), "T".into(), of::<T>);
        method.param("it".into(), "T".into(), of::<T>).options(false, None);
    })
}

/// The verdict of an old client on a new server, and that of a new client on an old server.
fn verdicts(old: &Version, new: &Version) -> [&'static str; 2] {
    [word(&worst(&old.expects, &new.offers)), word(&worst(&new.expects, &old.offers))]
}

fn worst(expects: &Descriptor, offers: &Descriptor) -> Verdict {
    let mut verdicts: Vec<_> = compare(expects, offers).into_values().collect();
    verdicts.sort_by_key(word);
    verdicts.pop().unwrap_or(Verdict::Compatible)
}

/// In the order of their harm, by chance.
fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Compatible => "compatible",
        Verdict::Refused(_) => "refused",
        Verdict::Undecided(_) => "undecided",
    }
}

/// Of a type that is written by one version and read by the other: `[old to new, new to old]`, as a
/// parameter and as a result, which have to agree.
fn types<Old: JsonSchema, New: JsonSchema>() -> [&'static str; 2] {
    fn only<T: JsonSchema>(params: bool) -> Version {
        version(|methods| {
            let result: Describe = if params { of::<()> } else { of::<T> };
            let method = methods.method("m".into(), "".into(), "T".into(), result);
            match params {
                true => method.param("it".into(), "T".into(), of::<T>).options(false, None),
                false => method.options(false, None),
            }
        })
    }
    let params = verdicts(&only::<Old>(true), &only::<New>(true));
    let [new_to_old, old_to_new] = verdicts(&only::<Old>(false), &only::<New>(false));
    assert_eq!(params, [old_to_new, new_to_old], "parameters and results differ");
    params
}

macro_rules! data {
    ($($(#[$meta:meta])* $kind:ident $name:ident { $($body:tt)* })*) => {$(
        #[derive(Serialize, Deserialize, JsonSchema)]
        #[allow(dead_code, reason = "only its schema is looked at")]
        $(#[$meta])*
        $kind $name { $($body)* }
    )*};
}

data! {
    struct Point { x: f64 }
    struct Renamed { x: f64 }
    struct WithDefault { x: f64, #[serde(default)] y: f64, z: Option<f64> }
    struct WithRequired { x: f64, y: f64 }
    struct FieldRenamed { horizontal: f64 }
    #[serde(deny_unknown_fields)] struct Closed { x: f64 }
    #[serde(deny_unknown_fields)] struct ClosedWithMore { x: f64, #[serde(default)] y: f64 }
    struct LeftOut { #[serde(default, skip_serializing_if = "Option::is_none")] x: Option<f64> }
    struct Always { x: Option<f64> }
    enum Shape { Dot, Circle { radius: f64 }, Square(f64) }
    enum MoreShapes { Dot, Circle { radius: f64 }, Square(f64), Line(f64, f64) }
    enum ShapeWithDefault { Dot, Circle { radius: f64, #[serde(default)] width: f64 }, Square(f64) }
    enum OtherShapes { Point, Round { radius: f64 }, Box(f64) }
    enum Word { Red, Green }
}

fn cases() -> BTreeMap<&'static str, [&'static str; 2]> {
    let none = || method(&[]);
    let one = || method(&[("a", NUMBER)]);
    let two = || method(&[("a", NUMBER), ("b", NUMBER)]);
    let with_error = || {
        version(|methods| {
            let method = methods.method("add".into(), "".into(), "i64".into(), NUMBER);
            method.error("String".into(), of::<String>).options(false, None);
        })
    };
    let documented = || {
        version(|methods| {
            methods.method("add".into(), "Adds.".into(), "i64".into(), NUMBER).options(true, None);
        })
    };
    let opaque = || {
        version(|methods| {
            methods
                .method("add".into(), "".into(), "".into(), of::<Opaque<i64>>)
                .options(false, None);
        })
    };
    let stream = || {
        version(|methods| {
            let method = methods.method("add".into(), "".into(), "i64".into(), NUMBER);
            method.stream().options(false, None);
        })
    };
    let takes_stream = || {
        version(|methods| {
            let method = methods.method("add".into(), "".into(), "i64".into(), NUMBER);
            method.param_stream("a".into(), "i64".into(), NUMBER).options(false, None);
        })
    };
    let [gets, loses] = [verdicts(&none(), &with_error()), verdicts(&with_error(), &none())];
    assert_eq!(gets, loses);
    BTreeMap::from([
        ("a method is added", verdicts(&version(|_| ()), &none())),
        (
            "a method is removed, or gets another name for callers",
            verdicts(&none(), &version(|_| ())),
        ),
        ("a method gets an error, or loses it", gets),
        ("its result becomes a stream", verdicts(&none(), &stream())),
        ("a parameter becomes a stream", verdicts(&one(), &takes_stream())),
        ("its options or doc comments change", verdicts(&none(), &documented())),
        ("it becomes opaque", verdicts(&none(), &opaque())),
        (
            "an optional parameter is added at the end",
            verdicts(&one(), &method(&[("a", NUMBER), ("b", optional::<i64>)])),
        ),
        ("a required parameter is added at the end", verdicts(&one(), &two())),
        ("a parameter is removed from the end", verdicts(&two(), &one())),
        (
            "an optional parameter is removed from the end",
            verdicts(&method(&[("a", NUMBER), ("b", optional::<i64>)]), &one()),
        ),
        ("a parameter gets another name", verdicts(&one(), &method(&[("first", NUMBER)]))),
        (
            "two parameters change places",
            verdicts(&two(), &method(&[("b", NUMBER), ("a", NUMBER)])),
        ),
        ("an integer gets wider: i32 to i64", types::<i32, i64>()),
        ("a signed integer becomes unsigned: i32 to u64", types::<i32, u64>()),
        ("f32 becomes f64", types::<f32, f64>()),
        ("an integer becomes a float: i64 to f64", types::<i64, f64>()),
        ("T becomes Option<T>", types::<Point, Option<Point>>()),
        ("Vec<u8> inside a type becomes farcall::Bytes", types::<(i8, Vec<u8>), (i8, Bytes)>()),
        ("Vec<T> becomes a set of T", types::<Vec<Word>, BTreeSet<Word>>()),
        ("a list becomes a tuple", types::<Vec<i64>, (i64, i64)>()),
        ("a tuple gets longer", types::<(i64, i64), (i64, i64, i64)>()),
        ("a string becomes an enum of words", types::<String, Word>()),
        ("a string becomes a number", types::<String, i64>()),
        (
            "the keys of a map become integers",
            types::<BTreeMap<String, Point>, BTreeMap<u32, Point>>(),
        ),
        ("a struct gets another name", types::<Point, Renamed>()),
        (
            "a struct gets a field with #[serde(default)], or an Option",
            types::<Point, WithDefault>(),
        ),
        ("a struct gets a required field", types::<Point, WithRequired>()),
        ("a struct loses a field", types::<WithRequired, Point>()),
        ("a field gets another name", types::<Point, FieldRenamed>()),
        (
            "a struct gets a field, and the old one has deny_unknown_fields",
            types::<Closed, ClosedWithMore>(),
        ),
        (
            "a field is left out now and then (skip_serializing_if), and had to be there",
            types::<Point, LeftOut>(),
        ),
        ("an enum gets a variant", types::<Shape, MoreShapes>()),
        ("an enum loses a variant", types::<MoreShapes, Shape>()),
        ("a variant gets a field with #[serde(default)]", types::<Shape, ShapeWithDefault>()),
        ("all variants get other names", types::<Shape, OtherShapes>()),
        ("a type becomes opaque", types::<Point, Opaque<Point>>()),
    ])
}

#[test]
fn the_document_says_what_is_so() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/EVOLUTION.md");
    let text = std::fs::read_to_string(path).expect("docs/EVOLUTION.md is there");
    let rows = text.lines().filter_map(|line| {
        let cells = line.strip_prefix('|')?.strip_suffix('|')?;
        let cells: Vec<String> = cells.split('|').map(|it| it.trim().replace('`', "")).collect();
        let [change, first, second] = &cells[..] else { panic!("three cells: {line}") };
        let is_head = change == "change" || change.starts_with("--");
        (!is_head).then(|| (change.clone(), [first.clone(), second.clone()]))
    });
    let rows: BTreeMap<_, _> = rows.collect();
    let cases = cases().into_iter();
    let cases: BTreeMap<_, _> =
        cases.map(|(change, verdicts)| (change.to_owned(), verdicts.map(str::to_owned))).collect();
    assert_eq!(rows, cases);
}

#[test]
fn a_service_fits_to_itself() {
    data! {
        struct Tree { children: Vec<Tree>, parent: Option<Box<Tree>>, kind: Tagged }
        #[serde(tag = "kind")] enum Tagged { Leaf, Node(Point), Other { x: Option<Box<Tagged>> } }
        #[serde(tag = "t", content = "c")] enum Adjacent { A, B(i64), C { x: Word }, D(u8, u8) }
        #[serde(untagged)] enum Untagged { A(i64), B(String), C { x: u8 }, None }
        struct Flat { #[serde(flatten)] point: Point, #[serde(flatten)] tagged: Tagged }
        struct Rest { a: u8, #[serde(flatten)] rest: BTreeMap<String, f64> }
    }
    type Numbers = (u8, i8, u16, i16, u32, i32, u64, i64, u128, i128, usize, isize, f32, f64);
    let versions = [
        both::<Tree>(),
        both::<Tagged>(),
        both::<Adjacent>(),
        both::<Untagged>(),
        both::<Flat>(),
        both::<Rest>(),
        both::<Numbers>(),
        both::<(char, String, bool, (), Bytes, Option<Option<u8>>)>(),
        both::<Result<Vec<Shape>, std::time::Duration>>(),
        both::<BTreeMap<Word, std::net::IpAddr>>(),
        both::<([u8; 4], std::num::NonZeroU32, std::num::NonZeroI8)>(),
    ];
    for Version { expects, offers } in versions {
        let verdict = worst(&expects, &offers);
        assert_eq!(verdict, Verdict::Compatible, "{}", serde_json::json!(offers));
    }
}

#[test]
fn what_differs_is_named_with_its_place() {
    data! {
        struct Order { lines: Vec<Line> }
        struct Line { price: i64 }
        struct NewOrder { lines: Vec<NewLine> }
        struct NewLine { price: String }
    }
    let Verdict::Refused(difference) = worst(&both::<Order>().expects, &both::<NewOrder>().offers)
    else {
        panic!("it is refused")
    };
    assert_eq!(difference.part, Part::Parameter("it".into()));
    assert_eq!(
        difference.to_string(),
        "parameter `it.lines[].price` of `echo`: the client sends `int64`, the server takes text"
    );
}

#[test]
fn a_hash_changes_with_every_type_and_with_nothing_else() {
    data! {
        /// A point.
        #[serde(rename = "Point")] struct Documented {
            /// To the right.
            x: f64
        }
        /// A word.
        #[serde(rename = "Word")] enum DocumentedWord {
            /// The colour of fire.
            Red,
            Green
        }
    }
    let hash = |version: Version| version.offers.schema;
    assert_eq!(hash(both::<Point>()), hash(both::<Documented>()));
    assert_eq!(hash(both::<Word>()), hash(both::<DocumentedWord>()));
    assert_ne!(hash(both::<Point>()), hash(both::<WithRequired>()));
    assert_ne!(hash(both::<i64>()), hash(both::<u64>()));
}

#[test]
fn an_error_is_never_more_than_undecided() {
    let failing = |error: Describe| {
        version(|methods| {
            let method = methods.method("m".into(), "".into(), "i64".into(), NUMBER);
            method.error("E".into(), error).options(false, None);
        })
    };
    assert_eq!(verdicts(&failing(of::<String>), &failing(of::<i64>)), ["undecided"; 2]);
}

#[test]
fn types_without_end_are_compared_in_bounded_time() {
    fn deep(depth: usize) -> serde_json::Value {
        let mut schema = serde_json::json!({"type": "integer"});
        for _ in 0..depth {
            schema = serde_json::json!({"type": "array", "items": schema});
        }
        schema
    }
    fn wide(count: usize) -> serde_json::Value {
        let forms = (0..count).map(|at| {
            serde_json::json!({"type": "object", "properties": {"a": {"const": at}}, "required": ["a", "b"]})
        });
        serde_json::json!({"anyOf": forms.collect::<Vec<_>>()})
    }
    static ONE: ServiceSchema = ServiceSchema::new(|| {
        describe("one".into(), "".into(), |methods| {
            methods.method("m".into(), "".into(), "i64".into(), NUMBER).options(false, None);
        })
    });
    for schema in [deep(1000), wide(400)] {
        let (mut expects, mut offers) = (ONE.expects().clone(), ONE.offers().clone());
        expects.methods[0].result_schema = schema.clone().into();
        offers.methods[0].result_schema = schema.into();
        assert_eq!(word(&worst(&expects, &offers)), "undecided");
    }
}

/// Schemas as nobody would write them.
fn any_schema() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let name = prop_oneof![Just("a"), Just("b"), Just("$ref"), Just("type")];
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!(false)),
        Just(json!({})),
        Just(json!(7)),
        Just(json!({"format": "bytes"})),
        (0..3).prop_map(|at| json!({"$ref": format!("#/$defs/written/{at}")})),
        (0..3).prop_map(|at| json!({"$ref": format!("#/$defs/read/{at}"), "properties": {}})),
        prop_oneof![Just("integer"), Just("string"), Just("array"), Just("object"), Just("null")]
            .prop_map(|ty| json!({"type": ty, "format": "uint8", "minItems": 1})),
        name.clone().prop_map(|word| json!({"const": word, "type": "string"})),
        Just(json!({"enum": [null, 1, "a", {}], "type": ["string", "null"]})),
    ];
    leaf.prop_recursive(4, 40, 4, move |inner| {
        let parts = proptest::collection::vec(inner.clone(), 0..4);
        let fields = proptest::collection::btree_map(name.clone(), inner.clone(), 0..4);
        prop_oneof![
            (parts, 0..4_usize).prop_map(|(parts, at)| {
                json!({(["anyOf", "oneOf", "allOf", "prefixItems"][at]): parts, "type": "array"})
            }),
            (fields, inner.clone()).prop_map(|(fields, other): (BTreeMap<&str, Value>, _)| {
                let required: Vec<_> = fields.keys().take(2).collect();
                json!({"type": "object", "properties": fields, "required": required,
                       "additionalProperties": other})
            }),
            inner.prop_map(|items| json!({"type": "array", "items": items, "maxItems": 3})),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever a server says it offers, a client comes to an end with it.
    #[test]
    fn no_schema_does_harm(all in proptest::collection::vec(any_schema(), 8)) {
        let version = || version(|methods| {
            methods.method("m".into(), "".into(), "T".into(), NUMBER).options(false, None);
        });
        let (mut expects, mut offers) = (version().expects, version().offers);
        for (document, schemas) in [(&mut expects, &all[..4]), (&mut offers, &all[4..])] {
            document.methods[0].result_schema = schemas[0].clone().into();
            for (at, schema) in schemas[1..].iter().enumerate() {
                document.definitions.written.insert(at.to_string(), schema.clone().into());
                document.definitions.read.insert(at.to_string(), schema.clone().into());
            }
        }
        let _ = compare(&expects, &offers);
        let schema = &offers.methods[0].result_schema;
        prop_assert!(schema.forms(&offers.definitions).len() < 100_000);
    }
}
