//! Sealing for somebody who is not here: what is sealed under a recipient opens only with a key that is kept elsewhere.
//!
//! A server that makes backups holds the recipient, and the operator the key: who takes over the server opens no backup.
//!
//! # Format
//! ```text
//! sealed    = recipient id[8] ‖ ephemeral X25519 public key[32] ‖ nonce[12] ‖ AES-256-GCM(key, context, plaintext) ‖ tag[16]
//! key       = derive("attestore 2026 recipient v1", [X25519 shared secret, ephemeral public key, recipient's public key])
//! recipient = "attestore-backup-recipient-v1:" ‖ 64 hex digits
//! key file  = "attestore-backup-key-v1:" ‖ 64 hex digits
//! ```
//! The recipient id is the first 8 bytes of derive("attestore 2026 recipient id v1", [public key]): it tells a wrong key from damage.

use std::fmt;

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{Entropy, Error, Key, Result, aead, derive};

/// Opens what was sealed for its [`Recipient`].
pub struct RecipientKey {
    private: Key,
    recipient: Recipient,
}

/// Whom something is sealed for. No secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient([u8; KEY]);

impl RecipientKey {
    /// Draws a fresh key.
    ///
    /// # Errors
    /// Never in practice: every 32 bytes are a key.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self> {
        Self::of(Key::random(entropy))
    }

    /// The key whose 32 bytes are `private`, as [`RecipientKey::generate`] draws them.
    ///
    /// # Errors
    /// Never in practice: every 32 bytes are a key.
    pub fn from_private(private: Key) -> Result<Self> {
        Self::of(private)
    }

    /// Reads the text of a key file; white space around it does not count.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn parse(text: &str) -> Result<Self> {
        let bytes =
            digits(text.trim(), KEY_PREFIX).ok_or_else(|| damaged("a backup key", "not the text of one"))?;
        Self::of(Key::from_bytes(*bytes))
    }

    /// The text of a key file. A secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(text(KEY_PREFIX, self.private.expose()))
    }

    /// Whom to seal for.
    pub fn recipient(&self) -> Recipient {
        self.recipient
    }

    /// Opens what [`Recipient::seal`] returned with the same `context`.
    ///
    /// # Errors
    /// [`Error::WrongKey`] when it is for another recipient, [`Error::Damaged`].
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let damaged = |reason| damaged("what was sealed for a recipient", reason);
        let (id, rest) = sealed
            .split_first_chunk::<ID>()
            .ok_or_else(|| damaged("too short"))?;
        if !bool::from(id.ct_eq(&self.recipient.id())) {
            return Err(Error::WrongKey {
                what: "what was sealed for another recipient".to_owned(),
            });
        }
        let (ephemeral, rest) = rest
            .split_first_chunk::<KEY>()
            .ok_or_else(|| damaged("too short"))?;
        let key = shared(&self.private, ephemeral, ephemeral, &self.recipient.0)
            .ok_or_else(|| damaged("no public key"))?;
        let plain = aead::open_random(&key, context, rest).map_err(|_| damaged("not authentic"))?;
        Ok(Zeroizing::new(plain))
    }

    fn of(private: Key) -> Result<Self> {
        let public = public(&private).ok_or_else(|| damaged("a backup key", "no X25519 key"))?;
        Ok(Self {
            private,
            recipient: Recipient(public),
        })
    }
}

impl Recipient {
    /// Reads what its `Display` writes; white space around it does not count.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn parse(text: &str) -> Result<Self> {
        digits(text.trim(), RECIPIENT_PREFIX)
            .map(|bytes| Self(*bytes))
            .ok_or_else(|| damaged("a backup recipient", "not the text of one"))
    }

    /// Recognises it.
    pub fn id(&self) -> [u8; ID] {
        let derived = derive("attestore 2026 recipient id v1", &[&self.0]);
        let mut id = [0; ID];
        id.copy_from_slice(&derived.expose()[..ID]);
        id
    }

    /// Seals `plaintext`, bound to `context`, under a key that nobody here keeps.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the recipient is no usable public key.
    pub fn seal(&self, entropy: &dyn Entropy, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
        let ephemeral = RecipientKey::generate(entropy)?;
        let public = ephemeral.recipient.0;
        let key = shared(&ephemeral.private, &self.0, &public, &self.0)
            .ok_or_else(|| damaged("a backup recipient", "no public key"))?;
        let mut sealed = self.id().to_vec();
        sealed.extend_from_slice(&public);
        sealed.extend_from_slice(&aead::seal_random(&key, entropy, context, plaintext));
        Ok(sealed)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(RECIPIENT_PREFIX, &self.0))
    }
}

fn public(private: &Key) -> Option<[u8; KEY]> {
    let private = PrivateKey::from_private_key(&X25519, private.expose()).ok()?;
    private.compute_public_key().ok()?.as_ref().try_into().ok()
}

/// The key that both sides come to.
fn shared(private: &Key, peer: &[u8; KEY], ephemeral: &[u8; KEY], recipient: &[u8; KEY]) -> Option<Key> {
    let private = PrivateKey::from_private_key(&X25519, private.expose()).ok()?;
    let peer = UnparsedPublicKey::new(&X25519, peer);
    agree(&private, peer, (), |secret| {
        Ok(derive(
            "attestore 2026 recipient v1",
            &[secret, ephemeral, recipient],
        ))
    })
    .ok()
}

fn damaged(what: &str, reason: &'static str) -> Error {
    Error::Damaged {
        what: what.to_owned(),
        reason,
    }
}

fn text(prefix: &str, bytes: &[u8; KEY]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.filter_map(|digit| char::from_digit(u32::from(digit), 16));
    prefix.chars().chain(digits).collect()
}

fn digits(text: &str, prefix: &str) -> Option<Zeroizing<[u8; KEY]>> {
    let (pairs, rest) = text.strip_prefix(prefix)?.as_bytes().as_chunks::<2>();
    if pairs.len() != KEY || !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut bytes = Zeroizing::new([0; KEY]);
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

const KEY: usize = 32;
const ID: usize = 8;
const KEY_PREFIX: &str = "attestore-backup-key-v1:";
const RECIPIENT_PREFIX: &str = "attestore-backup-recipient-v1:";

#[cfg(test)]
mod tests {
    use super::{Recipient, RecipientKey};
    use crate::{Error, SeededEntropy};

    #[test]
    fn only_the_recipient_opens_and_only_in_its_context() {
        let entropy = SeededEntropy::new(1);
        let key = RecipientKey::generate(&entropy).unwrap();
        let other = RecipientKey::generate(&entropy).unwrap();
        let sealed = key.recipient().seal(&entropy, b"here", b"secret").unwrap();
        assert_eq!(key.open(b"here", &sealed).unwrap().as_slice(), b"secret");
        assert!(matches!(key.open(b"there", &sealed), Err(Error::Damaged { .. })));
        assert!(matches!(
            other.open(b"here", &sealed),
            Err(Error::WrongKey { .. })
        ));
        assert_ne!(
            key.recipient().seal(&entropy, b"here", b"secret").unwrap(),
            sealed
        );
    }

    #[test]
    fn every_flipped_byte_is_refused() {
        let entropy = SeededEntropy::new(2);
        let key = RecipientKey::generate(&entropy).unwrap();
        let sealed = key.recipient().seal(&entropy, b"", b"secret").unwrap();
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert!(key.open(b"", &flipped).is_err(), "byte {at}");
        }
        for len in 0..sealed.len() {
            assert!(key.open(b"", &sealed[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn texts_come_back_and_others_are_refused() {
        let key = RecipientKey::generate(&SeededEntropy::new(3)).unwrap();
        let text = key.to_text();
        let again = RecipientKey::parse(&format!("{}\n", text.as_str())).unwrap();
        assert_eq!(again.recipient(), key.recipient());
        let recipient = key.recipient().to_string();
        assert_eq!(Recipient::parse(&recipient).unwrap(), key.recipient());
        for bad in [
            "",
            "attestore-backup-key-v1:",
            &recipient,
            &text[..text.len() - 1],
        ] {
            assert!(RecipientKey::parse(bad).is_err(), "{bad}");
        }
        assert!(Recipient::parse(&text).is_err());
    }
}
