//! A small memory of strings: what is in it was seen, what is not may have been.
//!
//! Each string has one place, and takes it from whatever is there: so no input makes it slow, and it never grows.

const SLOTS: usize = 512;
const _: () = assert!(SLOTS.is_power_of_two());
/// Bytes of strings that are kept.
const TEXT_MAX: usize = 1 << 20;

/// Strings seen since it was last cleared.
pub(crate) struct Seen {
    slots: Vec<Slot>,
    text: String,
    /// Slots of another round are empty.
    round: u32,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    round: u32,
    start: usize,
    length: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            slots: vec![Slot::default(); SLOTS],
            text: String::new(),
            round: 1,
        }
    }
}

impl Seen {
    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.round = self.round.checked_add(1).unwrap_or_else(|| {
            self.slots.fill(Slot::default());
            1
        });
    }

    /// Remembers a string; says whether it may be new.
    pub(crate) fn insert(&mut self, string: &str) -> bool {
        let Some(slot) = self.slots.get_mut(hash(string.as_bytes())) else {
            return true;
        };
        let known = self.text.get(slot.start..slot.start + slot.length);
        if slot.round == self.round && known == Some(string) {
            return false;
        }
        if self.text.len() + string.len() <= TEXT_MAX {
            *slot = Slot {
                round: self.round,
                start: self.text.len(),
                length: string.len(),
            };
            self.text.push_str(string);
        }
        true
    }
}

/// A place for a string. Collisions cost nothing but a second look at the same string.
fn hash(bytes: &[u8]) -> usize {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = chunk
            .first_chunk::<8>()
            .map_or(0, |word| u64::from_le_bytes(*word));
        hash = (hash.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    }
    let rest = chunks
        .remainder()
        .iter()
        .fold(0, |rest, byte| rest << 8 | u64::from(*byte));
    hash = (hash.rotate_left(23) ^ rest).wrapping_mul(FACTOR);
    usize::try_from(hash >> 40).unwrap_or(0) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::{SLOTS, Seen};

    #[test]
    fn only_what_was_seen_is_called_seen() {
        let mut seen = Seen::default();
        assert!(seen.insert("") && !seen.insert(""));
        assert!(seen.insert("word") && !seen.insert("word"));
        assert!(seen.insert("words") && !seen.insert("words"));
        seen.clear();
        assert!(seen.insert("word"));
        for n in 0..4 * SLOTS {
            assert!(seen.insert(&format!("number {n}")), "{n}");
        }
    }

    #[test]
    fn rounds_may_wrap() {
        let mut seen = Seen::default();
        seen.insert("word");
        seen.round = u32::MAX;
        seen.clear();
        assert!(seen.insert("word"));
    }
}
