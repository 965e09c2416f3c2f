//! `POST /v1/unseal`: gives a sealed server what opens its root. While it is sealed, `sealed` answers; here it is not sealed any more.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::problem::Problem;

/// What opens the root: one of them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnsealBodyIn {
    /// Of the provider `passphrase`.
    passphrase: Option<String>,
    /// Of the token, for the provider `pkcs11`.
    pin: Option<String>,
    /// A token, or the secret id of the AppRole, for the provider `vault`.
    vault_token: Option<String>,
}

impl UnsealBodyIn {
    /// The secret.
    ///
    /// # Errors
    /// 400 unless there is exactly one.
    pub fn one(mut self) -> Result<Zeroizing<String>, Problem> {
        let given = [self.passphrase.take(), self.pin.take(), self.vault_token.take()];
        let mut given = given.into_iter().flatten().map(Zeroizing::new);
        match (given.next(), given.next()) {
            (Some(secret), None) => Ok(secret),
            _ => Err(Problem::bad_request(
                "invalid_secret",
                "give a passphrase, a PIN, or a token for Vault",
            )),
        }
    }
}

/// The root is open.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnsealedBody {
    /// `opening`: the server starts now; `/readyz` says when it serves.
    state: &'static str,
}

impl UnsealedBody {
    /// The server starts now.
    pub fn opening() -> Self {
        Self { state: "opening" }
    }
}

/// Give a sealed server the passphrase, PIN or token for Vault that opens its root key. From the server's own machine, without a proxy, or over TLS where
/// `root.unseal_from_anywhere` allows it; one try at a time. A server that is not sealed answers 409 `not_sealed`.
#[utoipa::path(
    post, path = "/v1/unseal", tag = "operations",
    request_body = UnsealBodyIn,
    responses(
        (status = 202, description = "the root is open, the server starts", body = UnsealedBody),
        (status = 403, description = "`wrong_passphrase`, or `unseal_not_allowed` from here", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`not_sealed`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_attempts`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`root_unavailable`: what holds the root is away", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn unseal() -> Problem {
    Problem::new(StatusCode::CONFLICT, "not_sealed", "the server is not sealed")
}
