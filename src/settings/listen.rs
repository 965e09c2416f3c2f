//! `[tls]`, `[mtls]`, `[unix]`: how clients reach the server, and who their certificates are of.

use std::path::PathBuf;

use attestore_http::tls::{ClientCertificates, RuleSpec};
use serde::{Deserialize, Serialize};

/// TLS 1.3 on the address; off without files. Certificate and key are read again when they change and on SIGHUP.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The certificate and those between it and an authority, PEM.
    pub certificate_file: Option<PathBuf>,
    /// Its private key, PEM (PKCS #8, PKCS #1 or SEC 1).
    pub key_file: Option<PathBuf>,
    /// Milliseconds between looks at the files for a change; 0 for SIGHUP only.
    pub reload_check_ms: u64,
}

/// Client certificates; they need TLS. A credential in a request counts more than the certificate of its connection.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mtls {
    /// `off`; `optional`: those that are shown must be good; `required`: no connection without one.
    pub mode: ClientCertificates,
    /// Authorities that client certificates must come from, PEM.
    pub ca_file: Option<PathBuf>,
    /// Their revocation lists, PEM; with lists, a certificate that none of them covers is refused.
    pub crl_file: Option<PathBuf>,
    /// Who a certificate is of: a list of rules of which the first that fits decides. See docs/tls.md.
    pub rules: Vec<RuleSpec>,
}

/// A Unix socket beside the address, or instead of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Unix {
    /// Where it is made; nothing for none. What is left of an old one is replaced.
    pub path: Option<PathBuf>,
    /// Who may connect: an octal mode.
    pub mode: String,
    /// Group that it belongs to, by name or number; nothing for the process's own.
    pub group: Option<String>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate_file: None,
            key_file: None,
            reload_check_ms: 5000,
        }
    }
}

impl Default for Unix {
    fn default() -> Self {
        Self {
            path: None,
            mode: "0660".into(),
            group: None,
        }
    }
}

impl Unix {
    /// The mode as a number.
    pub fn mode_bits(&self) -> Option<u32> {
        let digits = self.mode.strip_prefix("0o").unwrap_or(&self.mode);
        let bits = u32::from_str_radix(digits, 8).ok()?;
        (bits <= 0o777 && digits.bytes().all(|digit| digit.is_ascii_digit())).then_some(bits)
    }
}
