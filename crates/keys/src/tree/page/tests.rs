use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{Entries, LeafEntry, OpenPage};
use crate::tree::slot::{PageId, Slot, SlotContext, SlotKind};
use crate::{Error, Key, SeededEntropy};

const LEAF: PageId = PageId(5);

fn context(byte: u8) -> SlotContext {
    SlotContext {
        kind: SlotKind::Subject,
        tenant: [byte; 16],
        owner: [9; 16],
    }
}

/// A leaf with a wrapped key at 0 and a raw one at 63, and the wrapping key.
fn leaf(entropy: &SeededEntropy) -> (OpenPage, Key) {
    let wrap = Key::from_bytes([3; 32]);
    let mut page = OpenPage::empty(0, entropy);
    let value = Key::from_bytes([1; 32]);
    page.set_leaf(
        0,
        Some(LeafEntry::seal(
            Slot(320),
            &context(1),
            Some(&wrap),
            &value,
            entropy,
        )),
    );
    page.set_leaf(
        63,
        Some(LeafEntry::seal(Slot(383), &context(2), None, &value, entropy)),
    );
    (page, wrap)
}

#[test]
fn the_layout_of_pages_does_not_change() {
    let entropy = SeededEntropy::new(1);
    let (page, _) = leaf(&entropy);
    let plain = page.entries.encode(0);
    assert_eq!(plain[..7], [1, 0, 2, 0, 0, 6, 1]);
    assert_eq!(plain[67..70], [63, 6, 0]);
    assert_eq!(plain[70..102], [1; 32]);
    assert_eq!(
        (plain.len(), crc32fast::hash(&plain)),
        (4 + 2 * 63, 3_432_645_440)
    );
    let sealed = page.seal(LEAF, &entropy);
    assert_eq!(
        (sealed.len(), crc32fast::hash(&sealed)),
        (4 + 2 * 63 + 28, 3_643_588_385)
    );
    let mut interior = OpenPage::empty(3, &entropy);
    interior.set_child(7, Some(Key::from_bytes([8; 32])));
    assert_eq!(
        interior.entries.encode(3).as_slice(),
        [&[1, 3, 1, 0, 7][..], &[8; 32]].concat()
    );
}

#[test]
fn every_flipped_byte_and_every_cut_of_a_page_is_damage() {
    let entropy = SeededEntropy::new(1);
    let (page, _) = leaf(&entropy);
    let sealed = page.seal(LEAF, &entropy);
    for at in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[at] ^= 1 << (at % 8);
        for bytes in [flipped.as_slice(), &sealed[..at]] {
            let opened = OpenPage::open(LEAF, page.key.duplicate(), bytes);
            assert!(matches!(opened, Err(Error::Damaged { .. })), "byte {at}");
        }
    }
    assert!(
        OpenPage::open(PageId(6), page.key.duplicate(), &sealed).is_err(),
        "in the place of another page"
    );
    assert!(
        OpenPage::open(LEAF, Key::random(&entropy), &sealed).is_err(),
        "under another key"
    );
}

#[test]
fn every_flipped_byte_of_a_leaf_entry_is_refused_also_without_the_page_around_it() {
    let entropy = SeededEntropy::new(1);
    let (page, wrap) = leaf(&entropy);
    for (position, wrap) in [(0, Some(&wrap)), (63, None)] {
        let slot = Slot(320 + position as u64);
        let context = context(if position == 0 { 1 } else { 2 });
        let entry = page.leaf(position).unwrap();
        entry.open(slot, &context, wrap).unwrap();
        for at in 0..60 {
            let mut flipped = entry.clone();
            flipped.body[at] ^= 1;
            assert!(flipped.open(slot, &context, wrap).is_err(), "byte {at}");
        }
    }
}

#[test]
fn a_key_comes_out_for_its_own_context_only() {
    let entropy = SeededEntropy::new(1);
    let (page, wrap) = leaf(&entropy);
    let (wrapped, raw) = (page.leaf(0).unwrap(), page.leaf(63).unwrap());
    let other = Key::from_bytes([4; 32]);
    assert!(matches!(
        wrapped.open(Slot(320), &context(1), Some(&other)),
        Err(Error::WrongKey { .. })
    ));
    assert!(matches!(
        wrapped.open(Slot(320), &context(2), Some(&wrap)),
        Err(Error::WrongKey { .. })
    ));
    assert!(matches!(
        wrapped.open(Slot(320), &context(1), None),
        Err(Error::Mismatch { slot: 320 })
    ));
    assert!(matches!(
        raw.open(Slot(383), &context(1), None),
        Err(Error::Mismatch { slot: 383 })
    ));
    assert!(matches!(
        raw.open(Slot(382), &context(2), None),
        Err(Error::Mismatch { slot: 382 })
    ));
    let kind = SlotContext {
        kind: SlotKind::Part,
        ..context(2)
    };
    assert!(matches!(
        raw.open(Slot(383), &kind, None),
        Err(Error::Mismatch { slot: 383 })
    ));
}

proptest! {
    #[test]
    fn decoding_any_bytes_gives_a_page_that_encodes_to_them_or_a_reason(level in 0u8..9, bytes in any::<Vec<u8>>()) {
        if let Ok(entries) = Entries::decode(level, &bytes) {
            prop_assert_eq!(entries.encode(level).to_vec(), bytes.clone());
        }
    }

    #[test]
    fn decoding_near_misses_gives_a_page_that_encodes_to_them_or_a_reason(at in 0usize..130, byte in any::<u8>()) {
        let (page, _) = leaf(&SeededEntropy::new(1));
        let mut bytes = page.entries.encode(0).to_vec();
        bytes[at] = byte;
        if let Ok(entries) = Entries::decode(0, &bytes) {
            prop_assert_eq!(entries.encode(0).to_vec(), bytes.clone());
        } else {
            prop_assert!(at < 7 || (67..70).contains(&at));
        }
    }
}
