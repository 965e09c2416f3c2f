//! Where the head register lives, as settings name it: a file, or an object in an S3 bucket.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestore_disk::RealDisk;
use attestore_engine::heads::{HeadStore, RegisterAt};

use crate::failure::Failure;

mod s3;

/// The register that `place` names: a path, or `s3://bucket/key?endpoint=…&region=…`.
///
/// # Errors
/// Usage when the name makes no sense.
pub fn open(place: &Path) -> Result<Arc<dyn HeadStore>, Failure> {
    if let Some(url) = place.to_str().filter(|name| name.starts_with("s3://")) {
        return Ok(Arc::new(s3::Object::named(url)?));
    }
    let usage = || Failure::usage(format!("--head-register {}: not a file path", place.display()));
    let name = place.file_name().ok_or_else(usage)?;
    let folder = match place.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let disk = RealDisk::new(folder).map_err(|e| Failure::failed(format!("{}: {e}", folder.display())))?;
    Ok(Arc::new(RegisterAt {
        disk: Arc::new(disk),
        path: PathBuf::from(name),
    }))
}
