//! An argument stream out of standard input: a value a line.

use std::future::pending;
use std::io::{self, BufRead, BufReader, Read};
use std::thread;
use std::vec;

use ciborium::Value;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::{mpsc, oneshot};

use crate::fit::Item;

/// How much is read at once, which bounds how many lines are ahead of the handler.
const READ: usize = 64 * 1024;

/// How many bytes a line may have for each of the message that it becomes: no form of JSON needs
/// more, but for spaces.
const WORDY: usize = 8;

/// Reads items by a thread of its own, no faster than the stream is polled.
///
/// The stream ends with the input. At what cannot be an item it stands still, lest the handler takes
/// it for the end, and the second says in words what is wrong.
///
/// # Errors
/// There is no thread to be had.
pub(crate) fn items(
    from: impl Read + Send + 'static,
    item: Item,
    max_message_bytes: usize,
) -> io::Result<(BoxStream<'static, Value>, oneshot::Receiver<String>)> {
    // One batch is sent, one waits, and a third waits for its place.
    let (sender, steps) = mpsc::channel(1);
    let (tell, mistake) = oneshot::channel();
    thread::Builder::new().name("lines".to_owned()).spawn(move || {
        let mut lines = Lines::new(from, item, max_message_bytes.saturating_mul(WORDY));
        loop {
            let step = lines.next();
            let last = !matches!(step, Step::Items(_));
            if sender.blocking_send(step).is_err() || last {
                return;
            }
        }
    })?;
    let reading = Reading { batch: Vec::new().into_iter(), steps, tell: Some(tell) };
    Ok((stream::unfold(reading, Reading::next).boxed(), mistake))
}

struct Reading {
    batch: vec::IntoIter<Value>,
    steps: mpsc::Receiver<Step>,
    tell: Option<oneshot::Sender<String>>,
}

impl Reading {
    async fn next(mut self) -> Option<(Value, Self)> {
        loop {
            if let Some(item) = self.batch.next() {
                return Some((item, self));
            }
            let words = match self.steps.recv().await {
                Some(Step::Items(items)) => {
                    self.batch = items.into_iter();
                    continue;
                }
                Some(Step::End) => return None,
                Some(Step::Mistake(words)) => words,
                None => "standard input: whoever reads it has panicked".to_owned(),
            };
            if let Some(tell) = self.tell.take() {
                let _ = tell.send(words);
            }
            pending::<()>().await;
        }
    }
}

/// What comes next.
#[derive(Debug, PartialEq)]
enum Step {
    Items(Vec<Value>),
    End,
    Mistake(String),
}

/// Lines, counted, and made into items.
struct Lines<R> {
    from: BufReader<R>,
    item: Item,
    /// How long one may be.
    longest: usize,
    count: u64,
    /// What comes after the items that were given.
    then: Option<Step>,
}

impl<R: Read> Lines<R> {
    fn new(from: R, item: Item, longest: usize) -> Self {
        let from = BufReader::with_capacity(READ, from);
        Lines { from, item, longest, count: 0, then: None }
    }

    /// Waits for one item, and gives those that have come with it.
    fn next(&mut self) -> Step {
        if let Some(then) = self.then.take() {
            return then;
        }
        let mut items = Vec::new();
        while items.is_empty() || self.from.buffer().contains(&b'\n') {
            let step = match self.item() {
                Ok(Some(Some(item))) => {
                    items.push(item);
                    continue;
                }
                // A line without an item: those that have come need not wait for one.
                Ok(Some(None)) => continue,
                Ok(None) => Step::End,
                Err(words) => Step::Mistake(words),
            };
            if items.is_empty() {
                return step;
            }
            self.then = Some(step);
            break;
        }
        Step::Items(items)
    }

    /// The item of the next line, if it has one; nothing at the end.
    fn item(&mut self) -> Result<Option<Option<Value>>, String> {
        let mut line = Vec::new();
        let at_most = self.longest as u64 + 1;
        let read = self.from.by_ref().take(at_most).read_until(b'\n', &mut line);
        if read.map_err(|error| format!("cannot read standard input: {error}"))? == 0 {
            return Ok(None);
        }
        self.count += 1;
        let mistake = |words: String| format!("line {} of standard input: {words}", self.count);
        if line.len() > self.longest {
            let longest = self.longest;
            return Err(mistake(format!(
                "longer than {longest} bytes, {WORDY} times what a message may have \
                 (limits.max_message_bytes)"
            )));
        }
        if line.pop_if(|last| *last == b'\n').is_some() {
            line.pop_if(|last| *last == b'\r');
        }
        let line = String::from_utf8(line).map_err(|_| mistake("not UTF-8".to_owned()))?;
        self.item.fit(&line).map(Some).map_err(mistake)
    }
}

#[cfg(test)]
mod tests {
    use farcall::schema::{Definitions, Schema};
    use farcall::service::ParamDescriptor;
    use futures::FutureExt;
    use serde_json::json;

    use super::*;

    const LONGEST: usize = 32;

    fn item(schema: serde_json::Value) -> Item {
        let schema = Schema::from(schema);
        let param = ParamDescriptor { name: "numbers".into(), schema, ..Default::default() };
        Item::new(&param, &Definitions::default())
    }

    fn numbers() -> Item {
        item(json!({"type": "integer", "format": "int64"}))
    }

    fn values(of: &[i64]) -> Step {
        Step::Items(of.iter().map(|value| Value::from(*value)).collect())
    }

    #[test]
    fn lines_that_came_together_are_one_batch() {
        let mut lines = Lines::new(&b"1\n 2\r\n\n3"[..], numbers(), LONGEST);
        assert_eq!(lines.next(), values(&[1, 2]));
        assert_eq!(lines.next(), values(&[3]));
        assert_eq!(lines.next(), Step::End);
    }

    #[test]
    fn a_line_is_not_waited_for_when_there_are_items() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut lines = Lines::new(reader, numbers(), LONGEST);
        io::Write::write_all(&mut writer, b"1\n2\n3").unwrap();
        assert_eq!(lines.next(), values(&[1, 2]));
        drop(writer);
        assert_eq!(lines.next(), values(&[3]));
    }

    #[test]
    fn a_mistake_comes_after_the_items_before_it_and_names_its_line() {
        let mut lines = Lines::new(&b"1\n\nx\n4\n"[..], numbers(), LONGEST);
        assert_eq!(lines.next(), values(&[1]));
        let Step::Mistake(words) = lines.next() else { panic!("no mistake") };
        assert!(words.starts_with("line 3 of standard input: expected an integer"), "{words}");
        assert!(words.ends_with("found `x`"), "{words}");
    }

    #[test]
    fn texts_are_lines_as_they_are() {
        let text = || item(json!({"type": "string"}));
        let mut lines = Lines::new(&b" a \n\n\"b\\n\"\n"[..], text(), LONGEST);
        let texts = [" a ", "", "b\n"].map(Value::from);
        assert_eq!(lines.next(), Step::Items(texts.into()));
        let Step::Mistake(words) = Lines::new(&b"\xff\n"[..], text(), LONGEST).next() else {
            panic!("no mistake")
        };
        assert_eq!(words, "line 1 of standard input: not UTF-8");
    }

    #[test]
    fn a_line_has_an_end() {
        let mut lines = Lines::new(io::repeat(b'1'), numbers(), LONGEST);
        let Step::Mistake(words) = lines.next() else { panic!("no mistake") };
        assert!(words.contains("line 1 of standard input: longer than 32 bytes"), "{words}");
    }

    #[farcall::test]
    async fn the_stream_ends_with_the_input() {
        let (items, _mistake) = items(&b"1\n2\n"[..], numbers(), LONGEST).unwrap();
        assert_eq!(items.collect::<Vec<_>>().await, [1, 2].map(Value::from));
    }

    #[farcall::test]
    async fn the_stream_does_not_end_at_a_mistake() {
        let (mut items, mistake) = items(&b"1\n2\nx\n"[..], numbers(), LONGEST).unwrap();
        assert_eq!(items.next().await, Some(Value::from(1)));
        assert_eq!(items.next().await, Some(Value::from(2)));
        let words = tokio::select! {
            item = items.next() => panic!("{item:?}"),
            words = mistake => words.unwrap(),
        };
        assert!(words.starts_with("line 3 "), "{words}");
        assert!(items.next().now_or_never().is_none());
    }
}
