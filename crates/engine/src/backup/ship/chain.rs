//! The chunks behind one backup: what is in the target, and what was taken up for it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use attestore_keys::Key;
use attestore_record::{Handle, TenantId};
use attestore_tlog::Frontier;

use super::super::chunk::{self, Head, Link, Piece, Span};
use super::super::cut::Cut;
use super::pieces::Pieces;
use crate::catalog::hex;
use crate::instance::Inner;
use crate::tenant::Tenant;

/// The chunks behind one backup.
pub(super) struct Chain {
    pub(super) id: [u8; 16],
    /// The tenants that the backup has, and whether its rows say of them that records were corrected.
    tenants: HashMap<TenantId, bool>,
    /// How many rows it has of what people set up.
    pub(super) counts: Vec<u64>,
    /// Of the next chunk. Those before are forgotten.
    key: Key,
    number: u64,
    before: [u8; 32],
    places: HashMap<TenantId, Place>,
    pending: Vec<Taken>,
    /// Bytes that were taken up and are not in the target.
    pub(super) pending_bytes: u64,
    /// Bytes of chunks in the target.
    pub(super) bytes: u64,
    /// When the tails were last looked at, all of them; Unix milliseconds.
    looked_ms: u64,
    /// Everything that was acknowledged before is in the target.
    pub(super) at_ms: u64,
    /// Why nothing more can follow this backup.
    broken: Option<String>,
}

/// How far one log is.
pub(super) struct Place {
    origin: String,
    /// The next seq to take up, and the tree before it.
    pub(super) next: u64,
    pub(super) frontier: Frontier,
    /// Up to here it is in the target.
    pub(super) shipped: u64,
    /// Entries that the log had when it was last looked at.
    pub(super) seen: u64,
    /// People in no catalog yet, whose keys were taken up.
    pub(super) carried: HashSet<Handle>,
    /// A record that only a backup can have comes next.
    pub(super) stopped: bool,
}

/// A section that was taken up, and the seqs in it.
pub(super) struct Taken {
    pub(super) piece: Piece,
    pub(super) first: u64,
    pub(super) end: u64,
}

/// What goes into one chunk.
pub(super) struct Batch {
    taken: Vec<Taken>,
    bytes: u64,
    pub(super) head: Head,
    pub(super) link: Link,
    pub(super) key: Key,
}

impl Batch {
    pub(super) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.taken.iter().map(|taken| &taken.piece)
    }
}

impl Chain {
    pub(super) fn new(
        id: [u8; 16],
        key: Key,
        tenants: HashMap<TenantId, bool>,
        counts: Vec<u64>,
        cut: &Cut,
    ) -> Self {
        let places = cut
            .places
            .iter()
            .map(|(id, (origin, frontier))| (*id, Place::new(origin.clone(), frontier.clone())));
        Self {
            id,
            tenants,
            counts,
            key,
            number: 1,
            before: [0; 32],
            places: places.collect(),
            pending: Vec::new(),
            pending_bytes: 0,
            bytes: 0,
            looked_ms: cut.made_ms,
            at_ms: cut.made_ms,
            broken: None,
        }
    }

    /// Why a newer backup is needed.
    pub(super) fn needs_backup(&self) -> Option<String> {
        if let Some(why) = &self.broken {
            return Some(why.clone());
        }
        if self.is_stopped() {
            return Some("the catalog has what no chunk can have".to_owned());
        }
        let many = self.bytes > BYTES_MAX || self.number > CHUNKS_MAX;
        many.then(|| "the chunks behind the last one are many".to_owned())
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// How many chunks are in the target.
    pub(super) fn count(&self) -> u64 {
        self.number - 1
    }

    pub(super) fn places(&self) -> &HashMap<TenantId, Place> {
        &self.places
    }

    /// Up to where logs are in the target that chunks have.
    pub(super) fn shipped(&self) -> impl Iterator<Item = (TenantId, u64)> {
        self.places.iter().map(|(id, place)| (*id, place.shipped))
    }

    fn is_stopped(&self) -> bool {
        self.places.values().any(|place| place.stopped)
    }

    /// Notes that every tail was looked at.
    pub(super) fn looked(&mut self, now_ms: u64) {
        if self.is_stopped() || self.broken.is_some() {
            return;
        }
        self.looked_ms = now_ms;
        if self.pending.is_empty() {
            self.at_ms = now_ms;
        }
    }

    /// Takes up what a tenant's tail has beyond what was taken up before.
    pub(super) fn take_up(&mut self, inner: &Inner, tenant: &Arc<Tenant>) {
        if self.broken.is_some() {
            return;
        }
        // Before the subjects: those of its records are logged by then.
        let view = tenant.view();
        let Some(corrected) = self.tenants.get(&tenant.id) else {
            // It is counted with the tenants.
            return;
        };
        // Noted before the first correction is appended, and without it nobody looks for any.
        let is_first = tenant.corrected.load(Ordering::Acquire) && !corrected;
        let place = self.places.entry(tenant.id).or_insert_with(|| {
            // Not in memory when the backup was cut: all of it was flushed then, and nothing was since.
            Place::new(tenant.origin.clone(), tenant.core.lock().flushed_frontier.clone())
        });
        place.seen = view.size;
        place.stopped |= is_first;
        if place.stopped {
            return;
        }
        if place.origin != tenant.origin || view.tail.start() > place.next {
            self.give_up(format!(
                "tenant {}: entries are missing before the tail",
                tenant.id
            ));
            return;
        }
        let mut pieces = Pieces::new(tenant, inner.settings.frame_bytes());
        let taken = pieces.all(place, &view).map(|()| pieces.taken);
        match taken {
            Ok(taken) => {
                let bytes = taken.iter().map(|taken| taken.piece.section.len() as u64);
                self.pending_bytes += bytes.sum::<u64>();
                self.pending.extend(taken);
            }
            Err(why) => return self.give_up(format!("tenant {}: {why}", tenant.id)),
        }
        if self.pending_bytes > PENDING_BYTES_MAX {
            self.give_up("the target takes less than is appended".to_owned());
        }
    }

    fn give_up(&mut self, why: String) {
        tracing::warn!(why, "what is appended from here on is left to the next backup");
        self.broken = Some(why);
        self.pending = Vec::new();
        self.pending_bytes = 0;
    }

    /// What goes into the next chunk; `None` if there is nothing.
    pub(super) fn batch(&mut self, ledger: u64) -> Option<Batch> {
        let mut bytes = 0;
        let fits = self.pending.iter().take_while(|taken| {
            let first = bytes == 0;
            bytes += taken.piece.section.len() as u64;
            first || bytes <= CHUNK_BYTES_MAX
        });
        let count = fits.count();
        if count == 0 {
            return None;
        }
        let taken: Vec<Taken> = self.pending.drain(..count).collect();
        let at_ms = match self.pending.is_empty() {
            true => self.looked_ms,
            false => self.at_ms,
        };
        Some(Batch {
            bytes: taken.iter().map(|taken| taken.piece.section.len() as u64).sum(),
            head: Head {
                at_ms,
                ledger,
                logs: self.spans(&taken),
            },
            taken,
            link: Link {
                backup: self.id,
                number: self.number,
                before: self.before,
            },
            key: self.key.duplicate(),
        })
    }

    fn spans(&self, taken: &[Taken]) -> Vec<Span> {
        let mut spans: Vec<([u8; 16], Span)> = Vec::new();
        for one in taken {
            match spans.iter_mut().find(|(tenant, _)| *tenant == one.piece.tenant) {
                Some((_, span)) => span.end = one.end,
                None => {
                    let id = TenantId::from_bytes(one.piece.tenant);
                    let span = Span {
                        tenant: hex(id.as_bytes()),
                        origin: self
                            .places
                            .get(&id)
                            .map_or_else(String::new, |place| place.origin.clone()),
                        first: one.first,
                        end: one.end,
                    };
                    spans.push((one.piece.tenant, span));
                }
            }
        }
        spans.into_iter().map(|(_, span)| span).collect()
    }

    /// Takes back what is not known to be in the target.
    pub(super) fn put_back(&mut self, mut batch: Batch) {
        if self.broken.is_none() {
            batch.taken.append(&mut self.pending);
            self.pending = batch.taken;
        }
    }

    /// Notes that a chunk is in the target.
    pub(super) fn done(&mut self, batch: &Batch, hash: [u8; 32], bytes: u64) {
        self.key = chunk::next_key(&self.key);
        self.number += 1;
        self.before = hash;
        self.bytes += bytes;
        self.pending_bytes = self.pending_bytes.saturating_sub(batch.bytes);
        self.at_ms = batch.head.at_ms;
        for taken in &batch.taken {
            if let Some(place) = self.places.get_mut(&TenantId::from_bytes(taken.piece.tenant)) {
                place.shipped = taken.end;
            }
        }
    }
}

impl Place {
    fn new(origin: String, frontier: Frontier) -> Self {
        let size = frontier.size();
        Self {
            origin,
            next: size,
            frontier,
            shipped: size,
            seen: size,
            carried: HashSet::new(),
            stopped: false,
        }
    }
}

/// Bytes of pieces in one chunk, about.
const CHUNK_BYTES_MAX: u64 = 8 << 20;
/// Bytes that wait in memory for the target; past that a backup has to catch up.
const PENDING_BYTES_MAX: u64 = 128 << 20;
/// Bytes of chunks behind one backup: a restore has all of them in memory at once.
const BYTES_MAX: u64 = 256 << 20;
/// Chunks behind one backup.
const CHUNKS_MAX: u64 = 10_000;
