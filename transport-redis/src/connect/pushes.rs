//! What a server sends by itself.

use std::sync::{Mutex, PoisonError};

use redis::PushInfo;
use redis::aio::{AsyncPushSender, SendError};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many may wait.
const WAITING: usize = 1024;

/// What a server sends by itself, in its order.
///
/// A connection that is lost says so last, as a
/// [`Disconnection`](redis::PushKind::Disconnection). Whoever lets 1024 of them wait gets these, and
/// no more: as of a connection that was lost.
#[derive(Debug)]
pub(crate) struct Pushes {
    waiting: Receiver<PushInfo>,
}

impl Pushes {
    pub(crate) fn channel() -> (impl AsyncPushSender, Self) {
        let (sender, waiting) = channel(WAITING);
        (Bounded(Mutex::new(Some(sender))), Pushes { waiting })
    }

    /// The next one; `None` at the end.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<PushInfo> {
        self.waiting.recv().await
    }
}

/// The client takes a sender that never refuses, or loses what it refuses: this one ends instead.
struct Bounded(Mutex<Option<Sender<PushInfo>>>);

impl AsyncPushSender for Bounded {
    fn send(&self, push: PushInfo) -> Result<(), SendError> {
        let mut sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match sender.as_ref().map(|sender| sender.try_send(push)) {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => {
                *sender = None;
                Err(SendError)
            }
            Some(Err(TrySendError::Closed(_))) | None => Err(SendError),
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::{PushKind, Value};

    use super::*;

    fn push(number: usize) -> PushInfo {
        let number = i64::try_from(number).unwrap();
        PushInfo { kind: PushKind::Message, data: vec![Value::Int(number)] }
    }

    #[tokio::test]
    async fn they_come_in_their_order() {
        let (sender, mut pushes) = Pushes::channel();
        sender.send(push(1)).unwrap();
        sender.send(push(2)).unwrap();
        drop(sender);
        assert_eq!(pushes.next().await, Some(push(1)));
        assert_eq!(pushes.next().await, Some(push(2)));
        assert_eq!(pushes.next().await, None);
    }

    #[tokio::test]
    async fn too_many_are_the_end() {
        let (sender, mut pushes) = Pushes::channel();
        for number in 0..WAITING {
            sender.send(push(number)).unwrap();
        }
        assert!(sender.send(push(WAITING)).is_err());
        for number in 0..WAITING {
            assert_eq!(pushes.next().await, Some(push(number)));
        }
        assert_eq!(pushes.next().await, None);
        assert!(sender.send(push(0)).is_err());
    }
}
