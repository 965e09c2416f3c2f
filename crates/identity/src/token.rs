//! A token in compact form (RFC 7515 §3.1), taken apart. Nothing here is believed yet.
//!
//! Base64url is strict (no padding, no stray bits), so that one token has one spelling; the header's known members may not
//! appear twice.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::refusal::Refusal;

/// A token, taken apart.
pub(crate) struct Parts<'t> {
    pub header: Header,
    /// Payload, decoded.
    pub payload: Vec<u8>,
    /// What is signed: header and payload as they came.
    pub signed: &'t [u8],
    pub signature: Vec<u8>,
}

/// The header's members that matter.
#[derive(Deserialize)]
pub(crate) struct Header {
    pub alg: String,
    #[serde(default)]
    pub kid: Option<String>,
    #[serde(default)]
    pub typ: Option<String>,
    /// Extensions that must be understood: none are.
    #[serde(default)]
    crit: Option<IgnoredAny>,
    #[serde(default)]
    jku: Option<IgnoredAny>,
    #[serde(default)]
    jwk: Option<IgnoredAny>,
    #[serde(default)]
    x5u: Option<IgnoredAny>,
    #[serde(default)]
    x5c: Option<IgnoredAny>,
    #[serde(default)]
    b64: Option<IgnoredAny>,
    #[serde(default)]
    zip: Option<IgnoredAny>,
}

impl<'t> Parts<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`Refusal::TooLong`], [`Refusal::Malformed`], [`Refusal::Header`].
    pub fn parse(token: &'t str) -> Result<Self, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        let header: Header = object(&decode(header)?)?;
        header.check()?;
        Ok(Self {
            header,
            payload: decode(payload)?,
            signed: signed.as_bytes(),
            signature: decode(signature)?,
        })
    }
}

impl Header {
    fn check(&self) -> Result<(), Refusal> {
        let unwanted = [
            &self.crit, &self.jku, &self.jwk, &self.x5u, &self.x5c, &self.b64, &self.zip,
        ];
        if unwanted.iter().any(|member| member.is_some()) {
            return Err(Refusal::Header);
        }
        if self.kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
            return Err(Refusal::Malformed);
        }
        Ok(())
    }
}

/// Reads a JSON object; a list of its members' values, which serde would take for one, is none.
pub(crate) fn object<T: DeserializeOwned>(json: &[u8]) -> Result<T, Refusal> {
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(Refusal::Malformed);
    }
    serde_json::from_slice(json).map_err(|_| Refusal::Malformed)
}

/// Decodes a part; a second dot is no character of base64url, so a token of more than three parts ends here.
fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}

/// Bytes of a token.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Bytes of a key's id.
pub(crate) const KID_BYTES_MAX: usize = 256;
