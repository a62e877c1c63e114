//! Values that have no schema.

use std::ops::{Deref, DerefMut};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// A value that travels as it would without this, and whose schema says *anything*.
///
/// For types of other crates that serde can write and read, and that have no JSON Schema: as
/// parameters and results of [`Functions`](crate::Functions), and inside of types of your own. In a
/// service trait, and on a field under `#[farcall::data]`, `#[farcall(opaque)]` does the same without
/// changing the type.
///
/// ```
/// use ciborium::Value;
/// use farcall_core::{Functions, Opaque};
///
/// let tools = Functions::new("tools").add("same", |it: Opaque<Value>| it);
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Opaque<T>(
    /// The value.
    pub T,
);

impl<T> Deref for Opaque<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Opaque<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> From<T> for Opaque<T> {
    fn from(value: T) -> Self {
        Opaque(value)
    }
}

impl<T> JsonSchema for Opaque<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Anything".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::from(true)
    }
}
