//! Places in a log, as clients keep them: how far they have come, and in which log.
//!
//! # Format
//! `<seq>-<log>`: the last seq that was looked at, decimal, or `start` before the first; and eight hex digits that name the log,
//! so that the place of another tenant, or of a log that a fork has replaced, is not taken for one in this log.

use crate::{
    catalog::hex,
    error::{Error, Result},
    tenant::Tenant,
};

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the next record that is appended.
    Now,
    /// With the first record.
    Beginning,
    /// With the record of this seq.
    At(u64),
    /// After the place that [`super::Follower::position`] named.
    After(String),
}

impl Start {
    /// The first seq to look at.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no place in this log.
    pub(super) fn next(&self, tenant: &Tenant) -> Result<u64> {
        let size = tenant.view().size;
        match self {
            Self::Now => Ok(size),
            Self::Beginning => Ok(0),
            Self::At(seq) if *seq <= size => Ok(*seq),
            Self::At(_) => Err(invalid(
                "beyond_log",
                format!("the log has {size} records: there is nothing to follow from there"),
            )),
            Self::After(name) => after(name, tenant, size),
        }
    }
}

/// Names the place right before `next`.
pub(super) fn name(tenant: &Tenant, next: u64) -> String {
    let log = log(tenant);
    match next.checked_sub(1) {
        Some(seq) => format!("{seq}-{log}"),
        None => format!("{START}-{log}"),
    }
}

fn after(name: &str, tenant: &Tenant, size: u64) -> Result<u64> {
    let bad = || invalid("invalid_event_id", "an event id is `<seq>-<log>`".to_owned());
    let (seq, of) = name.split_once('-').ok_or_else(bad)?;
    let is_log = |text: &str| text.len() == LOG_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_log(of) {
        return Err(bad());
    }
    let next = match seq {
        START => 0,
        seq if seq.bytes().all(|byte| byte.is_ascii_digit()) => {
            let seq: u64 = seq.parse().map_err(|_| bad())?;
            seq.checked_add(1).ok_or_else(bad)?
        }
        _ => return Err(bad()),
    };
    if of != log(tenant) {
        return Err(invalid(
            "event_id_of_another_log",
            "the event id is of another log: of another tenant, or of this one before it was forked"
                .to_owned(),
        ));
    }
    if next > size {
        return Err(invalid(
            "beyond_log",
            format!(
                "the log has {size} records, fewer than the event id says were seen: it was restored from an older state"
            ),
        ));
    }
    Ok(next)
}

fn log(tenant: &Tenant) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("attestore 2026 tail position v1");
    hasher.update(&tenant.epoch.to_le_bytes());
    hasher.update(tenant.origin.as_bytes());
    let mut name = [0; LOG_DIGITS / 2];
    hasher.finalize_xof().fill(&mut name);
    hex(&name)
}

fn invalid(code: &'static str, message: String) -> Error {
    Error::Invalid { code, message }
}

const START: &str = "start";
const LOG_DIGITS: usize = 8;
