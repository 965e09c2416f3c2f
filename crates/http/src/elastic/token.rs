//! Scroll ids and points in time. Nothing is kept for them here: they hold all that the next request needs.
//!
//! They grant nothing. Whoever brings one is checked as for any search, and the cursor in it is sealed by the engine.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::answer::Refusal;

/// Bytes of a body that can be scrolled: it goes to the client and back with every page.
pub const SCROLLED_BYTES_MAX: usize = 32 << 10;
/// Longer tokens are refused before they are read.
const TOKEN_BYTES_MAX: usize = 128 << 10;

/// Where a scroll goes on.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scroll {
    /// The index.
    pub index: String,
    /// The search, as it came.
    pub body: String,
    /// The parameters beside it.
    pub params: String,
    /// What `now` means in it.
    pub now_ms: u64,
    /// Where the engine goes on; `None` after the last page.
    pub cursor: Option<String>,
    /// All hits.
    pub total: Option<u64>,
}

/// A point in time: one tree of a log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pit {
    /// The index.
    pub index: String,
    /// Number of records.
    pub size: u64,
}

/// Writes a token.
pub fn write(token: &impl Serialize) -> Result<String, Refusal> {
    let json = serde_json::to_vec(token).map_err(|error| Refusal::from(crate::wire::internal(error)))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// Reads a token.
///
/// # Errors
/// 400 for what is none.
pub fn read<T: DeserializeOwned>(token: &str) -> Result<T, Refusal> {
    let bytes = (token.len() <= TOKEN_BYTES_MAX)
        .then(|| URL_SAFE_NO_PAD.decode(token).ok())
        .flatten();
    bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| Refusal::argument("this is no scroll id or point in time of this server"))
}
