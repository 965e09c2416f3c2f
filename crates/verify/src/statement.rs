//! Signed statements: receipts of purges, certificates of erasures. in-toto Statements v1 in DSSE envelopes, signed by the key of the
//! log that they are about.
//!
//! # Format
//! An envelope is one JSON object: `payloadType` (`application/vnd.in-toto+json`), `payload` (base64 of the statement's bytes)
//! and `signatures`, each with `keyid` (the vkey of the log) and `sig` (base64 of 64 bytes). What is signed, with Ed25519:
//!
//!     "DSSEv1" SP len(payloadType) SP payloadType SP len(payload) SP payload
//!
//! No note of a log begins like that, so neither can stand for the other. The statement is a JSON object with `_type`, `subject`,
//! `predicateType` and `predicate`.

use attestore_tlog::{NoteError, NoteSigner, VerifierKey, base64_decode, base64_encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::trust::Trust;

/// Type of the payload of every envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Type of every statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// Longest envelope that is read, bytes.
pub const STATEMENT_BYTES_MAX: usize = 64 << 20;

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its name.
    pub name: String,
    /// What tells it from anything else.
    pub digest: Digest,
}

/// A digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// SHA-256, 64 lower-case hex digits.
    pub sha256: String,
}

/// An in-toto Statement v1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub ty: String,
    /// What it is about.
    pub subject: Vec<Subject>,
    /// What kind of predicate it has, a URI.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What it says.
    pub predicate: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Signature {
    keyid: String,
    sig: String,
}

/// A statement that a trusted key signed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerifiedStatement {
    /// Name of the log whose key signed it.
    pub origin: String,
    /// That key, as a vkey.
    pub vkey: String,
    /// What it says.
    pub statement: Statement,
}

/// Why a statement is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// It is no DSSE envelope with a statement in it.
    #[error("no statement in a DSSE envelope: {0}")]
    Malformed(String),
    /// A key that is to sign it cannot be had.
    #[error(transparent)]
    Signer(NoteError),
    /// No trusted key signed it.
    #[error("no key that is trusted signed it")]
    Unsigned,
}

impl Statement {
    /// Makes a statement.
    #[must_use]
    pub fn new(subject: Vec<Subject>, predicate_type: &str, predicate: Value) -> Self {
        Self {
            ty: STATEMENT_TYPE.to_owned(),
            subject,
            predicate_type: predicate_type.to_owned(),
            predicate,
        }
    }

    /// Signs it: the envelope, one line of JSON.
    ///
    /// # Errors
    /// When it does not serialise, or a signer has no valid key.
    pub fn sign(&self, signers: &[&dyn NoteSigner]) -> Result<String, StatementError> {
        let malformed = |error: &dyn std::fmt::Display| StatementError::Malformed(error.to_string());
        let payload = serde_json::to_vec(self).map_err(|error| malformed(&error))?;
        let message = signed_bytes(PAYLOAD_TYPE, &payload);
        let mut signatures = Vec::with_capacity(signers.len());
        for signer in signers {
            let key = VerifierKey::new(signer.name(), signer.public()).map_err(|error| malformed(&error))?;
            signatures.push(Signature {
                keyid: key.to_string(),
                sig: base64_encode(&signer.sign(&message).map_err(StatementError::Signer)?),
            });
        }
        let envelope = Envelope {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: base64_encode(&payload),
            signatures,
        };
        serde_json::to_string(&envelope).map_err(|error| malformed(&error))
    }
}

/// Verifies a statement against the keys that the caller trusts. Keys that it names itself are never used.
///
/// # Errors
/// [`StatementError`].
pub fn verify_statement(envelope: &str, trust: &Trust) -> Result<VerifiedStatement, StatementError> {
    let malformed = |reason: &str| StatementError::Malformed(reason.to_owned());
    if envelope.len() > STATEMENT_BYTES_MAX {
        return Err(malformed("it is too long"));
    }
    let envelope: Envelope =
        serde_json::from_str(envelope).map_err(|error| StatementError::Malformed(error.to_string()))?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(malformed("its payload is of another type"));
    }
    let payload = base64_decode(&envelope.payload).ok_or_else(|| malformed("its payload is not base64"))?;
    let message = signed_bytes(&envelope.payload_type, &payload);
    let signatures = envelope.signatures.iter().take(SIGNATURES_MAX);
    let signatures: Vec<_> = signatures.filter_map(|one| base64_decode(&one.sig)).collect();
    let key = trust
        .keys()
        .find(|key| signatures.iter().any(|signature| key.signed(&message, signature)));
    let key = key.ok_or(StatementError::Unsigned)?;
    let statement: Statement =
        serde_json::from_slice(&payload).map_err(|error| StatementError::Malformed(error.to_string()))?;
    if statement.ty != STATEMENT_TYPE {
        return Err(malformed("its payload is no in-toto Statement v1"));
    }
    Ok(VerifiedStatement {
        origin: key.name().to_owned(),
        vkey: key.to_string(),
        statement,
    })
}

/// The bytes that DSSE signs (its pre-authentication encoding).
fn signed_bytes(ty: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {ty} {} ", ty.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

/// Signatures of one envelope that are looked at.
const SIGNATURES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};
    use serde_json::json;

    use super::*;

    struct Key(SigningKey);

    impl NoteSigner for Key {
        fn name(&self) -> &str {
            "example.org/log"
        }

        fn public(&self) -> [u8; 32] {
            self.0.verifying_key().to_bytes()
        }

        fn sign(&self, msg: &[u8]) -> Result<[u8; 64], NoteError> {
            Ok(self.0.sign(msg).to_bytes())
        }
    }

    fn key(seed: u8) -> (Key, Trust) {
        let key = Key(SigningKey::from_bytes(&[seed; 32]));
        let trust = Trust::Key(VerifierKey::new(key.name(), key.public()).unwrap());
        (key, trust)
    }

    fn statement() -> Statement {
        let digest = Digest {
            sha256: "ab".repeat(32),
        };
        let subject = Subject {
            name: "example.org/log 7".into(),
            digest,
        };
        Statement::new(vec![subject], "urn:example:thing:v1", json!({"records": 3}))
    }

    #[test]
    fn what_is_signed_is_what_the_dsse_specification_says() {
        assert_eq!(
            signed_bytes("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn a_statement_is_believed_by_the_key_that_signed_it_and_by_no_other() {
        let (mine, trust) = key(1);
        let (other, others) = key(2);
        let text = statement().sign(&[&mine]).unwrap();
        let verified = verify_statement(&text, &trust).unwrap();
        assert_eq!(verified.statement, statement());
        assert_eq!(verified.origin, "example.org/log");
        assert_eq!(verify_statement(&text, &others), Err(StatementError::Unsigned));
        let both = statement().sign(&[&other, &mine]).unwrap();
        assert!(verify_statement(&both, &trust).is_ok() && verify_statement(&both, &others).is_ok());
    }

    #[test]
    fn no_byte_of_the_payload_can_be_changed() {
        let (mine, trust) = key(1);
        let text = statement().sign(&[&mine]).unwrap();
        let mut envelope: Value = serde_json::from_str(&text).unwrap();
        let payload = base64_decode(envelope["payload"].as_str().unwrap()).unwrap();
        for at in 0..payload.len() {
            let mut other = payload.clone();
            other[at] ^= 1;
            envelope["payload"] = base64_encode(&other).into();
            assert_eq!(
                verify_statement(&envelope.to_string(), &trust),
                Err(StatementError::Unsigned)
            );
        }
        envelope["payload"] = base64_encode(&payload).into();
        envelope["payloadType"] = "text/plain".into();
        assert!(matches!(
            verify_statement(&envelope.to_string(), &trust),
            Err(StatementError::Malformed(_))
        ));
    }
}
