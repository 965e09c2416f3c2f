//! Tokens in, somebody out; a token that was verified before costs a hash look-up.
//!
//! A token is forgotten when it expires, when its issuer's keys changed, and after `recheck_s`: then it is verified again, so that
//! a key that its issuer took back ends its tokens.

use std::sync::Arc;

use attestore_disk::Clock;
use quick_cache::sync::Cache;

use crate::claims::claimed_issuer;
use crate::fetch::Fetch;
use crate::issuer::Issuer;
use crate::mapping::Identity;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::source::Source;
use crate::token::{Parts, TOKEN_BYTES_MAX};

/// Verifies tokens. `P` is what the server makes of an identity, once per token.
pub struct Resource<P> {
    issuers: Vec<Issuer>,
    clock: Arc<dyn Clock>,
    make: Make<P>,
    verified: Cache<[u8; 32], Verified<P>>,
}

type Make<P> = Box<dyn Fn(Identity) -> Option<P> + Send + Sync>;

struct Verified<P> {
    who: Arc<P>,
    issuer: usize,
    version: u64,
    expires_at_ms: u64,
    checked_boot_ms: u64,
}

impl<P> Clone for Verified<P> {
    fn clone(&self) -> Self {
        Self {
            who: self.who.clone(),
            ..*self
        }
    }
}

impl<P> Resource<P> {
    /// Makes a resource server over settings that were checked. `make` turns an identity into whatever the server knows people
    /// as; `None` refuses it.
    pub fn new(
        settings: &Settings,
        fetch: Arc<dyn Fetch>,
        clock: Arc<dyn Clock>,
        make: impl Fn(Identity) -> Option<P> + Send + Sync + 'static,
    ) -> Self {
        let loopback = settings.allow_loopback_http;
        let issuer = |issuer: &crate::IssuerSettings| Issuer {
            source: Source::new(issuer, loopback, fetch.clone(), clock.clone()),
            settings: issuer.clone(),
        };
        Self {
            issuers: settings.issuers.iter().map(issuer).collect(),
            clock: clock.clone(),
            make: Box::new(make),
            verified: Cache::new(settings.tokens_max.max(1)),
        }
    }

    /// Whether any issuer is believed.
    pub fn is_on(&self) -> bool {
        !self.issuers.is_empty()
    }

    /// Who sent a token that was verified before; `None` when it has to be verified, again or for the first time.
    pub fn recognise(&self, token: &str) -> Option<Arc<P>> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let found = self.verified.get(blake3::hash(token.as_bytes()).as_bytes())?;
        let issuer = self.issuers.get(found.issuer)?;
        let age_ms = self.clock.boot_ms().saturating_sub(found.checked_boot_ms);
        let fine = self.clock.now_ms() < found.expires_at_ms
            && age_ms < issuer.settings.recheck_s.saturating_mul(1000)
            && issuer.source.version() == found.version;
        fine.then_some(found.who)
    }

    /// Says who sent a token. May ask its issuer for keys.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn verify(&self, token: &str) -> Result<Arc<P>, Refusal> {
        let parts = Parts::parse(token)?;
        let iss = claimed_issuer(&parts.payload)?;
        let (at, issuer) = self
            .issuers
            .iter()
            .enumerate()
            .find(|(_, issuer)| issuer.settings.issuer == iss)
            .ok_or(Refusal::Issuer)?;
        let (identity, version) = issuer.verify(&parts, self.clock.now_ms() / 1000).await?;
        let expires_at_ms = identity.expires_at_ms;
        let who = Arc::new((self.make)(identity).ok_or(Refusal::Grants)?);
        let verified = Verified {
            who: who.clone(),
            issuer: at,
            version,
            expires_at_ms,
            checked_boot_ms: self.clock.boot_ms(),
        };
        self.verified
            .insert(*blake3::hash(token.as_bytes()).as_bytes(), verified);
        Ok(who)
    }
}

/// Whether a bearer token looks like a JWT rather than like a credential of this server: its header is a JSON object.
pub fn looks_like_token(token: &str) -> bool {
    token.starts_with("ey") && token.contains('.')
}
