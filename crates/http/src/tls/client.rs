//! Who a client certificate is of.
//!
//! A certificate that a configured authority has signed is good; who it stands for say rules, of which the first that fits
//! decides. A certificate that no rule knows is nobody.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use attestore_engine::Principal;
use attestore_engine::credentials::{APART, Identity, Kind, Role, Scope};
use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{
    OID_X509_COMMON_NAME, OID_X509_COUNTRY_NAME, OID_X509_LOCALITY_NAME, OID_X509_ORGANIZATION_NAME,
    OID_X509_ORGANIZATIONAL_UNIT, OID_X509_SERIALNUMBER, OID_X509_STATE_OR_PROVINCE_NAME, Oid,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

/// Which certificates a rule is about, and what they may do. Everything that is named must fit; at least one thing must be
/// named. In patterns, `*` stands for any characters but those that separate parts: `/` in URIs, `.` in DNS names, `@` in
/// e-mail addresses.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleSpec {
    /// A name for people.
    pub name: String,
    /// Patterns for parts of the issuer's name: CN, O, OU, C, L, ST, serialNumber.
    pub issuer: BTreeMap<String, String>,
    /// Patterns for parts of the subject's name.
    pub subject: BTreeMap<String, String>,
    /// Pattern for a URI that the certificate is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub san_uri: Option<String>,
    /// Pattern for a DNS name that the certificate is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub san_dns: Option<String>,
    /// Pattern for an e-mail address that the certificate is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub san_email: Option<String>,
    /// Roles.
    pub roles: Vec<Role>,
    /// Tenants; `*` alone for all and the instance itself.
    pub tenants: Vec<String>,
}

/// A rule makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mtls.rules: {0}")]
pub struct BadRule(String);

/// A rule that makes sense.
pub struct Rule {
    name: String,
    issuer: Vec<(Oid<'static>, String)>,
    subject: Vec<(Oid<'static>, String)>,
    names: Vec<(Place, String)>,
    roles: Vec<Role>,
    tenants: Scope,
}

/// Kinds of names that a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Uri,
    Dns,
    Email,
}

impl Place {
    const fn separator(self) -> Option<char> {
        match self {
            Self::Uri => Some('/'),
            Self::Dns => Some('.'),
            Self::Email => Some('@'),
        }
    }

    fn of<'n>(self, name: &GeneralName<'n>) -> Option<&'n str> {
        match (self, name) {
            (Self::Uri, GeneralName::URI(text))
            | (Self::Dns, GeneralName::DNSName(text))
            | (Self::Email, GeneralName::RFC822Name(text)) => Some(text),
            _ => None,
        }
    }
}

const PARTS: [(&str, Oid<'static>); 7] = [
    ("CN", OID_X509_COMMON_NAME),
    ("O", OID_X509_ORGANIZATION_NAME),
    ("OU", OID_X509_ORGANIZATIONAL_UNIT),
    ("C", OID_X509_COUNTRY_NAME),
    ("L", OID_X509_LOCALITY_NAME),
    ("ST", OID_X509_STATE_OR_PROVINCE_NAME),
    ("serialNumber", OID_X509_SERIALNUMBER),
];

/// Stars in one pattern: each multiplies the ways in which a text can fit.
const STARS_MAX: usize = 4;

impl Rule {
    /// Checks a rule.
    pub fn new(spec: &RuleSpec) -> Result<Self, BadRule> {
        let bad = |what: &str| Err(BadRule(format!("{:?}: {what}", spec.name)));
        let names: Vec<_> = [
            (Place::Uri, &spec.san_uri),
            (Place::Dns, &spec.san_dns),
            (Place::Email, &spec.san_email),
        ]
        .into_iter()
        .filter_map(|(place, pattern)| Some((place, pattern.clone()?)))
        .collect();
        if spec.name.is_empty() {
            return bad("it needs a name");
        }
        if names.is_empty() && spec.subject.is_empty() && spec.issuer.is_empty() {
            return bad(
                "it must say which certificates it is about: subject, issuer, san_uri, san_dns or san_email",
            );
        }
        if spec.roles.is_empty() {
            return bad("it gives no role");
        }
        if spec.tenants.is_empty() {
            return bad("it names no tenant; \"*\" stands for all");
        }
        let holds = |role| spec.roles.contains(role);
        if let Some((one, other)) = APART.iter().find(|(one, other)| holds(one) && holds(other)) {
            return bad(&format!(
                "nobody may be {} and {} at once",
                one.name(),
                other.name()
            ));
        }
        let patterns = names.iter().map(|(_, pattern)| pattern);
        let mut patterns = patterns.chain(spec.issuer.values()).chain(spec.subject.values());
        if patterns.any(|pattern| pattern.matches('*').count() > STARS_MAX) {
            return bad("a pattern has too many stars");
        }
        let all = spec.tenants.iter().any(|tenant| tenant == "*");
        if all && spec.tenants.len() > 1 {
            return bad("\"*\" stands for all tenants; name no others beside it");
        }
        Ok(Self {
            name: spec.name.clone(),
            issuer: parts(&spec.name, &spec.issuer)?,
            subject: parts(&spec.name, &spec.subject)?,
            names,
            roles: spec.roles.clone(),
            tenants: match all {
                true => Scope::All,
                false => Scope::Of(spec.tenants.iter().cloned().collect()),
            },
        })
    }

    /// If the certificate fits: the name that identifies it, if there is one that is no person's.
    fn fits(&self, certificate: &X509Certificate<'_>) -> Option<Option<String>> {
        if !named(certificate.issuer(), &self.issuer) || !named(certificate.subject(), &self.subject) {
            return None;
        }
        let names = certificate.subject_alternative_name().ok()?;
        let names = names.map_or(&[][..], |names| &names.value.general_names);
        let mut id = None;
        for (place, pattern) in &self.names {
            let found = names
                .iter()
                .filter_map(|name| place.of(name))
                .map(|name| match place {
                    Place::Dns => name.to_ascii_lowercase(),
                    Place::Uri | Place::Email => name.to_owned(),
                })
                .find(|name| matches(pattern, name, place.separator()))?;
            match place {
                Place::Uri => id = Some(format!("uri:{found}")),
                Place::Dns => id = id.or(Some(format!("dns:{found}"))),
                Place::Email => {}
            }
        }
        Some(id)
    }
}

fn parts(rule: &str, patterns: &BTreeMap<String, String>) -> Result<Vec<(Oid<'static>, String)>, BadRule> {
    let part = |(name, pattern): (&String, &String)| {
        let known = PARTS.into_iter().find(|(known, _)| known == name);
        let (_, oid) = known.ok_or_else(|| {
            BadRule(format!(
                "{rule:?}: {name} is no part of a name: CN, O, OU, C, L, ST or serialNumber"
            ))
        })?;
        Ok((oid, pattern.clone()))
    };
    patterns.iter().map(part).collect()
}

/// Whether each part is in a name once, and fits. A part that is there twice could be read in two ways.
fn named(name: &X509Name<'_>, patterns: &[(Oid<'static>, String)]) -> bool {
    patterns.iter().all(|(oid, pattern)| {
        let mut values = name.iter_by_oid(oid);
        match (values.next(), values.next()) {
            (Some(value), None) => value.as_str().is_ok_and(|value| matches(pattern, value, None)),
            _ => false,
        }
    })
}

/// Whether a text fits a pattern in which `*` stands for any characters but the separator.
fn matches(pattern: &str, text: &str, separator: Option<char>) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(before) else {
        return false;
    };
    loop {
        if matches(rest, text, separator) {
            return true;
        }
        let mut characters = text.chars();
        match characters.next() {
            Some(next) if Some(next) != separator => text = characters.as_str(),
            _ => return false,
        }
    }
}

/// Who a certificate is of.
pub fn principal(rules: &[Rule], der: &[u8]) -> Option<Principal> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let (rule, id) = rules
        .iter()
        .find_map(|rule| Some((rule, rule.fits(&certificate)?)))?;
    let not_after = certificate.validity().not_after.timestamp();
    Some(Principal::of(Identity {
        kind: Kind::Certificate,
        // Names of people do not go where they cannot be erased.
        subject: id.unwrap_or_else(|| pseudonym(&certificate)),
        name: rule.name.clone(),
        roles: rule.roles.clone(),
        tenants: rule.tenants.clone(),
        expires_at_ms: Some(u64::try_from(not_after.saturating_mul(1000)).unwrap_or(0)),
    }))
}

/// A name that stays the same when a certificate is renewed: made of issuer and subject.
fn pseudonym(certificate: &X509Certificate<'_>) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("attestore 2026 client certificate v1");
    for name in [certificate.issuer(), certificate.subject()] {
        hasher.update(&(name.as_raw().len() as u64).to_le_bytes());
        hasher.update(name.as_raw());
    }
    if let Ok(Some(names)) = certificate.subject_alternative_name() {
        for name in names.value.general_names.iter().filter_map(readable) {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
        }
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// A name that a certificate is for.
pub fn readable(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::URI(text) | GeneralName::DNSName(text) | GeneralName::RFC822Name(text) => {
            Some((*text).to_owned())
        }
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
            let v6 = || <[u8; 16]>::try_from(*bytes).map(|bytes| Ipv6Addr::from(bytes).to_string());
            v4.or_else(|_| v6()).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stays_within_a_part() {
        for (pattern, text, separator, expected) in [
            ("spiffe://x/ns/*/sa/web", "spiffe://x/ns/prod/sa/web", '/', true),
            ("spiffe://x/ns/*/sa/web", "spiffe://x/ns/a/b/sa/web", '/', false),
            ("*.example.org", "a.example.org", '.', true),
            ("*.example.org", "a.b.example.org", '.', false),
            ("*.example.org", "example.org", '.', false),
            ("*@example.org", "a@evil.org@example.org", '@', false),
            ("col*-*", "collector-7", '.', true),
            ("col*-*", "collector", '.', false),
            ("*", "", '.', true),
            ("a", "A", '.', false),
        ] {
            assert_eq!(
                matches(pattern, text, Some(separator)),
                expected,
                "{pattern} {text}"
            );
        }
    }
}
