//! Slot proofs that hold, and what can be changed of them.

use attestore_record::control::{self, Import, TenantHeads};
use attestore_record::{Envelope, HashVersion, Kind, RecordId, TenantId};
use attestore_tlog::{
    CosignerKey, Hash, NoteSigner, Policy, SlotProof, SlotTree, TlogProof, consistency_proof,
    head_commitment, slot_of, verify_inclusion,
};
use attestore_verify::{LaterFailure, SlotFailure, Trust, VerifiedSlot, verify_later, verify_slot_proof};

use super::{Cases, log};
use crate::support::{Key, Log, ORIGIN, START_MS, witnessed};

const HEADS: &str = "attestore.example/heads";
const SALT: [u8; 32] = [4; 32];

/// Verifier keys of the tenant's log and of the log of heads.
pub fn vkeys() -> String {
    let heads = Key::new(HEADS, 6).verifier();
    format!("{} {heads}", super::vkey())
}

pub fn verdict(text: &str, vkeys: &str) -> Result<(), SlotFailure> {
    let trust: Vec<Trust> = vkeys
        .split(' ')
        .map(|vkey| Trust::Key(vkey.parse().unwrap()))
        .collect();
    verify_slot_proof(text, &trust[0], &trust[1]).map(|_| ())
}

/// A log of rounds, each with its control and kind.
fn heads(rounds: &[(Kind, String)]) -> Log {
    let mut heads = Log::new(HashVersion::Blake3);
    heads.key = Key::new(HEADS, 6);
    for (n, (kind, control)) in rounds.iter().enumerate() {
        let n = u64::try_from(n).unwrap();
        let public = format!(
            r#"{{"v":1,"id":"{}","tenant":"{}","protocol":"internal","credential":"internal","privacy":0,"control":{control}}}"#,
            RecordId::new(START_MS + n, [1; 10]),
            TenantId::from_bytes([8; 16]),
        );
        heads.append(*kind, 0, START_MS + n, public.into_bytes(), vec![]);
    }
    heads
}

fn control(round: u64, root: Hash, tenants: u64) -> String {
    let root = root.to_string();
    format!(r#"{{"type":"tenant_heads","round":{round},"root":"{root}","tenants":{tenants}}}"#)
}

fn round(round_: u64, tree: &SlotTree) -> (Kind, String) {
    (
        Kind::CheckpointImport,
        control(round_, tree.root(), u64::try_from(tree.len()).unwrap()),
    )
}

/// The tenant's log at some size, among others.
fn tree(tenant: &Log, size: u64, others: u8) -> SlotTree {
    let checkpoint =
        attestore_tlog::open_checkpoint(&tenant.checkpoint_at(size), &tenant.key.verifier()).unwrap();
    let mut leaves: Vec<_> = (0..others)
        .map(|n| (slot_of(&format!("attestore.example/{n}")), Hash([n; 32])))
        .collect();
    leaves.push((slot_of(ORIGIN), head_commitment(&SALT, &checkpoint)));
    SlotTree::new(leaves).unwrap()
}

fn proof(tenant: &Log, size: u64, tree: &SlotTree, heads: &Log, index: u64) -> SlotProof {
    SlotProof {
        salt: SALT,
        siblings: tree.siblings(&slot_of(ORIGIN)).unwrap(),
        checkpoint: tenant.checkpoint_at(size),
        round: heads.proof(index).to_text(),
    }
}

pub fn cases() -> Cases {
    let (tenant, mut cases) = (log(HashVersion::Blake3), Cases::default());
    let (early, late, alone) = (tree(&tenant, 3, 20), tree(&tenant, 8, 20), tree(&tenant, 8, 0));
    let rounds = heads(&[round(1, &early), round(2, &late), round(3, &alone)]);
    let second = proof(&tenant, 8, &late, &rounds, 1);
    let text = second.to_text();
    cases.valid("the second round", &*text);
    cases.valid(
        "an earlier round",
        &*proof(&tenant, 3, &early, &rounds, 0).to_text(),
    );
    cases.valid(
        "a round of one log",
        &*proof(&tenant, 8, &alone, &rounds, 2).to_text(),
    );

    let edited = |edit: &dyn Fn(&mut SlotProof)| {
        let mut proof = second.clone();
        edit(&mut proof);
        proof.to_text()
    };
    cases.refused(
        "the head of another round",
        &*edited(&|p| p.checkpoint = tenant.checkpoint_at(3)),
    );
    cases.refused(
        "the round before",
        &*edited(&|p| p.round = rounds.proof(0).to_text()),
    );
    cases.refused("another salt", &*edited(&|p| p.salt[0] ^= 1));
    cases.refused("another hash", &*edited(&|p| p.siblings[1].0[9] ^= 1));
    cases.refused("two hashes swapped", &*edited(&|p| p.siblings.swap(0, 1)));
    cases.refused(
        "a hash too few",
        &*edited(&|p| p.siblings.truncate(p.siblings.len() - 1)),
    );
    cases.refused(
        "a hash too many",
        &*edited(&|p| p.siblings.push(attestore_tlog::EMPTY_SLOT)),
    );
    let theirs = late.siblings(&slot_of("attestore.example/3")).unwrap();
    cases.refused(
        "the path of another slot",
        &*edited(&|p| p.siblings.clone_from(&theirs)),
    );
    cases.refused(
        "more hashes than slots have bits",
        &*edited(&|p| p.siblings = vec![Hash([0; 32]); 257]),
    );
    let mut stranger = log(HashVersion::Blake3);
    stranger.key = Key::new(ORIGIN, 7);
    cases.refused(
        "a head under another key of that name",
        &*edited(&|p| p.checkpoint = stranger.checkpoint()),
    );
    stranger.key = Key::new("attestore.example/3", 5);
    cases.refused(
        "a head of another log",
        &*edited(&|p| p.checkpoint = stranger.checkpoint()),
    );
    cases.refused("no signature of the head", {
        let (body, _) = second.checkpoint.rsplit_once("\n\n").unwrap();
        let (_, line) = rounds
            .checkpoint()
            .rsplit_once("\n\n")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        edited(&|p| p.checkpoint = format!("{body}\n\n{line}"))
    });
    let mut doctored = heads(&[round(1, &early), round(2, &late), round(3, &alone)]);
    doctored.key = Key::new(HEADS, 7);
    cases.refused(
        "a log of heads under another key",
        &*edited(&|p| p.round = doctored.proof(1).to_text()),
    );
    let mut own = heads(&[round(1, &early), round(2, &late)]);
    own.key = Key::new(ORIGIN, 5);
    cases.refused(
        "a round in the tenant's own log",
        &*edited(&|p| p.round = own.proof(1).to_text()),
    );
    cases.refused(
        "the path of another record",
        &*edited(&|p| {
            p.round = TlogProof {
                hashes: rounds.proof(2).hashes,
                ..rounds.proof(1)
            }
            .to_text()
        }),
    );
    cases.refused(
        "a round that is not opened",
        &*edited(&|p| {
            p.round = TlogProof {
                extra: None,
                ..rounds.proof(1)
            }
            .to_text()
        }),
    );

    // Records that are in the log, and are no rounds.
    let recorded = |kind, control: String| proof(&tenant, 8, &late, &heads(&[(kind, control)]), 0).to_text();
    let good = control(2, late.root(), 21);
    cases.refused("a root in capitals", {
        let root = late.root().to_string();
        recorded(Kind::CheckpointImport, good.replace(&root, &root.to_uppercase()))
    });
    cases.refused("a record of another kind", recorded(Kind::Incident, good.clone()));
    cases.refused(
        "a control of another type",
        recorded(
            Kind::CheckpointImport,
            good.replace("tenant_heads", "heads_of_tenants"),
        ),
    );
    cases.refused(
        "an unknown field of the round",
        recorded(Kind::CheckpointImport, good.replace("}", r#","more":1}"#)),
    );
    cases.refused(
        "a round without its number of logs",
        recorded(Kind::CheckpointImport, good.replace(r#","tenants":21"#, "")),
    );
    cases.refused(
        "a negative round",
        recorded(Kind::CheckpointImport, good.replace(":2,", ":-2,")),
    );

    // The text.
    let replaced = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    cases.refused("another version of the file", replaced("proof v1", "proof v2"));
    cases.refused("carriage returns", text.replace('\n', "\r\n"));
    cases.refused("no salt", replaced("salt ", "hash "));
    cases.refused(
        "the checkpoint cut off",
        replaced("\n\nc2sp.org/tlog-proof@v1\n", "\n"),
    );
    cases.refused(
        "nothing behind the checkpoint",
        &text[..text.find("c2sp.org").unwrap()],
    );
    cases
}

/// The control that servers write is the one of the vectors.
#[test]
fn rounds_of_the_vectors_are_as_they_are_written() {
    let envelope = Envelope {
        id: RecordId::new(START_MS, [1; 10]),
        tenant: TenantId::from_bytes([8; 16]),
        protocol: "internal",
        credential_id: "internal",
    };
    let written = Import::TenantHeads(TenantHeads {
        round: 1,
        root: Hash([3; 32]).to_string(),
        tenants: 5,
    });
    let log = heads(&[(Kind::CheckpointImport, control(1, Hash([3; 32]), 5))]);
    assert_eq!(
        log.record(0).public,
        control::encode(&envelope, &written).unwrap()
    );
    let leaf = attestore_tlog::leaf_hash(&log.record(0).entry);
    assert!(verify_inclusion(0, 1, leaf, &[], attestore_tlog::root_at(&log, 1).unwrap()).is_ok());
}

#[test]
fn a_log_cannot_vouch_for_its_own_head() {
    let tenant = log(HashVersion::Blake3);
    let tree = tree(&tenant, 8, 3);
    let mut own = heads(&[round(1, &tree)]);
    own.key = Key::new(ORIGIN, 5);
    let text = proof(&tenant, 8, &tree, &own, 0).to_text();
    let trust = Trust::Key(tenant.key.verifier());
    assert_eq!(verify_slot_proof(&text, &trust, &trust), Err(SlotFailure::OwnLog));
}

#[test]
fn the_witnesses_of_the_policy_must_have_cosigned_the_round() {
    let tenant = log(HashVersion::Blake3);
    let tree = tree(&tenant, 8, 3);
    let rounds = heads(&[round(1, &tree)]);
    let witness = Key::new("w.example", 9);
    let policy = format!(
        "log {}\nwitness w {}\nquorum w\n",
        rounds.key.verifier(),
        CosignerKey::ed25519(&witness.0, witness.public()).unwrap()
    );
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let heads = Trust::Policy { policy, key: None };
    let slot = proof(&tenant, 8, &tree, &rounds, 0);
    let trust = Trust::Key(tenant.key.verifier());
    let refused = verify_slot_proof(&slot.to_text(), &trust, &heads);
    assert!(matches!(refused, Err(SlotFailure::Round { .. })), "{refused:?}");
    let checkpoint = witnessed(&rounds.checkpoint(), 1_795_312_900, &witness);
    let cosigned = SlotProof {
        round: TlogProof {
            checkpoint,
            ..rounds.proof(0)
        }
        .to_text(),
        ..slot
    };
    let verified = verify_slot_proof(&cosigned.to_text(), &trust, &heads).unwrap();
    assert_eq!(verified.witnesses[0].witness, "w");
    assert_eq!((verified.size, verified.round, verified.tenants), (8, 1, 4));
}

#[test]
fn a_later_head_has_to_extend_an_earlier_one() {
    let tenant = log(HashVersion::Blake3);
    let trees = [(1, 3), (2, 8), (3, 8), (4, 5)].map(|(n, size)| (n, size, tree(&tenant, size, 6)));
    let rounds = heads(&trees.each_ref().map(|(n, _, tree)| round(*n, tree)));
    let trust = [&tenant, &rounds].map(|log| Trust::Key(log.key.verifier()));
    let slots: Vec<_> = (0..4u64)
        .zip(&trees)
        .map(|(index, (_, size, tree))| {
            let text = proof(&tenant, *size, tree, &rounds, index).to_text();
            verify_slot_proof(&text, &trust[0], &trust[1]).unwrap()
        })
        .collect();
    let hashes = consistency_proof(&tenant, 3, 8).unwrap();
    assert_eq!(verify_later(&slots[0], &slots[1], &hashes), Ok(()));
    assert_eq!(
        verify_later(&slots[1], &slots[2], &[]),
        Ok(()),
        "nothing was appended"
    );
    assert_eq!(verify_later(&slots[1], &slots[1], &[]), Ok(()), "the same");
    let fails = |one: &VerifiedSlot, other: &VerifiedSlot, hashes: &[Hash]| {
        verify_later(one, other, hashes).unwrap_err()
    };
    assert!(matches!(
        fails(&slots[0], &slots[1], &[]),
        LaterFailure::Consistency { .. }
    ));
    assert!(matches!(
        fails(&slots[0], &slots[1], &hashes[1..]),
        LaterFailure::Consistency { .. }
    ));
    assert!(matches!(
        fails(&slots[1], &slots[0], &hashes),
        LaterFailure::Order { .. }
    ));
    assert_eq!(
        fails(&slots[2], &slots[3], &[]),
        LaterFailure::Shrank { earlier: 8, later: 5 }
    );
    let forked = VerifiedSlot {
        root: Hash([1; 32]),
        ..slots[2].clone()
    };
    assert!(matches!(
        fails(&slots[1], &forked, &[]),
        LaterFailure::Consistency { .. }
    ));
    let renumbered = VerifiedSlot {
        round: 2,
        ..slots[2].clone()
    };
    assert!(matches!(
        fails(&slots[1], &renumbered, &[]),
        LaterFailure::Order { .. }
    ));
    let other = VerifiedSlot {
        origin: "other".into(),
        ..slots[1].clone()
    };
    assert!(matches!(
        fails(&slots[0], &other, &hashes),
        LaterFailure::OtherLog { .. }
    ));
}

#[test]
fn every_flipped_byte_of_a_slot_proof_is_refused() {
    let (vkeys, cases) = (vkeys(), cases());
    let text = &cases.0[0].2;
    for at in 0..text.len() {
        let mut doctored = text.clone();
        doctored[at] ^= 1 << (at % 7);
        if let Ok(doctored) = String::from_utf8(doctored) {
            assert!(verdict(&doctored, &vkeys).is_err(), "byte {at}");
        }
    }
}
