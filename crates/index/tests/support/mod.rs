//! Records for tests, made the way the server makes them: parsed, encoded into groups, read back.
#![expect(clippy::unwrap_used, reason = "tests")]

use attestore_index::{DocInput, IndexPolicy, Split, SplitBuilder};
use attestore_record::event::{Limits, parse};
use attestore_record::group::{Envelope, encode};
use attestore_record::{Handle, PrivacyPolicy, RecordId, TenantId, view};

/// Time of receipt of the record with seq 0 (ms since 1970): 2026-11-22T00:00:00Z.
pub(crate) const START_MS: u64 = 1_795_305_600_000;

/// The stored groups of one record.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) seq: u64,
    pub(crate) received_ms: u64,
    pub(crate) public: Vec<u8>,
    pub(crate) personal: Vec<Vec<u8>>,
}

impl Stored {
    /// Accepts an event: received `seq` seconds after [`START_MS`].
    pub(crate) fn accept(seq: u64, event: &str) -> Self {
        let received_ms = START_MS + seq * 1000;
        let event = parse(event.as_bytes(), &Limits::default(), received_ms).unwrap();
        let envelope = Envelope {
            id: RecordId::new(received_ms, [7; 10]),
            tenant: TenantId::from_bytes([1; 16]),
            protocol: "native",
            credential_id: "cred1",
        };
        let encoded = encode(&event, &envelope, &PrivacyPolicy::default()).unwrap();
        let personal = encoded.personal.iter().map(|group| {
            let handles: Vec<Handle> = (0..group.subjects.len())
                .map(|n| Handle::from_bytes([u8::try_from(n).unwrap(); 16]))
                .collect();
            group.bytes(&handles)
        });
        Self {
            seq,
            received_ms,
            personal: personal.collect(),
            public: encoded.public,
        }
    }

    pub(crate) fn add_to(&self, builder: &mut SplitBuilder) {
        let personal: Vec<&[u8]> = self.personal.iter().map(Vec::as_slice).collect();
        let fields = view::fields(&self.public, &personal).unwrap();
        let input = DocInput {
            seq: self.seq,
            received_ms: self.received_ms,
            class: 1,
            public: &fields.public,
            personal: &fields.personal,
        };
        builder.add(&input).unwrap();
    }
}

/// Builds a split of these records.
pub(crate) fn split<'a>(records: impl IntoIterator<Item = &'a Stored>) -> Split {
    let mut builder = SplitBuilder::new(&IndexPolicy::default()).unwrap();
    records.into_iter().for_each(|record| record.add_to(&mut builder));
    builder.finish().unwrap()
}
