//! Key sets (RFC 7517) and the one signature check.
//!
//! A key that is not for signatures, of another kind than the algorithm needs, or malformed is as good as absent: one odd key
//! does not spoil its set. Symmetric keys are never taken from a set.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::aws_lc;
use serde::Deserialize;
use serde_json::Value;

use crate::algorithm::{Algorithm, KeyKind};
use crate::refusal::Refusal;

/// The keys of an issuer at one moment.
pub(crate) struct KeySet(Vec<Key>);

struct Key {
    kid: Option<String>,
    kind: KeyKind,
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

/// A key as it is written (RFC 7517 §4, RFC 7518 §6); other members do not matter.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a set; `None` if it is none.
    pub fn parse(document: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document = serde_json::from_slice(document).ok()?;
        let keys = document.keys.into_iter().take(KEYS_MAX);
        Some(Self(keys.filter_map(Key::read).collect()))
    }

    /// How many keys of it can be used.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Finds the key that a token names. A token that names none is fine where only one key can be meant.
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let mut fitting = self.0.iter().filter(|key| key.fits(algorithm));
        match kid {
            Some(kid) => fitting
                .find(|key| key.kid.as_deref() == Some(kid))
                .map(|key| &key.key),
            None => {
                let only = fitting.next()?;
                fitting.next().is_none().then_some(&only.key)
            }
        }
    }
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let for_signatures = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk
                .key_ops
                .as_ref()
                .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !for_signatures {
            return None;
        }
        let algorithm = match &jwk.alg {
            Some(alg) => Some(Algorithm::from_name(alg)?),
            None => None,
        };
        let (kind, key) = jwk.key()?;
        Some(Self {
            kid: jwk.kid,
            kind,
            algorithm,
            key,
        })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.kind == algorithm.key_kind() && self.algorithm.is_none_or(|own| own == algorithm)
    }
}

impl Jwk {
    fn key(&self) -> Option<(KeyKind, DecodingKey)> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (bytes(self.n.as_ref())?, bytes(self.e.as_ref())?);
                let n: Vec<u8> = n.into_iter().skip_while(|byte| *byte == 0).collect();
                let bits = n.len() * 8;
                (RSA_BITS.contains(&bits) && e.len() <= 8)
                    .then(|| (KeyKind::Rsa, DecodingKey::from_rsa_raw_components(&n, &e)))
            }
            ("EC", Some("P-256")) => self.point(32).map(|key| (KeyKind::P256, key)),
            ("EC", Some("P-384")) => self.point(48).map(|key| (KeyKind::P384, key)),
            ("OKP", Some("Ed25519")) => {
                let x = bytes(self.x.as_ref())?;
                (x.len() == 32).then(|| (KeyKind::Ed25519, DecodingKey::from_ed_der(&x)))
            }
            _ => None,
        }
    }

    /// An uncompressed point (SEC 1 §2.3.3).
    fn point(&self, length: usize) -> Option<DecodingKey> {
        let (x, y) = (bytes(self.x.as_ref())?, bytes(self.y.as_ref())?);
        (x.len() == length && y.len() == length)
            .then(|| DecodingKey::from_ec_der(&[&[4], x.as_slice(), y.as_slice()].concat()))
    }
}

/// Checks a signature.
///
/// The library's provider is called by its name: which one is the process's default, and whether there is one, does not
/// matter.
///
/// # Errors
/// [`Refusal::Signature`].
pub(crate) fn check_signature(
    key: &DecodingKey,
    algorithm: Algorithm,
    signed: &[u8],
    signature: &Vec<u8>,
) -> Result<(), Refusal> {
    let verifier = (aws_lc::DEFAULT_PROVIDER.verifier_factory)(&algorithm.library(), key)
        .map_err(|_| Refusal::Signature)?;
    verifier.verify(signed, signature).map_err(|_| Refusal::Signature)
}

fn bytes(text: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

/// Keys of a set that are looked at.
const KEYS_MAX: usize = 64;
/// Bits of a modulus, in whole bytes: weaker ones are refused, and longer ones cost more than anybody needs.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
