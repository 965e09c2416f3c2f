//! The chunks behind the newest backup of a target.

use std::collections::BTreeMap;

use attestore_disk::Disk;
use attestore_keys::RecipientKey;

use super::super::{chunk, folder, manifest};
use super::{BackupReport, opened_escrow};
use crate::append::section;
use crate::catalog::unhex;
use crate::check::Problem;
use crate::error::Result;

/// Goes over the chunks behind the newest backup: hashes, order and gaps; with the key also whether they open.
pub(super) fn follow(
    disk: &dyn Disk,
    key: Option<&RecipientKey>,
    newest: &manifest::Found,
    report: &mut BackupReport,
) -> Result<()> {
    let manifest = &newest.manifest;
    let Some(id) = unhex(&manifest.id) else {
        return Ok(());
    };
    // What is wrong with an escrow was said already.
    let escrow = key.and_then(|key| opened_escrow(disk, key, manifest).ok());
    let mut key = escrow.map(|escrow| chunk::first_key(&escrow.dump));
    let sizes = manifest
        .tenants
        .iter()
        .map(|tenant| (tenant.id.clone(), tenant.size));
    let mut ends: BTreeMap<String, u64> = sizes.collect();
    let mut chunks = chunk::Chunks::of(disk, &manifest.id, id)?;
    loop {
        let (path, found) = match chunks.next() {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(()),
            Err(error) => {
                report.problems.push(Problem::of(&error, folder::CHUNKS));
                return Ok(());
            }
        };
        report.files += 1;
        report.bytes += found.bytes();
        let mut reason = None;
        for span in &found.head.logs {
            match ends.get_mut(&span.tenant) {
                Some(end) if span.first <= *end => {
                    report.chunk_entries += span.end.saturating_sub(*end);
                    *end = span.end.max(*end);
                }
                Some(end) => reason = Some(format!("entries {end} to {} are missing before it", span.first)),
                None => reason = Some("the backup has no such tenant".to_owned()),
            }
        }
        if let Some(opens) = &mut key {
            let opened = found.open(opens).map(|pieces| {
                pieces
                    .into_iter()
                    .find_map(|piece| section::parse(piece.section.to_vec()).err())
            });
            match opened {
                Ok(None) => {}
                Ok(Some(error)) => reason = Some(error.to_string()),
                Err(error) => reason = Some(error.to_owned()),
            }
            *opens = chunk::next_key(opens);
        }
        if found.head.ledger > report.ledger {
            reason = Some(format!("it covers {} entries of the ledger", found.head.ledger));
        }
        match reason {
            None => report.chunks += 1,
            Some(reason) => {
                report.problems.push(Problem::damage(path, 0, reason));
                return Ok(());
            }
        }
    }
}
