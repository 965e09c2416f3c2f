use std::sync::Arc;

use super::{SigningKey, SigningModule};
use crate::{Entropy, Error, Key, Result};

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    let bytes: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect();
    bytes.try_into().unwrap()
}

#[test]
fn the_test_vector_of_rfc_8032_holds() {
    // Section 7.1, test 2.
    let key = SigningKey::from_seed(&Key::from_bytes(bytes(
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    )));
    assert_eq!(
        key.public(),
        bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    );
    assert_eq!(
        key.sign(&[0x72]).unwrap(),
        bytes(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        )
    );
}

/// A module that signs under some key, whatever it is asked for.
struct Signs(Key);

impl SigningModule for Signs {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn reference(&self, _: &dyn Entropy) -> Vec<u8> {
        Vec::new()
    }

    fn make(&self, _: &[u8]) -> Result<[u8; 32]> {
        Ok(SigningKey::from_seed(&self.0).public())
    }

    fn sign(&self, _: &[u8], message: &[u8]) -> Result<[u8; 64]> {
        SigningKey::from_seed(&self.0).sign(message)
    }

    fn destroy(&self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn count(&self) -> Result<usize> {
        Ok(1)
    }

    fn owns(&self, _: &[u8]) -> bool {
        true
    }
}

#[test]
fn a_module_that_signs_under_another_key_gives_no_signature() {
    let own: Arc<dyn SigningModule> = Arc::new(Signs(Key::from_bytes([1; 32])));
    let public = own.make(&[]).unwrap();
    let key = SigningKey::in_module(Some(Arc::clone(&own)), Vec::new(), public);
    let seed = SigningKey::from_seed(&Key::from_bytes([1; 32]));
    assert_eq!(key.sign(b"text").unwrap(), seed.sign(b"text").unwrap());
    let other = Arc::new(Signs(Key::from_bytes([2; 32])));
    let refused = SigningKey::in_module(Some(other), Vec::new(), public)
        .sign(b"text")
        .unwrap_err();
    assert!(matches!(refused, Error::Unreachable { .. }), "{refused}");
    let nobody = SigningKey::in_module(None, Vec::new(), public)
        .sign(b"text")
        .unwrap_err();
    assert!(matches!(nobody, Error::Unreachable { .. }), "{nobody}");
}
