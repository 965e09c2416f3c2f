//! Who a request says it is from.

use std::borrow::Cow;
use std::sync::Arc;

use attestore_engine::Principal;
use attestore_engine::credentials::{CredentialId, Reason};
use attestore_identity::Refusal;
use axum::http::header;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::problem::Problem;
use crate::serve::About;
use crate::server::App;

/// Nobody was recognised: what the caller is told, and what is recorded.
pub(super) struct Stranger {
    /// 401; 503 where it cannot be said at the moment.
    pub(super) problem: Problem,
    /// The credential that it claims to be.
    pub(super) credential: Option<CredentialId>,
    /// Why, for the record.
    pub(super) reason: &'static str,
}

/// Recognises the caller: by the credential or the identity provider's token in the request, else by the client's certificate.
///
/// # Errors
/// 401; 503 `issuer_unavailable`.
pub(super) async fn recognise(
    app: &App,
    about: &About,
    headers: &HeaderMap,
) -> Result<Arc<Principal>, Stranger> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return certified(app, about).ok_or_else(|| stranger(SEND, Reason::Missing));
    };
    if values.next().is_some() {
        return Err(stranger("more than one Authorization header", Reason::Unknown));
    }
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .and_then(|(scheme, rest)| credential(scheme, rest.trim()))
        .ok_or_else(|| stranger(SEND, Reason::Unknown))?;
    let tokens = &app.settings().tokens;
    if tokens.are_meant(&token) {
        return tokens.recognise(&token).await.map_err(refused);
    }
    app.engine()
        .recognise(&token, about.address())
        .map_err(|why| Stranger {
            credential: why.credential,
            ..stranger(WRONG, why.reason)
        })
}

/// A token of an identity provider that is refused. What is said holds nothing of the token.
fn refused(refusal: Refusal) -> Stranger {
    let detail = refusal.to_string();
    let problem = match refusal {
        Refusal::KeysUnavailable { retry_after_s } => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "issuer_unavailable", detail)
                .retry_after_ms(retry_after_s.saturating_mul(1000))
        }
        _ => Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail),
    };
    Stranger {
        problem,
        credential: None,
        reason: refusal.code(),
    }
}

/// The principal of the client's certificate, unless its time is over.
fn certified(app: &App, about: &About) -> Option<Arc<Principal>> {
    let principal = about.certificate()?;
    app.engine().still_works(principal).then(|| Arc::clone(principal))
}

fn stranger(detail: &str, reason: Reason) -> Stranger {
    Stranger {
        problem: Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail),
        credential: None,
        reason: reason.name(),
    }
}

/// The credential in a header: a bearer token (RFC 6750), or where clients of other systems put it: the password of basic
/// authentication (RFC 7617), or an Elasticsearch API key, as it is or as `base64(<any>:<credential>)`.
fn credential<'v>(scheme: &str, value: &'v str) -> Option<Cow<'v, str>> {
    let pair = || {
        let pair = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
        Some(Cow::Owned(pair.split_once(':')?.1.to_owned()))
    };
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    if is("bearer") {
        Some(Cow::Borrowed(value))
    } else if is("basic") {
        pair()
    } else if is("apikey") {
        Some(pair().unwrap_or(Cow::Borrowed(value)))
    } else {
        None
    }
}

const SEND: &str = "send Authorization: Bearer <credential>";
const WRONG: &str = "the credential is unknown, expired or revoked";
