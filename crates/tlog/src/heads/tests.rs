//! Trees of heads: against a plain model, and that one root has one head for an origin.

use std::{collections::BTreeMap, format, string::String, string::ToString, vec, vec::Vec};

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::{
    EMPTY_SLOT, SLOT_BITS, SLOT_PROOF_BYTES_MAX, SlotProof, SlotProofError, SlotTree, head_commitment,
    slot_of, slot_root,
};
use crate::{checkpoint::Checkpoint, hash::Hash};

fn sha256(parts: &[&[u8]]) -> Hash {
    Hash(Sha256::digest(parts.concat()).into())
}

/// The root as the format defines it, from the leaves whose slots begin with `prefix`, as text of bits.
fn naive_root(leaves: &BTreeMap<Hash, Hash>, prefix: &str) -> Hash {
    let bits = |slot: &Hash| {
        slot.0
            .iter()
            .map(|byte| format!("{byte:08b}"))
            .collect::<String>()
    };
    let below: Vec<_> = leaves
        .iter()
        .filter(|(slot, _)| bits(slot).starts_with(prefix))
        .collect();
    match below.as_slice() {
        [] => sha256(&[&[2]]),
        [(slot, commitment)] => sha256(&[&[0], &slot.0, &commitment.0]),
        _ => {
            let side = |bit| naive_root(leaves, &format!("{prefix}{bit}"));
            sha256(&[&[1], &side('0').0, &side('1').0])
        }
    }
}

fn head(origin: &str, size: u64) -> Checkpoint {
    Checkpoint::new(origin, size, Hash([7; 32])).unwrap()
}

fn tree(leaves: &BTreeMap<Hash, Hash>) -> SlotTree {
    SlotTree::new(
        leaves
            .iter()
            .map(|(slot, commitment)| (*slot, *commitment))
            .collect(),
    )
    .unwrap()
}

#[test]
fn golden_hashes() {
    assert_eq!(EMPTY_SLOT, sha256(&[&[2]]));
    let (slot, commitment) = (
        slot_of("a.example/1"),
        head_commitment(&[9; 32], &head("a.example/1", 5)),
    );
    assert_eq!(slot, sha256(&[b"a.example/1"]));
    let text = "a.example/1\n5\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";
    assert_eq!(
        commitment,
        sha256(&[b"attestore 2026 tenant head v1\n", &[9; 32], text.as_bytes()])
    );
    let three: Vec<_> = ["a", "b", "c"]
        .map(|origin| (slot_of(origin), head_commitment(&[1; 32], &head(origin, 3))))
        .into();
    let tree = SlotTree::new(three).unwrap();
    assert_eq!(
        tree.root().to_string(),
        "dd64ca9b40bab7f3afa708b81abe2d578c292e6b3536d31d3bbdb4d51fa81c5f"
    );
    assert_eq!(SlotTree::new(vec![]).unwrap().root(), EMPTY_SLOT);
}

#[test]
fn extension_lines_change_no_commitment() {
    let plain = head("a", 3);
    let extended = Checkpoint::from_text(&format!("{}next-key x\n", plain.to_text())).unwrap();
    assert_eq!(
        head_commitment(&[1; 32], &plain),
        head_commitment(&[1; 32], &extended)
    );
}

#[test]
fn a_slot_is_given_once() {
    let leaf = (Hash([3; 32]), Hash([4; 32]));
    let other = (leaf.0, Hash([5; 32]));
    assert!(SlotTree::new(vec![leaf, (Hash([1; 32]), leaf.1), other]).is_err());
}

#[test]
fn slots_that_differ_in_their_last_bit_have_the_longest_paths() {
    let (one, mut other) = (Hash([0xff; 32]), Hash([0xff; 32]));
    other.0[31] = 0xfe;
    let leaves = BTreeMap::from([(one, Hash([1; 32])), (other, Hash([2; 32]))]);
    let tree = tree(&leaves);
    let siblings = tree.siblings(&one).unwrap();
    assert_eq!(siblings.len(), SLOT_BITS);
    assert_eq!(slot_root(&one, &Hash([1; 32]), &siblings), Some(tree.root()));
    let longer = [siblings, vec![EMPTY_SLOT]].concat();
    assert_eq!(slot_root(&one, &Hash([1; 32]), &longer), None);
}

/// What a cheat may try with what it knows: other depths, and hashes of the tree in other places.
#[test]
fn leaves_and_inner_nodes_do_not_stand_in_for_each_other() {
    let leaves: BTreeMap<_, _> = (0..40u8)
        .map(|n| (slot_of(&n.to_string()), Hash([n; 32])))
        .collect();
    let tree = tree(&leaves);
    for (slot, commitment) in &leaves {
        let siblings = tree.siblings(slot).unwrap();
        for (stranger, other) in &leaves {
            if stranger != slot {
                assert_ne!(slot_root(slot, other, &siblings), Some(tree.root()));
                let theirs = tree.siblings(stranger).unwrap();
                assert_ne!(slot_root(slot, commitment, &theirs), Some(tree.root()), "moved");
            }
        }
        for depth in 0..siblings.len() {
            assert_ne!(
                slot_root(slot, commitment, &siblings[depth + 1..]),
                Some(tree.root())
            );
        }
        for more in [EMPTY_SLOT, *commitment, tree.root(), siblings[0]] {
            let deeper = [vec![more], siblings.clone()].concat();
            assert_ne!(slot_root(slot, commitment, &deeper), Some(tree.root()));
        }
    }
}

fn proof() -> SlotProof {
    SlotProof {
        salt: [1; 32],
        siblings: vec![Hash([2; 32]), Hash([3; 32])],
        checkpoint: "a\n1\nAA==\n\n\u{2014} a AA==\n".into(),
        round: "c2sp.org/tlog-proof@v1\nindex 0\n\nh\n1\nAA==\n\n\u{2014} h AA==\n".into(),
    }
}

#[test]
fn golden_text() {
    let text = proof().to_text();
    assert_eq!(
        text,
        "attestore slot-proof v1\n\
         salt AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n\
         hash AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n\
         hash AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=\n\
         \n\
         a\n1\nAA==\n\n\u{2014} a AA==\n\
         \n\
         c2sp.org/tlog-proof@v1\nindex 0\n\nh\n1\nAA==\n\n\u{2014} h AA==\n"
    );
    assert_eq!(SlotProof::parse(&text), Ok(proof()));
    let none = SlotProof {
        siblings: vec![],
        ..proof()
    };
    assert_eq!(SlotProof::parse(&none.to_text()), Ok(none));
}

#[test]
fn malformed_texts_are_refused() {
    let text = proof().to_text();
    let swap = |from: &str, to: &str| text.replacen(from, to, 1);
    let hash = "hash AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n";
    for (text, error) in [
        (String::new(), SlotProofError::Version),
        (swap("v1", "v2"), SlotProofError::Version),
        (text.replace('\n', "\r\n"), SlotProofError::Version),
        (swap("salt AQ", "salt  AQ"), SlotProofError::Salt),
        (swap("AQE=", "AQF="), SlotProofError::Salt),
        (swap("salt ", "hash "), SlotProofError::Salt),
        (swap("AgI=", "AgI"), SlotProofError::Hash(0)),
        (swap("AwM=", "AwN="), SlotProofError::Hash(1)),
        (
            swap(hash, &hash.repeat(SLOT_BITS + 1)),
            SlotProofError::Hash(SLOT_BITS),
        ),
        (swap("\n\na\n", "\na\n"), SlotProofError::Parts),
        (
            text[..text.find("\nc2sp").unwrap()].to_string(),
            SlotProofError::Parts,
        ),
        (
            text[..text.find("c2sp").unwrap()].to_string(),
            SlotProofError::Parts,
        ),
        (
            text.clone() + &"x".repeat(SLOT_PROOF_BYTES_MAX),
            SlotProofError::TooLong,
        ),
    ] {
        assert_eq!(SlotProof::parse(&text), Err(error), "{text:.200}");
    }
}

proptest! {
    #[test]
    fn trees_are_as_the_format_says(seeds in proptest::collection::btree_map(any::<u16>(), any::<u8>(), 0..60)) {
        // Slots that share up to 12 bits, so that empty places and long paths come up.
        let leaves: BTreeMap<_, _> = seeds
            .iter()
            .map(|(seed, n)| {
                let mut slot = slot_of(&seed.to_string());
                if seed % 2 == 0 {
                    slot.0[0] = 0xab;
                    slot.0[1] |= 0xf0;
                }
                (slot, Hash([*n; 32]))
            })
            .collect();
        let tree = tree(&leaves);
        prop_assert_eq!(tree.root(), naive_root(&leaves, ""));
        prop_assert_eq!(tree.len(), leaves.len());
        for (slot, commitment) in &leaves {
            let siblings = tree.siblings(slot).unwrap();
            prop_assert_eq!(slot_root(slot, commitment, &siblings), Some(tree.root()));
        }
        prop_assert_eq!(tree.siblings(&slot_of("nobody")), None);
    }

    /// One root holds one head only for an origin: whatever is changed of a proof, it leads elsewhere.
    #[test]
    fn one_root_holds_one_head_for_an_origin(
        tenants in 1usize..40, which in any::<proptest::sample::Index>(), size in any::<u32>(),
        cut in any::<proptest::sample::Index>(), at in any::<proptest::sample::Index>(), flip in 1u8..,
        inserted in any::<[u8; 32]>(),
    ) {
        let origins: Vec<_> = (0..tenants).map(|n| format!("log.example/{n}")).collect();
        let salt = [3; 32];
        let heads: BTreeMap<_, _> = origins
            .iter()
            .map(|origin| (slot_of(origin), head_commitment(&salt, &head(origin, 100))))
            .collect();
        let tree = tree(&heads);
        let origin = which.get(&origins);
        let other = head(origin, u64::from(size) + 101);
        let honest = SlotProof { salt, siblings: tree.siblings(&slot_of(origin)).unwrap(), ..proof() };
        prop_assert_eq!(honest.root(&head(origin, 100)), Some(tree.root()));
        prop_assert_ne!(honest.root(&other), Some(tree.root()));
        let mut forged = honest.clone();
        forged.salt[at.index(32)] ^= flip;
        prop_assert_ne!(forged.root(&other), Some(tree.root()));
        prop_assert_ne!(forged.root(&head(origin, 100)), Some(tree.root()));
        let mut paths = vec![{ let mut longer = honest.siblings.clone(); longer.insert(cut.index(longer.len() + 1), Hash(inserted)); longer }];
        if !honest.siblings.is_empty() {
            let mut flipped = honest.siblings.clone();
            let place = cut.index(flipped.len());
            flipped[place].0[at.index(32)] ^= flip;
            let mut shorter = honest.siblings.clone();
            shorter.remove(place);
            paths.extend([flipped, shorter]);
        }
        for siblings in paths {
            let forged = SlotProof { siblings, ..honest.clone() };
            prop_assert_ne!(forged.root(&other), Some(tree.root()));
            prop_assert_ne!(forged.root(&head(origin, 100)), Some(tree.root()));
        }
    }

    #[test]
    fn parsing_never_panics_and_has_one_spelling(text in "(attestore slot-proof v1\n)?(salt [A-Za-z0-9+/]{43}=\n)?(hash [A-Za-z0-9+/=]{44}\n|\n|a|\u{e9}){0,20}") {
        if let Ok(proof) = SlotProof::parse(&text) {
            prop_assert_eq!(proof.to_text(), text);
        }
    }
}
