//! A witness that loses power at every operation of its disk, while two histories are put to it in turn.

use std::collections::BTreeMap;
use std::io;

use attestore_disk::sim::{Fault, SimDisk};
use attestore_tlog::{Checkpoint, Hash, SignedNote};

use super::log::{TestLog, clock, open};
use crate::{Answer, Request, Witness};

/// Everything that a witness ever gave out.
#[derive(Default)]
struct Given {
    roots: BTreeMap<u64, Hash>,
    largest: u64,
}

impl Given {
    /// Takes an answer; no two roots for a size, and no size below one that was cosigned before.
    fn take(&mut self, witness: &Witness, checkpoint: &str, answer: &Answer) {
        if answer.status != 200 {
            return;
        }
        let note = SignedNote::parse(&format!("{checkpoint}{}", answer.body)).unwrap();
        note.cosigned_at(witness.key()).unwrap();
        let head = Checkpoint::from_text(note.text()).unwrap();
        let root = *self.roots.entry(head.size()).or_insert(head.root());
        assert_eq!(root, head.root(), "two roots for size {}", head.size());
        assert!(
            head.size() >= self.largest,
            "{} after {}",
            head.size(),
            self.largest
        );
        self.largest = head.size();
    }
}

/// Puts both histories to the witness, in an order that the step decides; whatever it cosigns is taken down.
fn put(witness: &Witness, step: u64, given: &mut Given) {
    let (honest, fork) = (TestLog::new(40), TestLog::forked(40, 3, 1));
    for round in 0..4u64 {
        let log = if (step + round).is_multiple_of(2) {
            &honest
        } else {
            &fork
        };
        let known = witness.status()[0].head.map_or(0, |(size, _)| size);
        for new in [known, known + 1 + step % 3, 2] {
            if new < known || new > 40 {
                continue;
            }
            let checkpoint = log.checkpoint(new);
            let request = Request {
                old: known.min(new),
                proof: log.proof(known.min(new), new),
                checkpoint: checkpoint.clone(),
            };
            let answer = witness.add_checkpoint(request.to_string().as_bytes());
            given.take(witness, &checkpoint, &answer);
        }
    }
}

#[test]
fn it_never_cosigns_two_roots_for_a_size_nor_a_smaller_size_after_a_greater_one() {
    let keys = [TestLog::new(1).vkey()];
    let operations = {
        let disk = SimDisk::new(1);
        let witness = open(&disk, &clock(), &keys);
        let before = disk.op_count();
        put(&witness, 0, &mut Given::default());
        disk.op_count() - before
    };
    assert!(operations > 20, "{operations}: the work has to reach the disk");
    let faults = [
        Fault::CrashBefore,
        Fault::CrashTorn,
        Fault::CrashAfter,
        Fault::Error(io::ErrorKind::Other),
        Fault::Errno(28),
    ];
    for (number, fault) in (0u64..).zip(faults) {
        for operation in 0..operations {
            let mut disk = SimDisk::new(operation * 10 + number);
            let mut given = Given::default();
            let witness = open(&disk, &clock(), &keys);
            disk.fail_at(disk.op_count() + operation, fault);
            put(&witness, operation, &mut given);
            // Three lives more, each after a power cut, the second of which may come at any operation too.
            for life in 0..3u64 {
                disk = disk.crash();
                let witness = open(&disk, &clock(), &keys);
                if life == 0 {
                    disk.fail_at(disk.op_count() + operation / 2, fault);
                }
                put(&witness, operation + life, &mut given);
            }
            assert!(
                given.largest > 0,
                "{fault:?} at {operation}: nothing was ever cosigned"
            );
        }
    }
}

#[test]
fn after_a_failed_write_nothing_more_is_cosigned_before_a_restart() {
    let (disk, log) = (SimDisk::new(7), TestLog::new(9));
    let witness = open(&disk, &clock(), &[log.vkey()]);
    assert_eq!(witness.add_checkpoint(log.request(0, 5).as_bytes()).status, 200);
    // Removing what may lie there, creating, writing, and then the sync.
    disk.fail_at(disk.op_count() + 3, Fault::Errno(5));
    assert_eq!(witness.add_checkpoint(log.request(5, 9).as_bytes()).status, 500);
    assert!(witness.status()[0].failed);
    assert_eq!(witness.add_checkpoint(log.request(5, 9).as_bytes()).status, 500);
    let witness = open(&disk, &clock(), &[log.vkey()]);
    assert_eq!(witness.add_checkpoint(log.request(5, 9).as_bytes()).status, 200);
}
