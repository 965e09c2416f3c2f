//! What stands before every handler: who is calling, may they, and is it on record.
//!
//! The order: limits by address, authentication, limits by caller, authorisation, the record of the act, the handler, and then
//! the wait until that record is durable. Handlers get a [`Caller`] and check nothing that the route says already; what only
//! a body says, the tenants that it names, they check with [`Caller::on`].
//!
//! | file | what |
//! |---|---|
//! | `entry` | what a route needs: the table's rows |
//! | `routes` | the only way to a route: with its entry |
//! | `gate` | the order above |
//! | `token` | credentials of a request, recognised |
//! | `jwt` | those of identity providers |
//! | `caller` | what handlers get |
//! | `ledger` | the record of an act, on its way |
//! | `limits` | where limits are asked |
//!
//! Architecture invariant: nothing else in this crate makes a route or reads `Authorization`.

mod caller;
mod entry;
mod gate;
mod jwt;
mod ledger;
mod limits;
mod routes;
mod token;

pub use caller::Caller;
pub use entry::{Entry, Need, Reach, Recorded, RouteClass, Tongue};
pub use jwt::Tokens;
pub use ledger::TENANTS_MAX;
pub use routes::{Routes, Row};
