//! Files that the user names on the command line. Data directories are not opened here but by `attestore-disk`.
#![expect(
    clippy::disallowed_methods,
    reason = "files of the user, not of a data directory"
)]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use attestore_verify::bundle::ReadAt;

use crate::failure::Failure;

/// Opens a file, or standard input for `-`; the length is known for files.
pub fn open_lines(path: &Path) -> Result<(Box<dyn BufRead>, Option<u64>), Failure> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(BufReader::new(io::stdin())), None));
    }
    let file = File::open(path).map_err(|e| named(path, &e))?;
    let length = file.metadata().ok().map(|m| m.len());
    Ok((Box::new(BufReader::with_capacity(1 << 20, file)), length))
}

/// Reads a small text file.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|e| named(path, &e))
}

/// Writes a file that must not exist yet, readable by its owner only.
pub fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| named(path, &e))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|e| named(path, &e))
}

/// Reads a small file that only its owner may read.
pub fn read_secret(path: &Path) -> Result<String, Failure> {
    let mode = std::fs::metadata(path).map_err(|e| named(path, &e))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Failure::failed(format!(
            "{}: mode {mode:03o} lets others in; wanted 0600 or 0400",
            path.display()
        )));
    }
    read_text(path)
}

/// Refuses a program that somebody else could have put there: it must belong to root or to this user, and nobody else may write to it.
pub fn check_program(path: &Path) -> Result<(), Failure> {
    let about = std::fs::metadata(path).map_err(|e| named(path, &e))?;
    let own = rustix::process::geteuid().as_raw();
    if ![0, own].contains(&about.uid()) || about.mode() & 0o022 != 0 {
        return Err(Failure::new(
            crate::failure::KEYS,
            format!(
                "{}: others may change this library, so it is not loaded",
                path.display()
            ),
        ));
    }
    Ok(())
}

/// Writes or replaces a file that holds nothing secret.
pub fn write_text(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|e| named(path, &e))
}

/// Creates or replaces a file for writing.
pub fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|e| named(path, &e))
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|e| named(path, &e))
}

/// A file that is read at positions.
pub struct Positions {
    file: File,
    length: u64,
}

impl Positions {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = open(path)?;
        let length = file.metadata().map_err(|e| named(path, &e))?.len();
        Ok(Self { file, length })
    }
}

impl ReadAt for Positions {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }
}

/// Opens a file for reading and for appending to what is in it; made if it is not there.
pub fn open_append(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| named(path, &e))
}

/// Reads a small file.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| named(path, &e))
}

/// Renames a file, replacing one of that name.
pub fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    std::fs::rename(from, to).map_err(|e| named(from, &e))
}

/// Creates a file that must not exist yet, readable by its owner only.
pub fn create_private(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.map_err(|e| named(path, &e))
}

/// Removes a file.
pub fn remove(path: &Path) -> Result<(), Failure> {
    std::fs::remove_file(path).map_err(|e| named(path, &e))
}

/// Names in a directory, sorted.
pub fn names(dir: &Path) -> Result<Vec<String>, Failure> {
    let entries = std::fs::read_dir(dir).map_err(|e| named(dir, &e))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// A directory that is there while something is measured in it.
pub struct TemporaryDir(std::path::PathBuf);

impl TemporaryDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it with everything in it.
    pub fn remove(self) -> Result<(), Failure> {
        std::fs::remove_dir_all(&self.0).map_err(|e| named(&self.0, &e))
    }
}

/// Makes a directory of our own in `parent`, a new one each time.
pub fn temporary_dir(parent: &Path) -> Result<TemporaryDir, Failure> {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let path = parent.join(format!("attestore-bench-{}-{number}", std::process::id()));
    std::fs::create_dir(&path).map_err(|e| named(&path, &e))?;
    Ok(TemporaryDir(path))
}

/// CPU time that this process has used so far, user and system, in microseconds (10 ms steps).
pub fn process_cpu_us() -> u64 {
    // Fields 14 and 15 of proc(5) stat, counted behind the command name, in ticks of 1/100 s.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) * 10_000
}

/// Makes a directory and what is missing above it.
pub fn make_dir(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(|e| named(path, &e))
}

/// Makes the system forget what it holds in memory of the files in a directory and below.
pub fn forget_cached(dir: &Path) -> Result<(), Failure> {
    walk(dir, &mut |path, _| {
        let file = File::open(path)?;
        file.sync_all()?;
        Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
    })
}

/// Memory of this process that is in RAM, bytes.
pub fn resident_bytes() -> u64 {
    // The second field of proc(5) statm, in pages.
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// Bytes of the files in a directory and below by kind: the ending of the name, else the name.
pub fn disk_usage(dir: &Path) -> Result<BTreeMap<String, u64>, Failure> {
    let mut kinds = BTreeMap::new();
    walk(dir, &mut |path, bytes| {
        let name = path.extension().or_else(|| path.file_name()).unwrap_or_default();
        *kinds.entry(name.to_string_lossy().into_owned()).or_default() += bytes;
        Ok(())
    })?;
    Ok(kinds)
}

fn walk(dir: &Path, visit: &mut impl FnMut(&Path, u64) -> io::Result<()>) -> Result<(), Failure> {
    for entry in std::fs::read_dir(dir).map_err(|e| named(dir, &e))? {
        let path = entry?.path();
        let about = std::fs::metadata(&path).map_err(|e| named(&path, &e))?;
        if about.is_dir() {
            walk(&path, visit)?;
        } else {
            visit(&path, about.len()).map_err(|e| named(&path, &e))?;
        }
    }
    Ok(())
}

fn named(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{}: {error}", path.display()))
}
