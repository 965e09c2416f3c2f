//! What a round of heads costs, by the number of logs in it: committing and building the tree, one path, and checking it. Prints the
//! hashes of the longest and of a middling path.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what it did not expect")]
#![expect(clippy::print_stdout, reason = "a benchmark says what it found")]

use std::hint::black_box;

use attestore_tlog::{Checkpoint, Hash, SlotTree, head_commitment, slot_of, slot_root};
use criterion::{Criterion, criterion_group, criterion_main};

fn leaves(origins: &[String]) -> Vec<(Hash, Hash)> {
    let leaf = |origin: &String| {
        let head = Checkpoint::new(origin.as_str(), 1_000_000, Hash([7; 32])).unwrap();
        (slot_of(origin), head_commitment(&[3; 32], &head))
    };
    origins.iter().map(leaf).collect()
}

fn rounds(criterion: &mut Criterion) {
    for logs in [1_000, 10_000, 100_000] {
        let origins: Vec<_> = (0..logs).map(|n| format!("attestore.log/{n:032x}")).collect();
        let mut group = criterion.benchmark_group(format!("heads/{logs}"));
        group.sample_size(10);
        group.bench_function("round", |b| {
            b.iter(|| SlotTree::new(leaves(black_box(&origins))).unwrap().root());
        });
        let all = leaves(&origins);
        let tree = SlotTree::new(all.clone()).unwrap();
        let mut lengths: Vec<_> = all
            .iter()
            .map(|(slot, _)| tree.siblings(slot).unwrap().len())
            .collect();
        lengths.sort_unstable();
        println!(
            "{logs} logs: paths of {} hashes at most, {} in the middle",
            lengths[logs - 1],
            lengths[logs / 2]
        );
        let (slot, commitment) = all[logs / 2];
        group.bench_function("path", |b| b.iter(|| tree.siblings(black_box(&slot)).unwrap()));
        let siblings = tree.siblings(&slot).unwrap();
        group.bench_function("check", |b| {
            b.iter(|| {
                assert_eq!(
                    slot_root(black_box(&slot), &commitment, &siblings),
                    Some(tree.root())
                )
            });
        });
        group.finish();
    }
}

criterion_group!(benches, rounds);
criterion_main!(benches);
