//! Clauses about the values and words of records.

use std::collections::BTreeSet;

use attestore_engine::search::{AMONG_MAX, Condition, Part, Words};
use serde_json::{Value, json};

use super::{Body, Context, all, any, none};
use crate::elastic::answer::Refusal;

/// Fields that one clause may search.
const FIELDS_MAX: usize = 16;
/// Records that one request may ask for by id, in all its clauses: each is looked up by itself, once.
const IDS_MAX: usize = 100;
/// Names under which clauses ask for a record by its id.
const ID: &str = "_id";

impl Context<'_> {
    pub(super) fn term(&self, body: &Body<'_>) -> Result<Condition, Refusal> {
        let (field, settings) = body.settings("value")?;
        settings.body.only(&["value", "boost", "case_insensitive"])?;
        settings.body.fixed("case_insensitive", &[json!(false)])?;
        let value = body.scalar(settings.value)?;
        if field == ID {
            return self.records(&[value]);
        }
        Ok(Condition::Is {
            field: field.to_owned(),
            value,
        })
    }

    pub(super) fn terms(&self, body: &Body<'_>) -> Result<Condition, Refusal> {
        let (field, values) = body.field()?;
        let Value::Array(values) = values else {
            return Err(body.error("needs a list of values"));
        };
        if values.len() > AMONG_MAX {
            return Err(body.error(&format!("has more than {AMONG_MAX} values")));
        }
        let values = values.iter().map(|value| body.scalar(value));
        let values: Vec<String> = values.collect::<Result<_, _>>()?;
        if field == ID {
            return self.records(&values);
        }
        Ok(Condition::Among {
            field: field.to_owned(),
            values,
        })
    }

    pub(super) fn ids(&self, body: &Body<'_>) -> Result<Condition, Refusal> {
        body.only(&["values", "boost"])?;
        let values = match body.get("values") {
            Some(Value::Array(values)) => values.as_slice(),
            Some(one) => std::slice::from_ref(one),
            None => return Err(body.error("needs [values]")),
        };
        if values.len() > AMONG_MAX {
            return Err(body.error(&format!("has more than {AMONG_MAX} values")));
        }
        let values = values.iter().map(|value| body.scalar(value));
        self.records(&values.collect::<Result<Vec<_>, _>>()?)
    }

    /// The records of these ids.
    fn records(&self, ids: &[String]) -> Result<Condition, Refusal> {
        let mut known = self.known.borrow_mut();
        let wanted: BTreeSet<&String> = ids.iter().collect();
        let new = wanted.iter().filter(|id| !known.contains_key(**id)).count();
        if known.len() + new > IDS_MAX {
            return Err(Refusal::parsing(format!(
                "at most {IDS_MAX} ids can be asked for in one request"
            )));
        }
        let mut values = Vec::new();
        for id in wanted {
            let seq = match known.get(id) {
                Some(seq) => *seq,
                None => (self.seq_of)(id)?,
            };
            known.insert(id.clone(), seq);
            values.extend(seq.map(|seq| seq.to_string()));
        }
        Ok(match values.is_empty() {
            true => none(),
            false => Condition::Among {
                field: "seq".to_owned(),
                values,
            },
        })
    }
}

pub(super) fn matches(body: &Body<'_>) -> Result<Condition, Refusal> {
    let (field, settings) = body.settings("query")?;
    let known = [
        "query",
        "operator",
        "boost",
        "lenient",
        "auto_generate_synonyms_phrase_query",
    ];
    settings.body.only(&with(&known, "minimum_should_match"))?;
    settings
        .body
        .fixed("minimum_should_match", &[json!(1), json!("1")])?;
    let how = operator(&settings.body, "operator")?;
    Ok(words(field, &body.scalar(settings.value)?, how))
}

pub(super) fn phrase(body: &Body<'_>) -> Result<Condition, Refusal> {
    let (field, settings) = body.settings("query")?;
    settings.body.only(&["query", "boost", "slop"])?;
    settings.body.fixed("slop", &[json!(0)])?;
    Ok(words(field, &body.scalar(settings.value)?, Words::Phrase))
}

pub(super) fn phrase_prefix(body: &Body<'_>) -> Result<Condition, Refusal> {
    let (field, settings) = body.settings("query")?;
    settings
        .body
        .only(&["query", "boost", "slop", "max_expansions"])?;
    settings.body.fixed("slop", &[json!(0)])?;
    Ok(words(field, &body.scalar(settings.value)?, Words::PhraseStart))
}

pub(super) fn multi_match(body: &Body<'_>) -> Result<Condition, Refusal> {
    body.only(&[
        "query",
        "fields",
        "type",
        "operator",
        "tie_breaker",
        "boost",
        "lenient",
        "slop",
    ])?;
    body.fixed("slop", &[json!(0)])?;
    let query = body.get("query").ok_or_else(|| body.error("has no [query]"))?;
    let query = body.scalar(query)?;
    let how = match body.text("type")? {
        None | Some("best_fields" | "most_fields") => operator(body, "operator")?,
        Some("phrase") => Words::Phrase,
        Some("phrase_prefix") => Words::PhraseStart,
        Some(_) => return Err(body.error("does not support this [type]")),
    };
    let each = fields(body)?;
    Ok(any(each.iter().map(|field| words(field, &query, how)).collect()))
}

pub(super) fn exists(body: &Body<'_>) -> Result<Condition, Refusal> {
    body.only(&["field", "boost"])?;
    let field = body.text("field")?.ok_or_else(|| body.error("has no [field]"))?;
    Ok(Condition::Has {
        field: field.to_owned(),
    })
}

pub(super) fn prefix(body: &Body<'_>) -> Result<Condition, Refusal> {
    let (field, settings) = body.settings("value")?;
    settings
        .body
        .only(&["value", "boost", "case_insensitive", "rewrite"])?;
    settings.body.fixed("case_insensitive", &[json!(false)])?;
    Ok(Condition::Starts {
        field: field.to_owned(),
        start: body.scalar(settings.value)?,
    })
}

pub(super) fn wildcard(body: &Body<'_>) -> Result<Condition, Refusal> {
    let (_, value) = body.field()?;
    let name = match value.get("value") {
        Some(_) => "value",
        None => "wildcard",
    };
    let (field, settings) = body.settings(name)?;
    settings
        .body
        .only(&[name, "boost", "case_insensitive", "rewrite"])?;
    settings.body.fixed("case_insensitive", &[json!(false)])?;
    Ok(Condition::Like {
        field: field.to_owned(),
        form: form(&body.scalar(settings.value)?),
    })
}

/// A text in which `*` and `?` are wildcards, and a backslash takes away the meaning of what follows.
fn form(text: &str) -> Vec<Part> {
    let mut form = Vec::new();
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let wildcard = match c {
            '*' => Part::Many,
            '?' => Part::One,
            '\\' => {
                plain.push(chars.next().unwrap_or('\\'));
                continue;
            }
            c => {
                plain.push(c);
                continue;
            }
        };
        if !plain.is_empty() {
            form.push(Part::Text(std::mem::take(&mut plain)));
        }
        form.push(wildcard);
    }
    if !plain.is_empty() {
        form.push(Part::Text(plain));
    }
    form
}

/// In our own language, which is that of `query_string` in the main.
pub(super) fn query_string(body: &Body<'_>) -> Result<Condition, Refusal> {
    let known = [
        "query",
        "default_field",
        "fields",
        "default_operator",
        "analyze_wildcard",
        "allow_leading_wildcard",
        "auto_generate_synonyms_phrase_query",
        "boost",
        "enable_position_increments",
        "escape",
        "lenient",
        "max_determinized_states",
        "phrase_slop",
        "rewrite",
        "tie_breaker",
        "type",
        "flags",
    ];
    body.only(&known)?;
    body.fixed("escape", &[json!(false)])?;
    body.fixed("phrase_slop", &[json!(0), json!(0.0)])?;
    body.fixed("type", &[json!("best_fields"), json!("most_fields")])?;
    body.fixed("flags", &[json!("ALL"), json!("all")])?;
    let query = body.text("query")?.ok_or_else(|| body.error("has no [query]"))?;
    if query.trim() == "*:*" {
        return Ok(Condition::All);
    }
    let any_of = operator(body, "default_operator")? == Words::Any;
    let text = |field: Option<&str>| Condition::Text {
        query: query.to_owned(),
        field: field.map(str::to_owned),
        any: any_of,
    };
    let default = body.text("default_field")?.filter(|field| !is_everything(field));
    if default.is_some() && body.get("fields").is_some() {
        return Err(body.error("has both [fields] and [default_field]"));
    }
    let fields = fields(body)?;
    Ok(match (default, fields.as_slice()) {
        (Some(field), _) => text(Some(field)),
        (None, fields) => any(fields
            .iter()
            .map(|field| text(Some(field.as_str()).filter(|field| !is_everything(field))))
            .collect()),
    })
}

/// Words in a field; `*` for the text of the record.
fn words(field: &str, text: &str, how: Words) -> Condition {
    let everything = is_everything(field);
    if text.trim().is_empty() && everything {
        return all(vec![none()]);
    }
    Condition::Match {
        field: (!everything).then(|| field.to_owned()),
        text: text.to_owned(),
        how,
    }
}

fn is_everything(field: &str) -> bool {
    matches!(field, "*" | "_all" | "")
}

/// `fields`, without their weights; everything if there are none.
fn fields(body: &Body<'_>) -> Result<Vec<String>, Refusal> {
    let list = match body.get("fields") {
        None => return Ok(vec!["*".to_owned()]),
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    if list.is_empty() || list.len() > FIELDS_MAX {
        return Err(body.error(&format!("has 1 to {FIELDS_MAX} [fields]")));
    }
    let mut fields = Vec::new();
    for field in list {
        let name = field.as_str().ok_or_else(|| body.error("[fields] are names"))?;
        let name = name.split_once('^').map_or(name, |(name, _)| name);
        if name.contains('*') && !is_everything(name) {
            return Err(body.error("supports no patterns of [fields] besides *"));
        }
        fields.push(name.to_owned());
    }
    Ok(fields)
}

fn operator(body: &Body<'_>, name: &str) -> Result<Words, Refusal> {
    match body.text(name)?.map(str::to_ascii_lowercase).as_deref() {
        None | Some("or") => Ok(Words::Any),
        Some("and") => Ok(Words::All),
        Some(_) => Err(body.error(&format!("[{name}] is and, or or"))),
    }
}

fn with<'a>(known: &[&'a str], more: &'a str) -> Vec<&'a str> {
    known.iter().copied().chain([more]).collect()
}
