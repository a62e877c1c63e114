//! What types need in order to travel.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type that can travel in a call: written and read by serde, and owning what it holds.
///
/// Own types get it by `#[farcall::data]`, which derives what is needed. Nobody implements it by
/// hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel in a call",
    label = "not `Serialize` and `Deserialize`",
    note = "write `#[farcall::data]` above the type, or derive serde's `Serialize` and `Deserialize`"
)]
pub trait Data: Serialize + DeserializeOwned + 'static {}

impl<T: Serialize + DeserializeOwned + 'static> Data for T {}
