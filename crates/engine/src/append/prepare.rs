//! The caller's part of an append: parse, encode, resolve subjects, seal, hash. Runs in parallel, reads no log.

use std::sync::Arc;

use attestore_keys::Key;
use attestore_record::commitment::{PUBLIC_LABEL, group_commitment, personal_label, record_commitment};
use attestore_record::group::encode;
use attestore_record::{
    Encoded, Envelope, ErrorCode, Event, EventError, Handle, HashVersion, Kind, PersonalGroup, PrivacyPolicy,
    RecordId, SaltKey, event,
};
use bytes::Bytes;

use super::queue::{Draft, Slot};
use super::receipt::Item;
use crate::Result;
use crate::error::ItemError;
use crate::idempotency;
use crate::instance::Inner;
use crate::tenant::{Generation, Subject, SubjectState, TailGroup, Tenant, seal_group, set_key_of};

/// What all events of one append share.
pub(crate) struct Preparation<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) tenant: &'a Tenant,
    pub(crate) credential_id: &'a str,
    pub(crate) protocol: &'a str,
    pub(crate) now_ms: u64,
}

impl Preparation<'_> {
    /// Prepares every item. The second value says whether any came with an idempotency key.
    ///
    /// # Errors
    /// Only failures of the server; a refused event is a slot.
    pub(crate) fn run(&self, items: &[Item]) -> Result<(Vec<Slot>, bool)> {
        let generation = self.tenant.generation.load();
        let rules = self.tenant.rules.load();
        let privacy = self.tenant.privacy.load();
        let mut salts = ClassSalts::new(&generation);
        let version = self.tenant.hash_version();
        let mut random = vec![[0u8; 10]; items.len()];
        self.inner.entropy.fill(random.as_flattened_mut());
        let mut slots = Vec::with_capacity(items.len());
        let mut keyed = false;
        for (item, random) in items.iter().zip(random) {
            let id = RecordId::new(self.now_ms, random);
            let slot = match event::parse(&item.bytes, &self.inner.settings.limits, self.now_ms) {
                Ok(event) => {
                    let class = rules.class_of(&event);
                    let hashing = Hashing {
                        class,
                        version,
                        salt: salts.of(class),
                        generation: generation.number,
                    };
                    let item = Parsed {
                        event: &event,
                        fallback_key: item.fallback_key.as_deref(),
                        id,
                    };
                    self.slot(&item, &privacy, hashing)?
                }
                Err(error) => Slot::Refused(refusal(error)),
            };
            keyed |= matches!(&slot, Slot::Draft(draft) if draft.idempotency.is_some());
            slots.push(slot);
        }
        Ok((slots, keyed))
    }

    /// Encodes an event under the tenant's privacy policy, which may refuse it.
    fn slot(&self, item: &Parsed<'_>, privacy: &PrivacyPolicy, hashing: Hashing<'_>) -> Result<Slot> {
        let envelope = Envelope {
            id: item.id,
            tenant: self.tenant.id,
            protocol: self.protocol,
            credential_id: self.credential_id,
        };
        match encode(item.event, &envelope, privacy) {
            Ok(encoded) => {
                crate::privacy::counts::detected(&encoded.detected);
                let key = item.event.idempotency_key.as_deref().or(item.fallback_key);
                Ok(Slot::Draft(self.draft(item.id, encoded, key, hashing)?))
            }
            Err(refused) => {
                crate::privacy::counts::refused(&refused);
                Ok(Slot::Refused(refusal(refused.into())))
            }
        }
    }

    fn draft(
        &self,
        id: RecordId,
        encoded: Encoded,
        key: Option<&str>,
        hashing: Hashing<'_>,
    ) -> Result<Draft> {
        let tenant = self.tenant;
        let mut subjects = Vec::new();
        let mut opened = Vec::with_capacity(encoded.personal.len());
        let mut groups = Vec::with_capacity(encoded.personal.len());
        for personal in &encoded.personal {
            let (group, bytes) = self.group(personal, &id, hashing.version, &mut subjects)?;
            if key.is_some() {
                opened.push(bytes.clone());
            }
            groups.push(self.seal(group, &id, bytes));
        }
        groups.sort_unstable_by_key(|group| group.commitment);
        let mut commitments: Vec<_> = groups.iter().map(|group| group.commitment).collect();
        let commitment = record_commitment(
            hashing.version,
            &hashing.salt.salt(&id, PUBLIC_LABEL),
            &encoded.public,
            &mut commitments,
        );
        let idempotency = key.map(|key| {
            let personal = opened.iter().map(Vec::as_slice);
            idempotency::idempotency(&tenant.keys.directory, key, &encoded.public, personal)
        });
        Ok(Draft {
            id,
            kind: Kind::Event,
            class: hashing.class,
            version: hashing.version,
            commitment,
            generation: hashing.generation,
            public: Bytes::from(encoded.public),
            groups,
            subjects,
            idempotency,
        })
    }

    /// Resolves a group's subjects and commits to its bytes.
    fn group(
        &self,
        personal: &PersonalGroup,
        id: &RecordId,
        version: HashVersion,
        fresh: &mut Vec<Arc<Subject>>,
    ) -> Result<(Unsealed, Vec<u8>)> {
        let tenant = self.tenant;
        let mut subjects = Vec::with_capacity(personal.subjects.len());
        for subject in &personal.subjects {
            let subject = tenant.directory.resolve(tenant, subject, &*self.inner.entropy)?;
            if subject.is(SubjectState::Pending) {
                fresh.push(Arc::clone(&subject));
            }
            subjects.push(subject);
        }
        subjects.sort_unstable_by_key(|subject| subject.handle);
        let handles: Vec<Handle> = subjects.iter().map(|subject| subject.handle).collect();
        let set_key = set_key_of(&subjects);
        let bytes = personal.bytes(&handles);
        let salt = SaltKey::new(set_key.expose()).salt(id, &personal_label(&handles));
        let commitment = group_commitment(version, &salt, &bytes);
        Ok((
            Unsealed {
                commitment,
                handles,
                set_key,
            },
            bytes,
        ))
    }

    fn seal(&self, group: Unsealed, id: &RecordId, bytes: Vec<u8>) -> TailGroup {
        let sealed = seal_group(&group.set_key, &self.tenant.id, id, &*self.inner.entropy, bytes);
        TailGroup {
            commitment: group.commitment,
            handles: group.handles,
            sealed: Bytes::from(sealed),
        }
    }
}

/// An event to encode.
struct Parsed<'a> {
    event: &'a Event<'a>,
    /// Its key where it has none itself.
    fallback_key: Option<&'a str>,
    id: RecordId,
}

/// What an event's public group is hashed under.
struct Hashing<'a> {
    class: u16,
    version: HashVersion,
    salt: &'a SaltKey,
    generation: u32,
}

/// Salt keys of the classes of one append.
struct ClassSalts<'a> {
    generation: &'a Generation,
    known: Vec<(u16, SaltKey)>,
}

impl<'a> ClassSalts<'a> {
    const fn new(generation: &'a Generation) -> Self {
        Self {
            generation,
            known: Vec::new(),
        }
    }

    fn of(&mut self, class: u16) -> &SaltKey {
        let at = match self.known.iter().position(|(known, _)| *known == class) {
            Some(at) => at,
            None => {
                self.known.push((class, self.generation.salt_key(class)));
                self.known.len() - 1
            }
        };
        &self.known[at].1
    }
}

struct Unsealed {
    commitment: [u8; 32],
    handles: Vec<Handle>,
    set_key: Key,
}

impl Draft {
    /// Commits to the record again, under another generation. Personal groups do not depend on it.
    pub(crate) fn rehash(&mut self, generation: &Generation) {
        let salt = generation.salt_key(self.class).salt(&self.id, PUBLIC_LABEL);
        let mut commitments: Vec<_> = self.groups.iter().map(|group| group.commitment).collect();
        self.commitment = record_commitment(self.version, &salt, &self.public, &mut commitments);
        self.generation = generation.number;
    }

    /// Bytes that it takes in the WAL, about.
    pub(crate) fn bytes_len(&self) -> u64 {
        let groups: usize = self
            .groups
            .iter()
            .map(|group| group.sealed.len() + 16 * group.handles.len() + 40)
            .sum();
        (self.public.len() + groups + 80 * self.subjects.len() + 96) as u64
    }
}

fn refusal(error: EventError) -> ItemError {
    let status = match error.code {
        ErrorCode::InvalidJson | ErrorCode::InvalidUtf8 | ErrorCode::DuplicateKey => 400,
        ErrorCode::EventTooLarge => 413,
        _ => 422,
    };
    ItemError {
        code: error.code.as_str(),
        path: error.path,
        message: error.message,
        status,
    }
}
