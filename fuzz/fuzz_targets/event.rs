//! What is accepted as an event can be encoded and read back.
#![no_main]

use attestore_record::group::{Envelope, encode};
use attestore_record::{Handle, Limits, PrivacyPolicy, RecordId, TenantId, event, view};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(event) = event::parse(bytes, &Limits::default(), 1_800_000_000_000) else { return };
    let envelope = Envelope {
        id: RecordId::new(1_700_000_000_000, [7; 10]),
        tenant: TenantId::from_bytes([1; 16]),
        protocol: "native",
        credential_id: "fuzz",
    };
    let encoded = encode(&event, &envelope, &PrivacyPolicy::default()).expect("a policy without detectors refuses nothing");
    let personal: Vec<Vec<u8>> = encoded
        .personal
        .iter()
        .map(|group| {
            let handles: Vec<_> = (0..group.subjects.len()).map(|n| Handle::from_bytes([u8::try_from(n).expect("few subjects"); 16])).collect();
            group.bytes(&handles)
        })
        .collect();
    let personal: Vec<&[u8]> = personal.iter().map(Vec::as_slice).collect();
    let whole = view::rebuild(&encoded.public, &personal).expect("what was encoded can be rebuilt");
    // The rebuilt event is an event again, and says the same.
    let again = event::parse(whole.as_bytes(), &Limits::default(), 1_800_000_000_000).expect("the rebuilt event is valid");
    let once_more = encode(&again, &envelope, &PrivacyPolicy::default()).expect("a policy without detectors refuses nothing");
    assert_eq!(encoded.public, once_more.public);
    view::rebuild(&encoded.public, &[]).expect("the public part alone can be shown");
    view::fields(&encoded.public, &personal).expect("its fields can be read");
});
