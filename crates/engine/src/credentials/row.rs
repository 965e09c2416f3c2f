//! A credential in the catalog.

use serde::{Deserialize, Serialize};

use super::{Network, Role, Scope, SecretHash};
use crate::{
    catalog::unhex,
    error::{Error, Result},
};

/// The catalog's row of a credential. Rows from before there were scopes name one tenant, or none for all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) roles: Vec<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<Scope>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) networks: Vec<Network>,
    pub(super) secret_hash: String,
    /// The secret before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<Previous>,
    pub(super) created_ms: u64,
    pub(super) created_by: String,
    pub(super) expires_at_ms: Option<u64>,
    pub(super) revoked_at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rotated_at_ms: Option<u64>,
    /// Who was given the secret then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rotated_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_used_ms: Option<u64>,
}

/// A secret that was replaced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Previous {
    pub(super) secret_hash: String,
    /// Until when it works too, Unix milliseconds.
    pub(super) until_ms: u64,
}

/// The secrets of a credential.
pub(super) struct Secrets {
    current: SecretHash,
    /// With the time at which it ends.
    previous: Option<(SecretHash, u64)>,
}

impl Row {
    /// A new credential.
    pub(super) fn new(
        spec: super::CredentialSpec,
        secret_hash: String,
        now_ms: u64,
        created_by: &str,
    ) -> Self {
        let (mut roles, mut networks) = (spec.roles, spec.networks);
        roles.sort_unstable();
        roles.dedup();
        networks.sort_unstable();
        networks.dedup();
        Self {
            name: spec.name,
            roles,
            tenant: None,
            scope: Some(spec.tenants),
            networks,
            secret_hash,
            previous: None,
            created_ms: now_ms,
            created_by: created_by.to_owned(),
            expires_at_ms: spec.expires_at_ms,
            revoked_at_ms: None,
            rotated_at_ms: None,
            rotated_by: None,
            last_used_ms: None,
        }
    }

    pub(super) fn scope(&self) -> Scope {
        match (&self.scope, &self.tenant) {
            (Some(scope), _) => scope.clone(),
            (None, Some(tenant)) => Scope::one(tenant),
            (None, None) => Scope::All,
        }
    }

    pub(super) fn set_scope(&mut self, scope: Scope) {
        self.tenant = None;
        self.scope = Some(scope);
    }

    /// # Errors
    /// Damage where a hash is none.
    pub(super) fn secrets(&self) -> Result<Secrets> {
        let hash = |text: &str| {
            let hash = unhex(text).ok_or_else(|| Error::damage("catalog", 0, "credential's hash"))?;
            Ok::<_, Error>(SecretHash(hash))
        };
        let previous = self.previous.as_ref();
        Ok(Secrets {
            current: hash(&self.secret_hash)?,
            previous: previous
                .map(|previous| Ok::<_, Error>((hash(&previous.secret_hash)?, previous.until_ms)))
                .transpose()?,
        })
    }
}

impl Secrets {
    /// What no secret is like.
    pub(super) const fn none() -> Self {
        Self {
            current: SecretHash([0; 32]),
            previous: None,
        }
    }

    /// Whether it is one of them, in constant time.
    pub(super) fn has(&self, secret: &SecretHash) -> bool {
        let previous = self
            .previous
            .as_ref()
            .map_or(&SecretHash([0; 32]), |(hash, _)| hash);
        self.current.matches(secret) | previous.matches(secret)
    }

    /// Whether it is one of them and works at that time.
    pub(super) fn works(&self, secret: &SecretHash, now_ms: u64) -> bool {
        let overlaps = |(hash, until_ms): &(SecretHash, u64)| hash.matches(secret) && now_ms < *until_ms;
        self.current.matches(secret) || self.previous.as_ref().is_some_and(overlaps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_tenant_and_of_all_open() {
        let row = |tenant: &str| -> Row {
            let text = format!(
                r#"{{"name":"n","roles":["admin"],"tenant":{tenant},"secret_hash":"","created_ms":1,"created_by":"internal","expires_at_ms":null,"revoked_at_ms":null}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        assert_eq!(row("\"acme\"").scope(), Scope::one("acme"));
        assert_eq!(row("null").scope(), Scope::All);
    }
}
