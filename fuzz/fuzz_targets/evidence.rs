//! Evidence bundles, receipts, proofs of misbehaviour, controls.
#![no_main]

use std::sync::LazyLock;

use attestore_record::Kind;
use attestore_record::control::Control;
use attestore_tlog::{Misbehaviour, VerifierKey};
use attestore_verify::Trust;
use attestore_verify::bundle::{Archive, BundleOptions, verify_bundle};
use libfuzzer_sys::fuzz_target;

static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    let vkey = "attestore.example/7f3a+89f0438e+ARl/ayPhbIUyxqvIOPrNXqeJvgx2spIDNAOb+os9No1h";
    Trust::Key(VerifierKey::parse(vkey).expect("the key of docs/proofs.md"))
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(archive) = Archive::open(bytes) {
        for member in archive.members() {
            let _ = archive.read(member, 1 << 20);
        }
    }
    assert!(verify_bundle(bytes, &TRUST, BundleOptions::default()).is_err(), "nobody has the key");
    let _ = Control::parse(Kind::Purge, bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert!(attestore_verify::verify_receipt(text, &TRUST).is_err());
    let _ = Misbehaviour::parse(text);
});
