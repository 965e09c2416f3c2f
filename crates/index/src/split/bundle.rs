//! The bytes of a split.
//!
//! # Format
//! ```text
//! files, back to back │ manifest, JSON │ manifest length u64 LE │ "ATSTIDX" 0x01
//! ```
//! The manifest says where each file is, what the split covers and under which policy it was built. Integrity is the container's business: these bytes
//! are only ever written into and read from a sealed one.
//!
//! # Errors
//! Lengths and offsets are checked against the bundle before anything is allocated for them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tantivy::Index;
use tantivy::directory::{Directory, RamDirectory};

use super::Summary;
use super::directory::Medium;
use crate::Error;
use crate::policy::IndexPolicy;
use crate::schema::FIELD_LIST;

const MAGIC: [u8; 8] = *b"ATSTIDX\x01";
const TRAILER: u64 = 16;
const _: () = assert!(TRAILER == 8 + MAGIC.len() as u64);
/// A manifest lists some ten files (bytes).
const MANIFEST_MAX: u64 = 64 * 1024;
pub(super) const META: &str = "meta.json";

/// What a bundle says about itself.
pub(crate) struct Manifest {
    pub(crate) summary: Summary,
    pub(crate) policy: IndexPolicy,
    pub(crate) files: BTreeMap<PathBuf, Range<u64>>,
}

#[derive(Deserialize)]
struct VersionJson {
    fields: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestJson {
    fields: u32,
    policy: IndexPolicy,
    summary: Summary,
    files: Vec<FileJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileJson {
    name: String,
    offset: u64,
    length: u64,
}

impl Manifest {
    /// Reads the manifest at the end of a bundle.
    pub(crate) fn read(medium: &Medium) -> Result<Self, Error> {
        let body_and_manifest = medium
            .len()
            .checked_sub(TRAILER)
            .ok_or_else(|| malformed("shorter than its trailer"))?;
        let trailer = medium.read(body_and_manifest..medium.len())?;
        let (length, magic) = trailer
            .as_slice()
            .split_first_chunk::<8>()
            .ok_or_else(|| malformed("short trailer"))?;
        if magic != MAGIC {
            return Err(malformed("no split trailer"));
        }
        let length = u64::from_le_bytes(*length);
        let body = body_and_manifest
            .checked_sub(length)
            .filter(|_| length <= MANIFEST_MAX)
            .ok_or_else(|| malformed("manifest length out of range"))?;
        let manifest = medium.read(body..body_and_manifest)?;
        Self::parse(manifest.as_slice(), body)
    }

    fn parse(json: &[u8], body: u64) -> Result<Self, Error> {
        let not_json = |error: serde_json::Error| malformed(&format!("manifest: {error}"));
        // What another field list has besides is its own affair.
        let version: VersionJson = serde_json::from_slice(json).map_err(not_json)?;
        if version.fields != FIELD_LIST {
            return Err(Error::Version {
                found: version.fields,
                expected: FIELD_LIST,
            });
        }
        let json: ManifestJson = serde_json::from_slice(json).map_err(not_json)?;
        let mut files = BTreeMap::new();
        for file in json.files {
            let end = file.offset.checked_add(file.length).filter(|end| *end <= body);
            let end = end.ok_or_else(|| malformed("file beyond the end"))?;
            if files.insert(PathBuf::from(file.name), file.offset..end).is_some() {
                return Err(malformed("file listed twice"));
            }
        }
        Ok(Self {
            summary: json.summary,
            policy: json.policy,
            files,
        })
    }
}

/// Gathers the files of an index that was just written to `directory`.
pub(crate) fn assemble(
    index: &Index,
    directory: &RamDirectory,
    policy: &IndexPolicy,
    summary: Summary,
) -> Result<Vec<u8>, Error> {
    let mut names: Vec<PathBuf> = index.load_metas()?.list_segment_files().into_iter().collect();
    names.push(PathBuf::from(META));
    names.sort();
    let mut bytes = Vec::new();
    let mut files = Vec::new();
    for name in names {
        if !directory.exists(&name).map_err(tantivy::TantivyError::from)? {
            continue;
        }
        let offset = length(&bytes);
        bytes.extend_from_slice(&content(directory, &name)?);
        let text = name.to_str().ok_or_else(|| malformed("file name is not UTF-8"))?;
        files.push(FileJson {
            name: text.to_owned(),
            offset,
            length: length(&bytes) - offset,
        });
    }
    let manifest = serde_json::to_vec(&ManifestJson {
        fields: FIELD_LIST,
        policy: policy.clone(),
        summary,
        files,
    })
    .map_err(|error| malformed(&error.to_string()))?;
    bytes.extend_from_slice(&manifest);
    bytes.extend_from_slice(&length(&manifest).to_le_bytes());
    bytes.extend_from_slice(&MAGIC);
    Ok(bytes)
}

fn content(directory: &RamDirectory, name: &Path) -> Result<tantivy::directory::OwnedBytes, Error> {
    let file = directory.open_read(name).map_err(tantivy::TantivyError::from)?;
    Ok(file.read_bytes()?)
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn malformed(reason: &str) -> Error {
    Error::Malformed(reason.to_owned())
}
