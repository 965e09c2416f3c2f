//! Other people's implementations read what this crate writes: `signed_note` and `tlog_tiles`.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{cell::Cell, collections::BTreeMap};

use attestore_tlog::{
    Checkpoint, Frontier, Hash, NodeReader, NoteSigner, Tile, VerifierKey, consistency_proof, entry_bundle,
    inclusion_proof, leaf_hash, open_checkpoint, resources, root_at, sign_checkpoint, tile_hashes,
    verify_consistency, verify_inclusion,
};
use ed25519_dalek::{Signer as _, SigningKey};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles as theirs;

const ORIGIN: &str = "attestore.example/interop";
const SIZE: u64 = 70_000;

struct Signer(SigningKey);

impl NoteSigner for Signer {
    fn name(&self) -> &str {
        ORIGIN
    }

    fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    fn sign(&self, msg: &[u8]) -> Result<[u8; 64], attestore_tlog::NoteError> {
        Ok(self.0.sign(msg).to_bytes())
    }
}

/// All complete nodes of a tree, and the root of every prefix.
struct Log {
    nodes: BTreeMap<(u8, u64), Hash>,
    roots: Vec<Hash>,
}

impl Log {
    fn new(size: u64) -> Self {
        let mut tree = Frontier::new();
        let mut log = Self {
            nodes: BTreeMap::new(),
            roots: vec![tree.root()],
        };
        for i in 0..size {
            let leaf = leaf_hash(&entry(i));
            log.nodes.insert((0, i), leaf);
            tree.push_with(leaf, |level, index, hash| {
                log.nodes.insert((level, index), hash);
            });
            log.roots.push(tree.root());
        }
        log
    }

    fn root(&self, size: u64) -> Hash {
        self.roots[usize::try_from(size).unwrap()]
    }
}

impl NodeReader for Log {
    type Error = (u8, u64);

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        self.nodes.get(&(level, index)).copied().ok_or((level, index))
    }
}

/// Serves our tiles to their reader; can flip one bit.
struct Tiles<'a> {
    log: &'a Log,
    flip: Cell<Option<usize>>,
}

impl theirs::TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[theirs::Tile]) -> Result<Vec<Vec<u8>>, theirs::Error> {
        let mut contents = vec![];
        for tile in tiles {
            let width = u16::try_from(tile.width()).unwrap();
            let ours = Tile::new(tile.level(), tile.level_index(), width).unwrap();
            assert_eq!(
                format!("tile/8/{}", ours.to_string().strip_prefix("tile/").unwrap()),
                tile.path()
            );
            let mut bytes: Vec<u8> = tile_hashes(&self.log, ours)
                .unwrap()
                .iter()
                .flat_map(|hash| hash.0)
                .collect();
            if let Some(at) = self.flip.get() {
                let length = bytes.len();
                bytes[at % length] ^= 0x10;
            }
            contents.push(bytes);
        }
        Ok(contents)
    }

    fn save_tiles(&self, _: &[theirs::Tile], _: &[Vec<u8>]) {}
}

fn entry(i: u64) -> [u8; 44] {
    let mut entry = [0x5a; 44];
    entry[..8].copy_from_slice(&i.to_be_bytes());
    entry
}

fn theirs_of(hash: Hash) -> theirs::Hash {
    theirs::Hash(hash.0)
}

fn ours_of(hashes: Vec<theirs::Hash>) -> Vec<Hash> {
    hashes.into_iter().map(|hash| Hash(hash.0)).collect()
}

fn signer() -> Signer {
    Signer(SigningKey::from_bytes(&[42; 32]))
}

#[test]
fn signed_note_opens_our_checkpoints() {
    let key = VerifierKey::new(ORIGIN, signer().public()).unwrap();
    let checkpoint = Checkpoint::new(ORIGIN, 7, Hash([3; 32])).unwrap();
    let text = sign_checkpoint(&checkpoint, &signer()).unwrap();

    let verifiers = VerifierList::new(vec![Box::new(StandardVerifier::new(&key.to_string()).unwrap())]);
    let note = Note::from_bytes(text.as_bytes()).unwrap();
    let (verified, unknown) = note.verify(&verifiers).unwrap();
    assert_eq!((verified.len(), unknown.len()), (1, 0));

    let parsed = theirs::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!(
        (parsed.origin(), parsed.size(), parsed.hash().0),
        (ORIGIN, 7, [3; 32])
    );

    let damaged = text.replace("\n7\n", "\n8\n");
    assert!(
        Note::from_bytes(damaged.as_bytes())
            .unwrap()
            .verify(&verifiers)
            .is_err()
    );
}

#[test]
fn we_open_notes_that_signed_note_signs() {
    let key = SigningKey::from_bytes(&[42; 32]);
    let ours = VerifierKey::new(ORIGIN, key.verifying_key().to_bytes()).unwrap();
    let theirs = StandardVerifier::new(&ours.to_string()).unwrap();
    assert_eq!(signed_note::Verifier::key_id(&theirs), ours.id());

    let typed_seed = [&[1u8][..], &[42; 32]].concat();
    let typed_seed = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, typed_seed);
    let skey = format!("PRIVATE+KEY+{ORIGIN}+{:08x}+{typed_seed}", ours.id());
    let signer = signed_note::StandardSigner::new(&skey).unwrap();

    let text = theirs::Checkpoint::new(ORIGIN, 9, theirs::Hash([4; 32]), "")
        .unwrap()
        .to_bytes();
    let mut note = Note::new(&text, &[]).unwrap();
    note.add_sigs(&[&signer]).unwrap();
    let checkpoint = open_checkpoint(std::str::from_utf8(&note.to_bytes()).unwrap(), &ours).unwrap();
    assert_eq!((checkpoint.size(), checkpoint.root()), (9, Hash([4; 32])));
}

#[test]
fn tlog_tiles_finds_the_same_roots_and_proofs() {
    let log = Log::new(SIZE);
    let tiles = Tiles {
        log: &log,
        flip: Cell::new(None),
    };
    for size in [1, 2, 255, 256, 257, 4_097, 65_535, 65_536, SIZE] {
        let root = log.root(size);
        assert_eq!(root_at(&log, size).unwrap(), root);
        let reader = theirs::TileHashReader::new(size, theirs_of(root), &tiles);
        assert_eq!(
            theirs::tree_hash(size, &reader).unwrap(),
            theirs_of(root),
            "size {size}"
        );

        for index in [0, size / 3, size / 2, size - 1] {
            let proof = theirs::prove_record(size, index, &reader).unwrap();
            theirs::check_record(
                &proof,
                size,
                theirs_of(root),
                index,
                theirs::record_hash(&entry(index)),
            )
            .unwrap();
            let proof = ours_of(proof);
            assert_eq!(
                proof,
                inclusion_proof(&log, index, size).unwrap(),
                "{index} in {size}"
            );
            verify_inclusion(index, size, leaf_hash(&entry(index)), &proof, root).unwrap();
        }
        for old in [1, size / 3, size / 2, size - 1]
            .into_iter()
            .filter(|old| *old > 0)
        {
            let proof = theirs::prove_tree(size, old, &reader).unwrap();
            theirs::check_tree(&proof, size, theirs_of(root), old, theirs_of(log.root(old))).unwrap();
            let proof = ours_of(proof);
            assert_eq!(
                proof,
                consistency_proof(&log, old, size).unwrap(),
                "{old} to {size}"
            );
            verify_consistency(old, size, log.root(old), root, &proof).unwrap();
        }
    }
}

#[test]
fn tlog_tiles_refuses_a_tile_with_a_flipped_bit() {
    let log = Log::new(5_000);
    let tiles = Tiles {
        log: &log,
        flip: Cell::new(None),
    };
    for at in 0..64 {
        tiles.flip.set(Some(at * 37));
        let reader = theirs::TileHashReader::new(5_000, theirs_of(log.root(5_000)), &tiles);
        assert!(theirs::prove_record(5_000, 1_234, &reader).is_err());
    }
}

#[test]
fn a_tree_is_as_many_resources_as_the_specification_counts() {
    assert_eq!(resources(SIZE).count(), 551);
    assert_eq!(entry_bundle(&[entry(0); 256]).len(), 256 * 46);
}
