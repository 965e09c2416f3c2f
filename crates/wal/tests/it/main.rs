//! The log over a simulated disk: crashes, damage, round trips, golden bytes.

#![expect(clippy::unwrap_used, reason = "tests")]

mod crash;
mod golden;
mod log;
mod replay;
mod survey;
mod tenant_keys;
