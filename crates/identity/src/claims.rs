//! The claims that every token must have in order (RFC 9068 §2.2, RFC 7519 §4.1), as pure checks.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::refusal::Refusal;
use crate::token::object;

/// All claims of a token whose signature is right.
pub(crate) struct Claims(pub Map<String, Value>);

/// Within what the times of a token must lie.
pub(crate) struct Bounds {
    pub leeway_s: u64,
    pub lifetime_max_s: u64,
}

/// Reads `iss` of a payload that nobody vouches for yet, to know whose keys to ask.
///
/// # Errors
/// [`Refusal::Malformed`].
pub(crate) fn claimed_issuer(payload: &[u8]) -> Result<String, Refusal> {
    #[derive(Deserialize)]
    struct Issued {
        iss: String,
    }
    Ok(object::<Issued>(payload)?.iss)
}

impl Claims {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn parse(payload: &[u8]) -> Result<Self, Refusal> {
        object(payload).map(Self)
    }

    /// Checks who issued the token: exactly the configured name, no normalisation.
    ///
    /// # Errors
    /// [`Refusal::Issuer`].
    pub fn check_issuer(&self, issuer: &str) -> Result<(), Refusal> {
        match self.0.get("iss") {
            Some(Value::String(iss)) if iss == issuer => Ok(()),
            _ => Err(Refusal::Issuer),
        }
    }

    /// Checks whom the token is meant for: one of `audiences` is in `aud`, a string or a list of strings.
    ///
    /// # Errors
    /// [`Refusal::Audience`].
    pub fn check_audience(&self, audiences: &[String]) -> Result<(), Refusal> {
        let ours = |value: &Value| {
            value
                .as_str()
                .is_some_and(|aud| audiences.iter().any(|a| a == aud))
        };
        let fine = match self.0.get("aud") {
            Some(Value::Array(many)) => many.iter().all(Value::is_string) && many.iter().any(ours),
            Some(one) => ours(one),
            None => false,
        };
        if fine { Ok(()) } else { Err(Refusal::Audience) }
    }

    /// Checks the times and returns when the token ends, in seconds since 1970, without leeway.
    ///
    /// A time that is present must be a number: one of another type is never taken for an absent one.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Expired`], [`Refusal::NotYet`], [`Refusal::Lifetime`].
    pub fn check_times(&self, now_s: u64, bounds: &Bounds) -> Result<u64, Refusal> {
        let expires = self.time("exp")?.ok_or(Refusal::Malformed)?;
        let not_before = self.time("nbf")?;
        let issued = self.time("iat")?;
        if expires.saturating_add(bounds.leeway_s) <= now_s {
            return Err(Refusal::Expired);
        }
        let latest = now_s.saturating_add(bounds.leeway_s);
        if [not_before, issued].iter().flatten().any(|time| *time > latest) {
            return Err(Refusal::NotYet);
        }
        let from = issued.unwrap_or(now_s);
        if expires < from {
            return Err(Refusal::Malformed);
        }
        if expires - from > bounds.lifetime_max_s {
            return Err(Refusal::Lifetime);
        }
        Ok(expires)
    }

    /// A text claim that can name somebody: not empty, bounded, without control characters.
    pub fn label(&self, claim: &str, chars_max: usize) -> Option<&str> {
        let text = self.find(claim)?.as_str()?;
        let fine =
            !text.is_empty() && text.chars().count() <= chars_max && !text.chars().any(char::is_control);
        fine.then_some(text)
    }

    /// Finds a claim: by a JSON pointer (RFC 6901) when it starts with a slash, else by its name.
    pub fn find(&self, claim: &str) -> Option<&Value> {
        let Some(path) = claim.strip_prefix('/') else {
            return self.0.get(claim);
        };
        let mut steps = path
            .split('/')
            .map(|step| step.replace("~1", "/").replace("~0", "~"));
        let mut value = self.0.get(&steps.next()?)?;
        for step in steps {
            value = value.as_object()?.get(&step)?;
        }
        Some(value)
    }

    /// A NumericDate (RFC 7519 §2): seconds, possibly with a fraction, which is cut off.
    fn time(&self, claim: &str) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.0.get(claim) else {
            return Ok(None);
        };
        if let Some(seconds) = value.as_u64() {
            return if seconds <= TIME_MAX_S {
                Ok(Some(seconds))
            } else {
                Err(Refusal::Malformed)
            };
        }
        let seconds = value.as_f64().ok_or(Refusal::Malformed)?;
        if !(0.0..=4e9).contains(&seconds) {
            return Err(Refusal::Malformed);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked: within 0 and 4e9"
        )]
        let whole = seconds as u64;
        Ok(Some(whole))
    }
}

/// Beyond any time that makes sense: the year 9999.
const TIME_MAX_S: u64 = 253_402_300_799;
