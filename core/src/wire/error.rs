//! Why bytes are no frame.

/// Why bytes are no frame. Whoever sent them is not to be trusted further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end inside the frame.
    #[error("frame ends too early")]
    Truncated,
    /// Bytes follow the frame.
    #[error("{0} bytes follow the end of the frame")]
    Trailing(usize),
    /// Not CBOR, or not of the form the kind has.
    #[error("malformed frame: {0}")]
    Malformed(String),
    /// A kind of frame that this version does not know.
    #[error("unknown kind of frame: {0}")]
    UnknownKind(u64),
    /// A name, list or map is longer than it may be.
    #[error("{what} has {found}, the limit is {limit}")]
    TooMuch {
        /// Of what there is too much.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much there may be.
        limit: u64,
    },
}

impl From<minicbor::decode::Error> for WireError {
    fn from(error: minicbor::decode::Error) -> Self {
        if error.is_end_of_input() {
            WireError::Truncated
        } else {
            WireError::Malformed(error.to_string())
        }
    }
}
