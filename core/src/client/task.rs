//! A recorded call, as whoever has its token sees it.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use serde::de::DeserializeOwned;

use super::call::Ending;
use super::holder;
use super::request::About;
use super::task_call::{Waited, wait_for};
use crate::error::CallError;
use crate::ledger::{TaskInfo, TaskToken};
use crate::node::Node;
use crate::value::{self, ValueError};
use crate::wire::{Durability, Failure, Reason};

/// A task: a call that is recorded, and runs somewhere, or has ended.
///
/// Dropping it changes nothing. Any process of the namespace that has the token may attach to it, also
/// after the servers were started anew:
///
/// ```no_run
/// # use farcall_core::{Node, Task};
/// # async fn example(node: Node) -> farcall_core::Result<()> {
/// let token = "default/reports/67e5504410b1426f9247bb680e5fe0c8/17".parse()?;
/// let task = Task::<String>::attach(&node, token);
/// println!("{}", task.result().await?);
/// # Ok(()) }
/// ```
pub struct Task<T, X = CallError> {
    about: About,
    token: TaskToken,
    durability: Option<Durability>,
    decode: fn(&[u8]) -> Result<T, ValueError>,
    ending: PhantomData<fn() -> X>,
}

impl<T: DeserializeOwned, X: Ending> Task<T, X> {
    /// The task of this token. Nothing is asked yet. `T` is the method's result, and `X` is
    /// [`MethodError`](crate::MethodError) if it has an error of its own.
    #[must_use]
    pub fn attach(node: &Node, token: TaskToken) -> Self {
        let (service, method) = (token.service().into(), "task".into());
        let about = About { node: node.clone(), service, method, idempotent: false };
        Task::new(about, token, None, value::decode)
    }
}

impl<T, X: Ending> Task<T, X> {
    pub(super) fn new(
        about: About,
        token: TaskToken,
        durability: Option<Durability>,
        decode: fn(&[u8]) -> Result<T, ValueError>,
    ) -> Self {
        Task { about, token, durability, decode, ending: PhantomData }
    }

    /// Its name, by which any process can attach to it.
    #[must_use]
    pub fn token(&self) -> &TaskToken {
        &self.token
    }

    /// What its record survives, if this is who started it.
    #[must_use]
    pub fn durability(&self) -> Option<Durability> {
        self.durability
    }

    /// Waits for its outcome, for as long as it takes, or as [`timeout`](Outcome::timeout) says; across
    /// deaths of its servers.
    pub fn result(&self) -> Outcome<T, X> {
        Outcome {
            about: self.about.clone(),
            token: self.token.clone(),
            timeout: None,
            waiting: None,
            decode: self.decode,
            ending: PhantomData,
        }
    }

    /// How it stands.
    ///
    /// # Errors
    /// Nobody has its ledger now, within `[client] wait_for_server`; or the ledger does not know it any
    /// more ([`Reason::Forgotten`]).
    pub async fn info(&self) -> Result<TaskInfo, CallError> {
        self.ask("task.show").await
    }

    /// How it stands, again and again after this long: the last item says how it has ended.
    ///
    /// # Errors
    /// As of [`info`](Task::info); the stream ends with the first.
    pub fn poll(
        &self,
        every: Duration,
    ) -> impl Stream<Item = Result<TaskInfo, CallError>> + Send + use<T, X> {
        let (about, token) = (self.about.clone(), self.token.clone());
        futures::stream::unfold(Some(false), move |step| {
            let (about, token) = (about.clone(), token.clone());
            async move {
                if step? {
                    about.node.sleep(every).await;
                }
                let info: Result<TaskInfo, Failure> =
                    holder::question(&about.node, &token, "task.show").await;
                let goes_on = info.as_ref().is_ok_and(|info| !info.is_ended());
                Some((info.map_err(|failure| about.error(failure)), goes_on.then_some(true)))
            }
            .boxed()
        })
    }

    /// What it last said of its progress, if anything, as its handler wrote it.
    ///
    /// # Errors
    /// As of [`info`](Task::info); or it is of another type.
    pub async fn progress<P: DeserializeOwned>(&self) -> Result<Option<P>, CallError> {
        let progress = self.info().await?.progress;
        let read = progress.map(|progress| value::decode(&progress)).transpose();
        read.map_err(|error| {
            let message = format!("its progress is not of the expected type: {error}");
            self.about.error(Failure::new(Reason::WrongResult, message))
        })
    }

    /// Cancels it: it ends as *cancelled*, and is stopped if it runs. `false` if it had ended before, by
    /// whatever outcome.
    ///
    /// # Errors
    /// As of [`info`](Task::info).
    pub async fn cancel(&self) -> Result<bool, CallError> {
        let word: String = self.ask("task.cancel").await?;
        Ok(word == "cancelled")
    }

    /// Tries it again, if it is dead: as a new task, which this gives.
    ///
    /// # Errors
    /// It is not dead; or as of [`info`](Task::info).
    pub async fn retry(&self) -> Result<Task<T, X>, CallError> {
        let token: String = self.ask("task.retry").await?;
        let token: Result<TaskToken, _> = token.parse();
        let token = token.map_err(|error| {
            self.about.error(Failure::new(Reason::WrongResult, error.to_string()))
        })?;
        Ok(Task::new(self.about.clone(), token, None, self.decode))
    }

    /// Forgets it, with its outcome and its key.
    ///
    /// # Errors
    /// It has not ended; or as of [`info`](Task::info).
    pub async fn purge(&self) -> Result<(), CallError> {
        self.ask("task.purge").await
    }

    async fn ask<A: DeserializeOwned>(&self, subject: &'static str) -> Result<A, CallError> {
        let answer = holder::question(&self.about.node, &self.token, subject).await;
        answer.map_err(|failure| self.about.error(failure))
    }
}

impl<T, X> fmt::Debug for Task<T, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("token", &self.token)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

/// A wait for a task's outcome; see [`Task::result`].
///
/// # Errors
/// The task's outcome, if that is no value; *pending* ([`Reason::Pending`]) if the wait ends first; or the
/// ledger does not know the task any more ([`Reason::Forgotten`]).
///
/// # Cancellation
/// Dropping it ends the waiting and not the task.
#[must_use = "it waits when it is awaited"]
pub struct Outcome<T, X = CallError> {
    about: About,
    token: TaskToken,
    timeout: Option<Duration>,
    waiting: Option<BoxFuture<'static, Waited>>,
    decode: fn(&[u8]) -> Result<T, ValueError>,
    ending: PhantomData<fn() -> X>,
}

impl<T, X> Outcome<T, X> {
    /// Waits no longer than this.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

// Nothing in it refers to itself.
impl<T, X> Unpin for Outcome<T, X> {}

impl<T, X: Ending> Future for Outcome<T, X> {
    type Output = Result<T, X>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let waiting = this.waiting.get_or_insert_with(|| {
            let (about, token, timeout) = (this.about.clone(), this.token.clone(), this.timeout);
            async move { wait_for(&about, token, timeout).await }.boxed()
        });
        let waited = ready!(waiting.as_mut().poll(cx));
        Poll::Ready(waited.told(&this.about, this.decode))
    }
}

impl<T, X> fmt::Debug for Outcome<T, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome").field("token", &self.token).finish_non_exhaustive()
    }
}
