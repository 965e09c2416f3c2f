//! How Vault knows who asks.

use zeroize::Zeroizing;

/// What a login needs.
pub enum VaultLogin {
    /// A token that somebody made.
    Token(Zeroizing<String>),
    /// An AppRole: a token is drawn for it, and another one when that ends.
    AppRole {
        /// Its role id; not secret by itself.
        role_id: String,
        /// Its secret id.
        secret_id: Zeroizing<String>,
    },
}

impl VaultLogin {
    /// What it is called in messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Token(_) => "the token",
            Self::AppRole { .. } => "the role id or secret id",
        }
    }
}
