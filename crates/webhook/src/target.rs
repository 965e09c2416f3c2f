//! A URL that a webhook is sent to.

use std::net::IpAddr;

use hyper::Uri;

use crate::address::Allowed;

/// A URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
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

/// Why a URL is none that a webhook may have. Says nothing of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not an absolute URL of at most 2048 bytes.
    #[error("not an absolute URL with https, a host, and at most 2048 bytes")]
    Malformed,
    /// With user name or password.
    #[error("a URL with a user name or password")]
    Credentials,
    /// Without TLS, where that is not allowed.
    #[error("https is needed")]
    Insecure,
    /// An address that is not public and not allowed.
    #[error("the address is not public, and not allowed by the server's settings")]
    Private,
}

impl Target {
    /// Reads a URL and refuses what surely may not be called. What its name resolves to is judged when it is called.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn parse(url: &str, allowed: &Allowed) -> Result<Self, TargetError> {
        if url.len() > URL_BYTES_MAX || url.contains('#') {
            return Err(TargetError::Malformed);
        }
        let uri: Uri = url.parse().map_err(|_| TargetError::Malformed)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(TargetError::Malformed),
        };
        let authority = uri.authority().ok_or(TargetError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(TargetError::Credentials);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(TargetError::Malformed);
        }
        if !tls && !allowed.http() {
            return Err(TargetError::Insecure);
        }
        let target = Self {
            tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path: uri
                .path_and_query()
                .map_or_else(|| "/".to_owned(), ToString::to_string),
        };
        match host.parse::<IpAddr>() {
            Ok(address) => target.judge(address, allowed).map(|()| target),
            Err(_) => Ok(target),
        }
    }

    /// Whether an address that its host stands for may be called.
    ///
    /// # Errors
    /// [`TargetError::Private`], [`TargetError::Insecure`].
    pub fn judge(&self, address: IpAddr, allowed: &Allowed) -> Result<(), TargetError> {
        if !allowed.permits(&self.host, address) {
            return Err(TargetError::Private);
        }
        if !self.tls && !allowed.permits_http(&self.host, address) {
            return Err(TargetError::Insecure);
        }
        Ok(())
    }
}

const URL_BYTES_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> Option<TargetError> {
        Target::parse(url, &Allowed::default()).err()
    }

    #[test]
    fn urls_are_taken_apart() {
        let target = Target::parse("https://hooks.example.com:8443/a/b?c=d", &Allowed::default()).unwrap();
        assert_eq!(
            (target.host.as_str(), target.port, target.tls),
            ("hooks.example.com", 8443, true)
        );
        assert_eq!(target.path, "/a/b?c=d");
        assert_eq!(target.authority, "hooks.example.com:8443");
        let six = Target::parse("https://[2606:4700::1111]", &Allowed::default()).unwrap();
        assert_eq!(
            (six.host.as_str(), six.port, six.path.as_str()),
            ("2606:4700::1111", 443, "/")
        );
    }

    #[test]
    fn what_may_not_be_called_is_refused() {
        use TargetError::{Credentials, Insecure, Malformed, Private};
        for bad in [
            "",
            "/path",
            "hooks.example.com",
            "ftp://example.com/",
            "https://",
            "https:///x",
            "https://a.b/#c",
        ] {
            assert_eq!(error(bad), Some(Malformed), "{bad}");
        }
        assert_eq!(
            error(&format!("https://example.com/{}", "a".repeat(2048))),
            Some(Malformed)
        );
        assert_eq!(error("https://user:secret@example.com/"), Some(Credentials));
        assert_eq!(error("http://example.com/"), Some(Insecure));
        for private in [
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://169.254.169.254/latest",
            "https://[::ffff:10.0.0.1]/",
        ] {
            assert_eq!(error(private), Some(Private), "{private}");
        }
        let allowed = Allowed::parse(&["127.0.0.1".to_owned()], true).unwrap();
        assert!(Target::parse("http://127.0.0.1:9/x", &allowed).is_ok());
        assert_eq!(Target::parse("http://1.1.1.1/", &allowed).err(), Some(Insecure));
    }
}
