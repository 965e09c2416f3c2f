//! The file header keeps its bytes and refuses others.

use super::*;

fn header(key: &Key) -> FileHeader {
    let spec = FileSpec {
        number: 9,
        file_id: [1; 16],
        key_slot: 77,
        size: 65536,
    };
    FileHeader::seal(
        spec,
        key,
        Position {
            wal: 8,
            offset: 12288,
        },
        1_700_000_000_000,
        true,
    )
}

#[test]
fn header_survives_encoding_and_is_authentic_under_its_key_only() {
    let key = Key::from_bytes([5; 32]);
    let parsed = parse_file_header(&header(&key).to_block()).unwrap();
    assert_eq!(parsed, header(&key));
    assert!(parsed.key_check.matches(&key) && parsed.is_authentic(&key));
    assert!(!parsed.is_authentic(&Key::from_bytes([6; 32])));
}

#[test]
fn every_flipped_byte_is_refused() {
    let good = header(&Key::from_bytes([5; 32])).to_block();
    for at in 0..HEADER_LEN {
        let mut bytes = good.to_vec();
        bytes[at] ^= 0x10;
        assert!(parse_file_header(&bytes).is_err(), "byte {at}");
    }
    assert_eq!(
        parse_file_header(&good[..HEADER_LEN - 1]),
        Err(HeaderError::Short)
    );
}

#[test]
fn changed_fields_with_a_new_checksum_are_not_authentic() {
    let key = Key::from_bytes([5; 32]);
    for at in [10, 16, 24, 40, 57, 64, 72, 80, 88] {
        let mut bytes = header(&key).to_block().to_vec();
        bytes[at] ^= if at == 57 { 0x10 } else { 1 };
        let crc = crc32fast::hash(&bytes[..CRC]);
        bytes[CRC..].copy_from_slice(&crc.to_le_bytes());
        let parsed = parse_file_header(&bytes).unwrap();
        assert!(!parsed.is_authentic(&key), "byte {at}");
    }
}
