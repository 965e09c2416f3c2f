//! Requests to others: one over HTTP/1.1 at a time, with TLS 1.2 or 1.3 and a verified certificate, bounded in bytes and time.
//! No redirects, no proxies, no cookies, nothing from the environment.
//!
//! - [`Url`]: an absolute URL, taken apart.
//! - [`Rule`]: which addresses may be called. It is asked after the name was resolved, and the connection goes to the very
//!   address that it was asked about. [`Configured`] is the rule for URLs that the operator wrote down.
//! - [`Client`]: sends a request and reads the answer, as far as [`Limits`] let it.
//!
//! Architecture invariant: this crate decides nothing about what is sent where; whoever uses it brings URL, rule and limits.

mod client;
mod rule;
mod trust;
mod url;

pub use client::{Body, Client, Error, Limits, Response};
pub use hyper::{HeaderMap, Method, Request, StatusCode, header};
pub use rule::{Configured, Rule};
pub use tokio_rustls::rustls::RootCertStore;
pub use trust::{roots_of_the_web, roots_with};
pub use url::{Url, UrlError};

#[cfg(test)]
mod tests;
