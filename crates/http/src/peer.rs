//! Whether the client is still there.
//!
//! A client may close its side once it has sent a request and wait for the answer all the same; what it asked for is done
//! and answered. What is costly may be given up instead: whoever runs it asks [`Peer::left`].

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::serve::About;

/// The client's end of a connection. Without one, as in tests of the router alone, the client never leaves.
#[derive(Clone)]
pub struct Peer(About);

impl Peer {
    /// Resolves when the client has closed its side, or the connection is broken. A client that sent another request
    /// meanwhile counts as there.
    pub async fn left(&self) {
        match self.0.line() {
            Some(line) => line.left().await,
            None => std::future::pending().await,
        }
    }
}

impl<T: Sync> FromRequestParts<T> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &T) -> Result<Self, Infallible> {
        Ok(Self(About::of(&parts.extensions)))
    }
}

#[cfg(test)]
mod tests;
