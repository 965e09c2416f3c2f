//! Names in JSON: no object of a record has one twice, so that two readers cannot see two events. Nor is any nested too deep for one.

use std::borrow::Cow;

/// Checks that no object of a JSON text has a name twice, at any depth, compared as it is spelled without escapes, and how deep it is.
///
/// The text is known to be JSON.
pub(super) fn check_names(json: &[u8]) -> Result<(), String> {
    let text = str::from_utf8(json).map_err(|error| error.to_string())?;
    let (mut names, mut starts) = (Vec::<Cow<'_, str>>::new(), Vec::new());
    let mut rest = text;
    while let Some(at) = rest.find(['"', '{', '}', '[', ']']) {
        let (from, after) = rest.split_at_checked(at + 1).unwrap_or((rest, ""));
        rest = match from.as_bytes().last() {
            Some(b'"') => {
                let (name, behind) = string(after);
                if behind.trim_ascii_start().starts_with(':') {
                    names.push(decoded(name)?);
                }
                behind
            }
            Some(b'{' | b'[') if starts.len() == DEPTH_MAX => {
                return Err(format!("it is nested more than {DEPTH_MAX} deep"));
            }
            Some(b'{' | b'[') => {
                starts.push(names.len());
                after
            }
            _ => {
                let start = starts.pop().unwrap_or_default();
                let own = names.get_mut(start..).unwrap_or_default();
                own.sort_unstable();
                if let Some(name) = own
                    .iter()
                    .zip(own.iter().skip(1))
                    .find_map(|(a, b)| (a == b).then_some(a))
                {
                    return Err(format!("{name:?} stands twice in one object"));
                }
                names.truncate(start);
                after
            }
        };
    }
    Ok(())
}

/// A string without its closing quote, and what follows.
fn string(text: &str) -> (&str, &str) {
    let (bytes, mut at) = (text.as_bytes(), 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                return (
                    text.get(..at).unwrap_or_default(),
                    text.get(at + 1..).unwrap_or_default(),
                );
            }
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    (text, "")
}

fn decoded(name: &str) -> Result<Cow<'_, str>, String> {
    if !name.contains('\\') {
        return Ok(Cow::Borrowed(name));
    }
    let decoded: String = serde_json::from_str(&format!("\"{name}\"")).map_err(|error| error.to_string())?;
    Ok(Cow::Owned(decoded))
}

/// Deepest nesting of objects and lists, far beyond what is ever recorded: other readers recurse.
const DEPTH_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::check_names;

    #[test]
    fn a_name_stands_once_in_each_object() {
        for sound in [
            r#"{}"#,
            r#"[[],{},{"a":1},{"a":1}]"#,
            r#"{"a":{"a":{"b":[]},"b":{"a":"a","c":":"}},"b":[{"a":1},{"a":2}],"c":["a","a"]}"#,
            r#"{"a\"":1,"a\\":{"a":"}{"},"a" : "\"a\":\"","\u00e9":1}"#,
        ] {
            assert_eq!(check_names(sound.as_bytes()), Ok(()), "{sound}");
        }
        for twice in [
            r#"{"a":1,"a":2}"#,
            r#"[{"b":{},"c":[{"a":1,"b":[],"a" : 2}]}]"#,
            r#"{"a":{"b":1},"c":{},"a":1}"#,
            r#"{"\u0061":1,"a":2}"#,
            r#"{"\ud800":1}"#,
        ] {
            assert!(check_names(twice.as_bytes()).is_err(), "{twice}");
        }
    }
}
