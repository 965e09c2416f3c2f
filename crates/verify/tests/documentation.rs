//! The worked example of `docs/proofs.md` verifies as printed.

use attestore_tlog::leaf_hash;
use attestore_verify::{GroupOpening, verify_tlog_proof};

const DOCUMENT: &str = include_str!("../../../docs/proofs.md");

fn fenced(name: &str) -> &'static str {
    let (_, rest) = DOCUMENT
        .split_once(&format!("```{name}\n"))
        .expect("document has the block");
    rest.split_once("```").expect("block ends").0
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_worked_example_verifies_as_printed() {
    let verified =
        verify_tlog_proof(fenced("tlog-proof"), fenced("vkey").trim_end()).expect("example is sound");
    assert_eq!((verified.index, verified.size, verified.opened.class), (1, 3, 3));
    assert_eq!(
        (verified.opened.kind, verified.opened.groups_opened),
        ("event", 1)
    );

    let record = &verified.record;
    let [GroupOpening::Opened { salt, bytes }] = &record.groups[..] else {
        panic!("example has one opened group");
    };
    for printed in [
        hex(&record.entry),
        hex(&record.salt0),
        hex(salt),
        String::from_utf8_lossy(bytes).into_owned(),
        String::from_utf8_lossy(&record.public).into_owned(),
        leaf_hash(&record.entry).to_string(),
        verified.root.to_string(),
    ] {
        assert!(
            DOCUMENT.contains(&format!("    {printed}")) || DOCUMENT.contains(&format!("  {printed}\n")),
            "{printed}"
        );
    }
}
