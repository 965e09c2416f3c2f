//! The server's account of itself: who read, searched, exported, administered and was refused what.
//!
//! One act is one record in `_system`, handed to the committer while the act is being worked on and durable before anything
//! of its answer leaves: [`crate::Engine::begin_act`] hands it over, [`Intent::durable`] waits. Whoever cannot wait for it does not
//! answer. There is no switch.
//!
//! | file | what |
//! |---|---|
//! | `act` | what is recorded, and the event that it becomes |
//! | `intent` | handing over and waiting |
//! | `counts` | what is counted first and recorded now and then: refusals by limits, uses of keys |
//! | `life` | start, stop and changed settings |
//! | `log` | what the people of one tenant see of it |
//!
//! Architecture invariant: public bytes of these records hold ids, names of routes and permissions; what people typed (search
//! terms) and where they sat (addresses) is in a personal group, sealed.
//!
//! # Durability
//! Records are appended like any other, with the reserve of space that only `_system` has. Once most of that is spent they
//! are refused, and with them every act.

mod act;
mod counts;
mod intent;
mod life;
mod log;

pub use act::{Act, Outcome, TERMS_BYTES_MAX, Target};
pub use counts::Limited;
pub(crate) use counts::{Counts, tick};
pub use intent::Intent;
