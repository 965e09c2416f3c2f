//! Idempotency keys: the same key with the same event is answered with the first receipt, with another event it is refused.
//!
//! A key is known by a keyed 64-bit hash, an event by a keyed digest of its groups under a version of the privacy policy. The committer decides, since it alone
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
///
/// The first 12 bytes are a keyed hash, the last four the version of the privacy policy: another version may cut, redact and
/// write the same event otherwise.
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
    let mut digest = [0; 16];
    let (hashed, version) = digest.split_at_mut(HASH_BYTES);
    hashed.copy_from_slice(&hash.expose()[..HASH_BYTES]);
    version.copy_from_slice(&privacy_version(event).to_be_bytes());
    digest
}

/// Bytes of a digest that are a hash.
const HASH_BYTES: usize = 12;

/// Tells whether two digests may be of one event. Between versions of the privacy policy that cannot be told, and the key is
/// taken at its word: else whoever sends an event again after a change would be refused.
pub(crate) fn may_be_one(one: &[u8; 16], other: &[u8; 16]) -> bool {
    one == other || one[HASH_BYTES..] != other[HASH_BYTES..]
}

/// The part of the public bytes that comes from the event: all from the privacy policy's version on. What stands before it
/// are ids, which hold no quotes.
fn event_part(public: &[u8]) -> &[u8] {
    let at = public.windows(MARK.len()).position(|window| window == MARK);
    at.map_or(public, |at| &public[at..])
}

/// The version that an event's part begins with; 0 for what is no such part.
fn privacy_version(event: &[u8]) -> u32 {
    let digits = event.strip_prefix(MARK).unwrap_or_default();
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |version, digit| {
        version.wrapping_mul(10).wrapping_add(u32::from(digit - b'0'))
    })
}

const MARK: &[u8] = b",\"privacy\":";

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

#[cfg(test)]
mod tests {
    use super::{Key, event_digest, may_be_one};

    #[test]
    fn events_are_told_apart_under_one_version_of_the_policy_and_not_between_two() {
        let key = Key::from_bytes([7; 32]);
        let of = |version: u32, action: &str| {
            let public = format!(r#"{{"v":1,"id":"x","privacy":{version},"event":{{"action":"{action}"}}}}"#);
            event_digest(&key, public.as_bytes(), [&b"group"[..]].into_iter())
        };
        assert!(may_be_one(&of(1, "a"), &of(1, "a")));
        assert!(!may_be_one(&of(1, "a"), &of(1, "b")));
        assert!(!may_be_one(&of(300, "a"), &of(300, "b")));
        assert!(may_be_one(&of(1, "a"), &of(2, "b")));
        assert_eq!(of(258, "a").last_chunk::<4>().unwrap(), &[0, 0, 1, 2]);
    }
}
