//! Watches: a saved search that is asked of every new record, and a webhook that is told of those that match.
//!
//! | module | what |
//! |---|---|
//! | `row` | what the catalog keeps: settings, place in the log, the message under way, dead letters |
//! | `retry` | when a message is sent again, and when it is given up |
//! | `api` | setting, showing, removing; dead letters |
//! | `watcher` | what a sender asks for: the next message, and what came of it |
//!
//! # Durability
//! What is to be sent is stored before it is sent, with its id and its records, and the place in the log moves on only with what
//! became of it. So every match is in exactly one message, a message may arrive more than once, and then with the same id,
//! whatever crashes in between.
//!
//! # Changes
//! A watched search whose query is changed has both: the records that were there are asked the query that it had when they came,
//! those after them the new one. The old one is kept with the place up to which it counts until the watch has come there.
//!
//! # Privacy
//! A webhook is outside. Watches see no personal fields, neither in their query nor in what they tell.

mod api;
mod retry;
mod row;
mod watcher;

pub use api::{DeadLetter, WatchInfo, WatchSecret, WatchSpec, WatchState};
pub use retry::Retry;
pub use watcher::{Delivery, Message, Recipient, WatchRef, Watcher};

pub(crate) use row::{LetterRow, WatchRow, seal_again};
pub(super) use row::{forget, put, watch, watch_in};

/// One change of saved searches and watches at a time: what is checked, logged and then stored is one and the same. Who sends is
/// told of each.
#[derive(Default)]
pub(crate) struct Changes {
    one_at_a_time: parking_lot::Mutex<()>,
    changed: tokio::sync::Notify,
}

impl Changes {
    /// Waits until nobody else changes anything.
    pub(crate) fn alone(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.one_at_a_time.lock()
    }

    /// Tells who sends that something changed.
    pub(crate) fn tell(&self) {
        self.changed.notify_one();
    }

    /// Resolves when something changed.
    pub(crate) async fn told(&self) {
        self.changed.notified().await;
    }
}

/// Watches of one tenant, at most.
pub const WATCHES_MAX: usize = 64;
/// Watches of all tenants, at most.
pub const WATCHES_MAX_OF_ALL: usize = 1024;
/// Earlier queries that a watch still has to ask of the records of their time, at most.
pub const EARLIER_MAX: usize = 16;
/// Dead letters that are kept of one watch; older ones go.
pub const DEAD_LETTERS_MAX: usize = 100;
/// Records in one message, at most.
pub const MESSAGE_RECORDS_MAX: usize = 250;
