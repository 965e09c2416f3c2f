//! Whole directories, registers and checkpoints that are not the ones they should be.

use attestore_disk::sim::SimDisk;
use attestore_tlog::{VerifierKey, open_checkpoint};

use crate::judge::{By, Said};
use crate::store::{Case, Store};
use crate::world::append_range;

pub(super) fn rolled_back(store: &Store) -> Vec<Case<'_>> {
    let case = store.case("the directory");
    vec![Case {
        disk: SimDisk::from_snapshot(&store.earlier.0),
        ..case
    }]
}

pub(super) fn both_rolled_back(store: &Store) -> Vec<Case<'_>> {
    let case = store.case("the directory and the register");
    vec![Case {
        disk: SimDisk::from_snapshot(&store.earlier.0),
        register: SimDisk::from_snapshot(&store.earlier.1),
        ..case
    }]
}

pub(super) fn register_older(store: &Store) -> Vec<Case<'_>> {
    let case = store.case("the register");
    vec![Case {
        register: SimDisk::from_snapshot(&store.earlier.1),
        ..case
    }]
}

pub(super) fn register_deleted(store: &Store) -> Vec<Case<'_>> {
    let case = store.case("the register");
    vec![Case {
        register: SimDisk::new(6),
        ..case
    }]
}

/// Both use one register, as a cloned machine does: the original finds it taken over when it next signs.
pub(super) fn cloned(store: &Store) -> Vec<Case<'_>> {
    let mut case = store.case("a clone");
    let original = store.world(&case.disk, Some(&case.register));
    let engine = original.open();
    let mut clone = store.world(&original.disk, None);
    clone.register = original.register.clone();
    let other = clone.open();
    append_range(&other, "acme", 0..1);
    append_range(&engine, "acme", 1..2);
    let refused = engine.checkpoint("acme").unwrap_err();
    case.said.push((By::Register, Said::new("acme", refused)));
    vec![case]
}

pub(super) fn other_checkpoint(store: &Store) -> Vec<Case<'_>> {
    let mut case = store.case("globex's for acme's");
    let vkey: VerifierKey = store.outside.vkeys["acme"].parse().unwrap();
    let refused = open_checkpoint(&store.outside.checkpoints["globex"], &vkey).unwrap_err();
    case.said.push((By::Outsider, Said::new("acme", refused)));
    vec![case]
}
