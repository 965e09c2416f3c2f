//! Fetches over HTTPS: bounded in bytes and time, without redirects and proxies. Plain HTTP only to loopback addresses, and only
//! where the settings allow it.
//!
//! Addresses of issuers come from the operator and from the issuers themselves, so private ones are fine.

use std::time::Duration;

use attestore_outbound::{Body, Configured, Limits, Request, StatusCode, header};
use bytes::Bytes;

use crate::fetch::{Fetch, FetchError, Fetched};

/// Fetches documents of issuers.
pub struct Client {
    http: attestore_outbound::Client,
    rule: Configured,
}

impl Client {
    /// Makes a client that trusts the certificate authorities of the web and those in `pem`.
    ///
    /// # Errors
    /// When `pem` holds no certificate or a broken one.
    pub fn new(pem: Option<&[u8]>, allow_loopback_http: bool) -> Result<Self, String> {
        let roots = match pem {
            Some(pem) => attestore_outbound::roots_with(pem)?,
            None => attestore_outbound::roots_of_the_web(),
        };
        Ok(Self {
            http: attestore_outbound::Client::new(roots)?,
            rule: rule(allow_loopback_http),
        })
    }

    async fn get(&self, url: &str) -> Result<Bytes, FetchError> {
        let url = self.rule.url(url).map_err(failed)?;
        let request = Request::get("/").header(header::ACCEPT, "application/json");
        let request = request.body(Bytes::new()).map_err(failed)?;
        let response = self
            .http
            .send(&url, &self.rule, request, LIMITS)
            .await
            .map_err(failed)?;
        if response.status == StatusCode::OK {
            Ok(response.body)
        } else {
            Err(FetchError(format!("answered {}", response.status.as_u16())))
        }
    }
}

impl Fetch for Client {
    fn fetch<'a>(&'a self, url: &'a str) -> Fetched<'a> {
        Box::pin(self.get(url))
    }
}

/// Whether a URL may be asked: https, or http to a loopback address where that is allowed.
///
/// # Errors
/// Everything else.
pub(crate) fn check(url: &str, allow_loopback_http: bool) -> Result<(), FetchError> {
    rule(allow_loopback_http).url(url).map(drop).map_err(failed)
}

const fn rule(loopback_http: bool) -> Configured {
    Configured { loopback_http }
}

fn failed(error: impl std::fmt::Display) -> FetchError {
    FetchError(error.to_string())
}

/// A document of an issuer has at most 256 KiB.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(5),
    body: Body::Whole(256 << 10),
};
