use std::collections::HashSet;

use super::{SystemEntropy, random_array};

#[test]
fn no_random_bytes_are_given_out_twice() {
    let draws: HashSet<[u8; 12]> = (0..10_000).map(|_| random_array(&SystemEntropy)).collect();
    assert_eq!(draws.len(), 10_000);
    let other = std::thread::spawn(|| (0..10_000).map(|_| random_array(&SystemEntropy)).collect());
    let other: HashSet<[u8; 12]> = other.join().unwrap();
    assert!(draws.is_disjoint(&other));
}
