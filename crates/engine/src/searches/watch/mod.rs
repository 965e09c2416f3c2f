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
//! # Privacy
//! A webhook is outside. Watches see no personal fields, neither in their query nor in what they tell.

mod api;
mod retry;
mod row;
mod watcher;

pub use api::{DeadLetter, WatchInfo, WatchSecret, WatchSpec, WatchState};
pub use retry::Retry;
pub use watcher::{Delivery, Message, Recipient, WatchRef, Watcher};

pub(super) use row::{forget, is_watched};

/// Watches of one tenant, at most.
pub const WATCHES_MAX: usize = 64;
/// Dead letters that are kept of one watch; older ones go.
pub const DEAD_LETTERS_MAX: usize = 100;
/// Records in one message, at most.
pub const MESSAGE_RECORDS_MAX: usize = 250;
