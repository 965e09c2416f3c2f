use proptest::prelude::*;

use super::*;

fn pack(texts: &[Vec<u8>]) -> (Ids, Vec<u8>) {
    let (mut ids, mut packed) = (Ids::default(), Vec::new());
    for text in texts {
        ids.pack(text, &mut packed);
    }
    (ids, packed)
}

fn unpack(
    counts: (usize, usize),
    raw: &[u8],
    random: &[u8],
    lengths: &[usize],
) -> Result<Vec<Vec<u8>>, Malformed> {
    let (mut raw, mut random) = (Cursor::new(raw), Cursor::new(random));
    let mut unpacker = unpacker(counts, &mut raw, &mut random)?;
    let mut texts = Vec::new();
    for &length in lengths {
        let mut text = Vec::new();
        unpacker.next(length, &mut text)?;
        texts.push(text);
    }
    unpacker.end()?;
    Ok(texts)
}

fn bytes(ids: &Ids, packed: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut raw, mut random) = (Vec::new(), Vec::new());
    ids.put_times(&mut raw);
    raw.extend_from_slice(packed);
    ids.put_random(&mut random);
    (raw, random)
}

#[test]
fn only_what_is_written_as_a_uuid_becomes_one() {
    let (ids, packed) = pack(&[
        b"\"2c806908-dff1-471b-a70c-4371b4e550b0\"".to_vec(),
        b"x01a20326-7c84-7c00-a9c1-4dcc32337e4by".to_vec(),
        b"2C806908-DFF1-471B-A70C-4371B4E550B0".to_vec(),
        b"2c806908-dff1-471b-a70c04371b4e550b0".to_vec(),
        b"2c806908-dff1-471b-a70c-4371b4e550b".to_vec(),
    ]);
    assert_eq!(ids.counts(), (1, 1));
    assert!(packed.starts_with(b"\"\xFF\"x\xFDy2C806908-DFF1"));
    assert_eq!(packed.len(), 6 + 36 + 36 + 35);
    let (raw, random) = bytes(&ids, &packed);
    assert_eq!((raw.len(), random.len()), (6 + packed.len(), 26));
}

#[test]
fn what_does_not_fit_is_refused() {
    let (ids, packed) = pack(&[b"a 2c806908-dff1-471b-a70c-4371b4e550b0".to_vec()]);
    let (raw, random) = bytes(&ids, &packed);
    assert!(unpack((0, 1), &raw, &random, &[38]).is_ok());
    for lengths in [&[37][..], &[39], &[1], &[], &[38, 1]] {
        assert!(unpack((0, 1), &raw, &random, lengths).is_err(), "{lengths:?}");
    }
    assert!(unpack((0, 0), &raw, &random, &[38]).is_err());
    assert!(unpack((0, 2), &raw, &random, &[38]).is_err());
    assert!(unpack((0, 0), b"a\xFE", b"", &[2]).is_err());
}

proptest! {
    #[test]
    fn text_comes_back(texts in prop::collection::vec(
        prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..12),
                "[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}".prop_map(String::into_bytes),
                "[0-9a-f-]{0,40}".prop_map(String::into_bytes),
            ],
            0..5,
        ).prop_map(|parts| parts.concat()),
        0..6,
    )) {
        let (ids, packed) = pack(&texts);
        let (raw, random) = bytes(&ids, &packed);
        let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
        prop_assert_eq!(unpack(ids.counts(), &raw, &random, &lengths).unwrap(), texts);
    }

    #[test]
    fn hostile_bytes_never_grow_beyond_what_is_asked(
        raw in prop::collection::vec(prop_oneof![any::<u8>(), 0xFCu8..], 0..60),
        random in prop::collection::vec(any::<u8>(), 0..60),
        counts in (0usize..4, 0usize..4),
        lengths in prop::collection::vec(0usize..80, 0..4),
    ) {
        if let Ok(texts) = unpack(counts, &raw, &random, &lengths) {
            prop_assert_eq!(texts.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
        }
    }
}
