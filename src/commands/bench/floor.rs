//! The floor of durable appends: the bare `O_DIRECT|O_DSYNC` write of as many bytes, in the same folder.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use attestore_disk::{AlignedBuf, Disk, Mode as FileMode, RealDisk};
use hdrhistogram::Histogram;

use super::figures::{histogram, record};
use crate::failure::Failure;

/// Bare writes per measurement.
const FLOOR_WRITES: u64 = 2000;
/// Bytes of the file that is written to, over and over, as the log does with its recycled files.
const FLOOR_FILE_BYTES: u64 = 64 << 20;

/// Bare durable writes into a zero-filled file.
pub struct Floor {
    file: Arc<dyn attestore_disk::File>,
}

impl Floor {
    /// Writes the file.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn new(dir: &Path) -> Result<Self, Failure> {
        let disk = RealDisk::new(dir)?;
        let name = Path::new("bare");
        let file = disk.open(name, FileMode::Create)?;
        let zeros = vec![0u8; 1 << 20];
        for offset in (0..FLOOR_FILE_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, offset)?;
        }
        file.sync_data()?;
        drop(file);
        Ok(Self {
            file: disk.open(name, FileMode::DirectSync)?,
        })
    }

    /// Times of writes of so many bytes, a whole number of blocks, one after the other.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn measure(&self, bytes: u64) -> Result<Histogram<u64>, Failure> {
        let length =
            usize::try_from(bytes.min(FLOOR_FILE_BYTES)).map_err(|e| Failure::failed(e.to_string()))?;
        let mut buffer = AlignedBuf::new();
        buffer.resize(length, 0x5a);
        let mut times = histogram();
        let mut offset = 0;
        for _ in 0..FLOOR_WRITES.min((4 << 30) / bytes.max(1)) {
            if offset + bytes > FLOOR_FILE_BYTES {
                offset = 0;
            }
            let started = Instant::now();
            self.file.write_all_at(&buffer, offset)?;
            record(&mut times, started.elapsed());
            offset += bytes;
        }
        Ok(times)
    }
}
