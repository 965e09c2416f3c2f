//! Roots sealed under keys that never leave a security module, over PKCS#11.
//!
//! Every generation has a key of its own: AES-256, made in the token, `CKA_SENSITIVE`, not `CKA_EXTRACTABLE`. It seals one root,
//! with `C_Encrypt` and AES-GCM: modules seldom have `C_WrapKey` with GCM. Destroying it is `C_DestroyObject`, and then the token has to
//! say that it does not find it, while it finds the key of the current generation: a token that finds nothing proves nothing.
//!
//! # Format
//! ```text
//! reference = CKA_ID = set[16] ‖ generation u64 BE ‖ random[8]
//! CKA_LABEL = "attestore root " ‖ set in hex ‖ " " ‖ generation
//! sealed    = length of the IV u8 ‖ IV ‖ AES-256-GCM(key, AAD, root[32]) ‖ tag[16]
//! ```
//! The IV is what the token used: some take ours, some make their own.
//!
//! # Errors
//! A wrong PIN is a wrong key, no token and no key are missing keys, everything else that a token says is [`Error::Unreachable`]:
//! return codes differ between modules, so nothing is concluded from them, and nothing of it is ever damage.

mod signing;
mod token;

use std::sync::Arc;

use cryptoki::error::Error as TokenError;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use zeroize::Zeroizing;

use self::signing::TokenSigning;
use self::token::Token;
pub use self::token::TokenAt;
use super::{Provider, RootSeal};
use crate::{Entropy, Error, Key, Result, SigningModule, random_array};

/// Seals under keys in a token.
pub struct Pkcs11Seal {
    token: Arc<Token>,
    set: [u8; 16],
}

impl Pkcs11Seal {
    /// Logs in to a token. `set` goes into the names of its keys.
    ///
    /// # Errors
    /// [`Error::WrongKey`] when the PIN is wrong, [`Error::MissingKey`] when there is no such module or token, or the PIN is locked;
    /// [`Error::Unreachable`].
    pub fn connect(at: TokenAt, pin: &str, set: [u8; 16]) -> Result<Self> {
        let token = Arc::new(Token::connect(at, pin)?);
        Ok(Self { token, set })
    }

    /// Keys of `reference`; there is one or none.
    fn find(session: &Session, reference: &[u8]) -> std::result::Result<Vec<ObjectHandle>, TokenError> {
        session.find_objects(&[
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::Id(reference.to_vec()),
        ])
    }

    /// Makes the key of `reference`; one that an attempt before left is replaced.
    fn make(&self, session: &Session, reference: &[u8]) -> std::result::Result<ObjectHandle, TokenError> {
        for left in Self::find(session, reference)? {
            session.destroy_object(left)?;
        }
        let key = session.generate_key(
            &Mechanism::AesKeyGen,
            &[
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::AES),
                Attribute::ValueLen(32.into()),
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Encrypt(true),
                Attribute::Decrypt(true),
                Attribute::Label(self.label(reference).into_bytes()),
                Attribute::Id(reference.to_vec()),
            ],
        )?;
        let kept = session.get_attributes(key, &[AttributeType::Sensitive, AttributeType::Extractable])?;
        let wanted = [Attribute::Sensitive(true), Attribute::Extractable(false)];
        match wanted.iter().all(|one| kept.contains(one)) {
            true => Ok(key),
            false => Err(TokenError::InvalidValue),
        }
    }

    fn label(&self, reference: &[u8]) -> String {
        let set: String = self.set.iter().map(|byte| format!("{byte:02x}")).collect();
        let generation = reference.get(16..24).and_then(|bytes| bytes.try_into().ok());
        format!(
            "attestore root {set} {}",
            generation.map_or(0, u64::from_be_bytes)
        )
    }

    /// The key of `reference`.
    fn key(&self, reference: &[u8]) -> Result<()> {
        let found = self
            .token
            .look(|session| Ok(Self::find(session, reference)?.pop()))?;
        found.map(drop).ok_or_else(|| self.missing(reference))
    }

    fn missing(&self, reference: &[u8]) -> Error {
        Error::MissingKey {
            what: format!("the key \"{}\" in {}", self.label(reference), self.token.name()),
        }
    }
}

impl RootSeal for Pkcs11Seal {
    fn provider(&self) -> Provider {
        Provider::Pkcs11
    }

    fn reference(&self, generation: u64, entropy: &dyn Entropy) -> Result<Vec<u8>> {
        let random: [u8; 8] = random_array(entropy);
        Ok([self.set.as_slice(), &generation.to_be_bytes(), &random].concat())
    }

    fn leaves_traces(&self) -> bool {
        true
    }

    fn seal(&self, reference: &[u8], aad: &[u8], root: &Key, entropy: &dyn Entropy) -> Result<Vec<u8>> {
        self.token.with(|session| {
            let key = self.make(session, reference)?;
            let mut iv: [u8; IV] = random_array(entropy);
            let params = GcmParams::new(&mut iv, aad, TAG_BITS.into())?;
            let sealed = session.encrypt(&Mechanism::AesGcm(params), key, root.expose())?;
            let length = u8::try_from(IV)?;
            Ok([&[length], iv.as_slice(), &sealed].concat())
        })
    }

    fn open(&self, reference: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Key> {
        let wrong = || Error::WrongKey {
            what: format!("the key \"{}\" in {}", self.label(reference), self.token.name()),
        };
        let (length, rest) = sealed.split_first().ok_or_else(wrong)?;
        let (iv, sealed) = rest.split_at_checked(usize::from(*length)).ok_or_else(wrong)?;
        if iv.is_empty() {
            return Err(wrong());
        }
        self.key(reference)?;
        let opened = self.token.with(|session| {
            let found = Self::find(session, reference)?;
            let Some(key) = found.first() else {
                return Ok(Err(self.missing(reference)));
            };
            let mut iv = iv.to_vec();
            let params = GcmParams::new(&mut iv, aad, TAG_BITS.into())?;
            // Which code says that it is not authentic differs between modules. Here the key is there and the session works.
            let opened = session.decrypt(&Mechanism::AesGcm(params), *key, sealed);
            Ok(opened.map(Zeroizing::new).map_err(|_| wrong()))
        })??;
        let root = opened.as_slice().try_into().map_err(|_| wrong())?;
        Ok(Key::from_bytes(root))
    }

    fn destroy(&self, reference: &[u8], witness: Option<&[u8]>) -> Result<()> {
        if let Some(witness) = witness {
            self.reach(witness)?;
        }
        self.token.with(|session| {
            for key in Self::find(session, reference)? {
                session.destroy_object(key)?;
            }
            Ok(())
        })?;
        let left = self.token.with(|session| Self::find(session, reference))?;
        if !left.is_empty() {
            let what = format!("{}: a key is there after it was destroyed", self.token.name());
            return Err(Error::Unreachable { what });
        }
        match witness {
            Some(witness) => self.reach(witness),
            None => Ok(()),
        }
    }

    fn signing(&self) -> Option<Arc<dyn SigningModule>> {
        Some(Arc::new(TokenSigning::new(Arc::clone(&self.token), self.set)))
    }

    fn reach(&self, reference: &[u8]) -> Result<()> {
        self.key(reference).map_err(|error| match error {
            // The server has it open: what it needs is not to be found, and may come back.
            Error::MissingKey { what } => Error::Unreachable {
                what: format!("{what} is not found"),
            },
            other => other,
        })
    }
}

const IV: usize = 12;
const TAG_BITS: u64 = 128;

#[cfg(test)]
mod tests;
