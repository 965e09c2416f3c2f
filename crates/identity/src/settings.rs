//! Which issuers are believed, and what their claims allow. Read from the section `[oidc]`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::algorithm::Algorithm;
use crate::https;

/// Foreign issuers whose tokens are accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether an issuer at a loopback address may be asked without TLS; for trials.
    pub allow_loopback_http: bool,
    /// PEM file of certificate authorities that issuers' certificates may be of, besides those of the web.
    pub ca_file: Option<PathBuf>,
    /// Verified tokens that are remembered.
    pub tokens_max: usize,
    /// Issuers; none means that only credentials of this server are accepted.
    pub issuers: Vec<IssuerSettings>,
}

/// One issuer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IssuerSettings {
    /// Short name: part of the ids of those whom it vouches for. Never give another issuer a name that was in use.
    pub name: String,
    /// The issuer's URL, exactly as `iss` has it.
    pub issuer: String,
    /// What `aud` must hold one of: this server's name at the issuer.
    pub audiences: Vec<String>,
    /// Algorithms that the issuer signs with: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys are; empty to find them by its `/.well-known/openid-configuration`.
    pub jwks_url: Option<String>,
    /// Values of `typ` that are accepted, without regard to case and without `application/`; an empty string stands for none.
    pub types: Vec<String>,
    /// Seconds by which its clock may differ from ours.
    pub leeway_s: u64,
    /// Longest time, in seconds, that a token may be valid for.
    pub lifetime_max_s: u64,
    /// Claim that names who it is. It goes into the public part of records: choose an opaque id, not an address.
    pub subject_claim: String,
    /// Claim with a name for people.
    pub name_claim: Option<String>,
    /// Seconds after which its keys are fetched again.
    pub keys_fresh_s: u64,
    /// Seconds for which keys are still used when they cannot be fetched.
    pub keys_stale_max_s: u64,
    /// Seconds between two attempts to fetch its keys.
    pub keys_cooldown_s: u64,
    /// Seconds after which a token that comes again is verified again.
    pub recheck_s: u64,
    /// What claims allow.
    pub rules: Vec<Rule>,
}

/// Grants roles or tenants to tokens of an issuer. Roles and tenants of all rules that apply add up: whoever has a role has it
/// for all of its tenants.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// The claim that decides: a name, or a JSON pointer (`/realm_access/roles`). Without one, the rule applies to every token of
    /// the issuer.
    pub claim: Option<String>,
    /// What it must be, or hold as one of its members; for `scope` and `scp`, as one of its words.
    pub equals: Option<String>,
    /// Roles that this grants.
    pub roles: Vec<String>,
    /// Tenants that this grants.
    pub tenants: Vec<String>,
    /// Claim that names tenants which this grants; never those whose names begin with `_`.
    pub tenants_from: Option<String>,
    /// Whether this grants all tenants and the instance itself.
    pub all_tenants: bool,
}

/// Why settings make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("oidc{place}: {reason}")]
pub struct SettingsError {
    place: String,
    reason: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow_loopback_http: false,
            ca_file: None,
            tokens_max: 10_000,
            issuers: Vec::new(),
        }
    }
}

impl Default for IssuerSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            issuer: String::new(),
            audiences: Vec::new(),
            algorithms: Vec::new(),
            jwks_url: None,
            types: vec!["at+jwt".into(), "JWT".into()],
            leeway_s: 30,
            lifetime_max_s: 86_400,
            subject_claim: "sub".into(),
            name_claim: None,
            keys_fresh_s: 600,
            keys_stale_max_s: 3_600,
            keys_cooldown_s: 10,
            recheck_s: 300,
            rules: Vec::new(),
        }
    }
}

impl Settings {
    /// Checks everything that can be checked without asking anybody; `is_role` knows the roles.
    ///
    /// # Errors
    /// The first thing that makes no sense, and where it stands.
    pub fn check(&self, is_role: impl Fn(&str) -> bool) -> Result<(), SettingsError> {
        let (mut names, mut urls) = (BTreeSet::new(), BTreeSet::new());
        if self.issuers.len() > ISSUERS_MAX {
            return Err(wrong("", format!("at most {ISSUERS_MAX} issuers")));
        }
        for (at, issuer) in self.issuers.iter().enumerate() {
            let place = format!(".issuers[{at}]");
            issuer.check(&place, self.allow_loopback_http, &is_role)?;
            if !names.insert(&issuer.name) || !urls.insert(&issuer.issuer) {
                return Err(wrong(&place, "another issuer has this name or URL"));
            }
        }
        Ok(())
    }
}

impl IssuerSettings {
    fn check(
        &self,
        place: &str,
        loopback: bool,
        is_role: impl Fn(&str) -> bool,
    ) -> Result<(), SettingsError> {
        let wrong = |reason: &str| Err(wrong(place, reason));
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=32).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            return wrong("`name` is 1 to 32 characters of a-z, 0-9 and -");
        }
        for url in [Some(&self.issuer), self.jwks_url.as_ref()].into_iter().flatten() {
            if https::check(url, loopback).is_err() {
                return wrong(
                    "`issuer` and `jwks_url` are https URLs (http only for loopback, where `allow_loopback_http` is set)",
                );
            }
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return wrong("`audiences` names at least one audience");
        }
        if self.algorithms.is_empty() {
            return wrong("`algorithms` names at least one algorithm");
        }
        if self.types.is_empty() || self.subject_claim.is_empty() {
            return wrong("`types` and `subject_claim` are not empty");
        }
        if self.leeway_s > LEEWAY_S_MAX {
            return wrong("`leeway_s` is at most 300");
        }
        if self.keys_cooldown_s == 0 || self.keys_fresh_s < self.keys_cooldown_s {
            return wrong("`keys_cooldown_s` is at least 1 and at most `keys_fresh_s`");
        }
        if self.keys_stale_max_s < self.keys_fresh_s {
            return wrong("`keys_stale_max_s` is at least `keys_fresh_s`");
        }
        if self.rules.is_empty() {
            return wrong("without `rules` none of its tokens could do anything");
        }
        self.rules.iter().try_for_each(|rule| rule.check(place, &is_role))
    }
}

impl Rule {
    fn check(&self, place: &str, is_role: impl Fn(&str) -> bool) -> Result<(), SettingsError> {
        let place = format!("{place}.rules");
        if self.claim.is_some() != self.equals.is_some() {
            return Err(wrong(&place, "`claim` and `equals` belong together"));
        }
        if let Some(role) = self.roles.iter().find(|role| !is_role(role)) {
            return Err(wrong(&place, format!("there is no role `{role}`")));
        }
        let grants = !self.roles.is_empty()
            || !self.tenants.is_empty()
            || self.tenants_from.is_some()
            || self.all_tenants;
        if !grants {
            return Err(wrong(&place, "a rule grants roles or tenants"));
        }
        Ok(())
    }
}

fn wrong(place: &str, reason: impl Into<String>) -> SettingsError {
    SettingsError {
        place: place.to_owned(),
        reason: reason.into(),
    }
}

const ISSUERS_MAX: usize = 64;
const LEEWAY_S_MAX: u64 = 300;
