//! Ed25519 keys in the token, beside those that seal roots.
//!
//! # Format
//! ```text
//! CKA_ID    = set[16] ‖ random[16], of both halves
//! CKA_LABEL = "attestore signing " ‖ set in hex ‖ " " ‖ random in hex
//! ```
//! The private half is `CKA_SENSITIVE`, not `CKA_EXTRACTABLE`, and signs only; mechanisms are `CKM_EC_EDWARDS_KEY_PAIR_GEN` with the OID
//! of the curve and `CKM_EDDSA` (PKCS#11 3.0, and SoftHSM before it).

use std::sync::Arc;

use cryptoki::error::Error as TokenError;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::token::Token;
use crate::{Entropy, Error, Result, SigningModule, random_array};

/// Signs in a token that somebody is logged in to.
pub(super) struct TokenSigning {
    token: Arc<Token>,
    set: [u8; 16],
}

type Said<T> = std::result::Result<T, TokenError>;

impl TokenSigning {
    pub(super) fn new(token: Arc<Token>, set: [u8; 16]) -> Self {
        Self { token, set }
    }

    fn find(session: &Session, class: ObjectClass, reference: &[u8]) -> Said<Vec<ObjectHandle>> {
        session.find_objects(&[
            Attribute::Class(class),
            Attribute::KeyType(KeyType::EC_EDWARDS),
            Attribute::Id(reference.to_vec()),
        ])
    }

    /// Destroys both halves.
    fn remove(session: &Session, reference: &[u8]) -> Said<()> {
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            for left in Self::find(session, class, reference)? {
                session.destroy_object(left)?;
            }
        }
        Ok(())
    }

    fn generate(&self, session: &Session, reference: &[u8]) -> Said<ObjectHandle> {
        let label = self.label(reference).into_bytes();
        let named = |class| {
            vec![
                Attribute::Class(class),
                Attribute::KeyType(KeyType::EC_EDWARDS),
                Attribute::Token(true),
                Attribute::Label(label.clone()),
                Attribute::Id(reference.to_vec()),
            ]
        };
        let mut public = named(ObjectClass::PUBLIC_KEY);
        public.extend([
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(CURVE.to_vec()),
        ]);
        let mut private = named(ObjectClass::PRIVATE_KEY);
        private.extend([
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ]);
        let (public, private) =
            session.generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private)?;
        let kept =
            session.get_attributes(private, &[AttributeType::Sensitive, AttributeType::Extractable])?;
        let wanted = [Attribute::Sensitive(true), Attribute::Extractable(false)];
        match wanted.iter().all(|one| kept.contains(one)) {
            true => Ok(public),
            false => Err(TokenError::InvalidValue),
        }
    }

    fn label(&self, reference: &[u8]) -> String {
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        format!(
            "attestore signing {} {}",
            hex(&self.set),
            hex(reference.get(16..).unwrap_or_default())
        )
    }

    /// How many of those keys are this directory's.
    fn ours(&self, template: &[Attribute]) -> Result<usize> {
        let found = self.token.look(|session| {
            let keys = session.find_objects(template)?;
            let ids = keys
                .into_iter()
                .map(|key| session.get_attributes(key, &[AttributeType::Id]));
            let ids = ids.collect::<Said<Vec<_>>>()?;
            let ours = |id: &&Attribute| matches!(id, Attribute::Id(id) if id.starts_with(&self.set));
            let ours = ids.iter().flatten().filter(ours).count();
            Ok((ours > 0).then_some(ours))
        })?;
        Ok(found.unwrap_or(0))
    }

    /// Whether the token has a key of this directory that seals a root: one that does not know of it does not know of anything that it
    /// is gone.
    fn knows_us(&self) -> Result<()> {
        match self.ours(&[Attribute::Class(ObjectClass::SECRET_KEY)])? {
            1.. => Ok(()),
            0 => Err(Error::Unreachable {
                what: format!("{}: it has no key of this directory", self.token.name()),
            }),
        }
    }
}

impl SigningModule for TokenSigning {
    fn check(&self) -> Result<()> {
        let known = self.token.mechanisms()?;
        for wanted in [MechanismType::ECC_EDWARDS_KEY_PAIR_GEN, MechanismType::EDDSA] {
            if !known.contains(&wanted) {
                let what = format!(
                    "{}: it makes no Ed25519 keys ({wanted} is not there)",
                    self.token.name()
                );
                return Err(Error::MissingKey { what });
            }
        }
        Ok(())
    }

    fn reference(&self, entropy: &dyn Entropy) -> Vec<u8> {
        let random: [u8; 16] = random_array(entropy);
        [self.set, random].concat()
    }

    fn make(&self, reference: &[u8]) -> Result<[u8; 32]> {
        self.check()?;
        let point = self.token.with(|session| {
            Self::remove(session, reference)?;
            let public = self.generate(session, reference)?;
            let point = session.get_attributes(public, &[AttributeType::EcPoint])?;
            Ok(point.into_iter().find_map(|one| match one {
                Attribute::EcPoint(point) => Some(point),
                _ => None,
            }))
        })?;
        // In an OCTET STRING, as PKCS#11 before 3.0 has it, or the bytes themselves.
        let point = point.unwrap_or_default();
        let bytes = match point.as_slice() {
            [4, 32, bytes @ ..] => bytes,
            bytes => bytes,
        };
        bytes.try_into().map_err(|_| Error::Unreachable {
            what: format!("{}: a public key of {} bytes", self.token.name(), bytes.len()),
        })
    }

    fn sign(&self, reference: &[u8], message: &[u8]) -> Result<[u8; 64]> {
        let signature = self.token.look(|session| {
            let found = Self::find(session, ObjectClass::PRIVATE_KEY, reference)?;
            let Some(key) = found.first() else { return Ok(None) };
            let pure = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
            session.sign(&pure, *key, message).map(Some)
        })?;
        let signature = signature.ok_or_else(|| Error::MissingKey {
            what: format!("the key \"{}\" in {}", self.label(reference), self.token.name()),
        })?;
        signature.as_slice().try_into().map_err(|_| Error::Unreachable {
            what: format!("{}: a signature of {} bytes", self.token.name(), signature.len()),
        })
    }

    fn count(&self) -> Result<usize> {
        self.ours(&[
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::KeyType(KeyType::EC_EDWARDS),
        ])
    }

    fn owns(&self, reference: &[u8]) -> bool {
        reference.starts_with(&self.set)
    }

    fn destroy(&self, reference: &[u8]) -> Result<()> {
        self.knows_us()?;
        self.token.with(|session| Self::remove(session, reference))?;
        let left = self.token.with(|session| {
            let halves = [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY];
            let found = halves.map(|class| Self::find(session, class, reference));
            found
                .into_iter()
                .try_fold(0, |left, found| Ok(left + found?.len()))
        })?;
        if left > 0 {
            let what = format!("{}: a key is there after it was destroyed", self.token.name());
            return Err(Error::Unreachable { what });
        }
        self.knows_us()
    }
}

/// The curve as DER: OID 1.3.101.112, Ed25519.
const CURVE: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
