//! `highlight`: the native places, marked in the text.

use std::collections::BTreeMap;

use attestore_engine::search::Highlight;
use serde_json::Value;

use super::answer::Refusal;
use super::glob::glob;

/// Longest tag (bytes).
const TAG_BYTES_MAX: usize = 256;

/// Between which tags places stand, and of which fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tags {
    before: String,
    after: String,
    html: bool,
    fields: Vec<String>,
}

impl Tags {
    /// Reads `highlight` of a request; `None` if it names no fields.
    ///
    /// # Errors
    /// 400 for settings that would change what is marked.
    pub fn read(highlight: &Value) -> Result<Option<Self>, Refusal> {
        const KNOWN: [&str; 14] = [
            "boundary_scanner",
            "boundary_scanner_locale",
            "encoder",
            "fields",
            "fragment_size",
            "fragmenter",
            "max_analyzed_offset",
            "number_of_fragments",
            "order",
            "post_tags",
            "pre_tags",
            "require_field_match",
            "tags_schema",
            "type",
        ];
        let expected = || Refusal::parsing("[highlight] has an object or list of [fields]");
        let settings = highlight.as_object().ok_or_else(expected)?;
        if let Some(name) = settings.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(Refusal::parsing(format!("[highlight] does not support [{name}]")));
        }
        let fields: Vec<String> = match settings.get("fields") {
            Some(Value::Object(fields)) => fields.keys().cloned().collect(),
            Some(Value::Array(list)) => list
                .iter()
                .filter_map(Value::as_object)
                .flat_map(|field| field.keys().cloned())
                .collect(),
            _ => return Err(expected()),
        };
        let tag = |name: &str, default: &str| {
            let tag = match settings.get(name) {
                None => Some(default),
                Some(Value::Array(tags)) => tags.first().and_then(Value::as_str),
                Some(tag) => tag.as_str(),
            };
            tag.filter(|tag| tag.len() <= TAG_BYTES_MAX)
                .map(str::to_owned)
                .ok_or_else(|| Refusal::parsing(format!("[{name}] is a list of short texts")))
        };
        let tags = Self {
            before: tag("pre_tags", "<em>")?,
            after: tag("post_tags", "</em>")?,
            html: settings.get("encoder").and_then(Value::as_str) == Some("html"),
            fields,
        };
        Ok((!tags.fields.is_empty()).then_some(tags))
    }

    /// The marked texts by field.
    pub fn mark(&self, places: Vec<Highlight>) -> BTreeMap<String, Vec<String>> {
        let mut marked: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for place in places {
            let field = dotted(&place.path);
            if self.fields.iter().any(|pattern| glob(pattern, &field)) {
                marked.entry(field).or_default().push(self.text(&place));
            }
        }
        marked
    }

    fn text(&self, place: &Highlight) -> String {
        let mut out = String::with_capacity(place.text.len() + 32);
        let mut at = 0;
        for range in &place.ranges {
            let (Some(plain), Some(found)) = (place.text.get(at..range.start), place.text.get(range.clone()))
            else {
                continue;
            };
            self.plain(&mut out, plain);
            out.push_str(&self.before);
            self.plain(&mut out, found);
            out.push_str(&self.after);
            at = range.end;
        }
        self.plain(&mut out, place.text.get(at..).unwrap_or_default());
        out
    }

    fn plain(&self, out: &mut String, text: &str) {
        if !self.html {
            out.push_str(text);
            return;
        }
        for c in text.chars() {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#x27;"),
                c => out.push(c),
            }
        }
    }
}

/// A JSON pointer as a field: names joined by dots, places in lists left out.
fn dotted(pointer: &str) -> String {
    let names = pointer.split('/').skip(1);
    let names = names.filter(|name| name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_digit()));
    let names: Vec<String> = names
        .map(|name| name.replace("~1", "/").replace("~0", "~"))
        .collect();
    names.join(".")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place() -> Highlight {
        Highlight {
            path: "/targets/0/name".into(),
            text: "a <wrong> code".into(),
            ranges: vec![3..8, 10..14],
        }
    }

    #[test]
    fn places_are_marked_by_field() {
        let read = |value: Value| Tags::read(&value).unwrap().unwrap().mark(vec![place()]);
        let all = json!({"fields": {"*": {}}, "pre_tags": ["["], "post_tags": ["]"], "fragment_size": 2_147_483_647});
        assert_eq!(read(all)["targets.name"], ["a <[wrong]> [code]"]);
        let html = json!({"fields": [{"targets.*": {}}], "encoder": "html"});
        assert_eq!(
            read(html)["targets.name"],
            ["a &lt;<em>wrong</em>&gt; <em>code</em>"]
        );
        assert!(read(json!({"fields": {"actor.*": {}}})).is_empty());
        assert_eq!(Tags::read(&json!({"fields": {}})).unwrap(), None);
        assert!(Tags::read(&json!({"fields": {"*": {}}, "highlight_query": {}})).is_err());
    }
}
