//! Looks for values in everything that can still be read of a data directory: what is left of somebody who was erased.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::expose::{Place, expose};
use super::needles::{Needles, Writing};
use crate::Parts;
use crate::error::OpenError;

/// What a search for leftovers found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ResidueReport {
    /// What was looked through, by kind of place.
    pub places: BTreeMap<Place, PlaceReport>,
    /// Where values were found, at most 1000.
    pub hits: Vec<Hit>,
}

/// What was looked through of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlaceReport {
    /// Bytes, in clear.
    pub bytes: u64,
    /// How often a value was found.
    pub hits: u64,
    /// How many of the values were found.
    pub values: u64,
}

/// A value where it should not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// The kind of place.
    pub place: Place,
    /// The file, relative to the data directory.
    pub path: PathBuf,
    /// Which of the values, from 0. The value itself is not said again.
    pub value: usize,
    /// How it is written there.
    pub writing: Writing,
}

impl ResidueReport {
    /// How often values were found.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.places.values().map(|place| place.hits).sum()
    }
}

/// Looks for `needles` in everything that the keys of `parts` open, and in the raw bytes of its files. `progress` gets the file
/// that is looked through, and the bytes so far.
///
/// # Errors
/// As [`expose`]: what cannot be read is no pass.
pub fn residue(
    parts: &Parts,
    needles: &Needles,
    progress: &mut dyn FnMut(&Path, u64),
) -> Result<ResidueReport, OpenError> {
    let mut report = ResidueReport::default();
    for place in Place::ALL {
        report.places.insert(place, PlaceReport::default());
    }
    let mut seen: BTreeMap<Place, Vec<bool>> = BTreeMap::new();
    let mut bytes_seen = 0;
    expose(parts, &mut |place, path, bytes| {
        bytes_seen += bytes.len() as u64;
        let counts = report.places.entry(place).or_default();
        counts.bytes += bytes.len() as u64;
        let seen = seen.entry(place).or_insert_with(|| vec![false; needles.len()]);
        needles.find(bytes, |value, writing, _| {
            counts.hits += 1;
            if let Some(seen) = seen.get_mut(value) {
                counts.values += u64::from(!std::mem::replace(seen, true));
            }
            let hit = Hit {
                place,
                path: path.to_owned(),
                value,
                writing,
            };
            if report.hits.len() < HITS_MAX && !report.hits.contains(&hit) {
                report.hits.push(hit);
            }
        });
        progress(path, bytes_seen);
    })?;
    Ok(report)
}

const HITS_MAX: usize = 1000;
