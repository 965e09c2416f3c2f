//! Stored bytes that are not what we wrote are refused, never a panic.
#![no_main]

use attestore_record::{Entry, view};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = view::rebuild(bytes, &[]);
    let _ = view::fields(bytes, &[]);
    if let Some((a, b)) = bytes.split_at_checked(bytes.len() / 2) {
        let _ = view::rebuild(a, &[b]);
        let _ = view::fields(a, &[b]);
    }
    if let Ok(entry) = Entry::from_bytes(bytes) {
        assert_eq!(entry.to_bytes(), bytes);
    }
});
