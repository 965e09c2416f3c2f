//! A URL that a webhook is sent to.

use std::net::IpAddr;

use attestore_outbound::{Rule, Url, UrlError};

use crate::address::Allowed;

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

/// Reads a URL and refuses what surely may not be called. What its name resolves to is judged when it is called.
///
/// # Errors
/// [`TargetError`].
pub fn target(url: &str, allowed: &Allowed) -> Result<Url, TargetError> {
    let url = Url::parse(url).map_err(|error| match error {
        UrlError::Malformed => TargetError::Malformed,
        UrlError::Credentials => TargetError::Credentials,
        UrlError::Insecure => TargetError::Insecure,
    })?;
    if !url.tls && !allowed.http() {
        return Err(TargetError::Insecure);
    }
    match url.host.parse::<IpAddr>() {
        Ok(address) => judge(&url, address, allowed).map(|()| url),
        Err(_) => Ok(url),
    }
}

impl Rule for Allowed {
    fn judge(&self, url: &Url, address: IpAddr) -> Result<(), String> {
        judge(url, address, self).map_err(|error| error.to_string())
    }
}

fn judge(url: &Url, address: IpAddr, allowed: &Allowed) -> Result<(), TargetError> {
    if !allowed.permits(&url.host, address) {
        return Err(TargetError::Private);
    }
    if !url.tls && !allowed.permits_http(&url.host, address) {
        return Err(TargetError::Insecure);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> Option<TargetError> {
        target(url, &Allowed::default()).err()
    }

    #[test]
    fn urls_are_taken_apart() {
        let url = target("https://hooks.example.com:8443/a/b?c=d", &Allowed::default()).unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.tls),
            ("hooks.example.com", 8443, true)
        );
        assert_eq!(url.path, "/a/b?c=d");
        assert_eq!(url.authority, "hooks.example.com:8443");
        let six = target("https://[2606:4700::1111]", &Allowed::default()).unwrap();
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
        assert!(target("http://127.0.0.1:9/x", &allowed).is_ok());
        assert_eq!(target("http://1.1.1.1/", &allowed).err(), Some(Insecure));
    }
}
