//! A file of a finished export, as it is downloaded.

use attestore_disk::Disk;
use attestore_keys::Slot;

use super::part::{PIECE_BYTES, PartId, PartReader};
use super::row::{JobKey, JobRow, PartRow, part_path};
use crate::catalog::Catalog;
use crate::instance::file_context;
use crate::tenant::Tenant;
use crate::{Engine, Error, Result};

/// A file of an export, found and not yet read: it says what it is called, how long it is, and its hash. The only way to its
/// bytes is [`FoundFile::download`], which is logged, so that nobody gets at them by asking in an unusual way.
pub struct FoundFile {
    /// Whether it is gone once it is downloaded.
    pub(super) once: Option<JobKey>,
    pub(super) engine: Engine,
    pub(super) event: serde_json::Value,
    pub(super) file: ExportFile,
}

impl FoundFile {
    /// Its name.
    pub fn name(&self) -> &str {
        self.file.name()
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.file.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.file.is_empty()
    }

    /// SHA-256 of its bytes, hex.
    pub fn sha256(&self) -> &str {
        self.file.sha256()
    }

    /// Writes into `_system` that these bytes are downloaded, and opens the file. Blocking.
    ///
    /// # Errors
    /// As appends.
    pub fn download(mut self, bytes: &std::ops::Range<u64>) -> Result<ExportFile> {
        self.event["metadata"]["first_byte"] = bytes.start.into();
        self.event["metadata"]["bytes"] = bytes.end.saturating_sub(bytes.start).into();
        self.engine
            .inner
            .append_internal(self.event.to_string().as_bytes())?;
        if let Some(key) = &self.once {
            let by = self.event["actor"]["id"].as_str().unwrap_or_default();
            super::access::take(&self.engine.inner, key, by)?;
        }
        Ok(self.file)
    }

    /// Whether it can be downloaded once only, and as a whole: it is destroyed before its first byte is handed out, and what is
    /// handed out is read from the file that is still open.
    pub fn is_once(&self) -> bool {
        self.once.is_some()
    }
}

/// A file of an export. Reading it opens what is asked for, and holds no more than that in memory.
pub struct ExportFile {
    content: Content,
    name: String,
    bytes: u64,
    sha256: String,
}

enum Content {
    Part(PartReader),
    /// Manifest and note.
    Whole(Vec<u8>),
}

impl ExportFile {
    pub(super) fn part(
        disk: &dyn Disk,
        catalog: &Catalog,
        tenant: &Tenant,
        key: &JobKey,
        job: &JobRow,
        number: u32,
        row: &PartRow,
    ) -> Result<Self> {
        let slot = job.slot.ok_or(Error::Erased("export"))?;
        let context = file_context(tenant, key.1, false);
        let file_key = tenant.keys.open(catalog, Slot(slot), &context)?;
        let part = PartId {
            tenant: tenant.id,
            slot,
            number,
            id: row.id()?,
        };
        let reader = PartReader::open(disk, &part_path(key, number), part, file_key, row)?;
        Ok(Self {
            content: Content::Part(reader),
            name: row.name.clone(),
            bytes: row.bytes,
            sha256: row.sha256.clone(),
        })
    }

    pub(super) fn whole(name: &str, bytes: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            bytes: bytes.len() as u64,
            sha256: attestore_export::sha256_hex(&bytes),
            content: Content::Whole(bytes),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// SHA-256 of its bytes, hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Reads from `offset` on: at least one byte unless the file ends there, at most `length` and at most a MiB. Blocking.
    ///
    /// # Errors
    /// Damage, or what the disk says.
    pub fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let length = length.min(PIECE_BYTES as u64);
        match &self.content {
            Content::Part(reader) => reader.read(offset, length),
            Content::Whole(bytes) => {
                let end = self.bytes.min(offset.saturating_add(length));
                let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
                let some = range.and_then(|(from, to)| bytes.get(from..to));
                Ok(some.unwrap_or_default().to_vec())
            }
        }
    }

    /// Authenticates the whole file.
    ///
    /// # Errors
    /// As [`ExportFile::read`].
    pub(crate) fn scan(&self) -> Result<Vec<attestore_segment::Damage>> {
        match &self.content {
            Content::Part(reader) => reader.scan(),
            Content::Whole(_) => Ok(Vec::new()),
        }
    }
}
