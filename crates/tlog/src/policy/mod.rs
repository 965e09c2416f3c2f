//! Trust policies: which logs, which witnesses, and how many of them (C2SP tlog-policy).
//!
//! # Format
//! Lines of words separated by spaces and tabs; empty lines and lines that start with `#` say nothing.
//! ```text
//! log <vkey> [<url>]
//! witness <name> <vkey> [<url>]
//! group <name> all|any|<k> <name>…          of witnesses and groups above, each a member once
//! quorum <name>|none                        exactly one
//! ```
//! Names, URLs and comments are any bytes from 0x80 too; names are compared as bytes.
//!
//! # Example
//! ```
//! use attestore_tlog::Policy;
//!
//! let policy = Policy::parse(b"# signed by the log, nothing else\nquorum none\n")?;
//! assert!(policy.witnesses().is_empty());
//! assert_eq!(Policy::parse(b"quorum w1\n").unwrap_err().line, 1);
//! # Ok::<(), attestore_tlog::PolicyError>(())
//! ```

mod check;
mod parse;
#[cfg(test)]
mod tests;

use alloc::{string::String, vec::Vec};
use core::fmt;

pub use check::{Cosigned, PolicyCheckError, Verdict};
pub use parse::{POLICY_BYTES_MAX, POLICY_ITEMS_MAX, PolicyError, PolicyReason};

use crate::{cosignature::CosignerKey, note::VerifierKey};

/// Decides which checkpoints are believed. Displays as its text, without comments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<PolicyGroup>,
    quorum: Option<Member>,
}

/// A log whose checkpoints are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyLog {
    key: VerifierKey,
    url: Option<String>,
}

/// A witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWitness {
    name: String,
    key: CosignerKey,
    url: Option<String>,
}

/// A number of witnesses and groups, of which some have to have witnessed a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyGroup {
    name: String,
    threshold: usize,
    members: Vec<Member>,
}

/// Who can be a member of a group, or the quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// Index into [`Policy::witnesses`].
    Witness(usize),
    /// Index into [`Policy::groups`]; of a group that stands before whatever names it.
    Group(usize),
}

impl Policy {
    /// Returns the logs in their order.
    #[must_use]
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// Returns the witnesses in their order.
    #[must_use]
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// Returns the groups in their order.
    #[must_use]
    pub fn groups(&self) -> &[PolicyGroup] {
        &self.groups
    }

    /// Returns the quorum; `None` where no cosignature is needed.
    #[must_use]
    pub const fn quorum(&self) -> Option<Member> {
        self.quorum
    }

    /// Tells whether these witnesses, by index, make the quorum.
    #[must_use]
    pub fn holds(&self, witnessed: impl Fn(usize) -> bool) -> bool {
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let members = group.members.iter();
            let count = members
                .filter(|member| is_met(**member, &witnessed, &groups))
                .count();
            groups.push(count >= group.threshold);
        }
        self.quorum
            .is_none_or(|quorum| is_met(quorum, &witnessed, &groups))
    }

    fn name_of(&self, member: Member) -> &str {
        let name = match member {
            Member::Witness(index) => self.witnesses.get(index).map(|witness| &witness.name),
            Member::Group(index) => self.groups.get(index).map(|group| &group.name),
        };
        name.map_or("", String::as_str)
    }
}

/// Groups above are decided when the one that names them is.
fn is_met(member: Member, witnessed: &impl Fn(usize) -> bool, groups: &[bool]) -> bool {
    match member {
        Member::Witness(index) => witnessed(index),
        Member::Group(index) => groups.get(index).copied().unwrap_or(false),
    }
}

impl PolicyLog {
    /// Returns the key; its name is the log's origin.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Returns the URL, as written.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }
}

impl PolicyWitness {
    /// Returns the name that groups know it by; what is not UTF-8 in it is replaced.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the key.
    #[must_use]
    pub const fn key(&self) -> &CosignerKey {
        &self.key
    }

    /// Returns the URL, as written: the submission prefix, where checkpoints are to be sent.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }
}

impl PolicyGroup {
    /// Returns the name; what is not UTF-8 in it is replaced.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how many members have to have witnessed a checkpoint.
    #[must_use]
    pub const fn threshold(&self) -> usize {
        self.threshold
    }

    /// Returns the members in their order.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = |url: &Option<String>| {
            url.as_ref()
                .map_or_else(String::new, |url| alloc::format!(" {url}"))
        };
        for log in &self.logs {
            writeln!(f, "log {}{}", log.key, after(&log.url))?;
        }
        for witness in &self.witnesses {
            writeln!(
                f,
                "witness {} {}{}",
                witness.name,
                witness.key,
                after(&witness.url)
            )?;
        }
        for group in &self.groups {
            write!(f, "group {} {}", group.name, group.threshold)?;
            for member in &group.members {
                write!(f, " {}", self.name_of(*member))?;
            }
            f.write_str("\n")?;
        }
        let quorum = self.quorum.map_or("none", |quorum| self.name_of(quorum));
        writeln!(f, "quorum {quorum}")
    }
}
