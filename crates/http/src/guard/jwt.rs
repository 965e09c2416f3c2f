//! Tokens of identity providers: what `attestore-identity` verifies, as principals of this server.

use std::fmt;
use std::sync::Arc;

use attestore_disk::Clock;
use attestore_engine::Principal;
use attestore_engine::credentials::{Identity as Known, Kind, Role, Scope};
use attestore_identity::{Fetch, Identity, Refusal, Resource, Settings, SettingsError, Tenants};

/// Recognises tokens of identity providers. By default, none is believed.
#[derive(Clone, Default)]
pub struct Tokens(Option<Arc<Resource<Principal>>>);

impl Tokens {
    /// Believes the issuers of the settings.
    ///
    /// # Errors
    /// What makes no sense in them.
    pub fn new(
        settings: &Settings,
        fetch: Arc<dyn Fetch>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SettingsError> {
        settings.check(|role| Role::from_name(role).is_some())?;
        if settings.issuers.is_empty() {
            return Ok(Self(None));
        }
        let resource = Resource::new(settings, fetch, clock, principal);
        Ok(Self(Some(Arc::new(resource))))
    }

    /// Whether a bearer token is one to be verified here rather than a credential.
    pub(super) fn are_meant(&self, token: &str) -> bool {
        self.0.is_some() && attestore_identity::looks_like_token(token)
    }

    /// Says who sent a token: by looking it up where it was verified before.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) async fn recognise(&self, token: &str) -> Result<Arc<Principal>, Refusal> {
        let resource = self.0.as_ref().ok_or(Refusal::Issuer)?;
        match resource.recognise(token) {
            Some(known) => Ok(known),
            None => resource.verify(token).await,
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Tokens").field(&self.0.is_some()).finish()
    }
}

/// The principal of an identity; none where its roles may not be held together.
fn principal(identity: Identity) -> Option<Principal> {
    let roles: Vec<Role> = identity
        .roles
        .iter()
        .filter_map(|role| Role::from_name(role))
        .collect();
    if Role::conflict(&roles).is_some() {
        return None;
    }
    Some(Principal::of(Known {
        kind: Kind::Jwt,
        // Two issuers may both have a subject of that name.
        subject: format!("{}:{}", identity.issuer, identity.subject),
        name: identity.name,
        roles,
        tenants: match identity.tenants {
            Tenants::All => Scope::All,
            Tenants::Of(names) => Scope::Of(names),
        },
        expires_at_ms: Some(identity.expires_at_ms),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(roles: &[&str], tenants: Tenants) -> Identity {
        Identity {
            issuer: "corp".into(),
            subject: "u-1".into(),
            name: "Ann".into(),
            roles: roles.iter().map(ToString::to_string).collect(),
            tenants,
            expires_at_ms: 7,
        }
    }

    #[test]
    fn an_identity_is_a_principal_whose_id_names_its_issuer() {
        let tenants = Tenants::Of(["a".to_owned()].into());
        let who = principal(identity(&["reader", "auditor"], tenants)).unwrap();
        assert_eq!((who.id.as_str(), who.kind), ("jwt:corp:u-1", Kind::Jwt));
        assert_eq!(who.roles, [Role::Auditor, Role::Reader]);
        assert_eq!((who.tenants, who.expires_at_ms), (Scope::one("a"), Some(7)));
    }

    #[test]
    fn roles_that_may_not_be_held_together_make_nobody() {
        assert!(principal(identity(&["retention_manager"], Tenants::All)).is_some());
        assert!(principal(identity(&["retention_manager", "key_admin"], Tenants::All)).is_none());
    }
}
