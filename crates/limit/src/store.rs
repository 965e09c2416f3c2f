//! What servers share: how much of each limit is used, and by a clock that is the store's own.
//!
//! A server asks for tokens ahead and uses them within the time that the store says. Tokens that were not used go back. What
//! was let through before the store could be asked is charged afterwards, whatever is left.
//!
//! # Counting
//! A window is cut into [`SLOTS`] slots of the store's clock. Tokens granted in one slot may be used until [`VALID_SLOTS`] slots
//! later, and the store never grants so that more than the count fall into `SLOTS + VALID_SLOTS + 1` slots in a row: so never
//! more than the count is *used* in any window. The price is that a little over 1 % of the count is let through late.

use std::fmt;
use std::sync::Arc;

use crate::{Ns, Rate};

/// What a server asks for one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Name of the key, the same on every server.
    pub name: Arc<str>,
    /// The limit.
    pub rate: Rate,
    /// Tokens wanted.
    pub want: u64,
    /// Tokens used without asking.
    pub debt: u64,
    /// Tokens that were granted in a slot and not used.
    pub back: Option<(u64, u64)>,
}

/// What the store answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Tokens granted, at most as many as were wanted.
    pub granted: u64,
    /// How many more could have been.
    pub remaining: u64,
    /// If none were: how long until there are some.
    pub wait_ns: Ns,
    /// How long the tokens may be used, from the moment of the answer.
    pub valid_ns: Ns,
    /// The slot in which they were granted.
    pub slot: u64,
}

/// A store that servers share.
pub trait Store: Send {
    /// Why the store gave no answer.
    type Error: fmt::Display + Send;

    /// Asks for several keys at once; the answers are in their order.
    ///
    /// # Errors
    /// When the store gave no answer. What was asked may or may not have been done.
    fn exchange(&mut self, asks: &[Ask]) -> impl Future<Output = Result<Vec<Answer>, Self::Error>> + Send;

    /// Tells that this server is there, and asks how many are.
    ///
    /// # Errors
    /// When the store gave no answer.
    fn beat(&mut self) -> impl Future<Output = Result<u32, Self::Error>> + Send;
}

/// Slots of a window.
pub const SLOTS: u64 = 512;
/// Slots after the one of the grant in which tokens may still be used.
pub const VALID_SLOTS: u64 = 5;
/// Slots that are counted.
pub const COUNTED_SLOTS: u64 = SLOTS + VALID_SLOTS + 1;
/// Shorter windows are not shared: their slots would be over before an answer is there.
pub const WINDOW_MS_MIN: u64 = 1000;
