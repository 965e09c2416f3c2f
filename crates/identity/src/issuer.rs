//! One issuer: its settings, its keys, and the checks of a token in their order.

use crate::algorithm::Algorithm;
use crate::claims::{Bounds, Claims};
use crate::keys::check_signature;
use crate::mapping::{Identity, grants};
use crate::refusal::Refusal;
use crate::settings::IssuerSettings;
use crate::source::Source;
use crate::token::Parts;

/// An issuer that is believed.
pub(crate) struct Issuer {
    pub settings: IssuerSettings,
    pub source: Source,
}

impl Issuer {
    /// Says who sent a token, and in which version of the key set its key was found.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn verify(&self, parts: &Parts<'_>, now_s: u64) -> Result<(Identity, u64), Refusal> {
        let settings = &self.settings;
        let algorithm = Algorithm::from_name(&parts.header.alg)
            .filter(|algorithm| settings.algorithms.contains(algorithm))
            .ok_or(Refusal::Algorithm)?;
        self.check_type(parts.header.typ.as_deref())?;
        let kid = parts.header.kid.as_deref();
        let keys = self
            .source
            .keys(|keys| keys.find(kid, algorithm).is_some())
            .await?;
        let key = keys.set.find(kid, algorithm).ok_or(Refusal::Key)?;
        check_signature(key, algorithm, parts.signed, &parts.signature)?;

        let claims = Claims::parse(&parts.payload)?;
        claims.check_issuer(&settings.issuer)?;
        claims.check_audience(&settings.audiences)?;
        let bounds = Bounds {
            leeway_s: settings.leeway_s,
            lifetime_max_s: settings.lifetime_max_s,
        };
        let expires_s = claims.check_times(now_s, &bounds)?;
        let subject = claims
            .label(&settings.subject_claim, SUBJECT_CHARS_MAX)
            .ok_or(Refusal::Subject)?;
        let name = settings.name_claim.as_deref();
        let name = name.and_then(|claim| claims.label(claim, NAME_CHARS_MAX));
        let (roles, tenants) = grants(&settings.rules, &claims);
        let identity = Identity {
            issuer: settings.name.clone(),
            subject: subject.to_owned(),
            name: name.unwrap_or(subject).to_owned(),
            roles,
            tenants,
            expires_at_ms: expires_s.saturating_add(settings.leeway_s).saturating_mul(1000),
        };
        Ok((identity, keys.version))
    }

    /// `typ` keeps tokens that the issuer made for other ends from being taken for access tokens (RFC 8725 §3.11).
    fn check_type(&self, typ: Option<&str>) -> Result<(), Refusal> {
        let typ = typ.unwrap_or("").to_ascii_lowercase();
        let typ = typ.strip_prefix("application/").unwrap_or(&typ);
        let accepted = &self.settings.types;
        if accepted.iter().any(|accepted| accepted.eq_ignore_ascii_case(typ)) {
            Ok(())
        } else {
            Err(Refusal::Type)
        }
    }
}

/// Characters of a subject (OpenID Connect Core §2: at most 255).
const SUBJECT_CHARS_MAX: usize = 255;
const NAME_CHARS_MAX: usize = 128;
