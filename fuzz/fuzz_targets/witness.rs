//! What strangers send a witness, and what a witness answers: bodies of `add-checkpoint`, signature lines, keys, policies.
#![no_main]

use attestore_tlog::{CosignerKey, NoteSignature, Policy, SignedNote};
use attestore_witness::{Request, parse_size};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(request) = Request::parse(data) {
        assert_eq!(request.to_string().as_bytes(), data);
        if let Ok(note) = SignedNote::parse(&request.checkpoint) {
            assert_eq!(note.to_note(), request.checkpoint);
        }
    }
    let _ = parse_size(data);
    if let Ok(policy) = Policy::parse(data) {
        let _ = policy.holds(|witness| witness % 2 == 0);
    }
    if let Ok(text) = str::from_utf8(data) {
        if let Ok(key) = text.parse::<CosignerKey>() {
            assert_eq!(key.to_string(), text);
        }
        if let Some(line) = NoteSignature::parse(text) {
            assert_eq!(line.to_string(), text);
        }
    }
});
