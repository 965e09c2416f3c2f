//! An issuer with keys of every kind, and a resource server that believes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use attestore_disk::ManualClock;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    Algorithm, Fetch, FetchError, Fetched, Identity, IssuerSettings, Refusal, Resource, Rule, Settings,
};

pub const ISSUER: &str = "https://issuer.example/realms/x";
pub const JWKS: &str = "https://keys.example/jwks.json";
pub const NOW_S: u64 = 1_800_000_000;

/// Encodes as tokens do.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key of the issuer.
pub enum Signer {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>, bool),
}

impl Signer {
    pub fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub fn p384() -> Self {
        Self::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
    }

    pub fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub fn rsa(pss: bool) -> Self {
        Self::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()), pss)
    }

    pub fn alg(&self) -> &'static str {
        match self {
            Self::P256(_) => "ES256",
            Self::P384(_) => "ES384",
            Self::Ed25519(_) => "EdDSA",
            Self::Rsa(_, false) => "RS256",
            Self::Rsa(_, true) => "PS256",
        }
    }

    pub fn jwk(&self, kid: &str) -> Value {
        let half = |key: &EcdsaKeyPair, second: bool| {
            let point = &key.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            b64(if second { y } else { x })
        };
        let mut jwk = match self {
            Self::P256(key) => {
                json!({"kty": "EC", "crv": "P-256", "x": half(key, false), "y": half(key, true)})
            }
            Self::P384(key) => {
                json!({"kty": "EC", "crv": "P-384", "x": half(key, false), "y": half(key, true)})
            }
            Self::Ed25519(key) => json!({"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key())}),
            Self::Rsa(key, _) => {
                let key = key.public_key();
                let n = key.modulus().big_endian_without_leading_zero();
                json!({"kty": "RSA", "n": b64(n), "e": b64(key.exponent().big_endian_without_leading_zero())})
            }
        };
        jwk["kid"] = kid.into();
        jwk["use"] = "sig".into();
        jwk
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::P256(key) | Self::P384(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key, pss) => {
                let padding: &dyn aws_lc_rs::signature::RsaEncoding =
                    if *pss { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// A token under this key, with `header` and `claims` as they are.
    pub fn raw(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = b64(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// A token under this key with a proper header.
    pub fn token(&self, kid: &str, claims: &Value) -> String {
        self.raw(&json!({"alg": self.alg(), "typ": "at+jwt", "kid": kid}), claims)
    }
}

/// Claims that are accepted; `changes` are put over them, `null` takes one away.
pub fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "attestore", "sub": "u-1", "iat": NOW_S - 10, "exp": NOW_S + 3600,
        "scope": "openid audit.read", "org": "acme",
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// The issuer's web: documents by address.
#[derive(Default)]
pub struct Web {
    documents: Mutex<BTreeMap<String, Vec<u8>>>,
    pub fetches: AtomicU64,
    /// While set, fetches hang until it is notified.
    pub gate: Mutex<Option<Arc<Notify>>>,
}

impl Web {
    pub fn put(&self, url: &str, document: &Value) {
        self.documents
            .lock()
            .insert(url.to_owned(), document.to_string().into_bytes());
    }

    pub fn keys(&self, keys: &[Value]) {
        self.put(JWKS, &json!({"keys": keys}));
    }

    pub fn down(&self) {
        self.documents.lock().clear();
    }

    pub fn count(&self) -> u64 {
        self.fetches.load(Ordering::SeqCst)
    }
}

impl Fetch for Web {
    fn fetch<'a>(&'a self, url: &'a str) -> Fetched<'a> {
        Box::pin(async move {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            let gate = self.gate.lock().clone();
            if let Some(gate) = gate {
                gate.notified().await;
            }
            let found = self.documents.lock().get(url).cloned();
            found.map(Into::into).ok_or_else(|| FetchError("down".into()))
        })
    }
}

/// An issuer and a resource server.
pub struct World {
    pub web: Arc<Web>,
    pub clock: Arc<ManualClock>,
    pub resource: Arc<Resource<Identity>>,
}

pub fn rule(claim: &str, equals: &str, roles: &[&str]) -> Rule {
    Rule {
        claim: Some(claim.into()),
        equals: Some(equals.into()),
        roles: roles.iter().map(ToString::to_string).collect(),
        ..Rule::default()
    }
}

pub fn issuer_settings() -> IssuerSettings {
    use Algorithm::{ES256, ES384, EdDSA, PS256, RS256};
    IssuerSettings {
        name: "corp".into(),
        issuer: ISSUER.into(),
        audiences: vec!["attestore".into()],
        algorithms: vec![ES256, ES384, EdDSA, PS256, RS256],
        jwks_url: Some(JWKS.into()),
        rules: vec![
            rule("scope", "audit.read", &["reader"]),
            Rule {
                tenants_from: Some("org".into()),
                ..Rule::default()
            },
        ],
        ..IssuerSettings::default()
    }
}

impl World {
    pub fn new(signers: &[(&str, &Signer)]) -> Self {
        Self::with(issuer_settings(), signers)
    }

    pub fn with(issuer: IssuerSettings, signers: &[(&str, &Signer)]) -> Self {
        let settings = Settings {
            issuers: vec![issuer],
            ..Settings::default()
        };
        settings.check(|_| true).unwrap();
        let web = Arc::new(Web::default());
        let keys: Vec<_> = signers.iter().map(|(kid, signer)| signer.jwk(kid)).collect();
        web.keys(&keys);
        let clock = Arc::new(ManualClock::new(NOW_S * 1000));
        let resource = Resource::new(&settings, web.clone(), clock.clone(), Some);
        Self {
            web,
            clock,
            resource: Arc::new(resource),
        }
    }

    pub async fn verify(&self, token: &str) -> Result<Arc<Identity>, Refusal> {
        self.resource.verify(token).await
    }

    pub fn pass(&self, seconds: u64) {
        self.clock.advance_ms(seconds * 1000);
    }

    /// Seconds that went by.
    pub fn passed_s(&self) -> u64 {
        attestore_disk::Clock::now_ms(&*self.clock) / 1000 - NOW_S
    }
}
