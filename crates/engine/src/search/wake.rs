//! How a background thread is woken and told to stop.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// A flag to stop, a flag that there is work, and something to wait on.
#[derive(Default)]
pub(crate) struct Wake {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stopped: bool,
    work: bool,
}

impl Wake {
    /// Tells the thread to end.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Tells the thread that there is work.
    pub(crate) fn notify(&self) {
        let mut state = self.state.lock();
        if !state.work {
            state.work = true;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Whether the thread is to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Waits for work at most `timeout`; returns whether the thread is to end.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.work && !state.stopped {
            self.changed.wait_for(&mut state, timeout);
        }
        state.work = false;
        state.stopped
    }

    /// Waits for `timeout`, whatever work comes; returns whether the thread is to end.
    pub(crate) fn pause(&self, timeout: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.stopped {
            self.changed
                .wait_while_for(&mut state, |state| !state.stopped, timeout);
        }
        state.stopped
    }
}
