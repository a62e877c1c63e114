//! Whether the values that one side writes are values that the other side reads.
//!
//! The answer is about certainty: *never* is said where every value would be turned away, *perhaps*
//! where some would, or where it cannot be told. Null, and what is left out, count for nothing: an
//! optional value whose type does not fit does not fit.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;

use serde_json::{Map, Value};

use super::alternatives::{AND, forms, is_anything, is_whole, nodes, reference, whole};
use super::{Definitions, Schema};

/// Pairs of schemas that are looked at for one service. A method as people write it takes dozens.
pub(super) const MAX_STEPS: u32 = 100_000;

/// Copying so much text costs about as much as looking at a pair.
const LETTERS_A_STEP: usize = 64;

/// How deep types may nest, references aside.
const MAX_DEPTH: u32 = 100;

/// Whether what is written is read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fit {
    Fits,
    Perhaps(Misfit),
    Never(Misfit),
}

/// What does not fit, and where.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Misfit {
    /// As `.address.street`.
    pub(super) path: String,
    pub(super) why: String,
}

impl Fit {
    fn perhaps(why: impl Into<String>) -> Fit {
        Fit::Perhaps(Misfit { path: String::new(), why: why.into() })
    }

    fn never(why: impl Into<String>) -> Fit {
        Fit::Never(Misfit { path: String::new(), why: why.into() })
    }

    /// What holds if both have to hold.
    fn and(self, other: Fit) -> Fit {
        match (&self, &other) {
            (Fit::Never(_), _) => self,
            (_, Fit::Never(_)) => other,
            (Fit::Perhaps(_), _) => self,
            _ => other,
        }
    }

    /// What holds if one of them has to: the nearer miss, if none does.
    fn or(self, other: Fit) -> Fit {
        match (&self, &other) {
            (Fit::Fits, _) => self,
            (_, Fit::Fits) => other,
            (Fit::Perhaps(a), Fit::Perhaps(b)) | (Fit::Never(a), Fit::Never(b))
                if b.path.len() > a.path.len() =>
            {
                other
            }
            (Fit::Never(_), Fit::Perhaps(_)) => other,
            _ => self,
        }
    }

    fn inside(self, step: &str) -> Fit {
        let inside = |mut misfit: Misfit| {
            misfit.path.insert_str(0, step);
            misfit
        };
        match self {
            Fit::Fits => Fit::Fits,
            Fit::Perhaps(misfit) => Fit::Perhaps(inside(misfit)),
            Fit::Never(misfit) => Fit::Never(inside(misfit)),
        }
    }

    /// The same, but nothing is certain.
    pub(super) fn at_most_perhaps(self) -> Fit {
        match self {
            Fit::Never(misfit) => Fit::Perhaps(misfit),
            other => other,
        }
    }
}

/// Compares schemas of two documents.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    written: Side<'a>,
    read: Side<'a>,
    /// Definitions that are being compared, each with what it is compared to: they are taken to fit
    /// where they meet again.
    open: Vec<(String, String)>,
    /// How many pairs may still be looked at, of this service.
    steps: &'a Cell<u32>,
    depth: u32,
}

/// One of the two: what it is called in messages, and its definitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side<'a> {
    pub(super) who: &'static str,
    pub(super) definitions: &'a Definitions,
}

impl<'a> Comparison<'a> {
    /// Of what one side writes and the other reads.
    pub(super) fn new(written: Side<'a>, read: Side<'a>, steps: &'a Cell<u32>) -> Self {
        Comparison { written, read, open: Vec::new(), steps, depth: MAX_DEPTH }
    }

    /// Whether what is written is read.
    pub(super) fn schema(&mut self, written: &Schema, read: &Schema) -> Fit {
        self.value(written.as_json(), read.as_json())
    }

    fn value(&mut self, written: &Value, read: &Value) -> Fit {
        let Some(depth) = self.depth.checked_sub(1).filter(|_| self.spend(1)) else {
            return Fit::perhaps("the types are too large to be compared");
        };
        self.depth = depth;
        // Only what is referred to can meet itself again.
        let pair = reference(written).map(|name| (name.to_owned(), read.to_string()));
        self.spend(pair.as_ref().map_or(0, |(_, read)| read.len() / LETTERS_A_STEP));
        let fit = match pair {
            Some(pair) if self.open.contains(&pair) => Fit::Fits,
            Some(pair) => {
                self.open.push(pair);
                let fit = self.whole(written, read);
                self.open.pop();
                fit
            }
            None => self.whole(written, read),
        };
        self.depth += 1;
        fit
    }

    /// Takes from what may still be spent; false if there is nothing left.
    fn spend(&self, steps: usize) -> bool {
        let left = self.steps.get();
        self.steps.set(left.saturating_sub(u32::try_from(steps).unwrap_or(u32::MAX)));
        left > 0
    }

    fn whole(&mut self, written: &Value, read: &Value) -> Fit {
        let [ours, theirs] = [self.written.definitions, self.read.definitions];
        let (Some(written), Some(read)) = (whole(written, ours), whole(read, theirs)) else {
            return Fit::perhaps("a type is referred to that is not described");
        };
        for put_together in [&written, &read] {
            if let Cow::Owned(whole) = put_together {
                self.spend(nodes(whole, MAX_STEPS as usize));
            }
        }
        if is_anything(&read) || *written == Value::Bool(false) {
            return Fit::Fits;
        }
        if is_anything(&written) {
            let Side { who, .. } = self.written;
            return Fit::perhaps(format!("{who} does not say what it sends"));
        }
        self.forms(&written, &read)
    }

    /// Every form that is written has to be read in one form or other.
    fn forms(&mut self, written: &Value, read: &Value) -> Fit {
        let (written_forms, read_forms) = (forms(written), forms(read));
        let tags: HashMap<&str, usize> =
            read_forms.iter().enumerate().filter_map(|(at, it)| Some((tag(it)?, at))).collect();
        let mut all = Fit::Fits;
        let mut any_fits = false;
        for form in &written_forms {
            let fit = if is_whole(form) {
                self.form(form, &read_forms, &tags)
            } else {
                self.value(form, read)
            };
            let is_null = form["type"] == "null" || form.get("const").is_some_and(Value::is_null);
            any_fits |= !matches!(fit, Fit::Never(_)) && (!is_null || written_forms.len() == 1);
            all = all.and(fit);
        }
        if any_fits { all.at_most_perhaps() } else { all }
    }

    fn form(
        &mut self,
        written: &Value,
        read: &[Cow<'_, Value>],
        tags: &HashMap<&str, usize>,
    ) -> Fit {
        if let [read] = read
            && is_whole(read)
        {
            return self.single(written, read);
        }
        if let Some(at) = tag(written).and_then(|tag| tags.get(tag)) {
            return self.value(written, &read[*at]);
        }
        let nothing = Fit::never(self.mismatch(written, &Value::Bool(false)));
        let mut best = nothing;
        for read in read {
            best = best.or(self.value(written, read));
            if best == Fit::Fits {
                break;
            }
        }
        match (best, tag(written)) {
            (Fit::Never(_), Some(tag)) if !tags.is_empty() => {
                let [ours, theirs] = [self.written.who, self.read.who];
                Fit::never(format!("{ours} may send `{tag}`, which {theirs} does not know"))
            }
            (best, _) => best,
        }
    }

    /// Two schemas of one form each.
    fn single(&mut self, written: &Value, read: &Value) -> Fit {
        if *read == Value::Bool(false) {
            return Fit::never(format!("{} takes nothing here", self.read.who));
        }
        let (Some(ours), Some(theirs)) = (written.as_object(), read.as_object()) else {
            return if is_anything(read) { Fit::Fits } else { self.perhaps(written, read) };
        };
        match (ours.get("const"), theirs.get("const")) {
            (Some(ours), Some(theirs)) if ours == theirs => return Fit::Fits,
            (Some(_), Some(_)) => return Fit::never(self.mismatch(written, read)),
            (None, Some(_)) if Kind::of(ours) == Kind::of(theirs) => {
                return self.perhaps(written, read);
            }
            _ => {}
        }
        match (Kind::of(ours), Kind::of(theirs)) {
            (Kind::Unknown, _) | (_, Kind::Unknown) if ours == theirs => Fit::Fits,
            (Kind::Unknown, _) | (_, Kind::Unknown) => self.perhaps(written, read),
            (Kind::Integer, Kind::Integer) => match Range::of(ours).within(Range::of(theirs)) {
                Within::Whole => Fit::Fits,
                Within::Partly => self.perhaps(written, read),
                Within::Not => Fit::never(self.mismatch(written, read)),
            },
            // No integer is read as a float, whose format tells it from serde_json's number.
            (Kind::Integer, Kind::Number) if theirs.get("format").is_none() => Fit::Fits,
            (Kind::Number, Kind::Integer) if ours.get("format").is_none() => {
                self.perhaps(written, read)
            }
            (Kind::Number, Kind::Number) => match (ours.get("format"), theirs.get("format")) {
                (ours, Some(theirs)) if theirs == "float" && ours != Some(theirs) => {
                    self.perhaps(written, read)
                }
                _ => Fit::Fits,
            },
            (Kind::Text, Kind::Text) => self.text(ours, theirs),
            (Kind::List, Kind::List) => self.list(ours, theirs),
            (Kind::Bytes, Kind::List) => self.list(&list_of_bytes(), theirs),
            (Kind::List, Kind::Bytes) => self.list(ours, &list_of_bytes()),
            (Kind::Object, Kind::Object) => self.object(ours, theirs),
            (a, b) if a == b => Fit::Fits,
            _ => Fit::never(self.mismatch(written, read)),
        }
    }

    fn text(&mut self, ours: &Map<String, Value>, theirs: &Map<String, Value>) -> Fit {
        let narrower = ["format", "pattern", "maxLength", "minLength"].iter().any(|key| {
            let theirs = theirs.get(*key);
            theirs.is_some() && theirs != ours.get(*key)
        });
        // A word is known, but not whether it is a date.
        if narrower {
            self.perhaps(&Value::Object(ours.clone()), &Value::Object(theirs.clone()))
        } else {
            Fit::Fits
        }
    }

    fn list(&mut self, ours: &Map<String, Value>, theirs: &Map<String, Value>) -> Fit {
        let (ours, theirs) = (List::of(ours), List::of(theirs));
        let mut all = if ours.max < theirs.min || ours.min > theirs.max {
            let [who, whom] = [self.written.who, self.read.who];
            Fit::never(format!("{who} sends a list of {ours}, {whom} takes {theirs}"))
        } else if ours.min < theirs.min || ours.max > theirs.max {
            let [who, whom] = [self.written.who, self.read.who];
            Fit::perhaps(format!("{who} sends a list of {ours}, {whom} takes {theirs}"))
        } else {
            Fit::Fits
        };
        let places = ours.first.len().max(theirs.first.len());
        for at in 0..places {
            if at as u64 >= ours.max {
                break;
            }
            let fit = self.value(ours.at(at), theirs.at(at));
            all = all.and(fit.inside(&format!("[{at}]")));
        }
        if ours.max > places as u64 {
            all = all.and(self.value(ours.rest, theirs.rest).inside("[]"));
        }
        all
    }

    fn object(&mut self, ours: &Map<String, Value>, theirs: &Map<String, Value>) -> Fit {
        let [who, whom] = [self.written.who, self.read.who];
        let (ours, theirs) = (Object::of(ours), Object::of(theirs));
        let mut all = Fit::Fits;
        let mut unknown = None;
        for (name, written) in ours.fields() {
            let step = format!(".{name}");
            let fit = match (theirs.field(name), &theirs.map) {
                (Some(read), _) => self.value(written, read).inside(&step),
                (None, Some((Keys::Text, read))) => self.value(written, read).inside(&step),
                (None, Some((Keys::Integers, _))) => {
                    Fit::never(format!("{whom} takes integers for keys")).inside(&step)
                }
                (None, None) if theirs.closed => {
                    let why = format!("{whom} takes no field that it does not know");
                    let fit = Fit::never(why).inside(&step);
                    if ours.is_required(name) { fit } else { fit.at_most_perhaps() }
                }
                (None, None) => {
                    unknown = Some(name);
                    Fit::Fits
                }
            };
            all = all.and(fit);
        }
        for name in theirs.required() {
            if ours.is_required(name) {
                continue;
            }
            let step = format!(".{name}");
            let fit = match (ours.field(name), unknown) {
                (Some(_), _) => Fit::perhaps(format!("{who} may leave it out, {whom} needs it")),
                (None, _) if ours.map.is_some() => {
                    Fit::perhaps(format!("{whom} needs it, {who} does not say its keys"))
                }
                // It may be the same one: `serde(alias)` is in no schema.
                (None, Some(other)) => Fit::perhaps(format!(
                    "{who} does not send it, {whom} needs it, unless that is `{other}`"
                )),
                (None, None) => Fit::never(format!("{who} does not send it, {whom} needs it")),
            };
            all = all.and(fit.inside(&step));
        }
        match (&ours.map, &theirs.map) {
            (Some((our_keys, written)), Some((their_keys, read))) if our_keys == their_keys => {
                all.and(self.value(written, read).inside(".*"))
            }
            (Some(_), Some(_)) => {
                all.and(Fit::never("one side has integers for keys, the other has not"))
            }
            (Some(_), None) if theirs.closed || theirs.has_fields() => {
                all.and(Fit::perhaps(format!("{who} sends a map, {whom} takes certain fields")))
            }
            _ => all,
        }
    }

    fn perhaps(&self, written: &Value, read: &Value) -> Fit {
        Fit::perhaps(self.mismatch(written, read))
    }

    fn mismatch(&self, written: &Value, read: &Value) -> String {
        let [who, whom] = [self.written.who, self.read.who];
        format!("{who} sends {}, {whom} takes {}", words(written), words(read))
    }
}

/// What tells the variants of an enum apart: the word, the name of the one field, or the word in one.
fn tag(schema: &Value) -> Option<&str> {
    if let Some(Value::String(word)) = schema.get("const") {
        return Some(word);
    }
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    let required = schema.get("required")?.as_array()?;
    if let [Value::String(name)] = required.as_slice()
        && closed
    {
        return Some(name);
    }
    let fields = schema.get("properties")?.as_object()?;
    fields.values().find_map(|field| field.get("const")?.as_str())
}

/// What CBOR makes of a value of a schema of one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    Bool,
    Integer,
    Number,
    Text,
    Bytes,
    Uuid,
    /// Of a format whose values are no text in a binary form.
    Address(&'static str),
    List,
    Object,
    Unknown,
}

impl Kind {
    fn of(schema: &Map<String, Value>) -> Kind {
        let format = schema.get("format").and_then(Value::as_str);
        // Numbers that cannot be zero: what else is there is about all of its values.
        let unknown = [AND, "if", "propertyNames", "contains"];
        if unknown.iter().any(|key| schema.contains_key(*key)) {
            return Kind::Unknown;
        }
        match (schema.get("type").and_then(Value::as_str), format) {
            (None, Some("bytes")) => Kind::Bytes,
            (Some("string"), Some("uuid")) => Kind::Uuid,
            (Some("string"), Some("ip")) => Kind::Address("ip"),
            (Some("string"), Some("ipv4")) => Kind::Address("ipv4"),
            (Some("string"), Some("ipv6")) => Kind::Address("ipv6"),
            (Some("null"), _) => Kind::Null,
            (Some("boolean"), _) => Kind::Bool,
            (Some("integer"), _) => Kind::Integer,
            (Some("number"), _) => Kind::Number,
            (Some("string"), _) => Kind::Text,
            (Some("array"), _) => Kind::List,
            (Some("object"), _) => Kind::Object,
            (None, _) => match schema.get("const") {
                Some(Value::Null) => Kind::Null,
                Some(Value::Bool(_)) => Kind::Bool,
                Some(Value::Number(number)) if number.is_f64() => Kind::Number,
                Some(Value::Number(_)) => Kind::Integer,
                Some(Value::String(_)) => Kind::Text,
                Some(Value::Array(_)) => Kind::List,
                Some(Value::Object(_)) => Kind::Object,
                None if schema.contains_key("properties") => Kind::Object,
                None => Kind::Unknown,
            },
            _ => Kind::Unknown,
        }
    }
}

/// The integers of a schema; the largest of 128 bits have no name in `i128`, and need none.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    min: i128,
    max: i128,
    not_zero: bool,
}

enum Within {
    Whole,
    Partly,
    Not,
}

impl Range {
    fn of(schema: &Map<String, Value>) -> Range {
        let (min, max) = match schema.get("format").and_then(Value::as_str).unwrap_or_default() {
            "int8" => (i8::MIN.into(), i8::MAX.into()),
            "int16" => (i16::MIN.into(), i16::MAX.into()),
            "int32" => (i32::MIN.into(), i32::MAX.into()),
            "int64" | "int" => (i64::MIN.into(), i64::MAX.into()),
            "uint8" => (0, u8::MAX.into()),
            "uint16" => (0, u16::MAX.into()),
            "uint32" => (0, u32::MAX.into()),
            "uint64" | "uint" => (0, u64::MAX.into()),
            // Their own bounds follow; below 2¹²⁷ and above it is never told apart.
            "uint128" => (0, i128::MAX),
            "int128" => (i128::MIN, i128::MAX - 1),
            _ => (i128::MIN, i128::MAX),
        };
        let bound = |key: &str| {
            let number = schema.get(key)?;
            number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
        };
        let one = schema.get("const").and_then(Value::as_i64).map(i128::from);
        Range {
            min: one.unwrap_or_else(|| bound("minimum").map_or(min, |bound| bound.max(min))),
            max: one.unwrap_or_else(|| bound("maximum").map_or(max, |bound| bound.min(max))),
            not_zero: schema.get("not").is_some_and(|not| not["const"] == 0),
        }
    }

    fn within(self, other: Range) -> Within {
        if self.min > other.max || self.max < other.min {
            Within::Not
        } else if self.min < other.min
            || self.max > other.max
            || (other.not_zero && !self.not_zero && self.min <= 0 && self.max >= 0)
        {
            Within::Partly
        } else {
            Within::Whole
        }
    }
}

/// A list or tuple.
struct List<'a> {
    first: &'a [Value],
    rest: &'a Value,
    min: u64,
    max: u64,
}

impl<'a> List<'a> {
    fn of(schema: &'a Map<String, Value>) -> Self {
        let number = |key: &str| schema.get(key).and_then(Value::as_u64);
        List {
            first: schema.get("prefixItems").and_then(Value::as_array).map_or(&[], |it| it),
            rest: schema.get("items").unwrap_or(&Value::Bool(true)),
            min: number("minItems").unwrap_or(0),
            max: number("maxItems").unwrap_or(u64::MAX),
        }
    }

    fn at(&self, at: usize) -> &'a Value {
        self.first.get(at).unwrap_or(self.rest)
    }
}

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (min, max) if min == max => write!(f, "{min}"),
            (0, u64::MAX) => f.write_str("any length"),
            (min, u64::MAX) => write!(f, "{min} or more"),
            (min, max) => write!(f, "{min} to {max}"),
        }
    }
}

/// Bytes are read where a list of numbers is, and the other way round.
fn list_of_bytes() -> Map<String, Value> {
    let byte = serde_json::json!({"type": "integer", "format": "uint8"});
    Map::from_iter([("items".to_owned(), byte)])
}

/// A struct, or a map.
struct Object<'a> {
    properties: Option<&'a Map<String, Value>>,
    required: &'a [Value],
    map: Option<(Keys, &'a Value)>,
    /// Fields that it does not name are turned away.
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    Text,
    Integers,
}

/// How schemars says that keys are integers, which travel as such.
pub(super) const INTEGER_KEYS: [&str; 2] = [r"^\d+$", r"^-?\d+$"];

impl<'a> Object<'a> {
    fn of(schema: &'a Map<String, Value>) -> Self {
        let object = |key: &str| schema.get(key).and_then(Value::as_object);
        let patterns = object("patternProperties").and_then(|it| it.iter().next());
        let other = schema.get("additionalProperties").or(schema.get("unevaluatedProperties"));
        let map = match (patterns, other) {
            (Some((pattern, values)), _) => {
                let integers = INTEGER_KEYS.contains(&&**pattern);
                Some((if integers { Keys::Integers } else { Keys::Text }, values))
            }
            (None, Some(values)) if *values != Value::Bool(false) => Some((Keys::Text, values)),
            _ => None,
        };
        Object {
            properties: object("properties"),
            required: schema.get("required").and_then(Value::as_array).map_or(&[], |it| it),
            closed: map.is_none() && other.is_some(),
            map,
        }
    }

    fn fields(&self) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.properties.into_iter().flatten()
    }

    fn field(&self, name: &str) -> Option<&'a Value> {
        self.properties?.get(name)
    }

    fn has_fields(&self) -> bool {
        self.fields().next().is_some()
    }

    fn required(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.required.iter().filter_map(Value::as_str)
    }

    fn is_required(&self, name: &str) -> bool {
        self.required().any(|required| required == name)
    }
}

/// A schema in a few words.
fn words(schema: &Value) -> String {
    let Some(map) = schema.as_object() else {
        return if *schema == Value::Bool(false) { "nothing" } else { "anything" }.to_owned();
    };
    if let Some(constant) = map.get("const") {
        return constant.as_str().map_or(constant.to_string(), |word| format!("`{word}`"));
    }
    let format = map.get("format").and_then(Value::as_str);
    match (Kind::of(map), format) {
        (Kind::Integer | Kind::Number | Kind::Text, Some(format)) => format!("`{format}`"),
        (Kind::Null, _) => "null".to_owned(),
        (Kind::Bool, _) => "true or false".to_owned(),
        (Kind::Integer, _) => "an integer".to_owned(),
        (Kind::Number, _) => "a number".to_owned(),
        (Kind::Text, _) => match (map.get("minLength"), map.get("maxLength")) {
            (Some(one), Some(same)) if one == same => format!("text of {one} letters"),
            _ => "text".to_owned(),
        },
        (Kind::Bytes, _) => "bytes".to_owned(),
        (Kind::Uuid, _) => "`uuid`".to_owned(),
        (Kind::Address(format), _) => format!("`{format}`"),
        (Kind::List, _) => "a list".to_owned(),
        (Kind::Object, _) => {
            let object = Object::of(map);
            match object.map {
                Some(_) => "a map".to_owned(),
                None => {
                    let names: Vec<_> = object.fields().map(|(name, _)| name.as_str()).collect();
                    format!("an object of {{{}}}", names.join(", "))
                }
            }
        }
        (Kind::Unknown, _) => "something else".to_owned(),
    }
}
