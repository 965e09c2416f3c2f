//! The rate limits of the server, alone or over Redis.

use attestore_http::Keeper;
use attestore_keys::{SystemEntropy, random_array};

use crate::failure::Failure;
use crate::settings::Settings;

/// Makes the limits; connects to nothing yet.
///
/// # Errors
/// Usage, when Redis's address makes no sense, or this program was built without it.
pub fn keeper(settings: &Settings) -> Result<Keeper, Failure> {
    let number = || u64::from_le_bytes(random_array(&SystemEntropy));
    let seed = [number(), number()];
    if settings.redis.url.is_empty() {
        return Ok(Keeper::alone(settings.limits.clone(), seed));
    }
    #[cfg(feature = "redis")]
    return Keeper::together(settings.limits.clone(), settings.redis.clone(), seed, number())
        .map_err(|error| Failure::usage(format!("settings: redis.url: {error}")));
    #[cfg(not(feature = "redis"))]
    Err(Failure::usage(
        "settings: redis.url: this program was built without the feature `redis`",
    ))
}
