//! Notes, checkpoints, proofs, slot proofs, tile paths, bundles and openings.
#![no_main]

use attestore_tlog::{Checkpoint, SlotProof, TilePath, TlogProof, VerifierKey};
use attestore_verify::OpenedRecord;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(opened) = OpenedRecord::from_bytes(bytes) {
        let _ = attestore_verify::verify_opening(&opened);
    }
    let _ = attestore_tlog::parse_entry_bundle::<44>(bytes, 256);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = VerifierKey::parse(text);
    let _ = Checkpoint::from_text(text);
    let _ = TlogProof::parse(text);
    if let Ok(proof) = SlotProof::parse(text) {
        assert_eq!(proof.to_text(), text);
    }
    if let Ok(path) = text.parse::<TilePath>() {
        assert_eq!(path.to_string(), text);
    }
});
