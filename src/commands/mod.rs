//! One file for each command.

pub mod access;
pub mod append;
pub mod approval;
pub mod backup;
pub mod bench;
pub mod check_config;
pub mod checkpoint;
pub mod clock;
pub mod correct;
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
pub mod unseal;
pub mod verify;
pub mod witness;

use std::path::Path;
use std::sync::Arc;

use attestore_disk::{Disk, RealDisk, SystemClock};
use attestore_engine::Parts;
use attestore_engine::check::Problem;
use attestore_keys::{RootProvider, SystemEntropy};

use crate::failure::Failure;
use crate::root::{self, Secret};
use crate::{output, register};

/// Assembles the real parts of an engine over a data directory. With `create`, a directory that does not exist yet is
/// made, with a root key in the open; without, both must be there.
pub fn parts(data: &Path, head_register: Option<&Path>, create: bool) -> Result<Parts, Failure> {
    let disk = disk(data, create)?;
    let root = root::open(&disk, None, create, &Secret::FoundOrTyped)?;
    assembled(disk, root, head_register)
}

/// A data directory, which exists already unless it may be made.
pub fn disk(data: &Path, create: bool) -> Result<Arc<dyn Disk>, Failure> {
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
    let disk = RealDisk::new(data).map_err(|e| Failure::failed(format!("{}: {e}", data.display())))?;
    Ok(Arc::new(disk))
}

/// The parts of an engine over a data directory whose root is open.
pub fn assembled(
    disk: Arc<dyn Disk>,
    root: Arc<dyn RootProvider>,
    head_register: Option<&Path>,
) -> Result<Parts, Failure> {
    Ok(Parts {
        disk,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        root,
        register: head_register.map(register::open).transpose()?,
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
