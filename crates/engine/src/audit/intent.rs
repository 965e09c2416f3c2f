//! Handing acts over, and waiting until they are durable.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::Act;
use crate::{Engine, Item, append::append_own, error::AppendError};

/// Acts on their way to the log. Dropping it takes nothing back.
pub struct Intent(State);

enum State {
    Waits(Pin<Box<dyn Future<Output = Result<(), AppendError>> + Send>>),
    Done(Result<(), AppendError>),
}

impl Engine {
    /// Hands the records of acts to the committer, which writes them with whatever else waits.
    pub fn begin_act(&self, acts: &[Act]) -> Intent {
        let items = acts.iter().map(Act::event).map(item).collect();
        Intent::new(self.clone(), items)
    }
}

fn item(bytes: Vec<u8>) -> Item {
    Item {
        bytes: Bytes::from(bytes),
        fallback_key: None,
    }
}

impl Intent {
    /// One whose first part, up to the committer, is done.
    pub(super) fn new(engine: Engine, items: Vec<Item>) -> Self {
        engine.inner.guard.sample(&engine.inner);
        if engine.inner.guard.is_spent() {
            return Self(State::Done(Err(AppendError::NoSpace)));
        }
        // Who is refused because the log stalls leaves a record that waits: these are bounded like appends that wait.
        let (waiting, _) = engine.inner.queue.waiting();
        if waiting
            > engine
                .inner
                .settings
                .queue_records_max
                .saturating_add(ACTS_WAITING_MAX)
        {
            return Self(State::Done(Err(AppendError::Overloaded {
                retry_after_ms: 1000,
                reason: "queue",
            })));
        }
        let mut waits = Box::pin(async move { append_own(&engine.inner, items).await });
        let mut context = Context::from_waker(Waker::noop());
        match waits.as_mut().poll(&mut context) {
            Poll::Ready(done) => Self(State::Done(done)),
            Poll::Pending => Self(State::Waits(waits)),
        }
    }

    /// Whether it is known already that they will not be written.
    pub(super) const fn is_refused(&self) -> bool {
        matches!(self.0, State::Done(Err(_)))
    }

    /// Waits until the records are durable. Whoever asks sets the bound.
    ///
    /// # Errors
    /// They could not be written: there must be no answer.
    pub async fn durable(self) -> Result<(), AppendError> {
        match self.0 {
            State::Done(done) => done,
            State::Waits(waits) => waits.await,
        }
    }
}

impl fmt::Debug for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            State::Waits(_) => "Intent(waits)",
            State::Done(Ok(())) => "Intent(durable)",
            State::Done(Err(_)) => "Intent(refused)",
        })
    }
}

/// Acts that may wait beyond the appends that may.
const ACTS_WAITING_MAX: u64 = 4096;
