//! What the commands that forget have in common.

use serde_json::Value;

use crate::client::Answer;
use crate::failure::Failure;
use crate::output;

/// What the server did. Where somebody else has to approve first, that is a failure, which says what to do.
///
/// # Errors
/// The server's own words when it refuses.
pub fn done(answer: Answer) -> Result<Value, Failure> {
    let status = answer.status;
    let body: Value = serde_json::from_slice(&answer.success()?)?;
    if status != 202 || body["operation"].is_null() {
        return Ok(body);
    }
    let text = |name: &str| output::visible(body[name].as_str().unwrap_or_default());
    Err(Failure::failed(match text("state").as_str() {
        "requested" => format!(
            "nothing was done yet: somebody else has to approve this with `attestore approval approve {}` before {}; then repeat it",
            text("id"),
            text("expires_at")
        ),
        _ => format!("nothing was done: request {} is {}", text("id"), text("state")),
    }))
}

/// A member as text; nothing for null.
pub fn text(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An age as people write it, in milliseconds: a whole number and a unit of `s`, `m`, `h`, `d` or `y` (365 days).
///
/// # Errors
/// Usage.
pub fn parse_age(option: &str, text: &str) -> Result<u64, Failure> {
    let usage = || {
        Failure::usage(format!(
            "{option}: write a number and a unit, e.g. 90d (s, m, h, d, y)"
        ))
    };
    if text == "0" {
        return Ok(0);
    }
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(usage)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => DAY_S,
        "y" => 365 * DAY_S,
        _ => return Err(usage()),
    };
    let number: u64 = number.parse().map_err(|_| usage())?;
    number.checked_mul(seconds * 1000).ok_or_else(usage)
}

/// An age for people.
pub fn age(ms: Option<u64>) -> String {
    match ms {
        None => "for ever".to_owned(),
        Some(0) => "0".to_owned(),
        Some(ms) if ms.is_multiple_of(DAY_S * 1000) => format!("{}d", ms / (DAY_S * 1000)),
        Some(ms) if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        Some(ms) if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        Some(ms) => format!("{ms}ms"),
    }
}

const DAY_S: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::{age, parse_age};

    #[test]
    fn ages_are_read_as_they_are_printed() {
        for (text, ms) in [
            ("0", 0),
            ("90d", 90 * 86_400_000),
            ("12h", 12 * 3_600_000),
            ("61s", 61_000),
        ] {
            assert_eq!(parse_age("--keep-min", text).unwrap(), ms);
            assert_eq!(age(Some(ms)), text);
        }
        assert_eq!(parse_age("--keep-min", "7y").unwrap(), 7 * 365 * 86_400_000);
        for wrong in ["", "d", "7", "7w", "-1d", "99999999999999999d"] {
            assert!(parse_age("--keep-min", wrong).is_err(), "{wrong}");
        }
    }
}
