//! Reads the text of a policy.

use alloc::{collections::BTreeMap, collections::BTreeSet, string::String, vec::Vec};

use super::{Member, Policy, PolicyGroup, PolicyLog, PolicyWitness};
use crate::{
    cosignature::CosignerKey,
    encoding::decimal,
    note::{VerifierKey, VerifierKeyError},
};

/// Longest policy that is read, in bytes.
pub const POLICY_BYTES_MAX: usize = 1 << 20;
/// Most logs, most witnesses and most groups of a policy. The specification asks for 32 of each.
pub const POLICY_ITEMS_MAX: usize = 256;

/// Says in which line a text stops being a policy, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the policy: {reason}")]
pub struct PolicyError {
    /// Line, from 1; for what is missing, the last one.
    pub line: usize,
    /// Why.
    pub reason: PolicyReason,
}

/// Why a text is no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyReason {
    /// It exceeds [`POLICY_BYTES_MAX`].
    #[error("the policy is too long")]
    TooLong,
    /// It has a control character other than tab and newline.
    #[error("a control character")]
    Control,
    /// The first word is none of `log`, `witness`, `group`, `quorum`.
    #[error("it starts with none of log, witness, group, quorum")]
    Keyword,
    /// It has too few or too many words.
    #[error("the wrong number of words")]
    Words,
    /// The vkey is none that a log or a witness can have.
    #[error(transparent)]
    Key(#[from] VerifierKeyError),
    /// Another log, or another witness, has the same public key.
    #[error("a public key for the second time")]
    SameKey,
    /// A witness or group of that name stands above.
    #[error("a name for the second time")]
    SameName,
    /// `none` is no name that a witness or group can have.
    #[error("`none` cannot be a name")]
    None,
    /// No witness or group of that name stands above.
    #[error("a name that stands for nothing above")]
    UnknownName,
    /// The member is a member of this group or another already.
    #[error("a member for the second time")]
    SameMember,
    /// The number of members is not between 1 and all of them.
    #[error("the number of members is neither `any`, `all`, nor between 1 and all of them")]
    Threshold,
    /// It is the second quorum.
    #[error("a second quorum")]
    SameQuorum,
    /// There is no quorum.
    #[error("no quorum")]
    NoQuorum,
    /// It is one more than [`POLICY_ITEMS_MAX`] of its kind.
    #[error("too many logs, witnesses or groups")]
    TooMany,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`PolicyError`] with the first line that breaks a rule.
    pub fn parse(text: &[u8]) -> Result<Self, PolicyError> {
        let mut reading = Reading::default();
        let mut last = 1;
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyReason::TooLong.at(last));
        }
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        for (before, line) in text.split(|byte| *byte == b'\n').enumerate() {
            last = before + 1;
            reading.line(line).map_err(|reason| reason.at(last))?;
        }
        reading.finish().map_err(|reason| reason.at(last))
    }
}

impl PolicyReason {
    const fn at(self, line: usize) -> PolicyError {
        PolicyError { line, reason: self }
    }
}

#[derive(Default)]
struct Reading<'a> {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<PolicyGroup>,
    quorum: Option<Option<Member>>,
    /// Witnesses and groups share their names.
    names: BTreeMap<&'a [u8], Member>,
    /// Whoever is a member of a group.
    taken: BTreeSet<&'a [u8]>,
}

impl<'a> Reading<'a> {
    fn line(&mut self, line: &'a [u8]) -> Result<(), PolicyReason> {
        if line
            .iter()
            .any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f)
        {
            return Err(PolicyReason::Control);
        }
        let words = line.split(|byte| matches!(byte, b' ' | b'\t'));
        let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", vkey] => self.log(vkey, None),
            [b"log", vkey, url] => self.log(vkey, Some(url)),
            [b"witness", name, vkey] => self.witness(name, vkey, None),
            [b"witness", name, vkey, url] => self.witness(name, vkey, Some(url)),
            [b"group", name, threshold, members @ ..] if !members.is_empty() => {
                self.group(name, threshold, members)
            }
            [b"quorum", name] => self.quorum(name),
            [b"log" | b"witness" | b"group" | b"quorum", ..] => Err(PolicyReason::Words),
            _ => Err(PolicyReason::Keyword),
        }
    }

    fn log(&mut self, vkey: &[u8], url: Option<&[u8]>) -> Result<(), PolicyReason> {
        let key = VerifierKey::parse(text(vkey)?)?;
        if self.logs.iter().any(|log| log.key.public() == key.public()) {
            return Err(PolicyReason::SameKey);
        }
        push(
            &mut self.logs,
            PolicyLog {
                key,
                url: url.map(lossy),
            },
        )?;
        Ok(())
    }

    fn witness(&mut self, name: &'a [u8], vkey: &[u8], url: Option<&[u8]>) -> Result<(), PolicyReason> {
        self.check_new(name)?;
        let key = CosignerKey::parse(text(vkey)?)?;
        if self
            .witnesses
            .iter()
            .any(|other| other.key.public() == key.public())
        {
            return Err(PolicyReason::SameKey);
        }
        let witness = PolicyWitness {
            name: lossy(name),
            key,
            url: url.map(lossy),
        };
        let index = push(&mut self.witnesses, witness)?;
        self.names.insert(name, Member::Witness(index));
        Ok(())
    }

    fn group(&mut self, name: &'a [u8], threshold: &[u8], of: &[&'a [u8]]) -> Result<(), PolicyReason> {
        self.check_new(name)?;
        let mut members = Vec::with_capacity(of.len());
        for member in of {
            members.push(*self.names.get(member).ok_or(PolicyReason::UnknownName)?);
            if !self.taken.insert(member) {
                return Err(PolicyReason::SameMember);
            }
        }
        let threshold = match threshold {
            b"any" => 1,
            b"all" => members.len(),
            number => {
                let number = decimal(text(number).map_err(|_| PolicyReason::Threshold)?, u64::MAX);
                let number = number.and_then(|number| usize::try_from(number).ok());
                number.ok_or(PolicyReason::Threshold)?
            }
        };
        if !(1..=members.len()).contains(&threshold) {
            return Err(PolicyReason::Threshold);
        }
        let group = PolicyGroup {
            name: lossy(name),
            threshold,
            members,
        };
        let index = push(&mut self.groups, group)?;
        self.names.insert(name, Member::Group(index));
        Ok(())
    }

    fn quorum(&mut self, name: &[u8]) -> Result<(), PolicyReason> {
        let quorum = match name {
            NONE => None,
            name => Some(*self.names.get(name).ok_or(PolicyReason::UnknownName)?),
        };
        if self.quorum.replace(quorum).is_some() {
            return Err(PolicyReason::SameQuorum);
        }
        Ok(())
    }

    fn check_new(&self, name: &[u8]) -> Result<(), PolicyReason> {
        if name == NONE {
            return Err(PolicyReason::None);
        }
        if self.names.contains_key(name) {
            return Err(PolicyReason::SameName);
        }
        Ok(())
    }

    fn finish(self) -> Result<Policy, PolicyReason> {
        Ok(Policy {
            logs: self.logs,
            witnesses: self.witnesses,
            groups: self.groups,
            quorum: self.quorum.ok_or(PolicyReason::NoQuorum)?,
        })
    }
}

/// Appends; the index.
fn push<T>(items: &mut Vec<T>, item: T) -> Result<usize, PolicyReason> {
    if items.len() >= POLICY_ITEMS_MAX {
        return Err(PolicyReason::TooMany);
    }
    items.push(item);
    Ok(items.len() - 1)
}

/// A vkey, or a number.
fn text(bytes: &[u8]) -> Result<&str, PolicyReason> {
    core::str::from_utf8(bytes).map_err(|_| PolicyReason::Key(VerifierKeyError::Malformed))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const NONE: &[u8] = b"none";
