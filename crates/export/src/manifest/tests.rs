//! Golden text, and that nothing else reads as one.

use super::*;

#[test]
fn the_signed_text_is_golden_and_reads_back() {
    let text = note_text(b"{}\n", "example.org/log/1", 7, &[1; 32]);
    assert_eq!(
        text,
        "attestore export manifest v1\n\
         sha256 ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356\n\
         log example.org/log/1\n\
         tree 7 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n"
    );
    let signed = parse_note_text(&text).unwrap();
    assert_eq!(signed.sha256, sha256_hex(b"{}\n"));
    assert_eq!((signed.origin.as_str(), signed.size), ("example.org/log/1", 7));
    assert_eq!(signed.root, "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
}

#[test]
fn other_texts_are_none() {
    let text = note_text(b"{}\n", "log", 7, &[1; 32]);
    assert!(parse_note_text(&text).is_some());
    for other in [
        text.trim_end().to_owned(),
        format!("{text}\n"),
        format!("{text}more\n"),
        text.replace("sha256", "sha512"),
        text.replace("sha256 ca", "sha256 CA"),
        text.replace("v1", "v2"),
        text.replace("tree 7", "tree x"),
        "log\n7\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n".to_owned(),
    ] {
        assert_eq!(parse_note_text(&other), None, "{other}");
    }
}
