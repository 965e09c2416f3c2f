//! A server that has no root key yet: it lives, says so, and waits for somebody to unseal it.
//!
//! | | |
//! |---|---|
//! | `GET /livez` | 200 |
//! | `POST /v1/unseal` | a passphrase or a PIN |
//! | everything else, `/readyz` too | 503 `sealed` |
//!
//! There is no credential to ask for: credentials are behind the seal. So only who is on this machine may unseal, over loopback or the
//! Unix socket and not through a proxy, or, where that is allowed, who comes over TLS that ends here. Tries are made one at a time, whatever is
//! tried costs the same, and after a wrong one the next has to wait, for everybody, longer each time: who guesses keeps the operator waiting at
//! most, for [`WAIT_MAX`].
//!
//! Once there is a root, the router behind the seal takes over, on the same connections. It is then asked at the cost of one pointer.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::problem::Problem;
use crate::routes::unseal::{UnsealBodyIn, UnsealedBody};
use crate::serve::About;
use crate::wire;

/// Tries a secret. It may take long, and is called on a thread that may wait.
pub type Opener = dyn Fn(Zeroizing<String>, &Opening) -> Result<(), Refusal> + Send + Sync;

/// What is known about a try.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// Who tries; none on the Unix socket.
    pub address: Option<IpAddr>,
    /// Wrong secrets that were tried before, since the start.
    pub refused: u32,
}

/// Why a secret does not open.
#[derive(Debug)]
pub enum Refusal {
    /// It is the wrong one.
    Wrong,
    /// What holds the root cannot be reached.
    Unavailable(String),
}

/// A seal before a server. Clones share it.
#[derive(Clone)]
pub struct Seal(Arc<Inner>);

struct Inner {
    behind: OnceLock<Router>,
    opener: Box<Opener>,
    from_anywhere: bool,
    tries: Mutex<Tries>,
}

#[derive(Default)]
struct Tries {
    under_way: bool,
    opened: bool,
    refused: u32,
    not_before: Option<Instant>,
}

impl Seal {
    /// A seal that `opener` breaks; `from_anywhere`, over TLS, or on this machine only.
    #[must_use]
    pub fn new(opener: Box<Opener>, from_anywhere: bool) -> Self {
        Self(Arc::new(Inner {
            behind: OnceLock::new(),
            opener,
            from_anywhere,
            tries: Mutex::default(),
        }))
    }

    /// The router in front.
    pub fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }

    /// Lets requests through to `router` from now on.
    pub fn open(&self, router: Router) {
        let _ = self.0.behind.set(router);
    }
}

async fn answer(State(seal): State<Seal>, request: Request) -> Response {
    if let Some(router) = seal.0.behind.get() {
        let behind = TowerToHyperService::new(router.clone()).call(request).await;
        return behind.unwrap_or_else(|never: Infallible| match never {});
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/livez") => "ok\n".into_response(),
        (&Method::POST, "/v1/unseal") => match unseal(&seal, request).await {
            Ok(body) => (StatusCode::ACCEPTED, Json(body)).into_response(),
            Err(problem) => problem.into_response(),
        },
        _ => sealed(seal.0.tries.lock().opened).into_response(),
    }
}

async fn unseal(seal: &Seal, request: Request) -> Result<UnsealedBody, Problem> {
    let about = About::of(request.extensions());
    may(seal, &about, &request)?;
    let secret = read(request.into_body()).await?;
    let refused = begin(seal)?;
    let (inner, address) = (Arc::clone(&seal.0), about.address());
    // The try goes on if the client leaves: what it was worth must be counted.
    let tried = tokio::task::spawn_blocking(move || {
        let tried = (inner.opener)(secret, &Opening { address, refused });
        end(&inner, &tried);
        tried
    });
    let (outcome, answer) = match tried.await.map_err(wire::internal)? {
        Ok(()) => ("opened", Ok(UnsealedBody::opening())),
        Err(Refusal::Wrong) => {
            let text = "this is not what opens the root";
            let problem = Problem::new(StatusCode::FORBIDDEN, "wrong_passphrase", text);
            ("wrong", Err(problem))
        }
        Err(Refusal::Unavailable(why)) => {
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "root_unavailable", why);
            ("unavailable", Err(problem.retry_after_ms(5000)))
        }
    };
    metrics::counter!("attestore_unseal_attempts_total", "outcome" => outcome).increment(1);
    tracing::warn!(outcome, address = ?address, "somebody tried to unseal the server");
    answer
}

/// Whether whoever asks may try at all.
fn may(seal: &Seal, about: &About, request: &Request) -> Result<(), Problem> {
    let forwarded = FORWARDED.iter().any(|name| request.headers().contains_key(*name));
    let local = about
        .address()
        .is_none_or(|address| address.to_canonical().is_loopback());
    if (local && !forwarded) || (seal.0.from_anywhere && about.is_tls()) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "unseal_not_allowed",
        "unseal on the server's own machine, or over TLS where root.unseal_from_anywhere allows it",
    ))
}

async fn read(body: Body) -> Result<Zeroizing<String>, Problem> {
    let late = || {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            "the body did not arrive in time",
        )
    };
    let large = |_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "a secret is shorter",
        )
    };
    let bytes = tokio::time::timeout(BODY_TIME_MAX, to_bytes(body, SECRET_BYTES_MAX))
        .await
        .map_err(|_| late())?
        .map_err(large)?;
    let secret: UnsealBodyIn = wire::document(&bytes, "invalid_secret")?;
    secret.one()
}

/// Begins a try; says how many were refused before.
fn begin(seal: &Seal) -> Result<u32, Problem> {
    let mut tries = seal.0.tries.lock();
    if tries.opened {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "not_sealed",
            "the server is being opened",
        ));
    }
    let wait = match tries.not_before {
        _ if tries.under_way => Duration::from_secs(1),
        Some(time) => time.saturating_duration_since(Instant::now()),
        None => Duration::ZERO,
    };
    if !wait.is_zero() {
        let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let text = "one try at a time, and after a wrong one a pause";
        return Err(
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", text).retry_after_ms(ms),
        );
    }
    tries.under_way = true;
    Ok(tries.refused)
}

fn end(inner: &Inner, tried: &Result<(), Refusal>) {
    let mut tries = inner.tries.lock();
    tries.under_way = false;
    match tried {
        Ok(()) => tries.opened = true,
        Err(Refusal::Wrong) => {
            tries.refused = tries.refused.saturating_add(1);
            let wait = Duration::from_secs(1 << (tries.refused - 1).min(6)).min(WAIT_MAX);
            tries.not_before = Some(Instant::now() + wait);
        }
        Err(Refusal::Unavailable(_)) => {}
    }
}

fn sealed(opened: bool) -> Problem {
    let text = match opened {
        true => "the root is there, and the server is starting",
        false => "the server has no root key yet: attestore unseal",
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "sealed", text).retry_after_ms(if opened {
        1000
    } else {
        5000
    })
}

/// What proxies add. Who comes through one is not on this machine, whatever the connection looks like.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
/// The longest pause after a wrong secret.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// Bytes of a request.
const SECRET_BYTES_MAX: usize = 8192;
/// How long a client may take over it.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
