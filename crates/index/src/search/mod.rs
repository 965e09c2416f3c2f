//! Asking one split: which records match, in which order.
//!
//! [`search`] gives hits by seq, [`top`] by any column. Both look at the records of a [`Window`] only, and ask `stop` often
//! enough that a deadline is kept.

mod hits;
mod scalar;
mod sort;
mod top;
mod values;
mod window;

pub use hits::{Found, search};
pub use sort::{Sort, SortKey};
pub use top::top;
pub use window::{Order, Window};

pub(crate) use scalar::{Scalar, TWO_63};
pub(crate) use values::{Loaded, Place, Typed, open};
pub(crate) use window::{Scope, Walk};
