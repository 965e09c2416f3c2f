//! Every rule of the note format, and the example of Go's reference implementation.

use std::{format, string::String, string::ToString, vec::Vec};

use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;

use super::{
    NOTE_BYTES_MAX, NoteError, NoteSigner, SIGNATURES_MAX, SignedNote, VerifierKey, VerifierKeyError, key_id,
    sign_note,
};
use crate::encoding;

/// Signs with the key of a one-byte seed.
pub(crate) struct TestSigner {
    name: String,
    key: SigningKey,
}

impl TestSigner {
    pub(crate) fn new(name: &str, seed: u8) -> Self {
        Self {
            name: name.into(),
            key: SigningKey::from_bytes(&[seed; 32]),
        }
    }

    pub(crate) fn verifier(&self) -> VerifierKey {
        VerifierKey::new(&self.name, self.public()).unwrap()
    }
}

impl NoteSigner for TestSigner {
    fn name(&self) -> &str {
        &self.name
    }

    fn public(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    fn sign(&self, msg: &[u8]) -> Result<[u8; 64], NoteError> {
        Ok(self.key.sign(msg).to_bytes())
    }
}

const GO_VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\
    \n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn signer() -> TestSigner {
    TestSigner::new("example.com/log", 1)
}

fn signed() -> String {
    sign_note("text\n", &[&signer()]).unwrap()
}

/// The signature line of [`signed`].
fn line() -> String {
    signed().split_once("\n\n").unwrap().1.into()
}

#[test]
fn opens_the_note_of_gos_documentation() {
    let key = VerifierKey::parse(GO_VKEY).unwrap();
    assert_eq!((key.name(), key.id()), ("PeterNeumann", 0xc74f_20a3));
    assert_eq!(key.to_string(), GO_VKEY);
    let note = SignedNote::open(GO_NOTE, &key).unwrap();
    assert!(note.text().starts_with("If you think") && note.text().ends_with("problem is.\n"));
    assert_eq!(note.signatures()[0].name(), "PeterNeumann");
    assert_eq!(note.signatures()[0].key_id(), key.id());
    assert_eq!(note.signatures()[0].signature().len(), 64);
}

#[test]
fn golden_note() {
    assert_eq!(
        signed(),
        "text\n\n\u{2014} example.com/log m+XTxnlOYYB7v2Z0P31BmIZJv66GLWfWwFMwNh5SVj5R8P+PawZECG2DZPdOV+RNVE34zZXaETnt/4rYnc8IX9sAjwk=\n"
    );
    assert_eq!(
        signer().verifier().to_string(),
        "example.com/log+9be5d3c6+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
    );
}

#[test]
fn every_flipped_byte_spoils_the_note() {
    let (note, key) = (signed(), signer().verifier());
    assert!(SignedNote::open(&note, &key).is_ok());
    for at in 0..note.len() {
        for mask in [0x01, 0x20, 0x80] {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= mask;
            let opened = SignedNote::from_bytes(&bytes).and_then(|note| note.verify(&key));
            assert!(opened.is_err(), "byte {at} ^ {mask:#x}");
        }
    }
}

#[test]
fn malformed_notes_are_refused() {
    let line = line();
    for (note, error) in [
        (String::new(), NoteError::Malformed),
        ("text\n".into(), NoteError::Malformed),
        ("\n".into(), NoteError::Malformed),
        (line.clone(), NoteError::Malformed),
        (format!("\n{line}"), NoteError::Malformed),
        (format!("text\n{line}"), NoteError::Malformed),
        ("text\n\n".into(), NoteError::Unsigned),
        ("\n\n".into(), NoteError::Unsigned),
        (format!("text\n\n{}", line.trim_end()), NoteError::Malformed),
        (format!("text\n\n{line}\n"), NoteError::Unsigned),
        (format!("text\n\n{line}more\n"), NoteError::SignatureLine(1)),
        (format!("text\n\nmore\n{line}"), NoteError::SignatureLine(0)),
        (format!("text\r\n\n{line}"), NoteError::Control),
        (format!("te\txt\n\n{line}"), NoteError::Control),
        (format!("te\0xt\n\n{line}"), NoteError::Control),
        (format!("text\n\n{}\r\n", line.trim_end()), NoteError::Control),
    ] {
        assert_eq!(SignedNote::parse(&note), Err(error), "{note:?}");
    }
    assert_eq!(SignedNote::from_bytes(b"te\xffxt\n\n"), Err(NoteError::Utf8));
}

#[test]
fn malformed_signature_lines_are_refused() {
    let (line, blob) = (line(), encoding::encode(&[0; 68]));
    let (prefix, encoded) = line.trim_end().rsplit_once(' ').unwrap();
    for bad in [
        line.trim_end().replace('\u{2014}', "-"),
        line.trim_end().replace("\u{2014} ", "\u{2014}"),
        line.trim_end().replace("\u{2014} ", "\u{2014}\u{a0}"),
        format!(" {}", line.trim_end()),
        format!("{} ", line.trim_end()),
        format!("{prefix}  {encoded}"),
        format!("{prefix} {}", encoded.trim_end_matches('=')),
        format!("{prefix} {encoded}="),
        format!("{prefix} {}", encoded.replace('+', "-").replace('/', "_") + "-"),
        format!("{prefix} "),
        prefix.into(),
        format!("{prefix} {}", encoding::encode(&[1, 2, 3])),
        format!("{prefix} {}", encoding::encode(&[1, 2, 3, 4])),
        format!("\u{2014} na+me {blob}"),
        format!("\u{2014} na\u{2003}me {blob}"),
        format!("\u{2014}  {blob}"),
        format!("\u{2014} name extra {blob}"),
        "\u{2014} ".into(),
    ] {
        assert_eq!(
            SignedNote::parse(&format!("text\n\n{bad}\n")),
            Err(NoteError::SignatureLine(0)),
            "{bad:?}"
        );
    }
}

#[test]
fn text_ends_at_the_last_empty_line() {
    let text = "one\n\ntwo\n\n\nthree\n";
    let note = sign_note(text, &[&signer()]).unwrap();
    assert_eq!(
        SignedNote::open(&note, &signer().verifier()).unwrap().text(),
        text
    );
    let moved = note.replace("three\n\n", "three\n");
    assert!(SignedNote::open(&moved, &signer().verifier()).is_err());
}

#[test]
fn unknown_signatures_are_ignored() {
    let (note, key) = (signed(), signer().verifier());
    let grease = |name: &str, id: u32| {
        let blob = [&id.to_be_bytes()[..], b"any length, any bytes"].concat();
        format!("\u{2014} {name} {}\n", encoding::encode(&blob))
    };
    for unknown in [
        grease("elsewhere", 7),
        grease("elsewhere", key.id()),
        grease(key.name(), key.id() ^ 1),
    ] {
        assert!(
            SignedNote::open(&format!("{note}{unknown}"), &key).is_ok(),
            "{unknown}"
        );
        let first = note.replace("\n\n", &format!("\n\n{unknown}"));
        assert!(SignedNote::open(&first, &key).is_ok(), "{unknown}");
        assert_eq!(
            SignedNote::open(&format!("text\n\n{unknown}"), &key),
            Err(NoteError::UnknownKey)
        );
    }
}

#[test]
fn one_wrong_signature_of_the_known_key_spoils_the_note() {
    let (note, key) = (signed(), signer().verifier());
    let other = sign_note("other\n", &[&signer()]).unwrap();
    let wrong = other.split_once("\n\n").unwrap().1;
    assert_eq!(
        SignedNote::open(&format!("{note}{wrong}"), &key),
        Err(NoteError::Signature)
    );
    assert_eq!(
        SignedNote::open(&format!("text\n\n{wrong}"), &key),
        Err(NoteError::Signature)
    );
    let short = [&key.id().to_be_bytes()[..], &[0; 63]].concat();
    let short = format!("text\n\n\u{2014} {} {}\n", key.name(), encoding::encode(&short));
    assert_eq!(SignedNote::open(&short, &key), Err(NoteError::Signature));
    assert!(
        SignedNote::open(&format!("{note}{}", line()), &key).is_ok(),
        "a repeated valid one is harmless"
    );
}

#[test]
fn as_many_signatures_as_the_limit_and_no_more() {
    const { assert!(SIGNATURES_MAX >= 16) };
    let signers: Vec<_> = (0..=100)
        .map(|seed| TestSigner::new(&format!("key{seed}"), seed))
        .collect();
    let all: Vec<&dyn NoteSigner> = signers.iter().map(|signer| signer as _).collect();
    let note = sign_note("text\n", &all[..100]).unwrap();
    for signer in &signers[..100] {
        assert!(SignedNote::open(&note, &signer.verifier()).is_ok());
    }
    assert_eq!(sign_note("text\n", &all), Err(NoteError::TooManySignatures));
    assert_eq!(
        SignedNote::parse(&format!("{note}{}", line())),
        Err(NoteError::TooManySignatures)
    );
    let long = format!("{}\n\n{}", "x".repeat(NOTE_BYTES_MAX), line());
    assert_eq!(SignedNote::parse(&long), Err(NoteError::TooLong));
}

#[test]
fn what_cannot_be_a_note_is_not_signed() {
    assert_eq!(sign_note("text\n", &[]), Err(NoteError::Unsigned));
    assert_eq!(sign_note("text", &[&signer()]), Err(NoteError::Malformed));
    assert_eq!(sign_note("", &[&signer()]), Err(NoteError::Malformed));
    assert_eq!(sign_note("te\txt\n", &[&signer()]), Err(NoteError::Control));
    assert_eq!(
        sign_note("text\n", &[&TestSigner::new("a b", 1)]),
        Err(NoteError::Name)
    );
    let long = "x".repeat(NOTE_BYTES_MAX) + "\n";
    assert_eq!(sign_note(&long, &[&signer()]), Err(NoteError::TooLong));
}

#[test]
fn key_names_have_no_space_plus_or_control_character() {
    let public = signer().public();
    for name in ["a", "example.com/log", "Ünï", "a-b_c:d", "0"] {
        assert!(VerifierKey::new(name, public).is_ok(), "{name:?}");
    }
    for name in [
        "",
        " ",
        "a b",
        "a+b",
        "a\u{a0}b",
        "a\u{2003}",
        "a\u{3000}b",
        "a\nb",
        "a\tb",
        "a\u{85}b",
        "a\0b",
    ] {
        assert_eq!(
            VerifierKey::new(name, public),
            Err(VerifierKeyError::Name),
            "{name:?}"
        );
    }
}

#[test]
fn malformed_verifier_keys_are_refused() {
    let vkey = signer().verifier().to_string();
    let [name, id, key]: [&str; 3] = vkey.splitn(3, '+').collect::<Vec<_>>().try_into().unwrap();
    let typed = |kind: u8, public: &[u8]| encoding::encode(&[&[kind], public].concat());
    let public = signer().public();
    for (vkey, error) in [
        (String::new(), VerifierKeyError::Malformed),
        (name.into(), VerifierKeyError::Malformed),
        (format!("{name}+{id}"), VerifierKeyError::Malformed),
        (format!("{name}+{id}+"), VerifierKeyError::Malformed),
        (format!("{name}+{}+{key}", &id[1..]), VerifierKeyError::Malformed),
        (format!("{name}+0{id}+{key}"), VerifierKeyError::Malformed),
        (format!("{name}++{}+{key}", &id[1..]), VerifierKeyError::Malformed),
        (
            format!("{name}+{}+{key}", id.to_uppercase()),
            VerifierKeyError::Malformed,
        ),
        (format!("{name}+{id}+{key}="), VerifierKeyError::Malformed),
        (format!("{name}+{id}+{key}\n"), VerifierKeyError::Malformed),
        (
            format!("{name}+{id}+{}", typed(1, &public[1..])),
            VerifierKeyError::Malformed,
        ),
        (
            format!("{name}+{id}+{}", typed(4, &public)),
            VerifierKeyError::Type(4),
        ),
        (
            format!("{name}+{:08x}+{key}", signer().verifier().id() ^ 1),
            VerifierKeyError::Id,
        ),
        (format!("{name}x+{id}+{key}"), VerifierKeyError::Id),
        (format!("+{id}+{key}"), VerifierKeyError::Name),
        (format!("a b+{id}+{key}"), VerifierKeyError::Name),
        (
            format!("{name}+{id}+{}", typed(1, &[2; 32])),
            VerifierKeyError::Public,
        ),
    ] {
        assert_eq!(vkey.parse::<VerifierKey>(), Err(error), "{vkey:?}");
    }
    // The identity point: any signature with R = S·B would verify.
    let mut weak = [0; 32];
    weak[0] = 1;
    assert_eq!(VerifierKey::new(name, weak), Err(VerifierKeyError::Public));
}

#[test]
fn key_id_covers_name_type_and_key() {
    let public = signer().public();
    let id = key_id("name", 1, &public);
    assert_ne!(id, key_id("name2", 1, &public));
    assert_ne!(id, key_id("name", 4, &public));
    assert_ne!(id, key_id("name", 1, &[0; 32]));
}

proptest! {
    #[test]
    fn signed_texts_open(text in "[^\\x00-\\x1f]{0,40}(\n[^\\x00-\\x1f]{0,10}){0,5}\n") {
        let note = sign_note(&text, &[&TestSigner::new("other", 2), &signer()]).unwrap();
        let note = SignedNote::open(&note, &signer().verifier()).unwrap();
        prop_assert_eq!(note.text(), text);
        prop_assert_eq!(note.signatures().len(), 2);
    }

    #[test]
    fn parsing_takes_any_text_without_panic(text in "(\\PC|\n|\u{2014} ){0,60}") {
        let _ = SignedNote::parse(&text);
        let _ = VerifierKey::parse(&text);
    }
}
