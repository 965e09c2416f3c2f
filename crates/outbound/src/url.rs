//! An absolute URL, taken apart.

use hyper::Uri;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether with TLS.
    pub tls: bool,
    /// Name or address; of an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// As the header `Host` has it.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

/// Why a text is no URL that is ever called. Says nothing of what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not an absolute URL of at most 2048 bytes, or with a fragment.
    #[error("not an absolute URL with https, a host, and at most 2048 bytes")]
    Malformed,
    /// With user name or password.
    #[error("a URL with a user name or password")]
    Credentials,
    /// Without TLS, where that is not allowed.
    #[error("https is needed")]
    Insecure,
}

impl Url {
    /// Reads a URL with `https` or `http`.
    ///
    /// # Errors
    /// [`UrlError::Malformed`], [`UrlError::Credentials`].
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        if url.len() > URL_BYTES_MAX || url.contains('#') {
            return Err(UrlError::Malformed);
        }
        let uri: Uri = url.parse().map_err(|_| UrlError::Malformed)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(UrlError::Malformed),
        };
        let authority = uri.authority().ok_or(UrlError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::Credentials);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(UrlError::Malformed);
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path: uri
                .path_and_query()
                .map_or_else(|| "/".to_owned(), ToString::to_string),
        })
    }

    /// The URL of something below this one, which is taken for a prefix: its path, a slash where it has none at its end, and
    /// `below`. A query goes.
    #[must_use]
    pub fn below(&self, below: &str) -> Self {
        let path = self.path.split('?').next().unwrap_or_default();
        let path = format!("{}/{}", path.trim_end_matches('/'), below.trim_start_matches('/'));
        Self { path, ..self.clone() }
    }
}

const URL_BYTES_MAX: usize = 2048;
