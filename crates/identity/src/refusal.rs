//! Why a token is refused. Nothing of the token is in it.

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not three parts of strict base64url with JSON objects in them, or a claim that is needed has the wrong type.
    #[error("the token is malformed")]
    Malformed,
    /// Longer than is read.
    #[error("the token is too long")]
    TooLong,
    /// No issuer of that name is configured.
    #[error("the token's issuer is not one that this server believes")]
    Issuer,
    /// `alg` is not one of the issuer's.
    #[error("the token's algorithm is not one that its issuer is configured with")]
    Algorithm,
    /// The header brings or points to its own key, or asks for extensions.
    #[error("the token's header brings its own key or needs extensions")]
    Header,
    /// `typ` is not an access token's.
    #[error("the token is not of a type that is accepted")]
    Type,
    /// The issuer has no such key.
    #[error("the token's key is not one of its issuer's")]
    Key,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// Meant for somebody else.
    #[error("the token is meant for another audience")]
    Audience,
    /// Its time is over.
    #[error("the token is expired")]
    Expired,
    /// Its time has not come, or it was issued in the future.
    #[error("the token is not valid yet")]
    NotYet,
    /// Valid for longer than is allowed.
    #[error("the token is valid for longer than is allowed")]
    Lifetime,
    /// Without a usable subject.
    #[error("the token names no usable subject")]
    Subject,
    /// The roles that its claims map to may not be held together, or there is another reason why nobody can be made of it.
    #[error("what the token's claims map to cannot be held")]
    Grants,
    /// The issuer's keys cannot be fetched at the moment; nothing is said about the token.
    #[error("the keys of the token's issuer cannot be fetched at the moment")]
    KeysUnavailable {
        /// Seconds after which asking again makes sense.
        retry_after_s: u64,
    },
}

impl Refusal {
    /// A stable name, for records and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Issuer => "issuer",
            Self::Algorithm => "algorithm",
            Self::Header => "header",
            Self::Type => "type",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Lifetime => "lifetime",
            Self::Subject => "subject",
            Self::Grants => "grants",
            Self::KeysUnavailable { .. } => "keys_unavailable",
        }
    }
}
