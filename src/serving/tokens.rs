//! The identity providers whose tokens are accepted.

use std::sync::Arc;

use attestore_disk::SystemClock;
use attestore_http::Tokens;
use attestore_identity::https;

use crate::failure::Failure;
use crate::files;
use crate::settings::Settings;

/// Makes what verifies their tokens; asks nobody yet.
///
/// # Errors
/// Usage, when the section `[oidc]` makes no sense or its file of authorities holds none.
pub fn tokens(settings: &Settings) -> Result<Tokens, Failure> {
    let oidc = &settings.oidc;
    let usage = |error: &dyn std::fmt::Display| Failure::usage(format!("settings: {error}"));
    let pem = oidc.ca_file.as_deref().map(files::read_text).transpose()?;
    let client = https::Client::new(pem.as_deref().map(str::as_bytes), oidc.allow_loopback_http)
        .map_err(|error| usage(&format!("oidc.ca_file: {error}")))?;
    Tokens::new(oidc, Arc::new(client), Arc::new(SystemClock)).map_err(|error| usage(&error))
}
