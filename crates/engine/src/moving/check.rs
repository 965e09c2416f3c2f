//! Looks at a package: whether it is whole, and who signed it; with the key of the invitation, whether it opens.

use attestore_disk::Mode;
use attestore_record::entry::ENTRY_BYTES;
use attestore_tlog::{Frontier, VerifierKey, leaf_hash};

use super::package::{self, Blob, Manifest};
use super::{ImportState, invite, key};
use crate::Engine;
use crate::backup::dump;
use crate::catalog::hex;
use crate::credentials::{Permission, Principal};
use crate::error::Result;
use crate::instance::Inner;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageReport {
    /// Id of the move.
    pub id: String,
    /// Id of the instance that packed it.
    pub instance: String,
    /// The log's last key there, which signed all of it; whether that is who it says is for who asks to know.
    pub vkey: String,
    /// Entries of the log, and the root over them, hex.
    pub size: u64,
    /// Root over them, hex.
    pub root: String,
    /// Sealed files.
    pub files: u64,
    /// Bytes of all.
    pub bytes: u64,
    /// Whether its rows were opened: this server has the key, and nothing else does.
    pub opened: bool,
    /// Rows that were read then.
    pub rows: u64,
    /// What does not hold.
    pub problems: Vec<String>,
}

impl Engine {
    /// Checks the package of a move in the data directory, here or there: signatures, every byte, and where this server has its key, that
    /// its rows open. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::Error::Forbidden); [`Error::Invalid`](crate::Error::Invalid) `no_package`, `invalid_package`, `invalid_vkey`; what the disk says.
    pub fn check_package(&self, by: &Principal, id: &str, vkey: Option<&str>) -> Result<PackageReport> {
        by.check_instance(Permission::MoveTenants)?;
        let inner = &self.inner;
        // An id, and no path.
        let id = hex(key(id)?.as_bytes());
        let trusted = vkey
            .map(|vkey| {
                let key = VerifierKey::parse(vkey.trim());
                key.map_err(|error| super::invalid("invalid_vkey", format!("the key of the log: {error}")))
            })
            .transpose()?;
        let manifest = package::read(&*inner.disk, &id, trusted.as_ref())?;
        let mut report = PackageReport {
            id: id.clone(),
            instance: manifest.instance.clone(),
            vkey: manifest.vkey()?.to_string(),
            size: manifest.size,
            root: manifest.root.clone(),
            files: manifest.blobs.len() as u64,
            bytes: manifest.bytes(),
            opened: false,
            rows: 0,
            problems: Vec::new(),
        };
        let dir = package::blobs_path(&id);
        for blob in &manifest.blobs {
            let name = hex(key(&blob.id)
                .map_err(|_| package::bad("the id of a file"))?
                .as_bytes());
            report.problems.extend(sum(inner, &dir.join(name), blob)?);
        }
        report
            .problems
            .extend(sum(inner, &package::rows_path(&id), &manifest.rows)?);
        report.problems.extend(root(inner, &manifest)?);
        if report.problems.is_empty()
            && let Ok(row) = invite::stored(inner, &id)
            && row.state == ImportState::Invited
        {
            package::is_for(&manifest, &row.invitation)?;
            let (recipient, _) = invite::keys(inner, &row)?;
            let dump = package::open_escrow(&manifest, &recipient)?;
            let path = package::rows_path(&id);
            let number = key(&id)?;
            let read = dump::read(&*inner.disk, &path, &dump, number.as_bytes(), &mut |_, _, _| {
                report.rows += 1;
                Ok(())
            });
            report.opened = read.is_ok();
            report.problems.extend(read.err().map(|error| error.to_string()));
        }
        Ok(report)
    }
}

/// What does not hold of a file.
fn sum(inner: &Inner, path: &std::path::Path, blob: &Blob) -> Result<Option<String>> {
    let file = match inner.disk.open(path, Mode::Read) {
        Err(error) => return Ok(Some(format!("{}: {error}", path.display()))),
        Ok(file) => file,
    };
    if file.len()? != blob.bytes {
        return Ok(Some(format!("{}: it has another length", path.display())));
    }
    let mut hasher = blake3::Hasher::new();
    let (mut piece, mut at) = (vec![0; PIECE], 0);
    while at < blob.bytes {
        let len = usize::try_from(blob.bytes - at).unwrap_or(PIECE).min(PIECE);
        file.read_exact_at(&mut piece[..len], at)?;
        hasher.update(&piece[..len]);
        at += len as u64;
    }
    let found = hex(&hasher.finalize().as_bytes()[..16]);
    Ok((found != blob.blake3).then(|| format!("{}: it is not what was packed", path.display())))
}

/// Whether the entries have the root that was signed.
fn root(inner: &Inner, manifest: &Manifest) -> Result<Option<String>> {
    let all = manifest.size.saturating_mul(ENTRY_BYTES as u64);
    let mut frontier = Frontier::new();
    if all > 0 {
        let file = match inner.disk.open(&package::entries_path(&manifest.id), Mode::Read) {
            Err(error) => return Ok(Some(format!("entries: {error}"))),
            Ok(file) => file,
        };
        if file.len()? != all {
            return Ok(Some("entries: another length".to_owned()));
        }
        let (mut piece, mut at) = (vec![0; 4096 * ENTRY_BYTES], 0);
        while at < all {
            let len = usize::try_from(all - at).unwrap_or(piece.len()).min(piece.len());
            file.read_exact_at(&mut piece[..len], at)?;
            for entry in piece[..len].chunks_exact(ENTRY_BYTES) {
                frontier.push_with(leaf_hash(entry), |_, _, _| {});
            }
            at += len as u64;
        }
    }
    let same = hex(frontier.root().as_bytes()) == manifest.root;
    Ok((!same).then(|| "entries: another root than the log signed".to_owned()))
}

const PIECE: usize = 256 << 10;
