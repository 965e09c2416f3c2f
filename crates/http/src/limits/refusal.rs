//! What a client is told that is not let through.

use attestore_limit::{MS, Refusal, Scope, Why};
use axum::http::StatusCode;

use crate::problem::Problem;

/// The problem of a refusal, with where the client stands.
pub(super) fn problem(refusal: Refusal) -> Problem {
    let (status, code, detail) = match refusal.why {
        Why::Rate(Scope::Address) => (
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "too many requests from this network",
        ),
        Why::Rate(Scope::Credential) => (
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "too many requests with this credential",
        ),
        Why::Rate(Scope::Tenant) => (
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "too many requests to this tenant",
        ),
        Why::Tightened(_) => (
            StatusCode::TOO_MANY_REQUESTS,
            "tightened",
            "too many requests were refused before: for a while few are let through",
        ),
        Why::Overloaded => (
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "the server is busy; try again",
        ),
    };
    Problem::new(status, code, detail)
        .retry_after_ms(refusal.wait_ns.div_ceil(MS))
        .with_standing(refusal.standing)
}
