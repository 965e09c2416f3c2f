//! Makes the JSON of a public group short before it is parsed: of an event nothing is looked at but that it is one valid object, and
//! long texts in it need not be read by a parser for that.
//!
//! Behind the start of `event` or `control`, runs of plain ASCII inside of strings are replaced by one `~`, but not in names. That
//! changes neither whether the text is valid JSON, nor whether it is UTF-8, nor its structure. It changes values of the event, which
//! nobody reads from the result.

/// Shorter text that is valid exactly if the given one is; `None` where that is not worth it.
pub(super) fn shorten(public: &[u8]) -> Option<Vec<u8>> {
    if public.len() < BYTES_MIN {
        return None;
    }
    let head = public.get(..HEAD_BYTES_MAX).unwrap_or(public);
    let find = |start: &[u8]| Some(head.windows(start.len()).position(|bytes| bytes == start)? + start.len());
    let at = find(b",\"event\":{").or_else(|| find(b",\"control\":{"))?;
    let (head, mut rest) = public.split_at_checked(at)?;
    let mut out = Vec::with_capacity(HEAD_BYTES_MAX);
    out.extend_from_slice(head);
    // Outside of strings here, if the text is valid at all; else it is invalid before this place, and stays so.
    while let Some(quote) = rest.iter().position(|byte| *byte == b'"') {
        let (outside, string) = rest.split_at_checked(quote + 1)?;
        out.extend_from_slice(outside);
        let start = out.len();
        rest = copy_string(string, &mut out);
        if rest.trim_ascii_start().starts_with(b":") {
            out.truncate(start);
            out.extend_from_slice(string.get(..string.len() - rest.len()).unwrap_or_default());
        }
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// Copies the rest of a string with its closing quote, without most of its plain runs; returns what follows.
fn copy_string<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    loop {
        let before = rest.len();
        while let Some((_, after)) = rest
            .split_first_chunk::<RUN>()
            .filter(|(chunk, _)| is_plain(chunk))
        {
            rest = after;
        }
        if rest.len() < before {
            out.push(b'~');
        }
        // What stopped the run stands in the next few bytes, or the text ends.
        for _ in 0..RUN {
            match rest {
                // Its digits are no text of their own, so no run may take them.
                [b'\\', b'u', a, b, c, d, after @ ..] => {
                    out.extend_from_slice(&[b'\\', b'u', *a, *b, *c, *d]);
                    rest = after;
                }
                [b'\\', escaped, after @ ..] => {
                    out.extend_from_slice(&[b'\\', *escaped]);
                    rest = after;
                }
                [byte, after @ ..] => {
                    out.push(*byte);
                    rest = after;
                    if *byte == b'"' {
                        return rest;
                    }
                }
                [] => return rest,
            }
        }
    }
}

/// Whether all bytes are ASCII that stands for itself in a JSON string. Without branches, so that it runs on vectors.
fn is_plain(chunk: &[u8; RUN]) -> bool {
    let special = |byte: &u8| (*byte < b' ') | (*byte >= 0x80) | (*byte == b'"') | (*byte == b'\\');
    !chunk.iter().fold(false, |any, byte| any | special(byte))
}

/// Shorter texts are parsed as they are.
const BYTES_MIN: usize = 2048;
/// How far `event` or `control` may be from the start.
const HEAD_BYTES_MAX: usize = 4 << 10;
/// Bytes that are looked at together.
const RUN: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{BYTES_MIN, shorten};

    /// Sound public groups with long texts, and one byte of them changed.
    fn texts() -> impl Strategy<Value = (Vec<u8>, usize, u8)> {
        let text = prop_oneof![
            "[ -~]{0,700}",
            "[a-z\\\\\"\u{e9}\u{1f600}\n]{0,500}",
            "[a-z]{300,900}",
            // `Q` and `Z` become escapes below.
            "[QZ\n\u{1}\u{1f}\"]{0,3}([a-z]{120,135}[QZ\n\u{1}\u{7f}]{1,3}){1,4}[a-z]{0,300}",
        ];
        let value = prop_oneof![
            text.prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(Value::from)
        ];
        let event = proptest::collection::btree_map("[ -~]{0,300}", value, 0..8);
        (event, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(event, at, byte)| {
            let pad = "x".repeat(BYTES_MIN);
            let event = serde_json::to_string(&event).expect("a map of texts");
            let event = event.replace('Q', "\\u00e9").replace('Z', "\\ud83d\\ude00");
            let text = format!(r#"{{"v":1,"id":"{pad}","event":{{"a":{event},"b":"{pad}"}}}}"#).into_bytes();
            let at = at.index(text.len());
            (text, at, byte)
        })
    }

    /// What the envelope has, with whether it parses at all.
    fn shape(text: &[u8]) -> Result<Vec<String>, ()> {
        let value: std::collections::BTreeMap<String, &serde_json::value::RawValue> =
            serde_json::from_slice(text).map_err(drop)?;
        Ok(value
            .into_iter()
            .map(|(name, raw)| format!("{name} {}", &raw.get()[..1]))
            .collect())
    }

    proptest! {
        #[test]
        fn what_is_shorter_is_as_valid((text, at, byte) in texts()) {
            let short = shorten(&text).unwrap();
            prop_assert!(short.len() < text.len());
            prop_assert_eq!(shape(&short), shape(&text));
            let mut changed = text.clone();
            changed[at] = byte;
            if let Some(short) = shorten(&changed) {
                let (short, long) = (shape(&short), shape(&changed));
                prop_assert_eq!(short.is_ok(), long.is_ok());
                if let (Ok(short), Ok(long)) = (short, long) {
                    prop_assert_eq!(short.len(), long.len());
                }
            }
        }
    }

    #[test]
    fn digits_of_an_escape_are_kept() {
        for escape in ["\\u0001", "\\ud83d\\ude00"] {
            for plain in 100..140 {
                let (a, b, pad) = ("a".repeat(plain), "b".repeat(200), "y".repeat(BYTES_MIN));
                let text = format!(r#"{{"v":1,"event":{{"a":"\n{a}{escape}{b}","pad":"{pad}"}}}}"#);
                let short = shorten(text.as_bytes()).unwrap();
                assert!(shape(&short).is_ok(), "{escape} behind {plain}");
            }
        }
    }

    #[test]
    fn names_stay_as_they_are() {
        for (before, after) in [("x", ""), ("", "withheld"), ("with", "held")] {
            let name = format!("{before}{}{after}", "x".repeat(1024));
            let pad = "y".repeat(BYTES_MIN);
            let text = format!(r#"{{"v":1,"event":{{"b":"{pad}"}},"{name}":1}}"#);
            let short = String::from_utf8(shorten(text.as_bytes()).unwrap()).unwrap();
            assert!(
                short.contains('~') && short.len() < 2000 && short.contains(&name),
                "{short}"
            );
        }
    }
}
