//! One file for each command.

pub mod access;
pub mod append;
pub mod approval;
pub mod backup;
pub mod bench;
pub mod check_config;
pub mod checkpoint;
pub mod clock;
pub mod credential;
pub mod erase;
pub mod evidence;
pub mod explain;
pub mod export;
pub mod forget;
pub mod fork;
pub mod fsck;
pub mod generate;
pub mod get;
pub mod hold;
pub mod key;
pub mod mirror;
pub mod policy;
pub mod privacy;
pub mod purge;
pub mod residue;
pub mod restore;
pub mod restrict;
pub mod search;
pub mod serve;
pub mod status;
pub mod tail;
pub mod tenant;
pub mod verify;
pub mod witness;

use std::path::Path;
use std::sync::Arc;

use attestore_disk::{Disk, RealDisk, SystemClock};
use attestore_engine::Parts;
use attestore_engine::check::Problem;
use attestore_keys::{Entropy, FileRoot, SystemEntropy};

use crate::failure::Failure;
use crate::{output, register};

/// Assembles the real parts of an engine over a data directory. With `create`, a directory that does not exist yet is
/// made, with a root key; without, both must be there.
pub fn parts(data: &Path, head_register: Option<&Path>, create: bool) -> Result<Parts, Failure> {
    // Without a catalog and with the rest, it is a damaged one: whoever opens it says so.
    let is_one = || {
        ["catalog", "wal", "tenants", "l0"]
            .iter()
            .any(|name| data.join(name).exists())
    };
    if !create && !is_one() {
        return Err(Failure::failed(format!(
            "{} is not a data directory",
            data.display()
        )));
    }
    let disk: Arc<dyn Disk> =
        Arc::new(RealDisk::new(data).map_err(|e| Failure::failed(format!("{}: {e}", data.display())))?);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let fresh = !data.join("catalog").exists();
    let root = if create && fresh {
        FileRoot::open_or_create(disk.clone(), Path::new("keys"), entropy.clone())
    } else {
        FileRoot::open(disk.clone(), Path::new("keys"), entropy.clone())
    }
    .map_err(|e| Failure::from(attestore_engine::OpenError::from(e)))?;
    let register = head_register.map(register::open).transpose()?;
    Ok(Parts {
        disk,
        clock: Arc::new(SystemClock),
        entropy,
        root: Arc::new(root),
        register,
    })
}

/// Prints what a check found, a line each: kind, file, offset, reason.
pub fn print_problems(problems: &[Problem]) -> Result<(), Failure> {
    for problem in problems {
        let kind = serde_json::to_value(problem.kind)?;
        let kind = kind.as_str().unwrap_or_default().to_uppercase();
        output::line(format!(
            "{kind} {} at {}: {}",
            problem.path.display(),
            problem.offset,
            problem.reason
        ))?;
    }
    Ok(())
}
