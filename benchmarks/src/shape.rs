//! The shape of a load: what travels, how large it is, and how much of it there is at a time.

use std::fmt;

use clap::ValueEnum;

/// What a load is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Work {
    /// Calls that are answered with their payload.
    Calls,
    /// Streams of results: the server sends items, as fast as the client takes them.
    ServerStream,
    /// Argument streams: the client sends items, as fast as the server takes them.
    ClientStream,
    /// Both at once: the server sends back each item that comes.
    BothWays,
}

impl Work {
    /// All that moves items.
    pub(crate) const STREAMS: &[Work] = &[Work::ServerStream, Work::ClientStream, Work::BothWays];

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Work::Calls => "calls",
            Work::ServerStream => "server-stream",
            Work::ClientStream => "client-stream",
            Work::BothWays => "both-ways",
        }
    }

    /// What is counted.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Work::Calls => "calls",
            _ => "items",
        }
    }
}

/// One row of the plan: what travels, a payload size, and how many calls or streams there are at a
/// time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    /// Calls, or which kind of stream.
    pub(crate) work: Work,
    /// Bytes of payload in each request and in each response, or in each item.
    pub(crate) size: usize,
    /// How many calls or streams the one client keeps in flight, at least 1.
    pub(crate) in_flight: usize,
}

impl Shape {
    /// Calls of this size, this many in flight.
    pub(crate) const fn calls(size: usize, in_flight: usize) -> Self {
        Shape { work: Work::Calls, size, in_flight }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { work, size, in_flight } = self;
        match size {
            size if *size >= 1024 && size % 1024 == 0 => write!(f, "{} KiB", size / 1024)?,
            size => write!(f, "{size} B")?,
        }
        let way = match work {
            Work::Calls => return write!(f, ", {in_flight} in flight"),
            Work::ServerStream => "from the server",
            Work::ClientStream => "from the client",
            Work::BothWays => "there and back",
        };
        let plural = if *in_flight == 1 { "" } else { "s" };
        write!(f, " items {way}, {in_flight} stream{plural}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_kibibytes_are_named_so() {
        let shape = |size| Shape::calls(size, 64).to_string();
        assert_eq!(shape(32), "32 B, 64 in flight");
        assert_eq!(shape(1500), "1500 B, 64 in flight");
        assert_eq!(shape(65536), "64 KiB, 64 in flight");
    }

    #[test]
    fn streams_say_which_way_their_items_go() {
        let shape = |work, in_flight| Shape { work, size: 64, in_flight }.to_string();
        assert_eq!(shape(Work::ServerStream, 1), "64 B items from the server, 1 stream");
        assert_eq!(shape(Work::ClientStream, 16), "64 B items from the client, 16 streams");
    }

    #[test]
    fn works_are_named_as_the_command_line_names_them() {
        for work in Work::value_variants() {
            assert_eq!(work.to_possible_value().unwrap().get_name(), work.name());
        }
    }
}
