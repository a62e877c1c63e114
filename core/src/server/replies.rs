//! A call's outcome as the frame that tells its caller.

use super::watch::Watch;
use crate::service::Outcome;
use crate::transport::Receipt;
use crate::wire::{CallId, Failure, Frame, MAX_LIST, MAX_NAME_BYTES, Reason, StreamId};

/// How a call's end is told. Whoever takes one out of a call owes its end to all that it names.
#[must_use]
#[derive(Debug, Default)]
pub(crate) struct ReplyTo {
    /// Not to its caller.
    pub(crate) one_way: bool,
    /// By the end of its stream of results, if it ends well.
    pub(crate) streams: bool,
    /// To whoever listens on this side.
    pub(crate) watch: Option<Box<Watch>>,
    /// To the queue that keeps the call until then.
    pub(crate) receipt: Option<Receipt>,
}

/// The frame for an outcome, of which the caller takes at most `limit` bytes.
///
/// A call with a stream of results has no value of its own: its stream just ends.
pub(super) fn frame(id: CallId, outcome: Outcome, streams: bool, limit: usize) -> Frame {
    let failed = |reason, message: String| {
        let failure = Box::new(Failure::new(reason, message));
        Frame::Failure { id, failure }
    };
    match outcome {
        Ok(_) if streams => Frame::End { id, stream: StreamId::RESULT, failure: None },
        Ok(value) if value.len() > limit => {
            let size = value.len();
            let message = format!(
                "the method ran, but its result takes {size} bytes, the limit is {limit} \
                 (limits.max_message_bytes, the lower of both sides)"
            );
            failed(Reason::ResultTooLarge, message)
        }
        Ok(value) if value.is_empty() => {
            let message = "the method ran, but the service gave no value for its result";
            failed(Reason::ResultUnencodable, message.to_owned())
        }
        Ok(value) => Frame::Answer { id, value },
        Err(failure) => Frame::Failure { id, failure: Box::new(bounded(failure, limit)) },
    }
}

/// A message and error value that fit; an own error over the limit becomes a failure that says so.
fn bounded(mut failure: Failure, limit: usize) -> Failure {
    const LONGEST: usize = 8 * 1024;
    if failure.message.len() > LONGEST {
        let end = failure.message.floor_char_boundary(LONGEST);
        failure.message.truncate(end);
        failure.message.push('…');
    }
    // What a service written by hand may give, and the caller's node would take for garbage.
    failure.nearest.retain(|name| name.len() <= MAX_NAME_BYTES);
    failure.nearest.truncate(MAX_LIST);
    failure.value = failure.value.filter(|value| !value.is_empty());
    match &failure.value {
        Some(value) if value.len() > limit => Failure::new(
            Reason::ResultTooLarge,
            format!(
                "the method returned an error of {} bytes, the limit is {limit} \
                 (limits.max_message_bytes, the lower of both sides): {}",
                value.len(),
                failure.message
            ),
        ),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: CallId = CallId(7);

    fn reason(frame: Frame) -> Option<Reason> {
        match frame {
            Frame::Failure { failure, .. } => Some(failure.reason),
            _ => None,
        }
    }

    #[test]
    fn a_value_is_an_answer_if_it_fits() {
        let value = bytes::Bytes::from_static(&[0x63, b'a', b'b', b'c']);
        let answer = Frame::Answer { id: ID, value: value.clone() };
        assert_eq!(frame(ID, Ok(value.clone()), false, 4), answer);
        assert_eq!(reason(frame(ID, Ok(value), false, 3)), Some(Reason::ResultTooLarge));
        let nothing = frame(ID, Ok(bytes::Bytes::new()), false, 4);
        assert_eq!(reason(nothing), Some(Reason::ResultUnencodable));
    }

    #[test]
    fn a_stream_of_results_just_ends() {
        let end = Frame::End { id: ID, stream: StreamId::RESULT, failure: None };
        assert_eq!(frame(ID, Ok(bytes::Bytes::new()), true, 4), end);
    }

    #[test]
    fn failures_are_cut_to_what_a_frame_takes() {
        let mut failure = Failure::new(Reason::Returned, "x".repeat(100_000));
        failure.value = Some(bytes::Bytes::from_static(&[0x61, b'x']));
        failure.nearest = vec!["y".repeat(MAX_NAME_BYTES + 1), "z".to_owned()];
        let cut = bounded(failure.clone(), 2);
        assert!(cut.message.len() < 10_000);
        assert_eq!(cut.nearest, ["z"]);
        assert_eq!(cut.reason, Reason::Returned);
        assert_eq!(bounded(failure, 1).reason, Reason::ResultTooLarge);
    }
}
