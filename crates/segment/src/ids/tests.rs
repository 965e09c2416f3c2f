use proptest::prelude::*;

use super::*;

/// Text apart from its ids, as it is stored.
struct Stored {
    text: Vec<u8>,
    times: Vec<u8>,
    rests: Vec<[u8; REST_BYTES]>,
    others: Vec<[u8; ID_BYTES]>,
}

impl Stored {
    fn of(text: &[u8]) -> Self {
        let (mut ids, mut packed, mut times) = (Ids::default(), Vec::new(), Vec::new());
        ids.pack(text, &mut packed);
        ids.put_times(&mut times);
        Self {
            text: packed,
            times,
            rests: ids.rests,
            others: ids.others,
        }
    }

    fn packed(&self) -> Packed<'_> {
        Packed {
            text: &self.text,
            times: &self.times,
            first_time: 0,
            rests: &self.rests,
            others: &self.others,
        }
    }

    fn unpack(&self) -> Result<Vec<u8>, Malformed> {
        self.packed().unpack()
    }
}

#[test]
fn only_what_is_written_as_a_uuid_becomes_one() {
    let stored = Stored::of(
        b"\"2c806908-dff1-471b-a70c-4371b4e550b0\" \
          x01a20326-7c84-7c00-a9c1-4dcc32337e4by \
          2C806908-DFF1-471B-A70C-4371B4E550B0 2c806908-dff1-471b-a70c04371b4e550b0 \
          2c806908-dff1-471b-a70c-4371b4e550b 2c806908-dff1-471b-a70c-4371b4e550-0",
    );
    assert_eq!((stored.rests.len(), stored.others.len()), (1, 1));
    assert!(stored.text.starts_with(b"\"\xFF\" x\xFDy 2C806908-DFF1"));
    assert_eq!(stored.text.len(), 8 + 37 + 37 + 36 + 36);
    assert_eq!(stored.times.len(), 6);
}

#[test]
fn ids_that_do_not_fit_their_text_are_refused() {
    let sound = || Stored::of(b"a 2c806908-dff1-471b-a70c-4371b4e550b0 01a20326-7c84-7c00-a9c1-4dcc32337e4b");
    assert!(sound().unpack().is_ok());
    let changes: [fn(&mut Stored); 7] = [
        |stored| stored.others.clear(),
        |stored| stored.rests.clear(),
        |stored| stored.times.clear(),
        |stored| stored.others.push([0; ID_BYTES]),
        |stored| stored.rests.push([0; REST_BYTES]),
        |stored| stored.text.push(OTHER),
        |stored| stored.text.push(ESCAPE),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut stored = sound();
        change(&mut stored);
        assert!(stored.unpack().is_err(), "{number}");
    }
}

#[test]
fn a_record_finds_its_own_times_among_those_of_others() {
    let (mut ids, mut packed, mut times) = (Ids::default(), Vec::new(), Vec::new());
    let texts = [
        "01a20326-7c84-7c00-a9c1-4dcc32337e4b",
        "01b31437-8d95-7d11-bad2-5edd43448f5c",
    ];
    for text in texts {
        ids.pack(text.as_bytes(), &mut packed);
    }
    ids.put_times(&mut times);
    for (at, text) in texts.iter().enumerate() {
        let own = Packed {
            text: &packed[at..=at],
            times: &times,
            first_time: at,
            rests: &ids.rests[at..=at],
            others: &[],
        };
        assert_eq!(own.unpack().unwrap(), text.as_bytes());
    }
}

proptest! {
    #[test]
    fn text_comes_back(text in prop::collection::vec(
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..12),
            "[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}".prop_map(String::into_bytes),
            "[0-9a-f-]{0,40}".prop_map(String::into_bytes),
        ],
        0..12,
    ).prop_map(|parts| parts.concat())) {
        prop_assert_eq!(Stored::of(&text).unpack().unwrap(), text);
    }

    #[test]
    fn hostile_bytes_take_no_more_memory_than_they_have_ids(
        text in prop::collection::vec(prop_oneof![any::<u8>(), 0xFCu8..], 0..60),
        times in prop::collection::vec(any::<u8>(), 0..20),
        rests in prop::collection::vec(any::<[u8; REST_BYTES]>(), 0..4),
        others in prop::collection::vec(any::<[u8; ID_BYTES]>(), 0..4),
        first_time in 0usize..5,
    ) {
        let stored = Stored { text, times, rests, others };
        let packed = Packed { first_time, ..stored.packed() };
        if let Ok(unpacked) = packed.unpack() {
            let ids = stored.rests.len() + stored.others.len();
            prop_assert!(unpacked.len() <= stored.text.len() + 35 * ids);
        }
    }
}
