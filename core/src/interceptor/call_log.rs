//! Who called what, how it ended, and how long it took: one line for each call.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use super::{CallInfo, End, Interceptor, Side};

/// An interceptor that writes one line for each call that ends.
///
/// ```text
/// server: calc.div of web-1: 19 bytes, returned in 41.2µs: division by zero
/// client: calc.add: 3 bytes, ok in 112.9µs, 1 byte
/// ```
///
/// Lines go to `tracing`, at level INFO with the target `farcall::calls`, or to a writer. They say
/// nothing of the values of arguments and results. What comes from elsewhere, such as names and
/// messages, is escaped, so that a line is a line.
///
/// ```
/// # fn example(node: farcall_core::Node) -> std::io::Result<()> {
/// use farcall_core::CallLog;
///
/// let node = node.with(CallLog::new());
/// let node = node.with(CallLog::to(std::fs::File::create("calls.log")?));
/// # Ok(()) }
/// ```
///
/// A call that a server refuses before it is its turn, such as one of an unknown method, has no
/// line there; it has one at its client, and is counted in the metrics.
pub struct CallLog {
    to: To,
    longest: usize,
}

enum To {
    Tracing,
    Writer(Mutex<Box<dyn Write + Send>>),
}

/// What a line may take, unless told otherwise.
const LONGEST: usize = 1024;

impl CallLog {
    /// A log that goes to `tracing`.
    #[must_use]
    pub fn new() -> Self {
        CallLog { to: To::Tracing, longest: LONGEST }
    }

    /// A log that goes to a writer, by one `write_all` for each line, on the thread where the call
    /// ends. What cannot be written is lost, and said to `tracing`.
    #[must_use]
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        CallLog { to: To::Writer(Mutex::new(Box::new(writer))), longest: LONGEST }
    }

    /// Cuts lines that take more bytes; 1024 unless told otherwise.
    #[must_use]
    pub fn longest_line(self, bytes: usize) -> Self {
        CallLog { longest: bytes, ..self }
    }
}

impl Default for CallLog {
    fn default() -> Self {
        CallLog::new()
    }
}

impl Interceptor for CallLog {
    fn ended(&self, call: &CallInfo<'_>, end: &End<'_>) {
        match &self.to {
            To::Tracing => {
                tracing::info!(target: "farcall::calls", "{}", line(call, end, self.longest));
            }
            To::Writer(writer) => {
                let mut line = line(call, end, self.longest);
                line.push('\n');
                // A writer that panicked before may still write.
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                if let Err(error) = write_line(&mut *writer, &line) {
                    tracing::warn!(%error, "a line of the call log is lost");
                }
            }
        }
    }
}

fn write_line(writer: &mut dyn Write, line: &str) -> io::Result<()> {
    writer.write_all(line.as_bytes())?;
    writer.flush()
}

/// What is logged of a call, in at most so many bytes.
fn line(call: &CallInfo<'_>, end: &End<'_>, longest: usize) -> String {
    let mut line = Line { text: String::new(), longest };
    // It takes what fits; there is nothing else that can fail.
    let _ = describe(&mut line, call, end);
    line.text
}

fn describe(line: &mut Line, call: &CallInfo<'_>, end: &End<'_>) -> fmt::Result {
    let CallInfo { side, service, method, arguments, one_way } = *call;
    write!(line, "{}: {}.{}", side.as_str(), service.escape_debug(), method.escape_debug())?;
    if let Side::Server(context) = side {
        write!(line, " of {}", context.caller().identity.escape_debug())?;
    }
    let way = if one_way { ", one way" } else { "" };
    write!(line, ": {}{way}, {} in {:.1?}", Bytes(arguments), end.ended.as_str(), end.took)?;
    if end.result > 0 {
        write!(line, ", {}", Bytes(end.result))?;
    }
    if !end.message.is_empty() {
        write!(line, ": {}", end.message.escape_debug())?;
    }
    Ok(())
}

struct Bytes(usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 byte"),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

/// A text that takes no more than fits; the last letter of one that was cut is `…`.
struct Line {
    text: String,
    longest: usize,
}

impl fmt::Write for Line {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if self.text.len() + more.len() <= self.longest {
            self.text.push_str(more);
            return Ok(());
        }
        let room = self.longest.saturating_sub('…'.len_utf8());
        if self.text.len() > room {
            self.text.truncate(self.text.floor_char_boundary(room));
        } else {
            self.text.push_str(&more[..more.floor_char_boundary(room - self.text.len())]);
        }
        self.text.push('…');
        Err(fmt::Error)
    }
}

impl fmt::Debug for CallLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallLog").field("longest", &self.longest).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::observe::Ended;
    use crate::wire::Reason;

    fn info<'a>(method: &'a str) -> CallInfo<'a> {
        CallInfo { side: Side::Client, service: "calc", method, arguments: 3, one_way: false }
    }

    fn end(message: &str) -> End<'_> {
        let took = Duration::from_micros(1500);
        if message.is_empty() {
            End { ended: Ended::Ok, message, result: 1, took }
        } else {
            End { ended: Ended::Failed(Reason::Busy), message, result: 0, took }
        }
    }

    #[test]
    fn a_line_says_what_was_called_and_how_it_ended() {
        let ok = line(&info("add"), &end(""), LONGEST);
        assert_eq!(ok, "client: calc.add: 3 bytes, ok in 1.5ms, 1 byte");
        let busy = line(&info("add"), &end("full"), LONGEST);
        assert_eq!(busy, "client: calc.add: 3 bytes, busy in 1.5ms: full");
    }

    #[test]
    fn a_line_is_one_line_and_no_longer_than_it_may_be() {
        let long = line(&info("a\nb"), &end(&"é\n".repeat(1000)), 100);
        assert!(long.starts_with(r"client: calc.a\nb: "));
        assert!(!long.contains('\n'));
        assert!(long.len() <= 100 && long.len() > 90, "{}", long.len());
        assert!(long.ends_with('…'));
        for longest in 0..60 {
            let cut = line(&info("add"), &end("full"), longest);
            assert!(cut.len() <= longest.max('…'.len_utf8()), "{longest}: {cut}");
        }
    }
}
