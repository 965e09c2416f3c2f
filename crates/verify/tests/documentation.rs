//! The worked example of `docs/proofs.md` verifies as printed.

use attestore_record::commitment::{group_commitment, record_commitment};
use attestore_record::{Entry, HashVersion, Kind};
use attestore_tlog::{Checkpoint, Frontier, NoteSigner, TlogProof, leaf_hash, sign_checkpoint};
use attestore_verify::{GroupOpening, OpenedRecord, verify_tlog_proof};
use ed25519_dalek::{Signer as _, SigningKey};

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
        hex(&group_commitment(HashVersion::HmacSha256, salt, bytes)),
        hex(&record.entry[12..]),
        leaf_hash(&record.entry).to_string(),
        verified.root.to_string(),
    ] {
        assert!(
            DOCUMENT.contains(&format!("    {printed}")) || DOCUMENT.contains(&format!("  {printed}\n")),
            "{printed}"
        );
    }
}

struct Signer(SigningKey);

impl NoteSigner for Signer {
    fn name(&self) -> &str {
        "attestore.example/7f3a"
    }

    fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    fn sign(&self, msg: &[u8]) -> Result<[u8; 64], attestore_tlog::NoteError> {
        Ok(self.0.sign(msg).to_bytes())
    }
}

/// Prints the example for a new version of the format.
#[test]
#[ignore = "prints the worked example anew"]
fn regenerate() {
    let public = r#"{"v":1,"id":"019ab0c1-2d3e-7f00-8123-456789abcdef","tenant":"00112233445566778899aabbccddeeff","protocol":"native","credential":"cred_1","privacy":1,"withheld":["/actor/id"],"event":{"action":"document.read","operation":"read","outcome":"success","actor":{"type":"user"}}}"#;
    let personal = r#"{"v":1,"subjects":["0123456789abcdef0123456789abcdef"],"fields":{"/actor/id":"u_42"}}"#;
    let salt = |from: u8| std::array::from_fn(|at| from + u8::try_from(at).expect("32 bytes"));
    let version = HashVersion::HmacSha256;
    let group = group_commitment(version, &salt(32), personal.as_bytes());
    let entry = Entry {
        version,
        kind: Kind::Event,
        class: 3,
        time_ms: 1_795_312_800_123,
        commitment: record_commitment(version, &salt(0), public.as_bytes(), &mut [group]),
    };
    let opened = GroupOpening::Opened {
        salt: salt(32),
        bytes: personal.into(),
    };
    let record = OpenedRecord::new(entry.to_bytes(), public.into(), salt(0), vec![opened]);
    let extra = record
        .expect("the entry is sound")
        .to_bytes()
        .expect("it is small");
    let leaves = [
        leaf_hash(b"leaf 0"),
        leaf_hash(&entry.to_bytes()),
        leaf_hash(b"leaf 2"),
    ];
    let mut tree = Frontier::new();
    leaves.into_iter().for_each(|leaf| tree.push(leaf));
    let signer = Signer(SigningKey::from_bytes(&[42; 32]));
    let checkpoint = Checkpoint::new(signer.name(), 3, tree.root()).expect("the name is an origin");
    println!("bytes {} {} {}", extra.len(), public.len(), personal.len());
    println!("c_1 {}\nC {}", hex(&group), hex(&entry.commitment));
    println!(
        "entry {}\nleaves {leaves:?}\nroot {}",
        hex(&entry.to_bytes()),
        tree.root()
    );
    leaves.iter().for_each(|leaf| println!("leaf {leaf}"));
    let proof = TlogProof {
        extra: Some(extra),
        index: 1,
        hashes: vec![leaves[0], leaves[2]],
        checkpoint: sign_checkpoint(&checkpoint, &signer).expect("the text fits a note"),
    };
    println!("---\n{}---\n{public}", proof.to_text());
}
