//! What this program was built with.

use farcall_core::MemoryKind;
use farcall_core::transport::TransportKind;
use farcall_transport_unix::UnixKind;

/// The transports that a configuration may choose here.
pub(crate) fn kinds() -> &'static [&'static dyn TransportKind] {
    &[&UnixKind, &MemoryKind]
}

/// Their names.
pub(crate) fn names() -> Vec<&'static str> {
    kinds().iter().map(|kind| kind.name()).collect()
}
