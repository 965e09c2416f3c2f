//! A future that is polled again at once when it wakes itself.
//!
//! An HTTP/1 connection wakes itself whenever a handler asks for the body. Left to a runtime of several threads, that puts
//! the connection at the end of a queue and wakes another thread to look after it: two changes of thread for nothing, which
//! take longer than the rest of a small request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

/// See the module.
pub struct AtOnce<F> {
    inner: Pin<Box<F>>,
    own: Arc<Own>,
    waker: Waker,
}

impl<F> AtOnce<F> {
    /// Wraps a future.
    pub fn new(inner: F) -> Self {
        let own = Arc::new(Own {
            state: AtomicU8::new(WAITING),
            task: Mutex::new(Waker::noop().clone()),
        });
        Self {
            inner: Box::pin(inner),
            waker: Waker::from(Arc::clone(&own)),
            own,
        }
    }
}

impl<F: Future> Future for AtOnce<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        this.own.task.lock().clone_from(context.waker());
        for _ in 0..POLLS_MAX {
            this.own.state.store(POLLED, Ordering::SeqCst);
            if let Poll::Ready(output) = this.inner.as_mut().poll(&mut Context::from_waker(&this.waker)) {
                return Poll::Ready(output);
            }
            let quiet = this
                .own
                .state
                .compare_exchange(POLLED, WAITING, Ordering::SeqCst, Ordering::SeqCst);
            if quiet.is_ok() {
                return Poll::Pending;
            }
        }
        // Others want their turn too; and where the runtime asks for it by waking everybody who polls, this ends it.
        this.own.state.store(WAITING, Ordering::SeqCst);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// What the future is woken through.
struct Own {
    state: AtomicU8,
    task: Mutex<Waker>,
}

impl Wake for Own {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let while_polled = self
            .state
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| match state {
                POLLED | AGAIN => Some(AGAIN),
                _ => None,
            });
        if while_polled.is_err() {
            let task = self.task.lock().clone();
            task.wake();
        }
    }
}

/// Nobody polls it.
const WAITING: u8 = 0;
/// It is being polled.
const POLLED: u8 = 1;
/// It was woken since that began.
const AGAIN: u8 = 2;
/// Polls in a row.
const POLLS_MAX: usize = 4;

#[cfg(test)]
mod tests;
