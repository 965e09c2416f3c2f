//! Tokens of foreign issuers: a resource server for JWT access tokens (RFC 9068, RFC 8725) of OpenID Connect providers.
//!
//! - [`Settings`]: which issuers are believed, with which algorithms, and what their claims allow.
//! - [`Resource`]: verifies a token and hands back who sent it; a token that was verified before costs a hash look-up.
//! - [`Fetch`]: how key sets are fetched; [`https::Client`] is the real one.
//!
//! What a token says about its own keys (`jku`, `x5u`, `jwk`, `x5c`) is never used: keys come from the issuer's configured or
//! discovered key set only, and algorithms from the settings, none of which is symmetric.
//!
//! Architecture invariant: this crate knows no routes, no roles and no catalog; roles and tenants are names to it. Time is
//! passed in.

mod algorithm;
mod claims;
mod fetch;
pub mod https;
mod issuer;
mod keys;
mod mapping;
mod refusal;
mod resource;
mod settings;
mod source;
mod token;

pub use algorithm::Algorithm;
pub use fetch::{Fetch, FetchError, Fetched};
pub use mapping::{Identity, Tenants};
pub use refusal::Refusal;
pub use resource::{Resource, looks_like_token};
pub use settings::{IssuerSettings, Rule, Settings, SettingsError};

#[cfg(test)]
mod tests;
