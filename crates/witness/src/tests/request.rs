use attestore_tlog::{Hash, leaf_hash};
use proptest::prelude::*;

use crate::{PROOF_LINES_MAX, REQUEST_BYTES_MAX, Request, RequestError, parse_size};

fn hash() -> Hash {
    leaf_hash(b"x")
}

#[test]
fn bodies_are_read_by_the_letter() {
    let line = hash().to_base64();
    let lines = |count: usize| format!("{line}\n").repeat(count);
    let good = format!("old 7\n{}\nrest\n\n\u{2014} k AAAA\n", lines(2));
    let request = Request::parse(good.as_bytes()).unwrap();
    assert_eq!((request.old, request.proof.len()), (7, 2));
    assert_eq!(request.checkpoint, "rest\n\n\u{2014} k AAAA\n");
    assert_eq!(request.to_string(), good);
    assert!(Request::parse(format!("old 7\n{}\nx", lines(PROOF_LINES_MAX)).as_bytes()).is_ok());
    for (body, error) in [
        ("", RequestError::Old),
        ("old 7", RequestError::Old),
        ("old  7\n\nx", RequestError::Old),
        ("old 07\n\nx", RequestError::Old),
        ("old +7\n\nx", RequestError::Old),
        ("old 7 \n\nx", RequestError::Old),
        ("old 9223372036854775808\n\nx", RequestError::Old),
        ("old 7\r\n\nx", RequestError::Old),
        ("old 7\n", RequestError::Checkpoint),
        (&format!("old 7\n{line}"), RequestError::Checkpoint),
        (&format!("old 7\n{line}\nx\n\n"), RequestError::Proof(1)),
        (
            &format!("old 7\n{}\n\n", line.trim_end_matches('=')),
            RequestError::Proof(0),
        ),
        (
            &format!("old 7\n{}\n", lines(PROOF_LINES_MAX + 1)),
            RequestError::TooManyLines,
        ),
    ] {
        assert_eq!(Request::parse(body.as_bytes()), Err(error), "{body:?}");
    }
    assert_eq!(Request::parse(b"old 7\n\n\xff"), Err(RequestError::Utf8));
    assert_eq!(
        Request::parse(&vec![b'x'; REQUEST_BYTES_MAX + 1]),
        Err(RequestError::TooLong)
    );
}

#[test]
fn sizes_have_one_spelling_and_a_newline() {
    assert_eq!(parse_size(b"0\n"), Some(0));
    assert_eq!(parse_size(b"20852014\n"), Some(20_852_014));
    for bad in [
        &b""[..],
        b"5",
        b"05\n",
        b"5\n\n",
        b" 5\n",
        b"5\r\n",
        b"-5\n",
        b"\xff\n",
    ] {
        assert_eq!(parse_size(bad), None, "{bad:?}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(old in 0u64..1 << 63, proof in 0usize..=PROOF_LINES_MAX, checkpoint in "[a-z\n]{0,80}") {
        let request = Request { old, proof: vec![hash(); proof], checkpoint };
        prop_assert_eq!(Request::parse(request.to_string().as_bytes()), Ok(request));
    }

    #[test]
    fn what_is_read_is_written_the_same(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(request) = Request::parse(&body) {
            prop_assert_eq!(request.to_string().into_bytes(), body);
        }
    }
}
