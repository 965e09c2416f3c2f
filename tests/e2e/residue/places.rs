//! Where traces may be: data directories, as `attestore verify erasure` opens them; memory; texts that a server gave out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::people::Person;
use crate::harness::binary;

/// What was found of some values.
pub struct Found {
    /// By kind of place: how often.
    pub places: BTreeMap<String, u64>,
    /// The kind of place, the file, and which value.
    pub hits: BTreeSet<(String, String, usize)>,
}

/// Has the command look for values in a directory, opened with its own keys or those of another one.
pub fn look(data: &Path, keys_of: Option<&Path>, values: &[String]) -> Output {
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(list.path(), values.join("\n")).unwrap();
    let mut command = binary();
    command
        .args(["verify", "erasure", "--output", "json", "--data"])
        .arg(data)
        .arg("--values")
        .arg(list.path());
    if let Some(other) = keys_of {
        command.arg("--keys-of").arg(other);
    }
    command.output().unwrap()
}

/// As [`look`], of a directory that opens: what was found, as the exit code says too.
pub fn find(data: &Path, keys_of: Option<&Path>, values: &[String]) -> Found {
    let output = look(data, keys_of, values);
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let places: BTreeMap<String, u64> = said["places"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(place, counts)| (place.clone(), counts["hits"].as_u64().unwrap()))
        .collect();
    let hits = said["hits"].as_array().unwrap().iter().map(|hit| {
        let text = |key: &str| hit[key].as_str().unwrap().to_owned();
        (
            text("place"),
            text("path"),
            usize::try_from(hit["value"].as_u64().unwrap()).unwrap(),
        )
    });
    let found = Found {
        hits: hits.collect(),
        places,
    };
    let code = if found.hits.is_empty() { 0 } else { 3 };
    assert_eq!(output.status.code(), Some(code));
    found
}

/// The values of some people, one after the other.
pub fn values(people: &[Person]) -> Vec<String> {
    people.iter().flat_map(|person| person.values()).collect()
}

/// How often canaries stand in the writable memory of a process, in any case.
pub fn in_memory(pid: u32, people: &[Person]) -> u64 {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let canaries: Vec<Vec<u8>> = people.iter().map(|person| person.canary().into_bytes()).collect();
    let mut found = 0;
    for line in maps.lines() {
        let mut parts = line.split_whitespace();
        let (Some(range), Some(rights)) = (parts.next(), parts.next()) else {
            continue;
        };
        if !rights.starts_with("rw") || line.ends_with("[vvar]") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let (start, end) = (
            u64::from_str_radix(start, 16).unwrap(),
            u64::from_str_radix(end, 16).unwrap(),
        );
        let mut at = start;
        while at < end {
            let mut bytes = vec![0; usize::try_from((end - at).min(1 << 20)).unwrap()];
            memory.seek(SeekFrom::Start(at)).unwrap();
            // Pages that nobody touched cannot be read.
            if memory.read_exact(&mut bytes).is_ok() {
                found += count(&bytes, &canaries);
            }
            at += bytes.len() as u64;
        }
    }
    found
}

/// How often any of them stands in a text, in any case.
pub fn count(bytes: &[u8], canaries: &[Vec<u8>]) -> u64 {
    let mut found = 0;
    let mut at = 0;
    while let Some(next) = bytes[at..]
        .windows(2)
        .position(|pair| pair.eq_ignore_ascii_case(b"zq"))
    {
        at += next;
        let rest = &bytes[at..];
        let is = |canary: &&Vec<u8>| {
            rest.get(..canary.len())
                .is_some_and(|text| text.eq_ignore_ascii_case(canary))
        };
        found += u64::from(canaries.iter().any(|canary| is(&canary)));
        at += 2;
    }
    found
}

/// Asserts that a text that a server gave out names nobody.
pub fn names_nobody(what: &str, text: &str, people: &[Person]) {
    for person in people {
        for value in person.values() {
            assert!(!text.to_lowercase().contains(&value), "{what} has {value}");
        }
    }
}
