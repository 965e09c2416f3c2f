//! The frame header keeps its bytes and refuses others.

use super::*;

fn header() -> FrameHeader {
    FrameHeader {
        closing: false,
        sections: 2,
        number: 3,
        file_id: [4; 16],
        frame_no: 5,
        length: 8192,
        payload: 5000,
        watermark: Position { wal: 3, offset: 4096 },
        random: [6; 32],
        previous_tag: [7; 16],
        check: [8; 12],
    }
}

#[test]
fn header_survives_encoding() {
    assert_eq!(parse_frame_header(&header().to_bytes()), Ok(header()));
}

#[test]
fn every_flipped_bit_is_refused() {
    let good = header().to_bytes();
    for bit in 0..HEADER_LEN * 8 {
        let mut bytes = good;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(parse_frame_header(&bytes).is_err(), "bit {bit}");
    }
    assert_eq!(parse_frame_header(&good[..127]), Err(FrameError::Short));
}

#[test]
fn impossible_fields_are_refused_though_the_checksum_holds() {
    let cases: [fn(&mut FrameHeader); 6] = [
        |h| h.length = 4096,
        |h| h.length = 12288,
        |h| h.payload = 128,
        |h| h.closing = true,
        |h| h.sections = 0,
        |h| (h.length, h.payload) = (u32::MAX, u32::MAX),
    ];
    for (case, change) in cases.into_iter().enumerate() {
        let mut bad = header();
        change(&mut bad);
        assert_eq!(
            parse_frame_header(&bad.to_bytes()),
            Err(FrameError::Fields),
            "case {case}"
        );
    }
}

#[test]
fn a_header_is_authentic_under_its_key_at_its_place_only() {
    let (key, other) = (Key::from_bytes([1; 32]), Key::from_bytes([2; 32]));
    let mut good = header();
    good.check = good.check_of(&key, 4096);
    assert!(good.is_authentic(&key, 4096));
    assert!(!good.is_authentic(&other, 4096) && !good.is_authentic(&key, 8192));
    let changes: [fn(&mut FrameHeader); 10] = [
        |h| h.sections += 1,
        |h| h.number += 1,
        |h| h.file_id[0] += 1,
        |h| h.frame_no += 1,
        |h| h.length += 4096,
        |h| h.payload += 1,
        |h| h.watermark.offset += 4096,
        |h| h.random[31] += 1,
        |h| h.previous_tag[15] += 1,
        |h| h.check[11] ^= 1,
    ];
    for (case, change) in changes.into_iter().enumerate() {
        let mut changed = good.clone();
        change(&mut changed);
        assert!(!changed.is_authentic(&key, 4096), "case {case}");
    }
}
