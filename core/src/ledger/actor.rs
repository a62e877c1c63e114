//! The ledger actor: gives its store one batch after the other, and sees to what is due.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{Command, LedgerStore, Reply, StoreError, Verdict};
use crate::queue::{Batches, Sender, queue};

/// One for each service with recoverable methods. `T` is what whoever asks wants back with the reply.
///
/// While the store is busy with a batch, the next one gathers: so what waits shares what it costs to make it
/// durable.
pub(crate) struct LedgerActor<T: Unpin + 'static> {
    /// Until it fails: then its locks are free, for whoever reads what was written.
    store: Result<Box<dyn LedgerStore>, StoreError>,
    service: usize,
    asks: Option<Batches<Ask<T>>>,
    waiting: Vec<Ask<T>>,
    busy: bool,
    closing: bool,
    replies: Sender<FromLedger<T>>,
    sweep: Option<(Instant, SpawnHandle)>,
    /// Dropped after the store: whoever waits for its end then knows that it has let go of everything.
    _closed: oneshot::Sender<()>,
}

/// A command, and what is wanted back with its reply: nothing for the actor's own.
#[derive(Debug)]
pub(crate) struct Ask<T> {
    pub(crate) command: Command,
    pub(crate) back: Option<T>,
}

impl<T> Ask<T> {
    /// What a handler says of its progress takes the place of what it said before and nobody has read: only the
    /// last word counts.
    pub(crate) fn join(&mut self, next: &Self) -> ControlFlow<bool> {
        let Command::Progress { task, token, value } = &mut self.command else {
            return ControlFlow::Break(false);
        };
        match &next.command {
            Command::Progress { task: of, token: by, value: last }
                if (of, by) == (&*task, &*token) =>
            {
                value.clone_from(last);
                ControlFlow::Break(true)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// The way to a ledger actor.
pub(crate) type Asks<T> = Sender<Ask<T>>;

/// What comes from the ledgers of a node.
#[derive(Debug)]
pub(crate) enum FromLedger<T> {
    /// The ledger of the service of this name is open, or not.
    Opened(compact_str::CompactString, Result<Box<dyn LedgerStore>, StoreError>),
    /// The ledger of the service in this place says this.
    Said(usize, Option<T>, Result<Reply, StoreError>),
}

/// Something is swept at least this often: what is kept long enough is forgotten by it.
const SWEEP: Duration = Duration::from_secs(60);

/// However much others change, it is looked at this often at most.
const LOOK: Duration = Duration::from_millis(10);

impl<T: Unpin + 'static> LedgerActor<T> {
    /// Starts the actor. The second is answered when it has ended, and the store with it: which it does when
    /// the queue is closed, and all that was in it is done.
    pub(crate) fn open(
        store: Box<dyn LedgerStore>,
        service: usize,
        replies: Sender<FromLedger<T>>,
    ) -> (Asks<T>, oneshot::Receiver<()>) {
        let (sender, asks) = queue();
        let (closed, has_closed) = oneshot::channel();
        let actor = LedgerActor {
            store: Ok(store),
            service,
            asks: Some(asks),
            waiting: Vec::new(),
            busy: false,
            closing: false,
            replies,
            sweep: None,
            _closed: closed,
        };
        actor.start();
        (sender, has_closed)
    }

    fn next(&mut self, ctx: &mut Context<Self>) {
        if self.busy {
            return;
        }
        if self.waiting.is_empty() {
            if self.closing {
                ctx.stop();
            }
            return;
        }
        let asks = std::mem::take(&mut self.waiting);
        let (commands, backs): (Vec<_>, Vec<_>) =
            asks.into_iter().map(|ask| (ask.command, ask.back)).unzip();
        let applied = match &self.store {
            Ok(store) => store.apply(commands).into_actor(self),
            Err(error) => return self.failed(backs, &error.clone()),
        };
        self.busy = true;
        ctx.spawn(applied.map(|result, this, ctx| {
            this.busy = false;
            match result {
                Ok(replies) => this.applied(backs, replies, ctx),
                Err(error) => {
                    this.store = Err(error.clone());
                    this.failed(backs, &error);
                }
            }
            this.next(ctx);
        }));
    }

    /// Nothing of this is certain to be done.
    fn failed(&self, backs: Vec<Option<T>>, error: &StoreError) {
        for back in backs {
            let _ = self.replies.push(FromLedger::Said(self.service, back, Err(error.clone())));
        }
    }

    fn applied(&mut self, backs: Vec<Option<T>>, replies: Vec<Reply>, ctx: &mut Context<Self>) {
        for (back, reply) in backs.into_iter().zip(replies) {
            match &reply {
                Reply::Swept(swept) => {
                    self.sweep_in(swept.next.unwrap_or(SWEEP).min(SWEEP), ctx);
                }
                Reply::Ended(Verdict::Again(wait)) => self.sweep_in(*wait, ctx),
                _ => {}
            }
            // Closed with the server: nobody is left to hear of it.
            let _ = self.replies.push(FromLedger::Said(self.service, back, Ok(reply)));
        }
    }

    /// Sweeps after this long, or earlier if that was planned.
    fn sweep_in(&mut self, wait: Duration, ctx: &mut Context<Self>) {
        let at = Instant::now() + wait;
        if let Some((planned, handle)) = &self.sweep {
            if *planned <= at {
                return;
            }
            ctx.cancel_future(*handle);
        }
        let handle = ctx.run_later(wait, |this, ctx| {
            this.sweep = None;
            this.waiting.push(Ask { command: Command::Sweep, back: None });
            this.next(ctx);
        });
        self.sweep = Some((at, handle));
    }

    /// Looks again when others have changed something.
    fn listen(&mut self, ctx: &mut Context<Self>) {
        let Ok(store) = &self.store else { return };
        let changed = store.changed().into_actor(self);
        ctx.spawn(changed.map(|(), this, ctx| {
            this.sweep_in(Duration::ZERO, ctx);
            ctx.run_later(LOOK, |this, ctx| this.listen(ctx));
        }));
    }
}

impl<T: Unpin + 'static> Actor for LedgerActor<T> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if let Some(asks) = self.asks.take() {
            ctx.add_stream(asks);
        }
        self.sweep_in(Duration::ZERO, ctx);
        self.listen(ctx);
    }
}

impl<T: Unpin + 'static> StreamHandler<Vec<Ask<T>>> for LedgerActor<T> {
    fn handle(&mut self, batch: Vec<Ask<T>>, ctx: &mut Context<Self>) {
        if self.waiting.is_empty() {
            self.waiting = batch;
        } else {
            self.waiting.extend(batch);
        }
        self.next(ctx);
    }

    fn finished(&mut self, ctx: &mut Context<Self>) {
        self.closing = true;
        self.next(ctx);
    }
}
