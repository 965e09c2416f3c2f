//! Records, proofs, tiles.

use attestore_engine::{Error, read::Which};
use attestore_tlog::{
    Hash, TILE_WIDTH, Tile, TlogProof, VerifierKey, leaf_hash, open_checkpoint, parse_hashes,
    verify_consistency,
};
use attestore_verify::{OpenedRecord, verify_tlog_proof};

use crate::world::{World, append, append_range, event, everything, principal, reader};

#[test]
fn record_reads_back_from_tail_and_segment_alike() {
    let world = World::new(1);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    let receipts = append(&engine, "acme", &(0..40).map(event).collect::<Vec<_>>());
    let before: Vec<_> = receipts
        .iter()
        .map(|r| engine.get("acme", &everything(), Which::Seq(r.seq)).unwrap())
        .collect();
    engine.flush().unwrap();
    for (receipt, before) in receipts.iter().zip(&before) {
        let by_seq = engine
            .get("acme", &everything(), Which::Seq(receipt.seq))
            .unwrap();
        let by_id = engine.get("acme", &everything(), Which::Id(receipt.id)).unwrap();
        assert_eq!(&by_seq, before);
        assert_eq!(by_id, by_seq);
        assert_eq!(by_seq.entry, receipt.entry);
        let json: serde_json::Value = serde_json::from_str(&by_seq.event).unwrap();
        let sent: serde_json::Value = serde_json::from_str(&event(receipt.seq)).unwrap();
        assert_eq!(json["actor"], sent["actor"]);
        assert_eq!(json["metadata"], sent["metadata"]);
    }
    assert!(matches!(
        engine.get("acme", &everything(), Which::Seq(40)),
        Err(Error::UnknownRecord)
    ));
    assert!(matches!(
        engine.get("nobody", &everything(), Which::Seq(0)),
        Err(Error::UnknownTenant)
    ));
}

#[test]
fn readers_without_permission_see_markers() {
    let world = World::new(2);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    append(&engine, "acme", &[event(3)]);
    for _ in 0..2 {
        let public = engine.get("acme", &reader(), Which::Seq(0)).unwrap().event;
        assert!(
            public.contains("[personal]") && !public.contains("u_3") && !public.contains("203.0.113"),
            "{public}"
        );
        let whole = engine.get("acme", &everything(), Which::Seq(0)).unwrap().event;
        assert!(whole.contains("u_3") && !whole.contains("[personal]"), "{whole}");
        engine.flush().unwrap();
    }
    assert!(matches!(
        engine.get("acme", &principal(&[]), Which::Seq(0)),
        Err(Error::Forbidden)
    ));
}

#[test]
fn proofs_verify_offline_for_every_record() {
    let world = World::new(3);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    append_range(&engine, "acme", 0..300);
    engine.flush().unwrap();
    append_range(&engine, "acme", 300..600);
    let vkey = engine.vkey("acme").unwrap();
    for seq in (0..600).step_by(37).chain([255, 256, 299, 300, 511, 512, 599]) {
        for by in [everything(), reader()] {
            let text = engine.proof("acme", &by, Which::Seq(seq)).unwrap();
            verify_tlog_proof(&text, &vkey).unwrap();
            let proof = TlogProof::parse(&text).unwrap();
            assert_eq!(proof.index, seq);
            let opened = OpenedRecord::from_bytes(proof.extra.as_deref().unwrap()).unwrap();
            let shown = String::from_utf8_lossy(proof.extra.as_deref().unwrap()).contains("203.0.113");
            assert_eq!(shown, by.may_see_personal(), "record {seq}");
            let mut forged = opened.clone();
            forged.public[20] ^= 1;
            assert!(attestore_verify::verify_opening(&forged).is_err());
        }
    }
}

#[test]
fn tiles_and_entries_give_the_root_of_the_checkpoint() {
    let world = World::new(4);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    append_range(&engine, "acme", 0..530);
    assert!(
        matches!(
            engine.tile("acme", 0, 0, TILE_WIDTH),
            Err(Error::BeyondTree { .. })
        ),
        "no head is registered"
    );
    let key = VerifierKey::parse(&engine.vkey("acme").unwrap()).unwrap();
    for round in 0..2 {
        let note = engine.checkpoint("acme").unwrap();
        let checkpoint = open_checkpoint(&note, &key).unwrap();
        assert_eq!(checkpoint.size(), 530, "round {round}");
        let mut leaves: Vec<Hash> = Vec::new();
        for index in 0.. {
            let Some(tile) = Tile::at(0, index, checkpoint.size()) else {
                break;
            };
            let bytes = engine.tile("acme", 0, index, tile.width()).unwrap();
            let hashes = parse_hashes(&bytes, tile.width()).unwrap();
            let bundle = engine.entries("acme", index, tile.width()).unwrap();
            let entries = attestore_tlog::parse_entry_bundle::<44>(&bundle, tile.width()).unwrap();
            assert_eq!(
                hashes,
                entries.iter().map(|entry| leaf_hash(entry)).collect::<Vec<_>>()
            );
            leaves.extend(hashes);
        }
        let mut frontier = attestore_tlog::Frontier::new();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        assert_eq!(frontier.root(), checkpoint.root());
        assert_eq!(engine.tile("acme", 1, 0, 2).unwrap().len(), 64);
        assert!(engine.tile("acme", 1, 0, 3).is_err());
        assert!(engine.tile("acme", 0, 2, 19).is_err());
        engine.flush().unwrap();
    }
}

#[test]
fn consistency_proofs_hold_between_all_sizes() {
    let world = World::new(5);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    append_range(&engine, "acme", 0..270);
    engine.flush().unwrap();
    append_range(&engine, "acme", 270..300);
    engine.checkpoint("acme").unwrap();
    let bundle: Vec<[u8; 44]> = (0..2)
        .flat_map(|index| {
            let width = if index == 0 { 256 } else { 44 };
            let bytes = engine.entries("acme", index, width).unwrap();
            attestore_tlog::parse_entry_bundle::<44>(&bytes, width).unwrap()
        })
        .collect();
    let root = |size: u64| {
        let mut frontier = attestore_tlog::Frontier::new();
        bundle
            .iter()
            .take(usize::try_from(size).unwrap())
            .for_each(|entry| frontier.push(leaf_hash(entry)));
        frontier.root()
    };
    for (from, to) in [
        (0, 300),
        (1, 300),
        (255, 256),
        (256, 270),
        (269, 271),
        (270, 300),
        (299, 300),
        (300, 300),
    ] {
        let proof = engine.consistency("acme", from, to).unwrap();
        verify_consistency(from, to, root(from), root(to), &proof.hashes).unwrap();
    }
    assert!(matches!(
        engine.consistency("acme", 0, 301),
        Err(Error::BeyondTree { .. })
    ));
    assert!(matches!(
        engine.consistency("acme", 3, 2),
        Err(Error::Invalid { .. })
    ));
}
