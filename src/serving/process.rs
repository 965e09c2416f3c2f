//! A process that does not spill its memory: no core dumps, no debugger of the same user, and no swapping where that is
//! allowed.

use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

use crate::failure::Failure;
use crate::files;
use crate::settings::LockMemory;

/// Hardens the process, before any key is read.
///
/// # Errors
/// When memory must be locked and cannot be.
pub fn harden(lock: LockMemory) -> Result<(), Failure> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) =
        setrlimit(Resource::Core, none).and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
    {
        tracing::warn!(%error, "core dumps could not be turned off: one would hold keys");
    }
    // Connections need descriptors; shells give few by default and allow more.
    let files = getrlimit(Resource::Nofile);
    if files.current != files.maximum {
        let all = Rlimit {
            current: files.maximum,
            ..files
        };
        if let Err(error) = setrlimit(Resource::Nofile, all) {
            tracing::debug!(%error, "the limit of open files stays");
        }
    }
    lock_memory(lock)
}

fn lock_memory(lock: LockMemory) -> Result<(), Failure> {
    let allowed = getrlimit(Resource::Memlock).current.is_none();
    let wanted = match lock {
        LockMemory::Off => false,
        LockMemory::Auto => allowed,
        LockMemory::On => true,
    };
    let locked = if wanted {
        lock_all(allowed)
    } else {
        Err(Errno::PERM)
    };
    match (lock, locked) {
        (_, Ok(())) => tracing::info!("memory is locked: nothing of it is swapped out"),
        (LockMemory::On, Err(error)) => {
            return Err(Failure::failed(format!(
                "lock_memory = \"on\", but memory cannot be locked ({error}): raise the limit (LimitMEMLOCK=infinity, ulimit -l unlimited)"
            )));
        }
        (_, Err(_)) if swaps() => {
            tracing::warn!(
                "this machine has swap and memory is not locked: keys may reach it; allow locking (LimitMEMLOCK=infinity), keep \
                 the service from swap (MemorySwapMax=0), or encrypt the swap"
            );
        }
        (_, Err(_)) => {}
    }
    Ok(())
}

/// Locks what there is and what comes, each page once it is used. Under a limit this would make memory run out later.
fn lock_all(allowed: bool) -> rustix::io::Result<()> {
    if !allowed {
        return Err(Errno::PERM);
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
}

/// Whether the machine has swap that this process may reach.
fn swaps() -> bool {
    // The first line is a heading.
    let swaps = files::read_text("/proc/swaps".as_ref()).unwrap_or_default();
    swaps.lines().count() > 1
}
