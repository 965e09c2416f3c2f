//! Whether the server is about to stop: what goes on and on must end by itself then.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::sync::watch;

use crate::serve::About;

/// Tells requests that the server is about to stop. As an extractor without a server, as in tests of the router alone, it
/// never does.
#[derive(Clone)]
pub struct Ending(watch::Receiver<bool>);

/// The server's end of it.
pub struct End(watch::Sender<bool>);

impl End {
    /// Makes one that has not come.
    pub fn new() -> (Self, Ending) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Ending(receiver))
    }

    /// The server stops.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl Ending {
    /// Resolves when the server is about to stop.
    pub async fn wait(&self) {
        if self.0.clone().wait_for(|ends| *ends).await.is_err() {
            std::future::pending().await
        }
    }
}

impl<T: Sync> FromRequestParts<T> for Ending {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &T) -> Result<Self, Infallible> {
        let about = About::of(&parts.extensions);
        let never = || End::new().1;
        Ok(about.line().map_or_else(never, |line| line.ending.clone()))
    }
}
