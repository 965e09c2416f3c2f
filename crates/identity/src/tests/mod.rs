//! Tokens against an issuer that does not exist: its clock, its keys and its network are the tests'.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod attacks;
mod claims;
mod fetching;
mod mapping;
mod rotation;
mod settings;
mod world;
