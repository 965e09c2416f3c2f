//! Which addresses may be called.

use std::net::IpAddr;

use crate::url::{Url, UrlError};

/// Decides which addresses may be called.
pub trait Rule: Send + Sync {
    /// Whether an address that the URL's host stands for may be called.
    ///
    /// # Errors
    /// Why not, for whoever is told that the request failed.
    fn judge(&self, url: &Url, address: IpAddr) -> Result<(), String>;
}

/// The rule for URLs that the operator wrote down, or that come from whom the operator named: private addresses are fine, and
/// plain HTTP is for this machine only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Configured {
    /// Whether loopback addresses may be called without TLS.
    pub loopback_http: bool,
}

impl Configured {
    /// Reads a URL that may be called under this rule.
    ///
    /// # Errors
    /// [`UrlError`]; [`UrlError::Insecure`] for plain HTTP to anything but a loopback address.
    pub fn url(self, url: &str) -> Result<Url, UrlError> {
        let url = Url::parse(url)?;
        if url.tls || (self.loopback_http && is_loopback_name(&url.host)) {
            Ok(url)
        } else {
            Err(UrlError::Insecure)
        }
    }
}

impl Rule for Configured {
    fn judge(&self, url: &Url, address: IpAddr) -> Result<(), String> {
        // `localhost` may stand for anything; without TLS only the machine itself is asked.
        if url.tls || (self.loopback_http && address.is_loopback()) {
            Ok(())
        } else {
            Err("the host name has no address that may be asked without TLS".into())
        }
    }
}

fn is_loopback_name(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
