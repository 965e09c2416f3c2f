//! Where backups are, as settings and commands name it: a folder, or what names of objects in a bucket begin with.

use std::path::Path;
use std::sync::Arc;

use attestore_disk::{Disk, RealDisk};

use crate::failure::Failure;

/// The target that `place` names: a path, or `s3://bucket/prefix?endpoint=…&region=…&ca_file=…`. A folder is made, of a bucket nothing is
/// asked yet. `option` is what named it.
///
/// # Errors
/// Usage for a name that makes no sense; a folder that cannot be used.
pub fn open(option: &str, place: &Path) -> Result<Arc<dyn Disk>, Failure> {
    if let Some(name) = bucket_of(place) {
        return bucket(option, name);
    }
    let disk = RealDisk::new(place);
    let disk = disk.map_err(|error| Failure::failed(format!("{option} {}: {error}", place.display())))?;
    Ok(Arc::new(disk))
}

/// As [`open`], of a target that has backups.
///
/// # Errors
/// As [`open`]; one that has none, or cannot be asked.
pub fn existing(place: &Path) -> Result<Arc<dyn Disk>, Failure> {
    let none = || Failure::failed(format!("{} is no folder of backups", place.display()));
    if bucket_of(place).is_none() && !place.join(MARK).exists() {
        return Err(none());
    }
    let disk = open("backups in", place)?;
    match disk.exists(Path::new(MARK))? {
        true => Ok(disk),
        false => Err(none()),
    }
}

/// The name, if it is of a bucket.
fn bucket_of(place: &Path) -> Option<&str> {
    place.to_str().filter(|name| name.starts_with("s3://"))
}

#[cfg(feature = "backup-s3")]
fn bucket(option: &str, name: &str) -> Result<Arc<dyn Disk>, Failure> {
    Ok(Arc::new(crate::s3::S3Disk::named(option, name)?))
}

#[cfg(not(feature = "backup-s3"))]
fn bucket(option: &str, name: &str) -> Result<Arc<dyn Disk>, Failure> {
    Err(Failure::usage(format!(
        "{option} {name}: this build has no backups in buckets (feature `backup-s3`)"
    )))
}

/// What every target of backups has.
const MARK: &str = "attestore-backup";
