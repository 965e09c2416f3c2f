//! `[root]`: who holds the root key.

use std::path::PathBuf;

use attestore_engine::SigningKeys;
use attestore_keys::Provider;
use serde::{Deserialize, Serialize};

use super::Settings;

/// Who holds the root key. See docs/keys.md.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Root {
    /// `file`: in a file that only its owner may read; `passphrase`: in a file that is sealed under a passphrase; `pkcs11`: in files that
    /// keys in a security module seal; `vault`: in files that the transit engine of HashiCorp Vault or OpenBao seals. A data directory
    /// that is there must be held by the same.
    pub provider: RootProviderName,
    /// Where new keys that sign for logs are made: `directory`: in the tree of keys; `module`: in the security module that holds the root,
    /// which they never leave. `attestore key rotate` moves a log from one to the other.
    pub signing: SigningName,
    /// File with the passphrase, the PIN, the token or the secret id, which only its owner may read; nothing for `ATTESTORE_PASSPHRASE`,
    /// `ATTESTORE_PIN`, `VAULT_TOKEN`, `VAULT_SECRET_ID`, or the systemd credential `attestore-root`.
    pub secret_file: Option<PathBuf>,
    /// Whether to start sealed, and to wait for `attestore unseal`, where the secret is not at hand or what holds the root is away.
    /// Without it the server does not start then.
    pub sealed_start: bool,
    /// Whether to be unsealed from beyond this machine too, over TLS that ends here.
    pub unseal_from_anywhere: bool,
    /// Shared library of the security module. It must belong to root or to who runs this, and nobody else may write to it.
    pub module: Option<PathBuf>,
    /// Label of the token in it.
    pub label: Option<String>,
    /// Serial number of the token, where labels are not unique.
    pub serial: Option<String>,
    /// URL of Vault. Without TLS only on this machine.
    pub address: Option<String>,
    /// Where the transit engine is mounted in it; nothing for `transit`.
    pub mount: Option<String>,
    /// Namespace in it.
    pub namespace: Option<String>,
    /// File with certificate authorities that are trusted for it beside those of the web, PEM.
    pub ca_file: Option<PathBuf>,
    /// Role id of the AppRole that it is asked as; the secret is then the secret id. Without one the secret is a token.
    pub role_id: Option<String>,
}

/// Names of the providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootProviderName {
    /// In the open, for its owner only.
    #[default]
    File,
    /// Sealed under a passphrase.
    Passphrase,
    /// Sealed by a security module.
    Pkcs11,
    /// Sealed by HashiCorp Vault or OpenBao.
    Vault,
}

/// Where keys that sign for logs are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SigningName {
    /// In the tree of keys.
    #[default]
    Directory,
    /// In the security module.
    Module,
}

impl From<SigningName> for SigningKeys {
    fn from(name: SigningName) -> Self {
        match name {
            SigningName::Directory => Self::Directory,
            SigningName::Module => Self::Module,
        }
    }
}

impl From<RootProviderName> for Provider {
    fn from(name: RootProviderName) -> Self {
        match name {
            RootProviderName::File => Self::File,
            RootProviderName::Passphrase => Self::Passphrase,
            RootProviderName::Pkcs11 => Self::Pkcs11,
            RootProviderName::Vault => Self::Vault,
        }
    }
}

impl Root {
    /// What a provider needs and is not said.
    pub fn missing(&self) -> Option<&'static str> {
        match self.provider {
            RootProviderName::Pkcs11 if self.module.is_none() => {
                Some("pkcs11 needs the shared library of the security module")
            }
            RootProviderName::Pkcs11 if self.label.is_none() && self.serial.is_none() => {
                Some("pkcs11 needs the token's label or serial number")
            }
            RootProviderName::Vault if self.address.is_none() => Some("vault needs the address of Vault"),
            _ => None,
        }
    }
}

impl Settings {
    pub(super) fn check_root(&self, wrong: &mut dyn FnMut(&str, String)) {
        let root = &self.root;
        if root.provider == RootProviderName::Pkcs11 && !cfg!(feature = "pkcs11") {
            wrong("root.provider", "this build has no pkcs11".into());
        }
        if root.signing == SigningName::Module && root.provider != RootProviderName::Pkcs11 {
            wrong(
                "root.signing",
                "keys sign in a security module only where that holds the root too".into(),
            );
        }
        if root.provider == RootProviderName::Vault && !cfg!(feature = "vault") {
            wrong("root.provider", "this build has no vault".into());
        }
        if let Some(missing) = root.missing() {
            wrong("root.provider", missing.into());
        }
        if root.provider == RootProviderName::File && (root.sealed_start || root.secret_file.is_some()) {
            wrong(
                "root.provider",
                "a root in the open needs no secret and is never sealed".into(),
            );
        }
        if root.unseal_from_anywhere && self.tls.certificate_file.is_none() {
            wrong("root.unseal_from_anywhere", "this needs [tls]".into());
        }
    }
}
