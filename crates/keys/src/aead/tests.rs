use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use proptest::prelude::{any, prop_assert_eq, proptest};

use super::{NONCE, OVERHEAD, OpenError, Sealer, TAG, open_random, seal_random};
use crate::{Key, SeededEntropy};

fn oracle(key: [u8; 32], nonce: [u8; NONCE], aad: &[u8], msg: &[u8]) -> Vec<u8> {
    Aes256Gcm::new(&key.into())
        .encrypt(&nonce.into(), Payload { msg, aad })
        .unwrap()
}

proptest! {
    #[test]
    fn sealing_gives_the_same_bytes_as_another_implementation(
        key in any::<[u8; 32]>(), nonce in any::<[u8; NONCE]>(), aad in any::<Vec<u8>>(), plain in any::<Vec<u8>>(),
    ) {
        let sealer = Sealer::new(&Key::from_bytes(key));
        let mut sealed = plain.clone();
        let tag = sealer.seal_in_place(nonce, &aad, &mut sealed);
        let expected = oracle(key, nonce, &aad, &plain);
        prop_assert_eq!([sealed.as_slice(), &tag].concat(), expected);
        sealer.open_in_place(nonce, &aad, &mut sealed, &tag).unwrap();
        prop_assert_eq!(sealed, plain);
    }

    #[test]
    fn what_was_sealed_opens_again(plain in any::<Vec<u8>>(), aad in any::<Vec<u8>>(), seed in any::<u64>()) {
        let entropy = SeededEntropy::new(seed);
        let key = Key::random(&entropy);
        let sealed = seal_random(&key, &entropy, &aad, &plain);
        prop_assert_eq!(sealed.len(), plain.len() + OVERHEAD);
        prop_assert_eq!(open_random(&key, &aad, &sealed), Ok(plain));
    }
}

#[test]
fn the_test_vector_of_the_gcm_specification_holds() {
    // McGrew and Viega, "The Galois/Counter Mode of Operation", test case 14.
    let mut block = [0; 16];
    let tag = Sealer::new(&Key::from_bytes([0; 32])).seal_in_place([0; NONCE], b"", &mut block);
    assert_eq!(
        u128::from_be_bytes(block),
        0xcea7_403d_4d60_6b6e_074e_c5d3_baf3_9d18
    );
    assert_eq!(
        u128::from_be_bytes(tag),
        0xd0d1_c8a7_9999_6bf0_265b_98b5_d48a_b919
    );
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let entropy = SeededEntropy::new(1);
    let key = Key::random(&entropy);
    let sealed = seal_random(&key, &entropy, b"aad", b"some plaintext");
    for at in 0..sealed.len() {
        for bit in 0..8 {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1 << bit;
            assert_eq!(open_random(&key, b"aad", &flipped), Err(OpenError), "byte {at}");
        }
        assert_eq!(
            open_random(&key, b"aad", &sealed[..at]),
            Err(OpenError),
            "cut at {at}"
        );
    }
    assert_eq!(open_random(&key, b"other", &sealed), Err(OpenError));
    assert_eq!(
        open_random(&Key::random(&entropy), b"aad", &sealed),
        Err(OpenError)
    );
}

#[test]
fn random_nonces_differ() {
    let entropy = SeededEntropy::new(1);
    let key = Key::random(&entropy);
    let first = seal_random(&key, &entropy, b"", b"x");
    let second = seal_random(&key, &entropy, b"", b"x");
    assert_ne!(first[..NONCE], second[..NONCE]);
    assert_eq!(first.len(), NONCE + 1 + TAG);
}
