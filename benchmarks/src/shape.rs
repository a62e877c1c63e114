//! The shape of a load: how large its payloads are, and how many calls are in flight.

use std::fmt;

/// One row of the plan: a payload size and a number of concurrent calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    /// Bytes of payload in each request, and in each response.
    pub(crate) size: usize,
    /// How many calls the one client keeps in flight, at least 1.
    pub(crate) in_flight: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { size, in_flight } = self;
        match size {
            size if *size >= 1024 && size % 1024 == 0 => write!(f, "{} KiB", size / 1024)?,
            size => write!(f, "{size} B")?,
        }
        write!(f, ", {in_flight} in flight")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_kibibytes_are_named_so() {
        let shape = |size| Shape { size, in_flight: 64 }.to_string();
        assert_eq!(shape(32), "32 B, 64 in flight");
        assert_eq!(shape(1500), "1500 B, 64 in flight");
        assert_eq!(shape(65536), "64 KiB, 64 in flight");
    }
}
