//! What travels: frames, and the CBOR they are written in.
//!
//! A frame is one CBOR array `[kind, …]`. Everything but the payload is small and bounded; the
//! payload (parameters, a result, a stream's item) is the *last* element, so that a frame can be
//! read without walking through it and written without copying it. `docs/WIRE.md` holds the format
//! in CDDL and `docs/vectors/` golden bytes for programs in other languages.
//!
//! ```
//! use bytes::BytesMut;
//! use farcall_core::wire::{CallId, Frame};
//!
//! let mut buffer = BytesMut::new();
//! Frame::Cancel { id: CallId(7) }.encode(&mut buffer);
//! assert_eq!(&buffer[..], [0x82, 0x05, 0x07]);
//! assert_eq!(Frame::decode(buffer.freeze())?, Frame::Cancel { id: CallId(7) });
//! # Ok::<(), farcall_core::wire::WireError>(())
//! ```

mod announcement;
mod decode;
mod encode;
mod error;
mod failure;
mod frame;
mod hello;
mod parts;
mod well_formed;

pub use announcement::{Announcement, ServerState};
pub use error::WireError;
pub use failure::{Failure, Reason, ReasonClass};
pub use frame::{
    CallFrame, CallId, CallOptions, Durability, Frame, Headers, StreamId, TaskOptions, Towards,
};
pub use hello::{Hello, NodeId, VERSION};
pub use parts::{
    Assembler, Cutter, MAX_OPEN_MESSAGES, PART_BYTES, PARTS, PartError, PartHead, Piece,
};
pub use well_formed::{WellFormed, well_formed};

/// What a frame may need beyond its payload: names, headers, options.
///
/// Transports accept frames of up to `max_message_bytes` plus this.
pub const FRAME_OVERHEAD: usize = 64 * 1024;

/// The longest name of a service, method, server or namespace in a frame, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// The most headers one call may carry.
pub const MAX_HEADERS: usize = 64;

/// The most bytes that the names and values of one call's headers may have together.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;

/// The most entries of the small lists: features, nearest names.
pub(crate) const MAX_LIST: usize = 64;
