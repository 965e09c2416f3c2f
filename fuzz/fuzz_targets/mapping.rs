//! A mapping preset never panics, and what it makes is JSON.
#![no_main]

use attestore_record::mapping::Mapping;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mapping = Mapping::builtin("cloudtrail").expect("the preset is there");
    let _ = mapping.apply(bytes);
});
