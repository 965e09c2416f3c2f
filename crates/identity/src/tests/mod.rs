//! Tokens against an issuer that does not exist: its clock, its keys and its network are the tests'.

mod attacks;
mod claims;
mod fetching;
mod mapping;
mod rotation;
mod settings;
mod world;
