//! W3C trace context: which trace a call belongs to, and what it descends from there.
//!
//! The form is that of <https://www.w3.org/TR/trace-context/>, in two headers of a call. What is
//! not of that form is ignored, as the document asks: a bad header costs its sender the connection
//! between two spans, and nobody a call.

use std::fmt;

use uuid::Uuid;

/// Where a call stands in a trace: what the header `traceparent` says.
///
/// ```
/// use farcall_core::TraceContext;
///
/// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let trace = TraceContext::parse(header).unwrap();
/// assert_eq!(trace.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert!(trace.is_sampled());
/// assert_eq!(trace.to_string(), header);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: [u8; 16],
    parent_id: [u8; 8],
    flags: u8,
}

/// Somebody up the trace may have recorded it.
const SAMPLED: u8 = 0b01;

/// The flags that this version of the document gives a meaning; others are not passed on.
const KNOWN_FLAGS: u8 = 0b11;

/// The length of a header of version 00, and the least of one of any later version.
const LENGTH: usize = 55;

/// The most members that the list in `tracestate` may have.
const MAX_MEMBERS: usize = 32;

impl TraceContext {
    /// The name of the header that says the trace and the span that calls.
    pub const TRACEPARENT: &str = "traceparent";

    /// The name of the header in which tracing systems keep what is their own.
    pub const TRACESTATE: &str = "tracestate";

    /// Reads the value of a `traceparent` header; `None` if it is not of its form. One of a later
    /// version is read as far as this version goes.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let bytes = header.as_bytes();
        let (known, rest) = bytes.split_at_checked(LENGTH)?;
        let [version] = hex(&known[..2])?;
        let fits = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.first().is_none_or(|next| *next == b'-'),
        };
        if !fits || [known[2], known[35], known[52]] != *b"---" {
            return None;
        }
        let trace_id: [u8; 16] = hex(&known[3..35])?;
        let parent_id: [u8; 8] = hex(&known[36..52])?;
        let [flags] = hex(&known[53..])?;
        let zero = trace_id == [0; 16] || parent_id == [0; 8];
        (!zero).then_some(TraceContext { trace_id, parent_id, flags: flags & KNOWN_FLAGS })
    }

    /// The trace, which all that descends from one beginning shares.
    #[must_use]
    pub fn trace_id(&self) -> impl fmt::Display + use<> {
        Hex(self.trace_id)
    }

    /// The span that calls.
    #[must_use]
    pub fn parent_id(&self) -> impl fmt::Display + use<> {
        Hex(self.parent_id)
    }

    /// Whether somebody up the trace may have recorded it.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// A new trace, recorded by whoever begins it.
    pub(crate) fn begin() -> Self {
        let trace_id = *Uuid::new_v4().as_bytes();
        TraceContext { trace_id, parent_id: span_id(), flags: SAMPLED }
    }

    /// The same trace, continued by a new span.
    pub(crate) fn continued(self) -> Self {
        TraceContext { parent_id: span_id(), ..self }
    }
}

impl fmt::Display for TraceContext {
    /// The value of a `traceparent` header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id(), self.parent_id(), self.flags)
    }
}

/// Whether this is a `tracestate` that may be passed on.
pub(crate) fn is_tracestate(header: &str) -> bool {
    let mut keys = Vec::new();
    for member in header.split(',').map(|member| member.trim_matches([' ', '\t'])) {
        if member.is_empty() {
            continue;
        }
        let Some((key, value)) = member.split_once('=') else { return false };
        if !is_key(key) || !is_value(value) || keys.contains(&key) || keys.len() == MAX_MEMBERS {
            return false;
        }
        keys.push(key);
    }
    !keys.is_empty()
}

fn is_key(key: &str) -> bool {
    let plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    key.len() <= 256
        && key.bytes().next().is_some_and(plain)
        && key.bytes().all(|letter| plain(letter) || b"_-*/@".contains(&letter))
}

fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len())
        && value.bytes().all(|letter| matches!(letter, b' '..=b'~') && letter != b'=')
}

/// Eight bytes of chance that are not all zero.
fn span_id() -> [u8; 8] {
    // The version of a random uuid stands in its first half, the variant in its second: laid over
    // each other both are chance again.
    let bits = Uuid::new_v4().as_u128();
    let folded = (bits >> 64) as u64 ^ bits as u64;
    folded.max(1).to_be_bytes()
}

/// Two lower-case digits for each byte, as the document wants them.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

struct Hex<const N: usize>([u8; N]);

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_comes_out_as_it_went_in() {
        let trace = TraceContext::parse(GOOD).unwrap();
        assert_eq!(trace.parent_id().to_string(), "00f067aa0ba902b7");
        assert_eq!(trace.to_string(), GOOD);
    }

    #[test]
    fn garbage_is_ignored() {
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902bé-01",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn later_versions_are_read_as_far_as_this_one_goes() {
        for later in [
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-f5-more-é",
        ] {
            assert_eq!(TraceContext::parse(later).unwrap().to_string(), GOOD);
        }
    }

    #[test]
    fn a_continued_trace_has_its_id_and_flags_and_another_parent() {
        let trace = TraceContext::parse(GOOD).unwrap();
        let next = trace.continued();
        assert_eq!(next.to_string()[..36], GOOD[..36]);
        assert_ne!(next.parent_id, trace.parent_id);
        assert!(next.is_sampled());
        let begun = TraceContext::begin();
        assert_eq!(TraceContext::parse(&begun.to_string()), Some(begun));
    }

    #[test]
    fn a_trace_state_is_a_list_of_keys_and_values() {
        for good in ["rojo=00f067aa0ba902b7", "a=1,b@v=2 , c=x y", "a=1,,b=2"] {
            assert!(is_tracestate(good), "{good}");
        }
        for bad in ["", ",", "a", "a=", "A=1", "a=1,a=2", "a=b=c", "a=\u{7}", "-a=1", "a=é"] {
            assert!(!is_tracestate(bad), "{bad}");
        }
        let member = |at: usize| format!("k{at}=v");
        let list = |count| (0..count).map(member).collect::<Vec<_>>().join(",");
        assert!(is_tracestate(&list(32)));
        assert!(!is_tracestate(&list(33)));
    }
}
