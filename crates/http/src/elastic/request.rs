//! The body of a search, read.

use serde_json::{Map, Value};

use super::answer::Refusal;
use super::dates::Shown;
use super::highlight::Tags;
use super::params::Params;
use super::sort::Sorted;
use super::source::{Filter, patterns};

/// Hits that `from` and `size` may reach, as in Elasticsearch.
pub const WINDOW_MAX: usize = 10_000;
/// Hits when the request names no number.
const SIZE_DEFAULT: usize = 10;
/// Fields of one list.
const FIELDS_MAX: usize = 64;

/// Parameters of the URL that say what the body could say.
pub const PARAMS: [&str; 15] = [
    "q",
    "df",
    "default_operator",
    "analyze_wildcard",
    "lenient",
    "from",
    "size",
    "sort",
    "scroll",
    "_source",
    "_source_includes",
    "_source_excludes",
    "timeout",
    "track_total_hits",
    "rest_total_hits_as_int",
];

/// A search.
#[derive(Debug)]
pub struct Spec {
    /// The query; `null` for everything.
    pub query: Value,
    /// Aggregations.
    pub aggs: Option<Value>,
    /// Hits to skip.
    pub from: usize,
    /// Hits to answer.
    pub size: usize,
    /// Their order.
    pub sorted: Sorted,
    /// Where they begin.
    pub search_after: Option<Value>,
    /// What is wanted of documents.
    pub source: Filter,
    /// Values that are listed by field: of `fields` and `docvalue_fields`.
    pub fields: Vec<Wanted>,
    /// How places that were found are marked, if they are.
    pub highlight: Option<Tags>,
    /// Whether the number of all hits is wanted.
    pub total: bool,
    /// Write it as a number alone.
    pub total_as_number: bool,
    /// Milliseconds after which to give up.
    pub deadline_ms: Option<u64>,
    /// Also the seq of each hit.
    pub seq_no: bool,
    /// Also a version of each hit, always 1.
    pub version: bool,
    /// A point in time.
    pub pit: Option<String>,
    /// Pages are asked for with a scroll id.
    pub scroll: bool,
    /// It is one of several, whose answers say their status.
    pub several: bool,
}

/// A field whose values are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name or a pattern.
    pub pattern: String,
    /// How times are written.
    pub shown: Option<Shown>,
}

impl Spec {
    /// Reads a body and the parameters beside it, which come first.
    ///
    /// # Errors
    /// 400 that names the member.
    pub fn read(body: &[u8], params: &Params) -> Result<Self, Refusal> {
        let body = match body.trim_ascii() {
            b"" => Value::Object(Map::new()),
            text => serde_json::from_slice(text).map_err(|error| {
                Refusal::parsing(format!(
                    "not JSON at line {} column {}",
                    error.line(),
                    error.column()
                ))
            })?,
        };
        let Value::Object(mut body) = body else {
            return Err(Refusal::parsing("a search is an object"));
        };
        from_params(&mut body, params)?;
        let mut spec = Self::of(&body)?;
        spec.scroll = params.get("scroll").is_some();
        spec.total_as_number = params.flag("rest_total_hits_as_int");
        if spec.scroll && (spec.from > 0 || spec.search_after.is_some() || spec.pit.is_some()) {
            return Err(Refusal::argument(
                "a scroll has no [from], [search_after] or [pit]",
            ));
        }
        if spec.scroll && spec.size == 0 {
            return Err(Refusal::argument("[size] cannot be [0] in a scroll context"));
        }
        Ok(spec)
    }

    fn of(body: &Map<String, Value>) -> Result<Self, Refusal> {
        let body = Members(body);
        body.check()?;
        let from = body.count("from")?.unwrap_or(0);
        let size = body.count("size")?.unwrap_or(SIZE_DEFAULT);
        if from.saturating_add(size) > WINDOW_MAX {
            return Err(Refusal::argument(format!(
                "Result window is too large, from + size must be less than or equal to: [{WINDOW_MAX}]; use [search_after] or \
                 a scroll"
            )));
        }
        let search_after = body.get("search_after").cloned();
        if from > 0 && search_after.is_some() {
            return Err(Refusal::argument("[from] has to be 0 with [search_after]"));
        }
        let aggs = match (body.get("aggs"), body.get("aggregations")) {
            (Some(_), Some(_)) => return Err(Refusal::parsing("a search has [aggs] or [aggregations]")),
            (one, other) => one.or(other),
        };
        let mut fields = Vec::new();
        for name in ["docvalue_fields", "fields"] {
            fields.extend(wanted(name, body.get(name))?);
        }
        Ok(Self {
            query: body.get("query").cloned().unwrap_or_default(),
            aggs: aggs.filter(|aggs| **aggs != Value::Object(Map::new())).cloned(),
            from,
            size,
            sorted: Sorted::read(body.get("sort"))?,
            search_after,
            source: source(body)?,
            fields,
            highlight: body.get("highlight").map(Tags::read).transpose()?.flatten(),
            total: body.total()?,
            total_as_number: false,
            deadline_ms: body.get("timeout").map(timeout).transpose()?,
            seq_no: body.flag("seq_no_primary_term")?,
            version: body.flag("version")?,
            pit: body.pit()?,
            scroll: false,
            several: false,
        })
    }
}

/// Documents are left out when stored fields are asked for instead: none is stored besides.
fn source(body: Members<'_>) -> Result<Filter, Refusal> {
    let stored = match body.get("stored_fields") {
        None => None,
        Some(stored) => Some(patterns(stored).ok_or_else(|| Refusal::parsing("[stored_fields] are names"))?),
    };
    match (stored, body.get("_source")) {
        (Some(stored), None) if !stored.iter().any(|name| name == "_source" || name == "*") => {
            Ok(Filter::Nothing)
        }
        (_, source) => Filter::read(source),
    }
}

fn wanted(list: &str, fields: Option<&Value>) -> Result<Vec<Wanted>, Refusal> {
    let error = || {
        Refusal::parsing(format!(
            "[{list}] is a list of names, or of objects of field and format"
        ))
    };
    let fields = match fields {
        None => return Ok(Vec::new()),
        Some(Value::Array(fields)) if fields.len() <= FIELDS_MAX => fields,
        Some(_) => return Err(error()),
    };
    let one = |field: &Value| match field {
        Value::String(name) => Ok(Wanted {
            pattern: name.clone(),
            shown: None,
        }),
        Value::Object(settings) => {
            let known = ["field", "format", "include_unmapped"];
            let name = settings.get("field").and_then(Value::as_str);
            let name = name.filter(|_| settings.keys().all(|key| known.contains(&key.as_str())));
            let shown = match settings.get("format").and_then(Value::as_str) {
                None | Some("use_field_mapping") => None,
                Some(format) => Some(Shown::read(format).ok_or_else(error)?),
            };
            Ok(Wanted {
                pattern: name.ok_or_else(error)?.to_owned(),
                shown,
            })
        }
        _ => Err(error()),
    };
    fields.iter().map(one).collect()
}

/// `30s`, `500ms`; `-1` is no deadline of one's own.
fn timeout(value: &Value) -> Result<u64, Refusal> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at_checked(digits).unwrap_or_default();
    let unit = match unit {
        "ms" | "" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        _ => None,
    };
    let ms = count
        .parse::<u64>()
        .ok()
        .zip(unit)
        .map(|(count, unit)| count.saturating_mul(unit));
    match (ms, text.as_str()) {
        (Some(0), _) | (None, "-1") => Ok(u64::MAX),
        (Some(ms), _) => Ok(ms),
        (None, _) => Err(Refusal::argument("[timeout] is a number of ms, s or m")),
    }
}

/// What the URL says takes the place of what the body says.
fn from_params(body: &mut Map<String, Value>, params: &Params) -> Result<(), Refusal> {
    if let Some(text) = params.get("q") {
        let mut query = Map::new();
        query.insert("query".to_owned(), Value::from(text));
        for (param, setting) in [("df", "default_field"), ("default_operator", "default_operator")] {
            if let Some(value) = params.get(param) {
                query.insert(setting.to_owned(), Value::from(value));
            }
        }
        body.insert("query".to_owned(), serde_json::json!({"query_string": query}));
    }
    for name in ["from", "size"] {
        if let Some(number) = params.number(name)? {
            body.insert(name.to_owned(), Value::from(number));
        }
    }
    if let Some(timeout) = params.get("timeout") {
        body.insert("timeout".to_owned(), Value::from(timeout));
    }
    if let Some(sort) = params.list("sort") {
        body.insert("sort".to_owned(), Value::from(sort));
    }
    if let Some(total) = params.get("track_total_hits") {
        let total = total
            .parse::<bool>()
            .map_or_else(|_| Value::from(total), Value::from);
        body.insert("track_total_hits".to_owned(), total);
    }
    match params.get("_source") {
        Some("true") => drop(body.insert("_source".to_owned(), Value::from(true))),
        Some("false") => drop(body.insert("_source".to_owned(), Value::from(false))),
        Some(_) => {
            let list = params.list("_source").unwrap_or_default();
            body.insert("_source".to_owned(), Value::from(list));
        }
        None => {}
    }
    let (includes, excludes) = (params.list("_source_includes"), params.list("_source_excludes"));
    if includes.is_some() || excludes.is_some() {
        let lists = serde_json::json!({
            "includes": includes.unwrap_or_default(), "excludes": excludes.unwrap_or_default()
        });
        body.insert("_source".to_owned(), lists);
    }
    Ok(())
}

/// Members that are read.
const KNOWN: [&str; 19] = [
    "_source",
    "aggregations",
    "aggs",
    "docvalue_fields",
    "fields",
    "from",
    "highlight",
    "pit",
    "query",
    "search_after",
    "seq_no_primary_term",
    "size",
    "sort",
    "stats",
    "stored_fields",
    "timeout",
    "track_scores",
    "track_total_hits",
    "version",
];
/// Members that say nothing as long as they say this.
const NOTHING: [(&str, &str); 8] = [
    ("explain", "false"),
    ("profile", "false"),
    ("runtime_mappings", "{}"),
    ("script_fields", "{}"),
    ("terminate_after", "0"),
    ("min_score", "0"),
    ("indices_boost", "[]"),
    ("ext", "{}"),
];

#[derive(Clone, Copy)]
struct Members<'a>(&'a Map<String, Value>);

impl<'a> Members<'a> {
    fn check(self) -> Result<(), Refusal> {
        for (name, value) in self.0 {
            let text = value.to_string();
            let nothing = NOTHING.contains(&(name.as_str(), text.as_str()));
            if !KNOWN.contains(&name.as_str()) && !nothing && !value.is_null() {
                return Err(Refusal::parsing(format!(
                    "unknown or unsupported key [{name}] in a search"
                )));
            }
        }
        Ok(())
    }

    fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn count(self, name: &str) -> Result<Option<usize>, Refusal> {
        let count = |value: &Value| match value {
            Value::String(text) => text.parse().ok(),
            value => value.as_u64().and_then(|count| usize::try_from(count).ok()),
        };
        self.get(name)
            .map(|value| count(value).ok_or_else(|| Refusal::argument(format!("[{name}] is a whole number"))))
            .transpose()
    }

    fn flag(self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(Refusal::parsing(format!("[{name}] is true or false"))),
        }
    }

    /// Totals are exact, whatever number they need not go beyond.
    fn total(self) -> Result<bool, Refusal> {
        match self.get("track_total_hits") {
            None | Some(Value::Number(_) | Value::Bool(true)) => Ok(true),
            Some(Value::String(number)) if number.parse::<i64>().is_ok() => Ok(true),
            Some(Value::Bool(false)) => Ok(false),
            Some(_) => Err(Refusal::parsing("[track_total_hits] is true, false or a number")),
        }
    }

    fn pit(self) -> Result<Option<String>, Refusal> {
        let Some(pit) = self.get("pit") else {
            return Ok(None);
        };
        let id = pit.get("id").and_then(Value::as_str);
        id.map(|id| Some(id.to_owned()))
            .ok_or_else(|| Refusal::parsing("[pit] has no [id]"))
    }
}

#[cfg(test)]
mod tests;
