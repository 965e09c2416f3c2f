//! Where backups are, as settings and commands name it.

use std::path::Path;
use std::sync::Arc;

use attestore_disk::{Disk, RealDisk};

use crate::failure::Failure;

/// The target that `place` names: a folder, which is made. `option` is what named it.
///
/// # Errors
/// A folder that cannot be used.
pub fn open(option: &str, place: &Path) -> Result<Arc<dyn Disk>, Failure> {
    let disk = RealDisk::new(place);
    let disk = disk.map_err(|error| Failure::failed(format!("{option} {}: {error}", place.display())))?;
    Ok(Arc::new(disk))
}

/// As [`open`], of a target that has backups.
///
/// # Errors
/// As [`open`]; one that has none.
pub fn existing(place: &Path) -> Result<Arc<dyn Disk>, Failure> {
    match place.join("attestore-backup").exists() {
        true => open("backups in", place),
        false => Err(Failure::failed(format!(
            "{} is no folder of backups",
            place.display()
        ))),
    }
}
