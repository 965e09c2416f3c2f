//! `[audit]`: bounds of the server's account of itself. There is no switch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Settings;
use crate::failure::Failure;

/// The server's account of itself, in `_system`. It cannot be turned off.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// Milliseconds within which the record of an act must be durable, 100 to 60,000; else the act is answered with 503.
    pub wait_ms: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Self { wait_ms: 2000 }
    }
}

impl Settings {
    /// Every key and its value as JSON, to tell one start from the next. Values may be secrets.
    ///
    /// # Errors
    /// Never in practice: every value has a JSON form.
    pub fn flat(&self) -> Result<BTreeMap<String, String>, Failure> {
        let mut flat = BTreeMap::new();
        let mut open = vec![(String::new(), serde_json::to_value(self)?)];
        while let Some((key, value)) = open.pop() {
            match value {
                Value::Object(members) => {
                    let name = |member: String| match key.is_empty() {
                        true => member,
                        false => format!("{key}.{member}"),
                    };
                    open.extend(members.into_iter().map(|(member, value)| (name(member), value)));
                }
                value => {
                    flat.insert(key, value.to_string());
                }
            }
        }
        Ok(flat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_named_by_its_path() {
        let flat = Settings::default().flat().unwrap_or_default();
        assert_eq!(flat.get("audit.wait_ms").map(String::as_str), Some("2000"));
        assert!(flat.contains_key("listen") && flat.contains_key("engine.flush_age_ms"));
    }
}
