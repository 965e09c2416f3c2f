//! Footers, headers and blocks of sealed files.
#![no_main]

use attestore_segment::{Packed, seg, sub};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = attestore_segment::container::parse_header(bytes);
    let _ = seg::parse_seg_footer(bytes);
    let _ = sub::parse_sub_footer(bytes);
    let _ = seg::Dictionary::parse(bytes);
    let Some((numbers, rest)) = bytes.split_first_chunk::<8>() else {
        return;
    };
    let [raw, raw_high, records, hashes, timed_ids, other_ids, pairs, cut] = numbers.map(u32::from);
    let raw = raw | raw_high << 8;
    let entry = seg::BlockEntry {
        first_seq: 0,
        last_seq: u64::from(records).saturating_sub(1),
        offset: 0,
        compressed: u32::try_from(rest.len()).unwrap_or(u32::MAX).saturating_sub(32 * hashes + 10 * timed_ids + 16 * other_ids),
        raw,
        hashes,
        records,
        timed_ids,
        other_ids,
    };
    if let Ok(none) = seg::Dictionary::parse(&[])
        && let Ok(block) = seg::parse_seg_block(&entry, rest, &none)
    {
        for record in block.iter() {
            let _ = record.public();
        }
    }
    let (first, frame) = rest.split_at(rest.len().min(cut as usize));
    for first in [None, Some(first)] {
        if let Ok(block) = sub::parse_sub_block(frame, raw, first) {
            for group in block.iter() {
                let _ = group.bytes.restore(rest);
            }
        }
    }
    let page = sub::PageEntry {
        first_seq: 0,
        last_seq: u64::from(pairs).saturating_sub(1),
        offset: 0,
        compressed: u32::try_from(rest.len()).unwrap_or(u32::MAX),
        pairs,
    };
    let _ = sub::parse_sub_page(&page, records, rest);
    let (group, public) = rest.split_at(rest.len() / 2);
    let packed = Packed::of(group, public);
    assert_eq!(packed.restore(public).ok().as_deref(), Some(group));
});
