//! Random writes, cuts, syncs and crashes against a plain vector.

use std::sync::Arc;

use super::{SealedStorage, SimDisk, StorageBackend, create, entropy, root};

/// A small deterministic generator; the seed is in every message.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[test]
fn any_sequence_of_calls_reads_like_a_vector_and_crashes_back_to_the_last_sync() {
    let root = root();
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let mut disk = SimDisk::new(seed);
        let mut storage = create(&disk, &root).unwrap();
        let mut content: Vec<u8> = Vec::new();
        let mut synced = content.clone();
        for step in 0..60 {
            let what = format!("seed {seed}, step {step}");
            match numbers.below(10) {
                0..=4 => {
                    let at = usize::try_from(numbers.below(60_000)).unwrap();
                    let len = usize::try_from(numbers.below(12_000)).unwrap();
                    let byte = u8::try_from(numbers.below(255)).unwrap() + 1;
                    content.resize(content.len().max(at + len), 0);
                    content[at..at + len].fill(byte);
                    storage.write(at as u64, &vec![byte; len]).unwrap();
                    if len == 0 {
                        storage.set_len(content.len() as u64).unwrap();
                    }
                }
                5 | 6 => {
                    let len = usize::try_from(numbers.below(90_000)).unwrap();
                    content.resize(len, 0);
                    storage.set_len(len as u64).unwrap();
                }
                7 | 8 => {
                    storage.sync_data().unwrap();
                    synced.clone_from(&content);
                    assert_eq!(storage.scan(), [], "{what}");
                }
                _ => {
                    disk = disk.crash();
                    // Below the public opening, which empties a file that is no store.
                    storage = SealedStorage(Arc::new(
                        super::super::open::open(&disk, &root, entropy(step)).unwrap(),
                    ));
                    content.clone_from(&synced);
                }
            }
            assert_eq!(storage.len().unwrap(), content.len() as u64, "{what}");
            let mut read = vec![0xEE; content.len()];
            storage.read(0, &mut read).unwrap();
            assert!(read == content, "{what}: content differs");
        }
    }
}
