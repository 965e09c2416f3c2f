//! Reads every byte of the catalog's files and says which are not what was written.

use std::io;

use attestore_disk::File;

use super::block::PHYSICAL;
use super::header::{self, Header};
use super::journal::Journal;
use super::state::{self, State};
use super::{BATCH, CATALOG, Damage, Inner, JOURNALS, OLDER, VERSIONS, place, slot};

pub(super) fn scan(inner: &Inner, header: &Header, state: &State) -> Vec<Damage> {
    let mut found = Vec::new();
    let file = inner.catalog.as_ref();
    for at in header::COPIES {
        copy(&mut found, file, at, "header", &header.encode(&inner.cipher));
    }
    state_block(&mut found, inner, state);
    blocks(&mut found, inner, state.written);
    match file.len() {
        Ok(len) if len > place(state.written) => {
            found.push(Damage::new(
                CATALOG,
                place(state.written),
                "bytes after the last block",
            ));
        }
        Ok(_) => {}
        Err(error) => found.push(Damage::new(CATALOG, 0, format!("length: {error}"))),
    }
    versions(&mut found, inner);
    journals(&mut found, inner, state);
    found
}

/// Compares the list of versions with what it has to be.
fn versions(found: &mut Vec<Damage>, inner: &Inner) {
    let overlay = inner.overlay.read();
    let wanted = overlay.versions.bytes();
    let file = inner.versions.as_ref();
    let mut bytes = vec![0; wanted.len()];
    let read = file.read_exact_at(&mut bytes, 0).and_then(|()| file.len());
    let (at, reason) = match read {
        Err(error) => (0, format!("reading the list of versions: {error}")),
        Ok(len) => match bytes.iter().zip(wanted).position(|(byte, wanted)| byte != wanted) {
            Some(at) => (at as u64, "the list of versions is not what was written".into()),
            None if len > wanted.len() as u64 => (wanted.len() as u64, "bytes after the last version".into()),
            None => return,
        },
    };
    found.push(Damage::new(VERSIONS, at, reason));
}

/// Compares a copy with what it has to be.
fn copy(found: &mut Vec<Damage>, file: &dyn File, at: u64, what: &str, wanted: &[u8]) {
    let mut bytes = vec![0; wanted.len()];
    match file.read_exact_at(&mut bytes, at) {
        Ok(()) => {
            if let Some(first) = bytes.iter().zip(wanted).position(|(byte, wanted)| byte != wanted) {
                let reason = format!("this copy of the {what} is not what was written");
                found.push(Damage::new(CATALOG, at + first as u64, reason));
            }
        }
        Err(error) => found.push(Damage::new(CATALOG, at, format!("reading the {what}: {error}"))),
    }
}

fn state_block(found: &mut Vec<Damage>, inner: &Inner, state: &State) {
    let encoded = state.encode(&inner.cipher);
    let mut at = state::START;
    for start in state::COPIES {
        zeros(found, inner, at, start);
        copy(found, inner.catalog.as_ref(), start, "state", &encoded);
        at = start + encoded.len() as u64;
    }
    zeros(found, inner, at, state::END);
}

fn zeros(found: &mut Vec<Damage>, inner: &Inner, from: u64, to: u64) {
    let len = usize::try_from(to - from).unwrap_or(0);
    copy(
        found,
        inner.catalog.as_ref(),
        from,
        "padding of the state",
        &vec![0; len],
    );
}

fn blocks(found: &mut Vec<Damage>, inner: &Inner, written: u64) {
    let mut batch = Vec::new();
    let mut first = 0;
    while first < written {
        let end = written.min(first + BATCH);
        if let Err(error) = read_blocks(inner, first, end - first, &mut batch) {
            // Again one by one, so that one bad sector names one block.
            for number in first..end {
                match read_blocks(inner, number, 1, &mut batch) {
                    Ok(()) => authenticate(found, inner, number, &mut batch),
                    Err(error) => found.push(Damage::new(CATALOG, place(number), error.to_string())),
                }
            }
            drop(error);
        } else {
            authenticate(found, inner, first, &mut batch);
        }
        first = end;
    }
}

fn read_blocks(inner: &Inner, first: u64, count: u64, batch: &mut Vec<u8>) -> io::Result<()> {
    batch.resize(usize::try_from(count).unwrap_or(0) * PHYSICAL, 0);
    inner.catalog.read_exact_at(batch, place(first))
}

fn authenticate(found: &mut Vec<Damage>, inner: &Inner, first: u64, batch: &mut [u8]) {
    let overlay = inner.overlay.read();
    for (number, physical) in (first..).zip(batch.chunks_exact_mut(PHYSICAL)) {
        let is_last = overlay.versions.is_last(number, physical);
        let opened = inner.cipher.open(number, physical).map(drop);
        if let Err(reason) = opened.and(if is_last { Ok(()) } else { Err(OLDER) }) {
            found.push(Damage::new(CATALOG, place(number), reason));
        }
    }
}

/// A journal file is empty since the catalog was opened, or holds the last journal or the one before.
fn journals(found: &mut Vec<Damage>, inner: &Inner, state: &State) {
    for (file, path) in inner.journals.iter().zip(JOURNALS) {
        let needed = state.journaled && path == JOURNALS[slot(state.sequence)];
        let reason = match file.len() {
            Ok(0) if !needed => continue,
            Ok(_) if !needed && matches!(Journal::is_placeholder(file.as_ref()), Ok(true)) => continue,
            Ok(_) => match Journal::read(file.as_ref(), &inner.cipher) {
                Ok(Ok(journal)) if state.sequence - journal.sequence.min(state.sequence) < 2 => continue,
                Ok(Ok(_)) => "a journal that does not belong here".to_owned(),
                Ok(Err(reason)) => reason.to_owned(),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        found.push(Damage::new(path, 0, reason));
    }
}
