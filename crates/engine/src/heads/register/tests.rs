//! The register keeps what it acknowledged, notices other writers, and refuses every changed byte.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use attestore_disk::sim::{Fault, SimDisk};

use super::*;

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

fn at(disk: &SimDisk) -> RegisterAt {
    RegisterAt {
        disk: Arc::new(disk.clone()),
        path: PathBuf::from("heads"),
    }
}

fn head(size: u64) -> Head {
    Head {
        size,
        root: Hash([u8::try_from(size % 251).unwrap(); 32]),
    }
}

#[test]
fn register_survives_a_crash_once_it_answered() {
    for seed in 0..32 {
        let disk = SimDisk::new(seed);
        let (register, found) = Register::start(&at(&disk), key(1), [7; 16]).unwrap();
        assert!(found.is_none());
        register.advance(&[("a", head(1)), ("b", head(2))]).unwrap();
        register.advance(&[("a", head(5))]).unwrap();
        let after = disk.crash();
        let heads = at(&after)
            .read(&key(1))
            .unwrap()
            .expect("the register is durable");
        assert_eq!(heads.rows["a"], head(5), "seed {seed}");
        assert_eq!(heads.rows["b"], head(2), "seed {seed}");
        assert_eq!(heads.nonce, [7; 16]);
    }
}

#[test]
fn second_start_makes_the_first_process_stop() {
    let disk = SimDisk::new(1);
    let (first, _) = Register::start(&at(&disk), key(1), [1; 16]).unwrap();
    first.advance(&[("a", head(1))]).unwrap();
    let (second, found) = Register::start(&at(&disk), key(1), [2; 16]).unwrap();
    assert_eq!(found.unwrap().nonce, [1; 16]);
    assert_eq!(second.head("a"), Some(head(1)));
    assert!(matches!(
        first.advance(&[("a", head(2))]),
        Err(RegisterError::Cloned)
    ));
    assert!(matches!(
        first.advance(&[("a", head(3))]),
        Err(RegisterError::Poisoned)
    ));
    second.advance(&[("a", head(2))]).unwrap();
}

#[test]
fn heads_never_go_back_nor_change_in_place() {
    let disk = SimDisk::new(1);
    let (register, _) = Register::start(&at(&disk), key(1), [1; 16]).unwrap();
    register.advance(&[("a", head(5))]).unwrap();
    assert!(matches!(
        register.advance(&[("a", head(4))]),
        Err(RegisterError::Backwards { .. })
    ));
    let forked = Head {
        size: 5,
        root: Hash([0xee; 32]),
    };
    assert!(matches!(
        register.advance(&[("a", forked)]),
        Err(RegisterError::Forked { .. })
    ));
    register.advance(&[("a", head(5))]).unwrap();
    register.advance(&[("a", head(6))]).unwrap();
    assert_eq!(register.head("a"), Some(head(6)));
}

#[test]
fn unchanged_heads_cost_no_write() {
    let disk = SimDisk::new(1);
    let (register, _) = Register::start(&at(&disk), key(1), [1; 16]).unwrap();
    register.advance(&[("a", head(5))]).unwrap();
    let before = disk.op_count();
    register.advance(&[("a", head(5))]).unwrap();
    assert_eq!(disk.op_count(), before);
}

#[test]
fn every_changed_byte_is_refused() {
    let mut heads = Heads {
        nonce: [3; 16],
        version: 9,
        ..Heads::default()
    };
    heads.rows.insert("attestore.log/00".into(), head(4));
    heads.rows.insert("attestore.log/01".into(), head(5));
    let good = codec::encode(&heads, &key(1));
    assert_eq!(codec::decode(&good, &key(1)).unwrap().heads, heads);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(codec::decode(&bad, &key(1)).is_err(), "byte {at}");
        assert!(codec::decode(&good[..at], &key(1)).is_err(), "cut at {at}");
    }
}

#[test]
fn wrong_key_is_a_key_problem_not_damage() {
    let disk = SimDisk::new(1);
    Register::start(&at(&disk), key(1), [1; 16]).unwrap();
    assert!(matches!(at(&disk).read(&key(2)), Err(RegisterError::Key { .. })));
    disk.flip(Path::new("heads"), 30, 1).unwrap();
    assert!(matches!(
        at(&disk).read(&key(1)),
        Err(RegisterError::Damage { .. })
    ));
}

/// A snapshot of two heads with three changes to it, and where each change begins.
fn journal() -> (Vec<u8>, Vec<usize>, Vec<Heads>) {
    let mut heads = Heads {
        nonce: [3; 16],
        version: 9,
        ..Heads::default()
    };
    heads.rows.insert("attestore.log/00".into(), head(4));
    heads.rows.insert("attestore.log/01".into(), head(5));
    let mut bytes = codec::encode(&heads, &key(1));
    let tag = codec::tag_of(&bytes);
    let (mut starts, mut states) = (Vec::new(), vec![heads.clone()]);
    for size in 6..9 {
        starts.push(bytes.len());
        heads.rows.insert("attestore.log/00".into(), head(size));
        heads.version += 1;
        let moved = [("attestore.log/00", head(size))];
        bytes.extend(codec::encode_change(heads.version, &moved, &tag, &key(1)));
        states.push(heads.clone());
    }
    starts.push(bytes.len());
    (bytes, starts, states)
}

#[test]
fn changes_apply_in_order_and_zeros_end_them() {
    let (mut bytes, _, states) = journal();
    bytes.resize(bytes.len() + 5000, 0);
    let decoded = codec::decode(&bytes, &key(1)).unwrap();
    assert_eq!((&decoded.heads, decoded.torn), (&states[3], None));
}

#[test]
fn a_changed_byte_is_damage_anywhere_but_in_the_last_change_which_is_then_left_out_and_told() {
    let (bytes, starts, states) = journal();
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x10;
        bad.resize(bad.len() + 5000, 0);
        let decoded = codec::decode(&bad, &key(1));
        if at < starts[2] {
            assert!(decoded.is_err(), "byte {at}");
        } else {
            let decoded = decoded.unwrap();
            assert_eq!(decoded.torn, Some(starts[2] as u64), "byte {at}");
            assert_eq!(decoded.heads, states[2], "byte {at}");
        }
    }
}

#[test]
fn a_change_cut_short_at_either_side_leaves_the_heads_before_it() {
    let (bytes, starts, states) = journal();
    for cut in starts[2]..bytes.len() {
        let mut front = bytes[..cut].to_vec();
        front.resize(bytes.len() + 5000, 0);
        let mut back = bytes.clone();
        back[starts[2]..cut].fill(0);
        back.resize(bytes.len() + 5000, 0);
        for torn in [front, back] {
            let decoded = codec::decode(&torn, &key(1)).unwrap();
            let whole = torn.starts_with(&bytes);
            assert_eq!(decoded.heads, states[if whole { 3 } else { 2 }], "cut at {cut}");
        }
    }
}

#[test]
fn changes_left_out_repeated_or_moved_are_damage() {
    let (bytes, starts, _) = journal();
    let part = |from: usize, to: usize| bytes[starts[from]..starts[to]].to_vec();
    let snapshot = bytes[..starts[0]].to_vec();
    let doctored = [
        [snapshot.clone(), part(1, 2), part(2, 3)],
        [snapshot.clone(), part(0, 1), [part(0, 1), part(1, 2)].concat()],
        [snapshot, part(1, 2), [part(0, 1), part(2, 3)].concat()],
    ];
    for (number, parts) in doctored.into_iter().enumerate() {
        let decoded = codec::decode(&parts.concat(), &key(1));
        assert!(decoded.is_err(), "case {number}: {decoded:?}");
    }
}

#[test]
fn many_changes_outgrow_their_room_and_all_are_kept() {
    let disk = SimDisk::new(5);
    let (register, _) = Register::start(&at(&disk), key(1), [7; 16]).unwrap();
    for size in 1..=2000 {
        register.advance(&[("attestore.log/00", head(size))]).unwrap();
        if size % 97 == 0 {
            let copy = SimDisk::from_snapshot(&disk.snapshot());
            let found = at(&copy.crash()).read(&key(1)).unwrap().unwrap();
            assert_eq!(found.rows["attestore.log/00"], head(size));
        }
    }
    let (again, found) = Register::start(&at(&disk), key(1), [8; 16]).unwrap();
    assert_eq!(found.unwrap().rows["attestore.log/00"], head(2000));
    assert_eq!(again.head("attestore.log/00"), Some(head(2000)));
}

#[test]
fn any_write_that_fails_loses_no_head_that_was_acknowledged() {
    for failing in 0..40 {
        let disk = SimDisk::new(failing);
        let (register, _) = Register::start(&at(&disk), key(1), [7; 16]).unwrap();
        register.advance(&[("a", head(1))]).unwrap();
        disk.fail_at(disk.op_count() + failing, Fault::Error(io::ErrorKind::Other));
        let mut acknowledged = 1;
        for size in 2..12 {
            if register.advance(&[("a", head(size))]).is_ok() {
                acknowledged = size;
            }
        }
        let found = at(&disk.crash()).read(&key(1)).unwrap().unwrap();
        assert!(
            found.rows["a"].size >= acknowledged,
            "failing {failing}: {found:?}, {acknowledged}"
        );
    }
}

#[test]
fn an_older_copy_of_the_same_file_put_back_makes_the_process_stop() {
    let disk = SimDisk::new(6);
    let (register, _) = Register::start(&at(&disk), key(1), [7; 16]).unwrap();
    register.advance(&[("a", head(1))]).unwrap();
    let older = disk.snapshot();
    register.advance(&[("a", head(2))]).unwrap();
    disk.restore(&older);
    assert!(matches!(
        register.advance(&[("a", head(3))]),
        Err(RegisterError::Cloned)
    ));
}
