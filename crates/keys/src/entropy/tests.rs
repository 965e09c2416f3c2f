use std::collections::HashSet;

use super::{Entropy, STORE, SystemEntropy, random_array};

#[test]
fn no_random_bytes_are_given_out_twice() {
    let draws: HashSet<[u8; 12]> = (0..10_000).map(|_| random_array(&SystemEntropy)).collect();
    assert_eq!(draws.len(), 10_000);
    let other = std::thread::spawn(|| (0..10_000).map(|_| random_array(&SystemEntropy)).collect());
    let other: HashSet<[u8; 12]> = other.join().unwrap();
    assert!(draws.is_disjoint(&other));
}

#[test]
fn the_store_keeps_nothing_of_what_it_gave_out() {
    let _: [u8; 16] = random_array(&SystemEntropy);
    STORE.with_borrow(|store| {
        assert!(store.bytes[store.left..].iter().all(|byte| *byte == 0));
        assert!(store.left > 0);
    });
}

#[test]
fn keys_do_not_come_out_of_the_store() {
    let _: [u8; 1] = random_array(&SystemEntropy);
    let before = STORE.with_borrow(|store| store.left);
    let mut key = [0; 32];
    SystemEntropy.fill(&mut key);
    assert_ne!(key, [0; 32]);
    assert_eq!(STORE.with_borrow(|store| store.left), before);
}
