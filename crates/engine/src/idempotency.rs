//! Idempotency keys: the same key with the same event is answered with the first receipt, with another event it is refused.
//!
//! A key is known by a keyed 64-bit hash, an event by a keyed digest of its groups. The committer decides, since it alone
//! sees every append in order: it knows the keys of the tail and of what the last flush took out of it. Older keys are looked
//! up in the segments beforehand, by the caller's thread.

mod lookup;

use attestore_keys::{Key, derive};
use attestore_record::RecordId;
use hashbrown::HashMap;

pub(crate) use lookup::{Filters, lookup};

use crate::Settings;
use crate::tenant::Idempotency;

/// What a repetition is answered with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct First {
    pub(crate) seq: u64,
    pub(crate) id: RecordId,
    pub(crate) entry: [u8; 44],
    pub(crate) digest: [u8; 16],
}

impl First {
    /// When it was received, Unix milliseconds.
    pub(crate) fn time_ms(&self) -> u64 {
        let time = self.entry[4..].first_chunk().expect("an entry has 44 bytes");
        u64::from_be_bytes(*time)
    }
}

/// The keys that are not, or only just, in segments.
#[derive(Default)]
pub(crate) struct Known {
    tail: HashMap<u64, First>,
    flushed: HashMap<u64, First>,
}

impl Known {
    /// Who came first with a key, if that was not before `since_ms`.
    pub(crate) fn get(&self, key: u64, since_ms: u64) -> Option<&First> {
        let first = self.tail.get(&key).or_else(|| self.flushed.get(&key));
        first.filter(|first| first.time_ms() >= since_ms)
    }

    pub(crate) fn insert(&mut self, key: u64, first: First) {
        self.tail.insert(key, first);
    }

    /// Notes that the records before `seq` are in segments now; forgets those of the flush before.
    pub(crate) fn flushed_before(&mut self, seq: u64) {
        let gone = self.tail.extract_if(|_, first| first.seq < seq);
        self.flushed = gone.collect();
    }
}

/// What was received before this is not known by its key any more, Unix milliseconds.
pub(crate) fn since_ms(settings: &Settings, now_ms: u64) -> u64 {
    now_ms.saturating_sub(u64::from(settings.idempotency_hours) * 3_600_000)
}

/// Hashes an idempotency key.
pub(crate) fn key_hash(directory: &Key, key: &str) -> u64 {
    let hash = derive(
        "attestore 2026 idempotency key v1",
        &[directory.expose(), key.as_bytes()],
    );
    let (first, _) = hash.expose().split_first_chunk::<8>().expect("32 bytes hold 8");
    u64::from_le_bytes(*first)
}

/// Digests an event: what is the same in every record of it. `personal` are the bytes of its personal groups in ascending
/// order of their commitments' groups' handles; their order does not matter here, it is made canonical.
pub(crate) fn event_digest<'a>(
    directory: &Key,
    public: &[u8],
    personal: impl Iterator<Item = &'a [u8]>,
) -> [u8; 16] {
    let mut groups: Vec<[u8; 32]> = personal.map(|bytes| *blake3::hash(bytes).as_bytes()).collect();
    groups.sort_unstable();
    let event = event_part(public);
    let hash = derive(
        "attestore 2026 event digest v1",
        &[directory.expose(), event, groups.as_flattened()],
    );
    let (first, _) = hash.expose().split_first_chunk::<16>().expect("32 bytes hold 16");
    *first
}

/// The part of the public bytes that comes from the event: all from the privacy policy's version on. What stands before it
/// are ids, which hold no quotes.
fn event_part(public: &[u8]) -> &[u8] {
    const MARK: &[u8] = b",\"privacy\":";
    let at = public.windows(MARK.len()).position(|window| window == MARK);
    at.map_or(public, |at| &public[at..])
}

/// Makes what is remembered of a record with an idempotency key.
pub(crate) fn idempotency<'a>(
    directory: &Key,
    key: &str,
    public: &[u8],
    personal: impl Iterator<Item = &'a [u8]>,
) -> Idempotency {
    Idempotency {
        key: key_hash(directory, key),
        digest: event_digest(directory, public, personal),
    }
}
