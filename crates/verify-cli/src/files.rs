//! Files that the user names. Nothing here writes but what `--out` and `--from` ask for.
#![expect(
    clippy::disallowed_methods,
    reason = "files of the user, not of a data directory"
)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use attestore_tlog::{Bundle, Hash, LeafSource, Tile, leaf_hash, parse_entry_bundle, parse_hashes};
use attestore_verify::bundle::ReadAt;
use attestore_verify::{ExportFiles, LogSource, SourceError};

use crate::failure::Failure;

/// Longest file that is read whole.
const BYTES_MAX: u64 = 128 << 20;

/// Reads a file whole.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    bounded(path).map_err(|error| Failure::io(path, &error))
}

/// Reads a text file whole.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read(path)?).map_err(|_| Failure::doubt(format!("{}: not text", path.display())))
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= BYTES_MAX) {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::FileTooLarge.into())
    }
}

/// Writes a file that must not be there yet.
pub fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Failure::io(path, &error))
}

/// A file that is read at positions.
pub struct Positions {
    file: File,
    length: u64,
}

impl Positions {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let open = || {
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            Ok(Self { file, length })
        };
        open().map_err(|error: io::Error| Failure::io(path, &error))
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

/// The folder of an export.
pub struct ExportFolder<'a>(pub &'a Path);

impl ExportFiles for ExportFolder<'_> {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.0)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(File::open(self.0.join(name))?))
    }
}

/// The folder of a log, as a static file server has it.
pub struct LogFolder<'a>(pub &'a Path);

impl LogFolder<'_> {
    fn bytes(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        bounded(&self.0.join(path)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SourceError::Absent,
            _ => SourceError::Failed(error.to_string()),
        })
    }

    /// A partial resource, or the start of the full one that has replaced it.
    fn resource(&self, path: &str, full: &str, cut: impl Fn(&mut Vec<u8>)) -> Result<Vec<u8>, SourceError> {
        match self.bytes(path) {
            Err(SourceError::Absent) if path != full => {
                let mut bytes = self.bytes(full)?;
                cut(&mut bytes);
                Ok(bytes)
            }
            read => read,
        }
    }
}

impl LogSource for LogFolder<'_> {
    fn checkpoint(&self) -> Result<String, SourceError> {
        String::from_utf8(self.bytes("checkpoint")?).map_err(|_| SourceError::Failed("not text".into()))
    }

    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<u8>, SourceError> {
        let name = |width| Tile::new(level, index, width).map(|tile| tile.to_string());
        let (path, full) = (name(width).map_err(failed)?, name(256).map_err(failed)?);
        self.resource(&path, &full, |bytes| {
            bytes.truncate(usize::from(width) * Hash::LEN)
        })
    }

    fn entries(&self, index: u64, width: u16) -> Result<Vec<[u8; 44]>, SourceError> {
        let name = |width| Bundle::new(index, width).map(|bundle| bundle.to_string());
        let (path, full) = (name(width).map_err(failed)?, name(256).map_err(failed)?);
        let bytes = self.resource(&path, &full, |bytes| {
            bytes.truncate(usize::from(width) * (2 + 44))
        })?;
        parse_entry_bundle(&bytes, width).map_err(failed)
    }
}

fn failed(error: impl std::fmt::Display) -> SourceError {
    SourceError::Failed(error.to_string())
}

/// The tree of a log's folder, as far as `size` leaves.
pub struct TreeFolder<'a> {
    /// The folder.
    pub folder: LogFolder<'a>,
    /// Leaves of the tree.
    pub size: u64,
}

impl LeafSource for TreeFolder<'_> {
    type Error = SourceError;

    fn leaves(&self, range: std::ops::Range<u64>, out: &mut Vec<Hash>) -> Result<(), SourceError> {
        let bundle = Bundle::at(range.start / 256, self.size).ok_or(SourceError::Absent)?;
        let entries = self.folder.entries(bundle.index(), bundle.width())?;
        let hashes = bundle
            .entries()
            .zip(&entries)
            .filter(|(seq, _)| range.contains(seq));
        out.extend(hashes.map(|(_, entry)| leaf_hash(entry)));
        Ok(())
    }

    fn stored(&self, level: u8, range: std::ops::Range<u64>, out: &mut Vec<Hash>) -> Result<(), SourceError> {
        let tile = Tile::at(level / 8, range.start / 256, self.size).ok_or(SourceError::Absent)?;
        let bytes = self.folder.tile(tile.level(), tile.index(), tile.width())?;
        let hashes = parse_hashes(&bytes, tile.width()).map_err(failed)?;
        out.extend(
            tile.nodes()
                .zip(hashes)
                .filter(|(at, _)| range.contains(at))
                .map(|(_, hash)| hash),
        );
        Ok(())
    }
}
