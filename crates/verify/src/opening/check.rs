//! Recomputes a record's commitments and reads just enough of its bytes to tell what they are.

use std::borrow::Cow;
use std::collections::BTreeSet;

use attestore_record::{
    Entry, Handle, Kind, RecordId, TenantId, commitment::record_commitment, entry::EntryError,
};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{OpenedRecord, Part, Parts, json};
use crate::as_text;

/// Tells what a verified opening holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Opened {
    /// Id of the record, from its public group.
    #[serde(serialize_with = "as_text")]
    pub id: RecordId,
    /// Tenant, from its public group.
    #[serde(serialize_with = "as_text")]
    pub tenant: TenantId,
    /// Name of the entry's kind.
    pub kind: &'static str,
    /// Retention class of the entry.
    pub class: u16,
    /// Time of receipt, Unix milliseconds.
    pub time_ms: u64,
    /// Number of personal groups that are open.
    pub groups_opened: usize,
    /// Number of personal groups that are withheld.
    pub groups_withheld: usize,
}

/// Says why an opening does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum OpeningError {
    /// The entry is of unknown version or kind.
    #[error("{error}")]
    Entry {
        /// What is wrong with it.
        #[serde(serialize_with = "as_text")]
        error: EntryError,
    },
    /// A group does not come after the one before it.
    #[error("group {group} is out of order")]
    GroupOrder {
        /// Position of the group.
        group: usize,
    },
    /// The bytes and salts are not what the entry commits to.
    #[error("record is not what its entry commits to")]
    Commitment,
    /// The public group is committed to, but is no public group of a version known here.
    #[error("public group is invalid: {message}")]
    Public {
        /// What is wrong with it.
        message: String,
    },
    /// A personal group is committed to, but is no personal group of a version known here.
    #[error("personal group {group} is invalid: {message}")]
    Personal {
        /// Position of the group.
        group: usize,
        /// What is wrong with it.
        message: String,
    },
}

/// Verifies that the entry commits to exactly these bytes, and that they are groups as Attestore writes them.
///
/// Says nothing about whether a log holds the entry.
///
/// # Errors
/// [`OpeningError`] for the first rule it breaks; commitments are checked before any byte is interpreted.
pub fn verify_opening(record: &OpenedRecord) -> Result<Opened, OpeningError> {
    Parts::from(record).verify()
}

impl Parts<'_> {
    /// As [`verify_opening`].
    pub(crate) fn verify(&self) -> Result<Opened, OpeningError> {
        let entry = Entry::from_bytes(&self.entry).map_err(|error| OpeningError::Entry { error })?;
        let mut commitments: Vec<_> = self.groups.iter().map(|group| group.commitment(&entry)).collect();
        if let Some(before) = commitments
            .iter()
            .zip(commitments.iter().skip(1))
            .position(|(a, b)| a >= b)
        {
            return Err(OpeningError::GroupOrder { group: before + 1 });
        }
        let commitment = record_commitment(entry.version, &self.salt0, self.public, &mut commitments);
        if commitment != entry.commitment {
            return Err(OpeningError::Commitment);
        }

        let public = check_public(self.public, entry.kind, self.groups.len())
            .map_err(|message| OpeningError::Public { message })?;
        let PublicParts {
            id,
            tenant,
            mut withheld,
        } = public;
        let mut groups_opened = 0;
        for (group, opening) in self.groups.iter().enumerate() {
            if let Part::Opened { bytes, .. } = opening {
                check_personal(bytes, &mut withheld)
                    .map_err(|message| OpeningError::Personal { group, message })?;
                groups_opened += 1;
            }
        }
        if groups_opened == self.groups.len()
            && let Some(pointer) = withheld.first()
        {
            let message = format!("{pointer:?} is withheld, but no personal group has it");
            return Err(OpeningError::Public { message });
        }
        Ok(Opened {
            id,
            tenant,
            kind: entry.kind.name(),
            class: entry.class,
            time_ms: entry.time_ms,
            groups_opened,
            groups_withheld: self.groups.len() - groups_opened,
        })
    }
}

/// What a public group tells about the record.
struct PublicParts {
    id: RecordId,
    tenant: TenantId,
    /// The pointers of the fields that stand in personal groups.
    withheld: BTreeSet<String>,
}

fn check_public(bytes: &[u8], kind: Kind, groups: usize) -> Result<PublicParts, String> {
    let text = str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let envelope = json::envelope(text, json::check(text)?);
    let public: Public<'_> = serde_json::from_str(&envelope).map_err(|error| error.to_string())?;
    check_version(public.v)?;
    let id: RecordId = public.id.parse().map_err(|error| format!("{error}"))?;
    let [_, _, _, _, _, _, version, _, variant, ..] = id.as_bytes();
    if version >> 4 != UUID_VERSION || variant >> 6 != UUID_VARIANT {
        return Err("id is not a UUID of version 7".into());
    }
    let tenant: TenantId = public.tenant.parse().map_err(|error| format!("{error}"))?;
    match (kind, public.event, public.control) {
        (Kind::Event, Some(event), None) => check_object(event, "event")?,
        (Kind::Event, ..) => return Err("an entry of kind event takes an `event` and no `control`".into()),
        (_, None, Some(control)) => check_object(control, "control")?,
        _ => return Err("a control entry takes a `control` and no `event`".into()),
    }
    if kind != Kind::Event && groups > 0 {
        return Err("a control record has no personal groups".into());
    }
    let mut withheld = BTreeSet::new();
    for pointer in public.withheld.iter().flatten() {
        if !withheld.insert(pointer.clone().into_owned()) {
            return Err(format!("{pointer:?} is withheld twice"));
        }
    }
    match (groups, public.withheld) {
        (0, None) => {}
        (0, Some(_)) => return Err("a record without personal groups has no `withheld`".into()),
        _ if withheld.is_empty() => return Err("a record with personal groups names their fields".into()),
        _ => {}
    }
    Ok(PublicParts { id, tenant, withheld })
}

/// Checks a personal group and takes its pointers out of `withheld`.
fn check_personal(bytes: &[u8], withheld: &mut BTreeSet<String>) -> Result<(), String> {
    let text = str::from_utf8(bytes).map_err(|error| error.to_string())?;
    json::check(text)?;
    let personal: Personal<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    check_version(personal.v)?;
    let handles = personal.subjects.iter().map(|handle| handle.parse::<Handle>());
    let handles: Vec<Handle> = handles
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    if handles.is_empty() || !handles.is_sorted_by(|a, b| a < b) {
        return Err("subjects are not a sorted set of handles".into());
    }
    if personal.fields.0.is_empty() {
        return Err("`fields` is empty".into());
    }
    for pointer in &personal.fields.0 {
        if !withheld.remove(&**pointer) {
            return Err(format!(
                "{pointer:?} is not withheld from the public group, or given twice"
            ));
        }
    }
    Ok(())
}

fn check_version(v: u32) -> Result<(), String> {
    if v == GROUP_VERSION {
        Ok(())
    } else {
        Err(format!("version {v} is unknown"))
    }
}

fn check_object(value: &RawValue, field: &str) -> Result<(), String> {
    if value.get().starts_with('{') {
        Ok(())
    } else {
        Err(format!("`{field}` is no object"))
    }
}

/// The envelope of a public group. Unknown and repeated fields are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Public<'a> {
    v: u32,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    tenant: Cow<'a, str>,
    #[serde(borrow, rename = "protocol")]
    _protocol: Cow<'a, str>,
    #[serde(borrow, rename = "credential")]
    _credential: Cow<'a, str>,
    #[serde(rename = "privacy")]
    _privacy: u32,
    /// JSON pointers of the fields that stand in personal groups.
    #[serde(borrow, default, deserialize_with = "some")]
    withheld: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, default, deserialize_with = "some")]
    event: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "some")]
    control: Option<&'a RawValue>,
}

/// A personal group.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Personal<'a> {
    v: u32,
    #[serde(borrow)]
    subjects: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    fields: Pointers<'a>,
}

/// The names of an object, repeated ones included; the values are only checked to be JSON.
struct Pointers<'a>(Vec<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Pointers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Vec<Cow<'de, str>>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(names)
            }
        }

        deserializer.deserialize_map(Names).map(Self)
    }
}

/// Reads a value that may be absent but not `null`.
fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

const GROUP_VERSION: u32 = 1;
const UUID_VERSION: u8 = 7;
const UUID_VARIANT: u8 = 0b10;
