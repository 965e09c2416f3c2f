//! How documents of an issuer are fetched: a trait, so that the checks can be played against an issuer that does not exist.

use std::pin::Pin;

use bytes::Bytes;

/// What a fetch is going to bring.
pub type Fetched<'a> = Pin<Box<dyn Future<Output = Result<Bytes, FetchError>> + Send + 'a>>;

/// Fetches documents of issuers.
pub trait Fetch: Send + Sync + 'static {
    /// Fetches a document with `GET`. It must end by itself, in seconds, and bring at most some hundred KiB.
    fn fetch<'a>(&'a self, url: &'a str) -> Fetched<'a>;
}

/// Why a document could not be had. For the log of the operator, who configured the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);
