//! The mapping file: its TOML form and its compilation.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Mapping;
use super::apply::{Condition, Each, Node, Rule, Source};
use super::transform::{Lookup, Test, Transform};
use crate::json::pointer;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    payload: Option<Payload>,
    #[serde(default)]
    set: Vec<Set>,
    #[serde(default)]
    each: Vec<EachFile>,
    #[serde(default)]
    lookup: BTreeMap<String, Vec<LookupRow>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Payload {
    Original,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    to: String,
    from: Option<Vec<String>>,
    #[serde(rename = "const")]
    constant: Option<String>,
    join: Option<String>,
    #[serde(default)]
    parts: Vec<Part>,
    when: Option<When>,
    test: Option<String>,
    #[serde(default)]
    transforms: Vec<String>,
    lookup: Option<String>,
    default: Option<String>,
    #[serde(default)]
    required: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    from: Vec<String>,
    #[serde(default)]
    transforms: Vec<String>,
    default: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum When {
    Present(String),
    Absent(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EachFile {
    to: String,
    from: String,
    max: usize,
    set: Vec<Set>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookupRow {
    #[serde(rename = "match")]
    pattern: String,
    value: String,
}

pub(super) fn compile(text: &str) -> Result<Mapping, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let lookups: BTreeMap<String, Lookup> = file
        .lookup
        .into_iter()
        .map(|(name, rows)| {
            (
                name,
                Lookup(rows.into_iter().map(|row| (row.pattern, row.value)).collect()),
            )
        })
        .collect();
    let mut root = Node::default();
    for set in file.set {
        add(&mut root, set, &lookups)?;
    }
    for each in file.each {
        let mut item = Node::default();
        for set in each.set {
            add(&mut item, set, &lookups)?;
        }
        if !each.from.is_empty() {
            check_pointer(&each.from)?;
        }
        let node = descend(&mut root, &each.to)?;
        if node.each.is_some() {
            return Err(format!("place {}: two lists", each.to));
        }
        node.each = Some(Box::new(Each {
            from: each.from,
            max: each.max,
            item,
        }));
    }
    check_node(&root, "")?;
    Ok(Mapping {
        name: file.name,
        root,
        keep_original: file.payload.is_some(),
    })
}

/// A place is an object, a list or a text: rules for two of these would silently lose one.
fn check_node(node: &Node, path: &str) -> Result<(), String> {
    let forms = [
        !node.members.is_empty(),
        node.each.is_some(),
        !node.rules.is_empty(),
    ];
    if forms.into_iter().filter(|form| *form).count() > 1 {
        return Err(format!(
            "place {path}: can be only one of an object, a list and a text"
        ));
    }
    for (name, member) in &node.members {
        let mut path = path.to_owned();
        pointer::push_segment(&mut path, name);
        check_node(member, &path)?;
    }
    node.each
        .as_ref()
        .map_or(Ok(()), |each| check_node(&each.item, &format!("{path}/*")))
}

fn add(root: &mut Node, set: Set, lookups: &BTreeMap<String, Lookup>) -> Result<(), String> {
    let to = set.to.clone();
    let rule = rule(set, lookups).map_err(|message| format!("rule for {to}: {message}"))?;
    descend(root, &to)?.rules.push(rule);
    Ok(())
}

fn rule(set: Set, lookups: &BTreeMap<String, Lookup>) -> Result<Rule, String> {
    let source = match (set.from, set.constant, set.join) {
        (Some(from), None, None) => Source::First(pointers(from)?),
        (None, Some(constant), None) => Source::Constant(constant),
        (None, None, Some(glue)) => Source::Join {
            glue,
            parts: parts(set.parts)?,
        },
        _ => return Err("needs exactly one of `from`, `const` and `join`".to_owned()),
    };
    let when = match set.when {
        None => Condition::Always,
        Some(When::Present(path)) => Condition::Present(checked(path)?),
        Some(When::Absent(path)) => Condition::Absent(checked(path)?),
    };
    let lookup = match set.lookup {
        None => None,
        Some(name) => Some(
            lookups
                .get(&name)
                .cloned()
                .ok_or_else(|| format!("no lookup {name}"))?,
        ),
    };
    Ok(Rule {
        source,
        when,
        test: set.test.as_deref().map(Test::parse).transpose()?,
        transforms: transforms(&set.transforms)?,
        lookup,
        default: set.default,
        required: set.required,
    })
}

fn parts(parts: Vec<Part>) -> Result<Vec<Rule>, String> {
    let part = |part: Part| {
        Ok(Rule {
            source: Source::First(pointers(part.from)?),
            when: Condition::Always,
            test: None,
            transforms: transforms(&part.transforms)?,
            lookup: None,
            default: part.default,
            required: false,
        })
    };
    parts.into_iter().map(part).collect()
}

fn transforms(names: &[String]) -> Result<Vec<Transform>, String> {
    names.iter().map(|name| Transform::parse(name)).collect()
}

fn pointers(paths: Vec<String>) -> Result<Vec<String>, String> {
    paths.into_iter().map(checked).collect()
}

fn checked(path: String) -> Result<String, String> {
    check_pointer(&path)?;
    Ok(path)
}

fn check_pointer(path: &str) -> Result<(), String> {
    pointer::segments(path)
        .map(|_| ())
        .ok_or_else(|| format!("{path:?} is not a JSON pointer"))
}

/// Goes to the place of a field in the event, making it.
fn descend<'n>(root: &'n mut Node, to: &str) -> Result<&'n mut Node, String> {
    let segments = pointer::segments(to).ok_or_else(|| format!("{to:?} is not a JSON pointer"))?;
    let mut node = root;
    for segment in segments {
        let at = node.members.iter().position(|(name, _)| *name == *segment);
        let at = at.unwrap_or_else(|| {
            node.members.push((segment.into_owned(), Node::default()));
            node.members.len() - 1
        });
        node = &mut node.members[at].1;
    }
    Ok(node)
}
