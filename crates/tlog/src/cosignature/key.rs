//! Keys of cosigners: `<name>+<key id, 8 hex digits>+<base64(type ‖ public key)>` with type 0x04 or 0x06.

use alloc::{boxed::Box, string::String};
use core::{fmt, str::FromStr};

use ed25519_dalek::VerifyingKey;

use super::{COSIGNATURE_TIME_MAX, CosignatureError, message};
use crate::{
    checkpoint::Checkpoint,
    note::{
        NoteSignature, VerifierKeyError,
        key::{VkeyParts, ed25519, ed25519_verifies, is_key_name, key_id, write_vkey},
    },
};

/// Verifies cosignatures of one cosigner. Displays as its vkey text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CosignerKey {
    name: String,
    id: u32,
    public: Public,
}

/// Algorithms of cosignatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CosignerKind {
    /// Type 0x04.
    Ed25519,
    /// Type 0x06.
    MlDsa44,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Public {
    Ed25519(VerifyingKey),
    MlDsa44(Box<[u8]>),
}

impl CosignerKey {
    /// Makes the key of a name and an Ed25519 public key.
    ///
    /// # Errors
    /// [`VerifierKeyError::Name`] or [`VerifierKeyError::Public`].
    pub fn ed25519(name: &str, public: [u8; 32]) -> Result<Self, VerifierKeyError> {
        Self::new(name, Public::Ed25519(ed25519(&public)?))
    }

    /// Makes the key of a name and an ML-DSA-44 public key of 1,312 bytes.
    ///
    /// # Errors
    /// [`VerifierKeyError::Name`], also for one of more than 255 bytes, which such a cosignature cannot state, or
    /// [`VerifierKeyError::Public`].
    pub fn ml_dsa_44(name: &str, public: &[u8]) -> Result<Self, VerifierKeyError> {
        if public.len() != ML_DSA_44_PUBLIC_BYTES {
            return Err(VerifierKeyError::Public);
        }
        if name.len() > usize::from(u8::MAX) {
            return Err(VerifierKeyError::Name);
        }
        Self::new(name, Public::MlDsa44(public.into()))
    }

    /// Parses a vkey text.
    ///
    /// # Errors
    /// [`VerifierKeyError`] for the first rule it breaks; [`VerifierKeyError::Type`] also for the key of a log.
    pub fn parse(vkey: &str) -> Result<Self, VerifierKeyError> {
        let parts = VkeyParts::parse(vkey)?;
        let key = match parts.kind {
            ED25519 => {
                let public = parts.public.as_slice().try_into();
                Self::ed25519(parts.name, public.map_err(|_| VerifierKeyError::Malformed)?)?
            }
            ML_DSA_44 => Self::ml_dsa_44(parts.name, &parts.public)?,
            other => return Err(VerifierKeyError::Type(other)),
        };
        if key.id == parts.id {
            Ok(key)
        } else {
            Err(VerifierKeyError::Id)
        }
    }

    fn new(name: &str, public: Public) -> Result<Self, VerifierKeyError> {
        if !is_key_name(name) {
            return Err(VerifierKeyError::Name);
        }
        let id = key_id(name, public.kind(), public.bytes());
        Ok(Self {
            name: name.into(),
            id,
            public,
        })
    }

    /// Returns the key name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the key id.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Returns the algorithm.
    #[must_use]
    pub const fn kind(&self) -> CosignerKind {
        match self.public {
            Public::Ed25519(_) => CosignerKind::Ed25519,
            Public::MlDsa44(_) => CosignerKind::MlDsa44,
        }
    }

    /// Returns the public key: 32 bytes of Ed25519, 1,312 of ML-DSA-44.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        self.public.bytes()
    }

    /// Tells whether this build can verify what the key signs.
    #[must_use]
    pub const fn is_supported(&self) -> bool {
        matches!(self.public, Public::Ed25519(_)) || cfg!(feature = "ml-dsa")
    }

    /// Tells whether the line claims to be by this key.
    #[must_use]
    pub fn made(&self, line: &NoteSignature) -> bool {
        line.name() == self.name && line.key_id() == self.id
    }

    /// Verifies the signature of a line by this key; the time it states.
    pub(super) fn verify(
        &self,
        text: &str,
        checkpoint: &Checkpoint,
        stamped: &[u8],
    ) -> Result<u64, CosignatureError> {
        let (time, signature) = stamped.split_first_chunk().ok_or(CosignatureError::Malformed)?;
        let time_s = u64::from_be_bytes(*time);
        if time_s > COSIGNATURE_TIME_MAX || signature.len() != self.signature_bytes() {
            return Err(CosignatureError::Malformed);
        }
        let verifies = match &self.public {
            Public::Ed25519(public) => {
                if time_s == 0 {
                    return Err(CosignatureError::Malformed);
                }
                ed25519_verifies(public, &message::ed25519(text, time_s), signature)
            }
            Public::MlDsa44(public) => {
                let message = message::ml_dsa_44(&self.name, checkpoint, time_s);
                ml_dsa_44_verifies(public, &message.ok_or(CosignatureError::Malformed)?, signature)?
            }
        };
        if verifies {
            Ok(time_s)
        } else {
            Err(CosignatureError::Signature)
        }
    }

    const fn signature_bytes(&self) -> usize {
        match self.public {
            Public::Ed25519(_) => 64,
            Public::MlDsa44(_) => ML_DSA_44_SIGNATURE_BYTES,
        }
    }
}

impl Public {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(public) => public.as_bytes(),
            Self::MlDsa44(public) => public,
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Ed25519(_) => ED25519,
            Self::MlDsa44(_) => ML_DSA_44,
        }
    }
}

impl fmt::Display for CosignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_vkey(f, &self.name, self.id, self.public.kind(), self.public.bytes())
    }
}

impl FromStr for CosignerKey {
    type Err = VerifierKeyError;

    fn from_str(vkey: &str) -> Result<Self, VerifierKeyError> {
        Self::parse(vkey)
    }
}

#[cfg(feature = "ml-dsa")]
fn ml_dsa_44_verifies(public: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, CosignatureError> {
    use ml_dsa::{EncodedVerifyingKey, MlDsa44, Signature, VerifyingKey};

    let public = EncodedVerifyingKey::<MlDsa44>::try_from(public).map_err(|_| CosignatureError::Malformed)?;
    let Ok(signature) = Signature::<MlDsa44>::try_from(signature) else {
        return Ok(false);
    };
    Ok(VerifyingKey::<MlDsa44>::decode(&public).verify_with_context(message, &[], &signature))
}

#[cfg(not(feature = "ml-dsa"))]
const fn ml_dsa_44_verifies(_: &[u8], _: &[u8], _: &[u8]) -> Result<bool, CosignatureError> {
    Err(CosignatureError::Unsupported)
}

/// Signature type of timestamped Ed25519 cosignatures.
const ED25519: u8 = 0x04;
/// Signature type of timestamped ML-DSA-44 cosignatures.
const ML_DSA_44: u8 = 0x06;
/// Bytes of an ML-DSA-44 public key (FIPS 204 table 2).
const ML_DSA_44_PUBLIC_BYTES: usize = 1312;
/// Bytes of an ML-DSA-44 signature.
const ML_DSA_44_SIGNATURE_BYTES: usize = 2420;
