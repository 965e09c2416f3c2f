//! Which files make up the log, from the newest authentic one back along the predecessor ends.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::{
    Loaded, ReplayError, Source, Trouble,
    log_file::{Load, load},
};
use crate::names::{DIR, file_path, parse_file_name};

/// The files of the log, ascending, and what else lies in its range.
pub(super) struct Chain {
    pub(super) files: Vec<Loaded>,
    pub(super) strays: Vec<PathBuf>,
}

impl Chain {
    /// Finds the files and checks that none is missing and none is left over that holds data.
    ///
    /// A file gets its name only when its header is synced, so a bad header is never the trace of a crash: above the newest
    /// authentic file it is damage, since the file may hold the newest frames. Below, the chain tells whether it is needed.
    pub(super) fn find(source: &Source<'_>, trouble: &mut Trouble) -> Result<Self, ReplayError> {
        let mut loaded: BTreeMap<u64, Loaded> = BTreeMap::new();
        let mut invalid: BTreeMap<u64, &'static str> = BTreeMap::new();
        for number in numbers(source)? {
            match load(source, number) {
                Ok(Load::Authentic(file)) => _ = loaded.insert(number, *file),
                Ok(Load::Invalid(reason)) => _ = invalid.insert(number, reason),
                Err(error) => {
                    trouble.report(error)?;
                    invalid.insert(number, "the file could not be opened");
                }
            }
        }
        let newest = loaded.keys().next_back().copied();
        for (number, reason) in invalid.range(newest.map_or(0, |n| n + 1)..) {
            trouble.report(ReplayError::damage(file_path(*number), 0, *reason))?;
        }
        let mut chain = Self {
            files: Vec::new(),
            strays: Vec::new(),
        };
        chain.follow(source, newest, &mut loaded, &invalid, trouble)?;
        for (number, file) in loaded {
            let reason = "the file is authentic, but the log goes past it";
            trouble.report(ReplayError::damage(file.path, 0, reason))?;
            debug_assert!(Some(number) < newest);
        }
        chain.check_claim(source, trouble)?;
        let needed = |number: &u64| {
            chain
                .files
                .iter()
                .any(|file| file.header.predecessor_end.wal == *number)
        };
        let strays = invalid
            .keys()
            .filter(|n| Some(**n) < newest && !needed(n))
            .map(|n| file_path(*n))
            .collect();
        chain.strays = strays;
        Ok(chain)
    }

    fn follow(
        &mut self,
        source: &Source<'_>,
        newest: Option<u64>,
        loaded: &mut BTreeMap<u64, Loaded>,
        invalid: &BTreeMap<u64, &'static str>,
        trouble: &mut Trouble,
    ) -> Result<(), ReplayError> {
        let mut next = newest;
        while let Some(number) = next {
            let Some(file) = loaded.remove(&number) else {
                trouble.report(match invalid.get(&number) {
                    Some(reason) => ReplayError::damage(file_path(number), 0, *reason),
                    None => ReplayError::missing_file(number),
                })?;
                // A scan goes on with what is there.
                next = loaded.range(..number).next_back().map(|(n, _)| *n);
                continue;
            };
            let before = file.header.predecessor_end.wal;
            next = (before >= source.low && before > 0 && before < number).then_some(before);
            self.files.push(file);
        }
        self.files.reverse();
        Ok(())
    }

    /// Checks the catalog's D against the chain, as far as the headers tell; the newest file's end is checked by its walk.
    fn check_claim(&self, source: &Source<'_>, trouble: &mut Trouble) -> Result<(), ReplayError> {
        let Some(claim) = source
            .claimed
            .filter(|claim| claim.wal >= source.low && claim.wal > 0)
        else {
            return Ok(());
        };
        let Some(index) = self
            .files
            .iter()
            .position(|file| file.header.spec.number == claim.wal)
        else {
            return trouble.report(ReplayError::missing_file(claim.wal));
        };
        let cut = self
            .files
            .get(index + 1)
            .map(|next| next.header.predecessor_end.offset);
        match cut {
            Some(cut) if claim.offset > cut => trouble.report(ReplayError::damage(
                &self.files[index].path,
                cut,
                format!(
                    "the catalog says that everything before {claim} was synced, but the next file cuts here"
                ),
            )),
            _ => Ok(()),
        }
    }
}

fn numbers(source: &Source<'_>) -> Result<Vec<u64>, ReplayError> {
    let entries = match source.disk.list(Path::new(DIR)) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(ReplayError::io(DIR, e)),
    };
    let numbers = entries
        .iter()
        .filter(|e| !e.is_dir)
        .filter_map(|e| parse_file_name(&e.name));
    Ok(numbers.filter(|number| *number >= source.low).collect())
}
