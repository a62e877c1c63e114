//! One call that somebody listens to, from when it came to its end.

use std::rc::Rc;
use std::time::Instant;

use crate::context::Context;
use crate::observe::{Ended, MethodMeters, record_end};
use crate::wire::{Failure, Frame, ReasonClass};

/// Hears how a call ends: for metrics, its span, and its interceptors. Dropping it means that nobody
/// wants the outcome any more.
pub(crate) struct Watch {
    since: Instant,
    one_way: bool,
    meters: Option<Rc<MethodMeters>>,
    /// Once its handler was begun.
    context: Option<Context>,
    told: bool,
}

impl Watch {
    /// A call has come whose method is counted.
    pub(crate) fn arrived(meters: Rc<MethodMeters>, since: Instant, one_way: bool) -> Box<Self> {
        Box::new(Watch { since, one_way, meters: Some(meters), context: None, told: false })
    }

    /// The call's handler was begun; from here on its span and its interceptors listen, if there are
    /// any.
    pub(crate) fn begun(
        watch: Option<Box<Self>>,
        context: &Context,
        one_way: bool,
    ) -> Option<Box<Self>> {
        let passage = context.passage();
        if passage.is_none() && context.span().is_disabled() {
            return watch;
        }
        let mut watch = watch.unwrap_or_else(|| {
            let since = passage.map_or_else(Instant::now, |passage| passage.since());
            Box::new(Watch { since, one_way, meters: None, context: None, told: false })
        });
        watch.context = Some(context.clone());
        Some(watch)
    }

    /// This is what the caller is told.
    pub(crate) fn sent(mut self, frame: &Frame) {
        match frame {
            Frame::Answer { value, .. } => self.tell(Ended::Ok, "", value.len()),
            Frame::Failure { failure, .. } => self.failed(failure),
            Frame::End { .. } => {
                let streams = self.context.as_ref().and_then(Context::streams);
                let sent = streams.map_or(0, |streams| streams.sent());
                self.tell(Ended::Ok, "", sent);
            }
            _ => {}
        }
    }

    /// This is what came of a call whose caller is told nothing.
    pub(crate) fn done(mut self, outcome: &crate::service::Outcome) {
        match outcome {
            Ok(value) => self.tell(Ended::Ok, "", value.len()),
            Err(failure) => self.failed(failure),
        }
    }

    /// The call goes to another server, which tells how it ends.
    pub(crate) fn put_back(mut self) {
        self.told = true;
    }

    fn failed(&mut self, failure: &Failure) {
        self.tell(Ended::Failed(failure.reason), &failure.message, 0);
    }

    fn tell(&mut self, ended: Ended, message: &str, result: usize) {
        self.told = true;
        let took = self.since.elapsed();
        if let Some(meters) = &self.meters {
            match ended {
                // Those that are turned away say nothing of how long calls take, and may be many.
                Ended::Failed(reason) if reason.class() == ReasonClass::Refused => {
                    meters.count(ended);
                }
                _ => meters.ended(ended, took),
            }
        }
        if let Some(context) = &self.context {
            record_end(context.span(), ended, message, ended.is_servers_fault());
            if let Some(passage) = context.passage() {
                let one_way = self.one_way;
                context.enter(|| passage.ended(context, one_way, ended, message, result, took));
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.told {
            self.tell(Ended::Cancelled, "", 0);
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("since", &self.since).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use metrics::with_local_recorder;
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::*;
    use crate::observe::ServedMeters;

    #[test]
    fn a_call_that_is_put_back_has_not_ended() {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        with_local_recorder(&recorder, || {
            let mut meters = ServedMeters::new(&"calc".into(), 1);
            let mut watch =
                || Watch::arrived(meters.method(0, "add").unwrap(), Instant::now(), false);
            watch().put_back();
            drop(watch());
        });
        let counted: u64 = snapshotter
            .snapshot()
            .into_vec()
            .into_iter()
            .map(|(_, _, _, value)| match value {
                DebugValue::Counter(ended) => ended,
                _ => 0,
            })
            .sum();
        assert_eq!(counted, 1, "the one that was cancelled");
    }
}
