//! Footers and headers of sealed files.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = attestore_segment::container::parse_header(bytes);
    let _ = attestore_segment::seg::parse_seg_footer(bytes);
    let _ = attestore_segment::sub::parse_sub_footer(bytes);
});
