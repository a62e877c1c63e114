//! A method's return value, turned into what travels.

use std::fmt::Display;

use serde::Serialize;

use crate::service::Outcome;
use crate::value;
use crate::wire::{Failure, Reason};

/// The outcome of a method that returns a value.
pub fn value<T: Serialize + ?Sized>(value: &T) -> Outcome {
    match value::encode(value) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(Failure::new(
            Reason::ResultUnencodable,
            format!("the method ran, but its result cannot be encoded: {error}"),
        )),
    }
}

/// The outcome of a method that returns bytes, which travel as a byte string.
pub fn bytes(bytes: &[u8]) -> Outcome {
    Ok(value::encode_bytes(bytes).into())
}

/// The outcome of a method that returned its own error.
pub fn error<E: Serialize + Display>(error: &E) -> Outcome {
    let mut failure = Failure::new(Reason::Returned, error.to_string());
    match value::encode(error) {
        Ok(bytes) => failure.value = Some(bytes.into()),
        Err(unencodable) => {
            failure.reason = Reason::ResultUnencodable;
            failure.message = format!(
                "the method returned the error `{error}`, which cannot be encoded: {unencodable}"
            );
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize)]
    struct Keyed(std::collections::BTreeMap<u8, f32>);

    #[test]
    fn a_result_that_cannot_be_encoded_is_the_callers_failure() {
        struct Never;
        impl Serialize for Never {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("no form"))
            }
        }
        let failure = value(&Never).unwrap_err();
        assert_eq!(failure.reason, Reason::ResultUnencodable);
        assert!(failure.message.ends_with("no form"));
        assert!(value(&Keyed([(1, 2.5)].into())).is_ok());
    }

    #[test]
    fn an_own_error_travels_as_value_and_as_text() {
        let failure = error(&"division by zero").unwrap_err();
        assert_eq!(failure.message, "division by zero");
        assert_eq!(value::decode::<String>(&failure.value.unwrap()).unwrap(), "division by zero");
    }
}
