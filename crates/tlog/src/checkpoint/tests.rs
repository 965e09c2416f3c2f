//! Every rule of the checkpoint format.

use std::{format, string::String, string::ToString};

use super::{Checkpoint, CheckpointError, open_checkpoint, sign_checkpoint};
use crate::{
    hash::{EMPTY_ROOT, Hash, SIZE_MAX, leaf_hash},
    note::{NoteError, sign_note, tests::TestSigner},
};

const ORIGIN: &str = "attestore.example/7f3a";
const ROOT: &str = "sTeYX/SE/2ALuTEHx3sDZcgNePW0Kd7Q/Zc2HQd5mes=";

fn checkpoint() -> Checkpoint {
    Checkpoint::new(ORIGIN, 70_000, Hash::from_base64(ROOT).unwrap()).unwrap()
}

fn signer() -> TestSigner {
    TestSigner::new(ORIGIN, 1)
}

#[test]
fn golden_text_and_note() {
    let text = format!("{ORIGIN}\n70000\n{ROOT}\n");
    assert_eq!(checkpoint().to_text(), text);
    assert_eq!(Checkpoint::from_text(&text), Ok(checkpoint()));
    let note = sign_checkpoint(&checkpoint(), &signer()).unwrap();
    assert_eq!(
        note,
        format!(
            "{text}\n\u{2014} {ORIGIN} l8QUwS8KpnTAyTMc2sFSZMf6GMd/t26hfo5rQOcGb3zjW4Z+EZcn4FJdJzmqJksE9HvYfvwUHY4FOFwsBlS8HHB9dQw=\n"
        )
    );
    assert_eq!(open_checkpoint(&note, &signer().verifier()), Ok(checkpoint()));
}

#[test]
fn malformed_texts_are_refused() {
    let text = checkpoint().to_text();
    let empty_root = EMPTY_ROOT.to_base64();
    for (text, error) in [
        (String::new(), CheckpointError::Malformed),
        (text.trim_end().into(), CheckpointError::Malformed),
        (format!("{ORIGIN}\n"), CheckpointError::Malformed),
        (format!("{ORIGIN}\n70000\n"), CheckpointError::Malformed),
        (format!("\n70000\n{ROOT}\n"), CheckpointError::Origin),
        (format!("a\tb\n70000\n{ROOT}\n"), CheckpointError::Origin),
        (format!("{ORIGIN}\n\n{ROOT}\n"), CheckpointError::Size),
        (format!("{ORIGIN}\n070000\n{ROOT}\n"), CheckpointError::Size),
        (format!("{ORIGIN}\n+7\n{ROOT}\n"), CheckpointError::Size),
        (format!("{ORIGIN}\n-7\n{ROOT}\n"), CheckpointError::Size),
        (format!("{ORIGIN}\n 7\n{ROOT}\n"), CheckpointError::Size),
        (format!("{ORIGIN}\n7 \n{ROOT}\n"), CheckpointError::Size),
        (format!("{ORIGIN}\n7e3\n{ROOT}\n"), CheckpointError::Size),
        (
            format!("{ORIGIN}\n{}\n{ROOT}\n", SIZE_MAX + 1),
            CheckpointError::Size,
        ),
        (format!("{ORIGIN}\n7\n\n"), CheckpointError::Root),
        (
            format!("{ORIGIN}\n7\n{}\n", ROOT.trim_end_matches('=')),
            CheckpointError::Root,
        ),
        (format!("{ORIGIN}\n7\n{ROOT} \n"), CheckpointError::Root),
        (format!("{ORIGIN}\n7\n{}\n", &ROOT[4..]), CheckpointError::Root),
        (
            format!("{ORIGIN}\n7\n{}\n", leaf_hash(b"")),
            CheckpointError::Root,
        ),
        (format!("{ORIGIN}\n0\n{ROOT}\n"), CheckpointError::Root),
        (
            format!("{ORIGIN}\n0\n{empty_root}\n\n"),
            CheckpointError::Extension,
        ),
        (format!("{text}a\n\nb\n"), CheckpointError::Extension),
    ] {
        assert_eq!(Checkpoint::from_text(&text), Err(error), "{text:?}");
    }
}

#[test]
fn the_empty_tree_has_the_empty_root() {
    let text = format!("{ORIGIN}\n0\n{}\n", EMPTY_ROOT.to_base64());
    assert_eq!(
        Checkpoint::from_text(&text),
        Checkpoint::new(ORIGIN, 0, EMPTY_ROOT)
    );
    assert_eq!(
        Checkpoint::new(ORIGIN, 0, Hash([1; 32])),
        Err(CheckpointError::Root)
    );
    assert_eq!(Checkpoint::new("", 0, EMPTY_ROOT), Err(CheckpointError::Origin));
    assert_eq!(
        Checkpoint::new("a\nb", 0, EMPTY_ROOT),
        Err(CheckpointError::Origin)
    );
    assert_eq!(
        Checkpoint::new(ORIGIN, SIZE_MAX + 1, EMPTY_ROOT),
        Err(CheckpointError::Size)
    );
    assert!(Checkpoint::new(ORIGIN, SIZE_MAX, EMPTY_ROOT).is_ok());
}

#[test]
fn extension_lines_are_kept() {
    let text = checkpoint().to_text() + "one\ntwo three\n";
    let parsed = Checkpoint::from_text(&text).unwrap();
    assert_eq!(parsed.extensions(), ["one".to_string(), "two three".to_string()]);
    assert_eq!(
        (parsed.origin(), parsed.size(), parsed.root()),
        (ORIGIN, 70_000, checkpoint().root())
    );
    assert_eq!(parsed.to_text(), text);
    let note = sign_note(&text, &[&signer()]).unwrap();
    assert_eq!(open_checkpoint(&note, &signer().verifier()), Ok(parsed));
}

#[test]
fn every_flipped_byte_is_refused() {
    let note = sign_checkpoint(&checkpoint(), &signer()).unwrap();
    let key = signer().verifier();
    for at in 0..note.len() {
        let mut bytes = note.clone().into_bytes();
        bytes[at] ^= 1;
        let opened = String::from_utf8(bytes)
            .ok()
            .map(|note| open_checkpoint(&note, &key));
        assert!(opened.is_none_or(|opened| opened.is_err()), "byte {at}");
    }
}

#[test]
fn a_checkpoint_is_of_the_log_its_key_names() {
    let other = TestSigner::new("attestore.example/other", 1);
    assert_eq!(
        sign_checkpoint(&checkpoint(), &other),
        Err(CheckpointError::OtherLog)
    );
    let note = sign_note(&checkpoint().to_text(), &[&other]).unwrap();
    assert_eq!(
        open_checkpoint(&note, &other.verifier()),
        Err(CheckpointError::OtherLog)
    );
    assert_eq!(
        open_checkpoint(&note, &signer().verifier()),
        Err(CheckpointError::Note(NoteError::UnknownKey))
    );
    let spaced = Checkpoint::new("my log", 0, EMPTY_ROOT).unwrap();
    assert_eq!(
        sign_checkpoint(&spaced, &TestSigner::new("my log", 1)),
        Err(CheckpointError::Note(NoteError::Name))
    );
}
