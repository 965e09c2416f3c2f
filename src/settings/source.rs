//! Where values come from: the sources laid over each other, what is wrong with them, and what is in force in the end.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::Settings;
use crate::cli::Sources;
use crate::failure::Failure;
use crate::files;

/// Settings that make sense, and where they come from.
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Every key.
    pub effective: Vec<Effective>,
}

/// A key in force.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Effective {
    /// Its name, with dots.
    pub key: String,
    /// Its value as TOML or JSON, secrets hidden.
    pub value: String,
    /// `default`, a file with a line, a variable or a flag.
    pub source: String,
}

/// What is wrong with one key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// Its name, with dots.
    pub key: String,
    /// Where it is set.
    pub source: String,
    /// What is wrong.
    pub message: String,
    /// The known key that is most like it.
    pub meant: Option<String>,
}

/// Variables with our prefix that are not settings of the server.
const NOT_SETTINGS: &[&str] = &[
    "URL",
    "CREDENTIAL",
    "CREDENTIAL_FILE",
    "TENANT",
    "CONFIG",
    "CA_FILE",
    "CLIENT_CERTIFICATE",
    "CLIENT_KEY",
    "BOOTSTRAP_CREDENTIAL_FILE",
    "PASSPHRASE",
    "PIN",
];
const PREFIX: &str = "ATTESTORE_";
/// Faults that are looked for before giving up.
const FAULTS_MAX: usize = 50;
/// What is shown instead of a secret.
const HIDDEN: &str = "********";

/// Where each key that was set comes from.
type Origins = BTreeMap<String, String>;

/// Lays the sources over each other.
pub fn load(sources: &Sources) -> Result<Loaded, Failure> {
    let variables =
        std::env::vars().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?.to_owned(), value)));
    load_from(sources, variables.collect())
}

/// As [`load`], with these variables, without their prefix.
pub(super) fn load_from(sources: &Sources, variables: Vec<(String, String)>) -> Result<Loaded, Failure> {
    let known = serde_json::to_value(Settings::default())?;
    let (mut tree, mut origins) = (Value::Object(Map::new()), Origins::new());
    let mut faults = Vec::new();
    if let Some(path) = &sources.config {
        let text = files::read_text(path)?;
        let name = path.display().to_string();
        let parsed =
            DeTable::parse(&text).map_err(|error| Failure::usage(format!("settings: {name}: {error}")))?;
        let values: toml::Table = text
            .parse()
            .map_err(|error| Failure::usage(format!("settings: {name}: {error}")))?;
        tree = serde_json::to_value(values)?;
        let line = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        note(parsed.get_ref(), "", &mut |key, at| {
            origins.insert(key, format!("{name}, line {}", line(at)));
        });
    }
    let mut variables = variables;
    variables.retain(|(name, _)| !NOT_SETTINGS.contains(&name.as_str()));
    variables.sort();
    for (name, text) in variables {
        let key = name.to_lowercase().replace("__", ".");
        let source = format!("{PREFIX}{name}");
        match read_variable(&text, at(&known, &key)) {
            Ok(value) => {
                set(&mut tree, &key, value);
                origins.insert(key, source);
            }
            Err(message) => faults.push(Fault {
                key,
                source,
                message,
                meant: None,
            }),
        }
    }
    for (key, flag, value) in sources.set() {
        set(&mut tree, key, value);
        origins.insert(key.to_owned(), flag.to_owned());
    }
    let settings = read(tree, &known, &origins, &mut faults);
    if faults.is_empty() {
        settings.check(&mut |key, message| {
            faults.push(Fault {
                key: key.to_owned(),
                source: origin(&origins, key),
                message,
                meant: None,
            });
        });
    }
    if !faults.is_empty() {
        return Err(Failure::usage(told(&faults)));
    }
    let effective = effective(&settings, &origins)?;
    Ok(Loaded { settings, effective })
}

/// Makes settings of a tree. What does not fit is noted and left out, so that all faults are found at once.
fn read(mut tree: Value, known: &Value, origins: &Origins, faults: &mut Vec<Fault>) -> Settings {
    for _ in 0..FAULTS_MAX {
        let error = match serde_path_to_error::deserialize::<_, Settings>(&tree) {
            Ok(settings) => return settings,
            Err(error) => error,
        };
        let key = error.path().to_string();
        let message = error.inner().to_string();
        let unknown = message.starts_with("unknown field");
        faults.push(Fault {
            source: origin(origins, &key),
            meant: unknown.then(|| nearest(&key, known, &message)).flatten(),
            message: if unknown { "unknown key".into() } else { message },
            key: key.clone(),
        });
        if !remove(&mut tree, &key) {
            break;
        }
    }
    Settings::default()
}

/// All faults, a line each.
fn told(faults: &[Fault]) -> String {
    let mut text = format!("settings: {} wrong", faults.len());
    for fault in faults {
        text.push_str(&format!(
            "\n  {} ({}): {}",
            fault.key, fault.source, fault.message
        ));
        if let Some(meant) = &fault.meant {
            text.push_str(&format!("; did you mean {meant}?"));
        }
    }
    text
}

/// Where a key is set, or what it is part of.
fn origin(origins: &Origins, key: &str) -> String {
    let mut name = key;
    loop {
        if let Some(source) = origins.get(name) {
            return source.clone();
        }
        match name.rfind(['.', '[']) {
            Some(end) => name = &name[..end],
            None => return "default".into(),
        }
    }
}

/// Calls `found` with every key of a file and where it stands.
fn note(table: &DeTable<'_>, prefix: &str, found: &mut impl FnMut(String, usize)) {
    for (name, value) in table {
        let key = joined(prefix, name.get_ref());
        found(key.clone(), name.span().start);
        if let DeValue::Table(inner) = value.get_ref() {
            note(inner, &key, found);
        }
    }
}

fn joined(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

/// A variable's text as what its key holds.
fn read_variable(text: &str, known: Option<&Value>) -> Result<Value, String> {
    let toml = |text: &str| -> Option<Value> {
        let table: toml::Table = format!("v = {text}").parse().ok()?;
        serde_json::to_value(table.get("v")?).ok()
    };
    match known {
        Some(Value::Bool(_)) => text
            .parse()
            .map(Value::Bool)
            .map_err(|_| "write true or false".into()),
        Some(Value::Number(_)) => toml(text)
            .filter(Value::is_number)
            .ok_or_else(|| "write a number".into()),
        Some(Value::Array(_)) if text.trim_start().starts_with('[') => {
            toml(text).ok_or_else(|| "this is no TOML list".into())
        }
        Some(Value::Array(_)) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(items.map(Value::from).collect())
        }
        Some(Value::Object(_)) => Err("this is a section; set the keys in it".into()),
        Some(_) | None => Ok(Value::from(text)),
    }
}

fn at<'v>(tree: &'v Value, key: &str) -> Option<&'v Value> {
    key.split('.').try_fold(tree, |tree, name| tree.get(name))
}

fn set(tree: &mut Value, key: &str, value: Value) {
    let mut place = tree;
    for name in key.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(map) = place else { return };
        place = map.entry(name).or_insert(Value::Null);
    }
    *place = value;
}

fn remove(tree: &mut Value, key: &str) -> bool {
    // An element of a list goes with the list.
    let key = key.split('[').next().unwrap_or(key);
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let place = if section.is_empty() {
        Some(tree)
    } else {
        section.split('.').try_fold(tree, |tree, name| tree.get_mut(name))
    };
    place
        .and_then(Value::as_object_mut)
        .is_some_and(|map| map.remove(name).is_some())
}

/// The known key that is most like an unknown one: of all keys, or of those that fit in its place.
fn nearest(key: &str, known: &Value, message: &str) -> Option<String> {
    let mut keys: Vec<String> = Vec::new();
    leaves(known, "", &mut |name, _| keys.push(name.to_owned()));
    if let Value::Object(sections) = known {
        keys.extend(sections.keys().cloned());
    }
    let section = key.rsplit_once('.').map_or("", |(section, _)| section);
    let expected = message.split_once("expected").map_or("", |(_, names)| names);
    keys.extend(
        expected
            .split('`')
            .skip(1)
            .step_by(2)
            .map(|name| joined(section, name)),
    );
    let distance = |one: &String| strsim::damerau_levenshtein(key, one);
    let best = keys.into_iter().min_by_key(distance)?;
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let alike = distance(&best) <= (key.len() / 3).max(2) || last(&best) == last(key);
    alike.then_some(best)
}

fn leaves(tree: &Value, prefix: &str, found: &mut impl FnMut(&str, &Value)) {
    match tree {
        Value::Object(map) if !map.is_empty() || prefix.is_empty() => {
            for (name, value) in map {
                leaves(value, &joined(prefix, name), found);
            }
        }
        value => found(prefix, value),
    }
}

fn effective(settings: &Settings, origins: &Origins) -> Result<Vec<Effective>, Failure> {
    let mut tree = serde_json::to_value(settings)?;
    hide_secrets(&mut tree);
    let mut all = Vec::new();
    leaves(&tree, "", &mut |key, value| {
        all.push(Effective {
            key: key.to_owned(),
            value: value.to_string(),
            source: origins.get(key).cloned().unwrap_or_else(|| "default".into()),
        });
    });
    Ok(all)
}

/// Hides what nobody should read over somebody's shoulder: secrets, and passwords in URLs.
pub fn hide_secrets(tree: &mut Value) {
    match tree {
        Value::Object(map) => {
            for (name, value) in map {
                let secret = ["password", "secret", "token"]
                    .iter()
                    .any(|word| name.ends_with(word));
                match value {
                    Value::String(text) if secret && !text.is_empty() => HIDDEN.clone_into(text),
                    other => hide_secrets(other),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(hide_secrets),
        Value::String(text) => {
            if let Some((scheme, rest)) = text.split_once("://")
                && let Some((_, host)) = rest.rsplit_once('@')
            {
                *text = format!("{scheme}://{HIDDEN}@{host}");
            }
        }
        _ => {}
    }
}

/// TOML has no null: a key without a value is left out.
pub fn drop_nulls(tree: &mut Value) {
    match tree {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(all) => all.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
