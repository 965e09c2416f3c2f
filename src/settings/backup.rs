//! `[backup]`: where backups go, for whom, and for how long.

use std::path::PathBuf;

use attestore_engine::backup::Target;
use attestore_keys::Recipient;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Backups of the instance. Without `to` none are made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backup {
    /// Folder that backups go to, on another medium than the data directory, or `s3://bucket/prefix?endpoint=…&region=…&ca_file=…`; nothing
    /// for none.
    pub to: Option<PathBuf>,
    /// For whom they are sealed: the recipient that `attestore backup key` printed.
    pub recipient: String,
    /// Minutes between two backups that nobody asks for; 0 for only when somebody asks.
    pub every_minutes: u32,
    /// Seconds between two rounds of shipping what was appended since the newest backup, up to 3600; 0 for never.
    pub ship_every_s: u32,
    /// How many are kept, 1 to 1000.
    pub keep: u32,
    /// Bytes per second that backups write at most; 0 for as many as the target takes.
    pub bytes_per_s: u64,
    /// Days after which the keys of a backup are destroyed, and the backup with them, 1 to 30. For as long an erasure does not reach who
    /// holds the backup key.
    pub window_days: u32,
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            to: None,
            recipient: String::new(),
            every_minutes: 1440,
            ship_every_s: 10,
            keep: 7,
            bytes_per_s: 0,
            window_days: 7,
        }
    }
}

impl Backup {
    /// Calls `wrong` with every key whose value makes no sense, and why.
    pub fn check(&self, wrong: &mut dyn FnMut(&str, String)) {
        if self.to.is_some() && Recipient::parse(&self.recipient).is_err() {
            wrong(
                "backup.recipient",
                "write the recipient that `attestore backup key` printed".into(),
            );
        }
        if self.ship_every_s > 3600 {
            wrong("backup.ship_every_s", "write 0 to 3600".into());
        }
        if !(1..=1000).contains(&self.keep) {
            wrong("backup.keep", "write 1 to 1000".into());
        }
        if !(1..=30).contains(&self.window_days) {
            wrong("backup.window_days", "write 1 to 30".into());
        }
    }

    /// Where backups go; `None` if nowhere.
    ///
    /// # Errors
    /// A folder that cannot be used; usage.
    pub fn target(&self) -> Result<Option<Target>, Failure> {
        let Some(to) = &self.to else { return Ok(None) };
        let recipient = Recipient::parse(&self.recipient)
            .map_err(|error| Failure::usage(format!("settings: backup.recipient: {error}")))?;
        let disk = crate::target::open("settings: backup.to:", to)?;
        Ok(Some(Target {
            disk,
            recipient,
            keep: usize::try_from(self.keep).unwrap_or(1),
            window_ms: u64::from(self.window_days) * DAY_MS,
            every_ms: u64::from(self.every_minutes) * MINUTE_MS,
            ship_ms: u64::from(self.ship_every_s) * 1000,
            bytes_per_s: self.bytes_per_s,
        }))
    }
}

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 1440 * MINUTE_MS;
