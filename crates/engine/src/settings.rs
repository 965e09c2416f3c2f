//! What an operator may choose. Every key has a default that fits one machine; none is needed to start.

use attestore_record::Limits;
use serde::{Deserialize, Serialize};

/// The engine's settings. Unknown keys are refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Size of a WAL file in bytes. Default 64 MiB, at least 64 KiB, rounded up to 4096.
    pub wal_file_bytes: u64,
    /// Bytes of WAL files that may wait for a flush before appends are pushed back. Default 256 MiB, at least three files.
    pub wal_budget_bytes: u64,
    /// Bytes of one tenant's tail that start its flush. Default 32 MiB.
    pub flush_tail_bytes: u64,
    /// Age in milliseconds of a tenant's oldest unflushed record that starts its flush. Default 300,000.
    pub flush_age_ms: u64,
    /// Tails of fewer bytes than this go into a shared `l0` file instead of files of their own. Default 256 KiB.
    pub l0_tail_bytes_max: u64,
    /// Records in a tenant's `l0` parts above which its next flush rewrites them into one segment. Default 4096.
    pub l0_records_max: u64,
    /// Records of one tenant that may be durable but not yet indexed before its appends are pushed back. Default 20,000.
    pub index_lag_max: u64,
    /// Records that may wait for the committer. Default 50,000.
    pub queue_records_max: u64,
    /// Bytes of records that may wait for the committer. Default 64 MiB.
    pub queue_bytes_max: u64,
    /// Bytes that appends leave free on the file system, so that flush, purge and shutdown still work. Default 256 MiB;
    /// never more than a tenth of what was free when the instance was made.
    pub reserve_bytes: u64,
    /// How far the wall clock may run ahead of the boot clock, and an event's time ahead of the wall clock, in milliseconds.
    /// Default 300,000.
    pub future_tolerance_ms: u64,
    /// Hours for which an idempotency key is remembered. Default 24.
    pub idempotency_hours: u32,
    /// Bytes of memory for index chunks and column ranges. Default 64 MiB.
    pub index_cache_bytes: u64,
    /// Bytes of memory for decoded segment blocks. Default 32 MiB.
    pub block_cache_bytes: u64,
    /// Whether records are indexed. Default true; off for measurements only: searches then scan.
    pub indexing: bool,
    /// Milliseconds after which a search gives up. Default 10,000.
    pub search_deadline_ms: u64,
    /// Records that one search may scan where no index answers it. Default 1,000,000.
    pub scan_records_max: u64,
    /// Bytes per second that flushes, compactions and rebuilds write together, at most; 0 for no limit. Default 100 MB. A log
    /// that runs out of its budget is flushed without one.
    pub background_bytes_per_s: u64,
    /// Whether segments are compacted in the background. Default true; off for measurements only: searches then have ever
    /// more segments to ask.
    pub compaction: bool,
    /// Bytes of records in one compacted segment, at most. Default 128 MiB, at least 64 KiB: what a compaction holds in memory,
    /// and what one expiry frees at once.
    pub segment_bytes_max: u64,
    /// Milliseconds between signatures of changed tree heads. Default 1000.
    pub head_interval_ms: u64,
    /// Microseconds for which a busy committer lets more requests join a frame, as long as more keep coming. Default 200;
    /// 0 turns it off. Never waits after frames of a few requests.
    pub committer_gather_us: u64,
    /// Hours for which the files of an export are kept once it is over. Default 24, at least 1.
    pub export_hours: u32,
    /// Exports of one tenant whose files are kept, at most. Default 20.
    pub export_jobs_max: u32,
    /// Bytes on disk of one tenant's exports, at most. Default 64 GiB.
    pub export_bytes_max: u64,
    /// Bytes of one file of an export, about. Default 64 MiB, at least 64 KiB.
    pub export_part_bytes: u64,
    /// Days after which every stored record has been hashed again in the background and held against the tree. Default 7;
    /// 0 for only when somebody asks.
    pub scrub_days: u32,
    /// Bytes per second that it reads, at most; 0 for no limit. Default 4 MB.
    pub scrub_bytes_per_s: u64,
    /// Seconds after which the root key is replaced when keys were destroyed, so that old copies of the catalog do not open them
    /// any more. Default 60. Erasures do not wait for it.
    pub root_rotation_s: u64,
    /// Hours for which a segment that is due only in part may wait before it is written again without what is due. Default 24. Whole
    /// segments go as soon as they are due.
    pub purge_grace_hours: u32,
    /// Seconds between two looks for records whose retention is over. Default 3600; 0 for only when somebody asks.
    pub purge_interval_s: u32,
    /// What an event may hold at most.
    #[serde(skip)]
    pub limits: Limits,
    /// Where new signing keys of logs are made.
    #[serde(skip)]
    pub signing: SigningKeys,
    /// Where backups go; nowhere if not set.
    #[serde(skip)]
    pub backup: Option<crate::backup::Target>,
}

/// Where signing keys of logs are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SigningKeys {
    /// In the tree of keys of the data directory.
    #[default]
    Directory,
    /// In the security module that holds the root; they never leave it.
    Module,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            wal_file_bytes: 64 << 20,
            wal_budget_bytes: 256 << 20,
            flush_tail_bytes: 32 << 20,
            flush_age_ms: 300_000,
            l0_tail_bytes_max: 256 << 10,
            l0_records_max: 4096,
            index_lag_max: 20_000,
            queue_records_max: 50_000,
            queue_bytes_max: 64 << 20,
            reserve_bytes: 256 << 20,
            future_tolerance_ms: 300_000,
            idempotency_hours: 24,
            index_cache_bytes: 64 << 20,
            block_cache_bytes: 32 << 20,
            indexing: true,
            background_bytes_per_s: 100_000_000,
            compaction: true,
            segment_bytes_max: 128 << 20,
            search_deadline_ms: 10_000,
            scan_records_max: 1_000_000,
            head_interval_ms: 1000,
            committer_gather_us: 200,
            export_hours: 24,
            export_jobs_max: 20,
            export_bytes_max: 64 << 30,
            export_part_bytes: 64 << 20,
            scrub_days: 7,
            scrub_bytes_per_s: 4_000_000,
            root_rotation_s: 60,
            purge_grace_hours: 24,
            purge_interval_s: 3600,
            limits: Limits::DEFAULT,
            signing: SigningKeys::Directory,
            backup: None,
        }
    }
}

impl Settings {
    /// Returns the settings with values outside of their ranges moved to the nearest bound.
    #[must_use]
    pub fn clamped(mut self) -> Self {
        self.wal_file_bytes = self
            .wal_file_bytes
            .clamp(WAL_FILE_BYTES_MIN, 4 << 30)
            .next_multiple_of(4096);
        self.wal_budget_bytes = self.wal_budget_bytes.max(self.wal_file_bytes.saturating_mul(3));
        self.queue_records_max = self.queue_records_max.max(1);
        self.segment_bytes_max = self.segment_bytes_max.clamp(64 << 10, 1 << 30);
        self.export_hours = self.export_hours.max(1);
        self.export_part_bytes = self.export_part_bytes.clamp(64 << 10, 4 << 30);
        self.limits.future_ms_max = self.future_tolerance_ms;
        self
    }

    /// The most bytes of encoded records that one append may carry: what surely fits one frame.
    pub fn request_bytes_max(&self) -> u64 {
        (self.wal_file_bytes / 4).min(REQUEST_BYTES_MAX)
    }

    /// Requests are taken into one frame until they have this many bytes. With the request that comes last the frame still
    /// fits an empty file.
    pub(crate) fn frame_bytes(&self) -> u64 {
        (self.wal_file_bytes / 4).min(FRAME_BYTES)
    }
}

const WAL_FILE_BYTES_MIN: u64 = 64 << 10;
const REQUEST_BYTES_MAX: u64 = 8 << 20;
const FRAME_BYTES: u64 = 4 << 20;
