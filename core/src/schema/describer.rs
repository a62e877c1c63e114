//! From Rust's types to what a service tells of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::Value;

use super::{Definitions, PATHS, Schema, Text, fingerprint};
use crate::service::{Descriptor, MethodDescriptor, ParamDescriptor};

/// What the servers and the clients of a service tell of it.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    pub(super) offers: Descriptor,
    pub(super) expects: Descriptor,
}

impl Documents {
    /// What servers offer, alone.
    #[must_use]
    pub fn into_offers(self) -> Descriptor {
        self.offers
    }

    /// What clients expect, alone.
    #[must_use]
    pub fn into_expects(self) -> Descriptor {
        self.expects
    }
}

/// A type in both directions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Described {
    /// The values that serde reads.
    read: Schema,
    /// The values that serde writes.
    written: Schema,
    /// Null is read, and so is what is left out.
    optional: bool,
}

impl Described {
    /// Bytes.
    #[must_use]
    pub fn bytes() -> Self {
        Described { read: Schema::bytes(), written: Schema::bytes(), optional: false }
    }

    /// The same, which may be left out or may not.
    #[must_use]
    pub fn optional(self, optional: bool) -> Self {
        Described { optional, ..self }
    }
}

/// Says how a type is described: what the macros pass, a function of the type.
pub type Describe = fn(&mut Describer) -> Described;

/// Makes schemas of types; those of one service share their definitions.
#[derive(Debug)]
pub struct Describer {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Describer {
    fn new() -> Self {
        let settings = |path: &'static str| {
            SchemaSettings::draft2020_12().with(|it| it.definitions_path = path.into())
        };
        Describer {
            read: settings(PATHS[0]).for_deserialize().into_generator(),
            written: settings(PATHS[1]).for_serialize().into_generator(),
        }
    }

    /// A type.
    pub fn describe<T: JsonSchema + ?Sized>(&mut self) -> Described {
        Described {
            read: self.read.subschema_for::<T>().into(),
            written: self.written.subschema_for::<T>().into(),
            optional: false,
        }
    }

    fn definitions(mut self) -> Definitions {
        let all = |generator: &mut SchemaGenerator| {
            let definitions = generator.take_definitions(true);
            definitions.into_iter().map(|(name, schema)| (name, schema.into())).collect()
        };
        Definitions { read: all(&mut self.read), written: all(&mut self.written) }
    }
}

/// The methods of a service, which are put down one after the other.
#[derive(Debug)]
pub struct Methods {
    documents: Documents,
    describer: Describer,
}

/// Puts down a service: its name, its docs, and its methods.
#[must_use]
pub fn describe(name: Text, docs: Text, methods: impl FnOnce(&mut Methods)) -> Documents {
    let descriptor = Descriptor { name, docs, ..Descriptor::default() };
    let documents = Documents { offers: descriptor.clone(), expects: descriptor };
    let mut writer = Methods { documents, describer: Describer::new() };
    methods(&mut writer);
    let Methods { mut documents, describer } = writer;
    let all = describer.definitions();
    for document in [&mut documents.offers, &mut documents.expects] {
        document.definitions = used(document, &all);
    }
    let hash: Text = fingerprint::of(&documents.offers, &documents.expects).into();
    documents.offers.schema.clone_from(&hash);
    documents.expects.schema = hash;
    documents
}

impl Methods {
    /// Puts down a method and gives it, to add the rest. `result` is its type as written in Rust.
    pub fn method(
        &mut self,
        name: Text,
        docs: Text,
        result: Text,
        of: Describe,
    ) -> MethodWriter<'_> {
        let Described { read, written, .. } = of(&mut self.describer);
        let method = MethodDescriptor { name, docs, result, ..MethodDescriptor::default() };
        let offered = MethodDescriptor { result_schema: written, ..method.clone() };
        let expected = MethodDescriptor { result_schema: read, ..method };
        self.documents.offers.methods.push(offered);
        self.documents.expects.methods.push(expected);
        MethodWriter { service: self }
    }
}

/// The method that was put down last, and what else there is to say of it.
#[derive(Debug)]
pub struct MethodWriter<'a> {
    service: &'a mut Methods,
}

impl MethodWriter<'_> {
    /// Its next parameter.
    #[must_use = "the method is put down already; this gives it back for more"]
    pub fn param(self, name: Text, ty: Text, of: Describe) -> Self {
        self.push(name, ty, of, false)
    }

    /// Its next parameter, which is a stream of this type.
    #[must_use = "the method is put down already; this gives it back for more"]
    pub fn param_stream(self, name: Text, ty: Text, of: Describe) -> Self {
        self.push(name, ty, of, true)
    }

    fn push(self, name: Text, ty: Text, of: Describe, stream: bool) -> Self {
        let Described { read, written, optional } = of(&mut self.service.describer);
        let param = ParamDescriptor { name, ty, optional, stream, schema: read };
        let expected = ParamDescriptor { schema: written, ..param.clone() };
        self.each(|offered, expected_method| {
            offered.params.push(param);
            expected_method.params.push(expected);
        })
    }

    /// What it gives is a stream of the type that was given for its result.
    #[must_use = "the method is put down already; this gives it back for more"]
    pub fn stream(self) -> Self {
        self.each(|offered, expected| (offered.stream, expected.stream) = (true, true))
    }

    /// The type of its error.
    #[must_use = "the method is put down already; this gives it back for more"]
    pub fn error(self, ty: Text, of: Describe) -> Self {
        let Described { read, written, .. } = of(&mut self.service.describer);
        self.each(|offered, expected| {
            (offered.error, expected.error) = (Some(ty.clone()), Some(ty));
            (offered.error_schema, expected.error_schema) = (Some(written), Some(read));
        })
    }

    /// Calls of it are recorded as tasks.
    #[must_use = "the method is put down already; this gives it back for more"]
    pub fn recoverable(self) -> Self {
        self.each(|offered, expected| (offered.recoverable, expected.recoverable) = (true, true))
    }

    /// Its options.
    pub fn options(self, idempotent: bool, timeout: Option<Duration>) {
        self.each(|offered, expected| {
            (offered.idempotent, expected.idempotent) = (idempotent, idempotent);
            (offered.timeout, expected.timeout) = (timeout, timeout);
        });
    }

    fn each(self, change: impl FnOnce(&mut MethodDescriptor, &mut MethodDescriptor)) -> Self {
        let Documents { offers, expects } = &mut self.service.documents;
        if let (Some(offered), Some(expected)) =
            (offers.methods.last_mut(), expects.methods.last_mut())
        {
            change(offered, expected);
        }
        self
    }
}

/// The definitions that a document refers to, out of all.
fn used(document: &Descriptor, all: &Definitions) -> Definitions {
    let mut used = Definitions::default();
    let mut open: Vec<&Value> = Vec::new();
    for method in &document.methods {
        open.extend(method.params.iter().map(|param| param.schema.as_json()));
        open.push(method.result_schema.as_json());
        open.extend(method.error_schema.iter().map(Schema::as_json));
    }
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    let (from, to) = match reference.strip_prefix('#') {
                        Some(path) if path.starts_with(PATHS[1]) => {
                            (&all.written, &mut used.written)
                        }
                        _ => (&all.read, &mut used.read),
                    };
                    take(reference, from, to, &mut open);
                }
                open.extend(map.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    used
}

fn take<'a>(
    reference: &str,
    from: &'a BTreeMap<String, Schema>,
    to: &mut BTreeMap<String, Schema>,
    open: &mut Vec<&'a Value>,
) {
    let Some(name) = reference.rsplit('/').next().and_then(super::unescaped) else { return };
    if let Some((name, schema)) = from.get_key_value(&name)
        && !to.contains_key(name)
    {
        to.insert(name.clone(), schema.clone());
        open.push(schema.as_json());
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Point {
        x: f64,
        #[serde(default)]
        y: f64,
        next: Option<Box<Point>>,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Unused {
        points: Vec<Point>,
    }

    fn described(docs: &'static str) -> Documents {
        describe("plane".into(), docs.into(), |methods| {
            methods
                .method("move".into(), docs.into(), "Point".into(), |it| it.describe::<Point>())
                .param("by".into(), "Point".into(), |it| it.describe::<Point>())
                .param("raw".into(), "&[u8]".into(), |_| Described::bytes().optional(true))
                .error("String".into(), |it| {
                    it.describe::<Unused>();
                    it.describe::<String>()
                })
                .options(true, None);
        })
    }

    #[test]
    fn a_server_reads_parameters_and_writes_results_and_a_client_the_other_way() {
        let Documents { offers, expects } = described("");
        let [offered, expected] = [&offers.methods[0], &expects.methods[0]];
        assert_eq!(*offered.params[0].schema.as_json(), json!({"$ref": "#/$defs/read/Point"}));
        assert_eq!(*offered.result_schema.as_json(), json!({"$ref": "#/$defs/written/Point"}));
        assert_eq!(*expected.params[0].schema.as_json(), json!({"$ref": "#/$defs/written/Point"}));
        assert_eq!(*expected.result_schema.as_json(), json!({"$ref": "#/$defs/read/Point"}));
        assert!(offered.idempotent && expected.idempotent && offered.params[1].optional);
        let required = |schema: &Schema| schema.as_json()["required"].clone();
        assert_eq!(required(&offers.definitions.read["Point"]), json!(["x"]));
        assert_eq!(required(&offers.definitions.written["Point"]), json!(["x", "y", "next"]));
    }

    #[test]
    fn definitions_that_nobody_refers_to_are_left_out() {
        let definitions = described("").offers.definitions;
        assert_eq!(definitions.read.keys().collect::<Vec<_>>(), ["Point"]);
        assert_eq!(definitions.written.keys().collect::<Vec<_>>(), ["Point"]);
    }

    #[test]
    fn docs_are_no_part_of_the_hash() {
        assert_eq!(described("").offers.schema, described("Moves.").expects.schema);
        assert_eq!(described("").offers.schema.len(), 24);
    }
}
