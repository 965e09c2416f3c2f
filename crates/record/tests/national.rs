//! Numbers with check digits, against what python-stdnum 2.2 says of them: `tests/interop/stdnum_numbers.py 1 20` made the list.

use attestore_record::detect::{Detector, Detectors, Scanner};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Number {
    detector: String,
    name: String,
    number: String,
    valid: bool,
}

const NUMBERS: &str = include_str!("../../../tests/vectors/national_numbers.ndjson");

#[test]
fn numbers_are_found_exactly_where_their_check_digits_fit() {
    let mut scanner = Scanner::default();
    let mut wrong = Vec::new();
    let mut judged = 0;
    for line in NUMBERS.lines() {
        let number: Number = serde_json::from_str(line).unwrap();
        let detector = Detector::from_name(&number.detector).unwrap();
        let hits = scanner.scan(&number.number, &number.name, Detectors::NONE.with(detector));
        let whole = hits.iter().any(|hit| hit.span == (0..number.number.len()));
        if whole != number.valid || hits.len() > 1 {
            wrong.push(number);
        }
        judged += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(judged >= 480, "{judged}");
}
