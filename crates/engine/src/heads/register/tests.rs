//! The register keeps what it acknowledged, notices other writers, and refuses every changed byte.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use attestore_disk::sim::SimDisk;

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
        let (register, found) = Register::start(at(&disk), key(1), [7; 16]).unwrap();
        assert!(found.is_none());
        register.advance(&[("a", head(1)), ("b", head(2))]).unwrap();
        register.advance(&[("a", head(5))]).unwrap();
        let after = disk.crash();
        let heads = Register::read(&at(&after), &key(1))
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
    let (first, _) = Register::start(at(&disk), key(1), [1; 16]).unwrap();
    first.advance(&[("a", head(1))]).unwrap();
    let (second, found) = Register::start(at(&disk), key(1), [2; 16]).unwrap();
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
    let (register, _) = Register::start(at(&disk), key(1), [1; 16]).unwrap();
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
    register.forget("a").unwrap();
    assert_eq!(register.head("a"), None);
}

#[test]
fn unchanged_heads_cost_no_write() {
    let disk = SimDisk::new(1);
    let (register, _) = Register::start(at(&disk), key(1), [1; 16]).unwrap();
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
    assert_eq!(codec::decode(&good, &key(1)).unwrap(), heads);
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
    Register::start(at(&disk), key(1), [1; 16]).unwrap();
    assert!(matches!(
        Register::read(&at(&disk), &key(2)),
        Err(RegisterError::Key { .. })
    ));
    disk.flip(Path::new("heads"), 30, 1).unwrap();
    assert!(matches!(
        Register::read(&at(&disk), &key(1)),
        Err(RegisterError::Damage { .. })
    ));
}
