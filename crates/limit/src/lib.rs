//! Rate limits: how often somebody may ask, held on one server or on several over Redis.
//!
//! | module | what |
//! |---|---|
//! | [`rate`] | a limit as an operator writes it: `1000/s`, `60/m gcra burst=10` |
//! | [`gcra`], [`window`] | the two algorithms, pure |
//! | [`table`] | states of many keys in bounded memory |
//! | [`address`] | who is at the other end: prefixes, and which proxies are believed |
//! | [`tighten`] | who fails often may ask less, for a while |
//! | [`adaptive`] | limits that follow the load: reads give way before writes |
//! | [`lease`], [`store`], [`sync`] | tokens taken ahead from a shared store, so that no request waits for one |
//! | [`field`] | `RateLimit` and `RateLimit-Policy` |
//! | [`limits`] | all of it together: what a server asks |
//!
//! Architecture invariant: nothing here reads a clock, draws randomness or knows HTTP. Times are nanoseconds of a clock that
//! the caller passes in and that never runs backwards, so that every decision can be replayed. A check never waits and takes
//! no lock but that of a shard of a table. The one exception is [`sync::run`], which talks to Redis in a task of its own.

pub mod adaptive;
pub mod address;
pub mod field;
pub mod gcra;
pub mod key;
pub mod lease;
pub mod limits;
pub mod rate;
#[cfg(feature = "redis")]
pub mod redis;
mod settings;
pub mod store;
#[cfg(feature = "redis")]
pub mod sync;
pub mod table;
pub mod tighten;
pub mod window;

pub use address::{Network, Trusted, shown as shown_network};
pub use key::{Class, Scope};
pub use limits::{Admission, Limits, Refusal, Standing, Why};
pub use rate::Rate;
pub use settings::{Adaptive, Classes, Redis, Settings, Tighten};

/// Nanoseconds of a clock that never runs backwards, since any moment.
pub type Ns = u64;

/// Nanoseconds of a millisecond.
pub const MS: Ns = 1_000_000;
