//! From claims to what they allow: rules that the operator wrote. Grants add up; what no rule grants is not granted.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::claims::Claims;
use crate::settings::Rule;

/// Who sent a token, and what its claims allow. Roles and tenants are names; whoever uses them checks that they exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Short name of the issuer, from the settings.
    pub issuer: String,
    /// The subject, as the issuer names it; unique within the issuer only.
    pub subject: String,
    /// A name for people; the subject when the token has none.
    pub name: String,
    /// Names of roles.
    pub roles: BTreeSet<String>,
    /// Tenants.
    pub tenants: Tenants,
    /// When the token ends, in milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// Tenants that somebody may touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenants {
    /// All, also later ones: the whole instance.
    All,
    /// These.
    Of(BTreeSet<String>),
}

/// What the rules grant for the claims.
pub(crate) fn grants(rules: &[Rule], claims: &Claims) -> (BTreeSet<String>, Tenants) {
    let mut roles = BTreeSet::new();
    let mut tenants = BTreeSet::new();
    let mut all = false;
    for rule in rules.iter().filter(|rule| applies(rule, claims)) {
        roles.extend(rule.roles.iter().cloned());
        tenants.extend(rule.tenants.iter().cloned());
        all |= rule.all_tenants;
        if let Some(from) = &rule.tenants_from {
            tenants.extend(
                values(claims.find(from))
                    .filter(|name| is_tenant_name(name))
                    .take(TENANTS_MAX)
                    .map(str::to_owned),
            );
        }
    }
    let tenants = if all { Tenants::All } else { Tenants::Of(tenants) };
    (roles, tenants)
}

fn applies(rule: &Rule, claims: &Claims) -> bool {
    let Some(claim) = &rule.claim else { return true };
    let Some(equals) = &rule.equals else { return false };
    let value = claims.find(claim);
    // Scopes are words in one string (RFC 9068 §2.2.3.1, RFC 8693 §4.2).
    let is_scope = ["scope", "scp"].contains(&claim.as_str());
    let is_word = |text: &str| is_scope && text.split(' ').any(|word| word == equals);
    match value {
        Some(Value::Bool(value)) => equals == if *value { "true" } else { "false" },
        Some(Value::Number(value)) => *equals == value.to_string(),
        value => values(value).any(|text| text == equals || is_word(text)),
    }
}

/// The strings of a claim: itself, or the members of a list.
fn values(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let (one, many) = match value {
        Some(Value::String(one)) => (Some(one.as_str()), None),
        Some(Value::Array(many)) => (None, Some(many)),
        _ => (None, None),
    };
    one.into_iter()
        .chain(many.into_iter().flatten().filter_map(Value::as_str))
}

/// Whether a claim may name a tenant by this: the server's own logs begin with `_` and are only granted by a rule's `tenants`.
fn is_tenant_name(name: &str) -> bool {
    let first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let plain = |byte: u8| first(&byte) || matches!(byte, b'-' | b'_');
    name.len() <= 63 && name.as_bytes().first().is_some_and(first) && name.bytes().all(plain)
}

/// Tenants that one rule takes from a claim.
const TENANTS_MAX: usize = 256;
