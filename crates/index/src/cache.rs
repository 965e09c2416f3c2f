//! Memory for bytes of sealed splits: one bound over all of them, whatever tenant they are of.
//!
//! Two caches share it. Opening a split, looking up a term and reading short postings take many small ranges that lie
//! close together: these are cut out of chunks of [`CHUNK`] bytes, without copying. Longer ranges (columns,
//! dictionaries, long postings) are asked for again with the very same bounds: each is kept as one piece. The two do
//! not push each other out: one scan of a long column leaves the chunks alone.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::{Cache as Store, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tantivy::directory::OwnedBytes;

use crate::split::Source;

/// Size of a cached chunk, that of the sealed container's own chunks (bytes).
pub(crate) const CHUNK: u64 = 16 * 1024;
/// Default bound of a cache (bytes).
pub const CACHE_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
/// The chunks' share of the bound is one part of so many.
const CHUNKS_SHARE: u64 = 4;
/// Locks a cache is spread over; each holds as many bytes of it.
const SHARDS_MAX: u64 = 16;
/// A lock is worth so many entries of the longest kind.
const SHARD_ENTRIES_MIN: u64 = 4;
/// Ranges over more than this are not kept (bytes).
const RANGE_MAX: u64 = 4 * 1024 * 1024;
/// Bookkeeping counted per entry (bytes).
const ENTRY_BYTES: u64 = 96;

/// Bounded cache of opened bytes, shared by all sealed splits. Cloning shares it.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

struct Inner {
    chunks: Bounded,
    ranges: Bounded,
    opened: AtomicU64,
}

impl Default for Cache {
    fn default() -> Self {
        Self::new(CACHE_BYTES_DEFAULT)
    }
}

impl Cache {
    /// Makes a cache that keeps at most `bytes_max` bytes, bookkeeping included.
    pub fn new(bytes_max: u64) -> Self {
        let chunks = bytes_max / CHUNKS_SHARE;
        Self {
            inner: Arc::new(Inner {
                chunks: Bounded::new(chunks, CHUNK),
                ranges: Bounded::new(bytes_max - chunks, RANGE_MAX),
                opened: AtomicU64::new(0),
            }),
        }
    }

    /// Returns the bytes held now.
    pub fn bytes(&self) -> u64 {
        self.inner.chunks.store.weight() + self.inner.ranges.store.weight()
    }

    /// Returns the bytes that were read from sources since the cache was made: what it did not hold.
    pub fn opened_total(&self) -> u64 {
        self.inner.opened.load(Ordering::Relaxed)
    }

    /// Reads `range` of the split `split`, whose plaintext is `source`. Adds to `opened` what had to be read.
    pub(crate) fn read(
        &self,
        split: u64,
        source: &dyn Source,
        range: Range<u64>,
        opened: &AtomicU64,
    ) -> io::Result<OwnedBytes> {
        let read = |range: Range<u64>| {
            let bytes = read_exact(source, range)?;
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            opened.fetch_add(length, Ordering::Relaxed);
            self.inner.opened.fetch_add(length, Ordering::Relaxed);
            Ok(bytes)
        };
        let chunk = range.start / CHUNK * CHUNK;
        if range.end > chunk + CHUNK {
            return self.inner.ranges.get(split, range, read);
        }
        let end = (chunk + CHUNK).min(source.len());
        let bytes = self.inner.chunks.get(split, chunk..end, read)?;
        slice(&bytes, range.start - chunk..range.end - chunk)
    }

    /// Forgets what is held of `split`.
    pub(crate) fn forget(&self, split: u64) {
        self.inner.chunks.store.retain(|key, _| key.split != split);
        self.inner.ranges.store.retain(|key, _| key.split != split);
    }
}

/// One of the caches.
struct Bounded {
    store: Store<Key, OwnedBytes, Weight>,
    entry_max: u64,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    split: u64,
    start: u64,
    end: u64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, OwnedBytes> for Weight {
    fn weight(&self, _: &Key, value: &OwnedBytes) -> u64 {
        u64::try_from(value.len())
            .unwrap_or(u64::MAX)
            .saturating_add(ENTRY_BYTES)
    }
}

impl Bounded {
    /// Makes one of `bytes_max` bytes for entries of up to `entry_bytes`, or less if that is too much for it.
    fn new(bytes_max: u64, entry_bytes: u64) -> Self {
        // A bound holds for each lock apart: what is larger than its part is never kept.
        let shards = (bytes_max / (SHARD_ENTRIES_MIN * entry_bytes)).clamp(1, SHARDS_MAX);
        let shards = 1 << shards.ilog2();
        let entries = usize::try_from(bytes_max / CHUNK).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .shards(usize::try_from(shards).unwrap_or(1))
            .weight_capacity(bytes_max)
            .estimated_items_capacity(entries.clamp(32 * 16, 1 << 20))
            .build()
            .expect("all that is needed is set");
        Self {
            store: Store::with_options(
                options,
                Weight,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            ),
            entry_max: entry_bytes.min(bytes_max / shards / 2),
        }
    }

    /// Returns an entry; what is not held is read, and held from then on.
    fn get(
        &self,
        split: u64,
        range: Range<u64>,
        read: impl FnOnce(Range<u64>) -> io::Result<OwnedBytes>,
    ) -> io::Result<OwnedBytes> {
        let key = Key {
            split,
            start: range.start,
            end: range.end,
        };
        if let Some(bytes) = self.store.get(&key) {
            return Ok(bytes);
        }
        let keep = range.end - range.start <= self.entry_max;
        let bytes = read(range)?;
        if keep {
            self.store.insert(key, bytes.clone());
        }
        Ok(bytes)
    }
}

/// Reads a range that must come back whole.
pub(crate) fn read_exact(source: &dyn Source, range: Range<u64>) -> io::Result<OwnedBytes> {
    let wanted = range.end.saturating_sub(range.start);
    let bytes = source.read(range)?;
    if u64::try_from(bytes.len()).ok() != Some(wanted) {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "source returned fewer bytes than asked for",
        ));
    }
    Ok(OwnedBytes::new(bytes))
}

/// Slices without panicking.
pub(crate) fn slice(bytes: &OwnedBytes, range: Range<u64>) -> io::Result<OwnedBytes> {
    let bounds = usize::try_from(range.start)
        .ok()
        .zip(usize::try_from(range.end).ok());
    match bounds {
        Some((start, end)) if start <= end && end <= bytes.len() => Ok(bytes.slice(start..end)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "range beyond the end",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::ops::Range;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{CHUNK, Cache, RANGE_MAX};
    use crate::split::Source;

    /// Counts up; tells how much of it was read.
    #[derive(Default)]
    struct Counting {
        read: AtomicU64,
    }

    const LENGTH: u64 = 64 * 1024 * 1024 + 5;

    fn byte(at: u64) -> u8 {
        u8::try_from(at % 251).unwrap()
    }

    impl Source for Counting {
        fn len(&self) -> u64 {
            LENGTH
        }

        fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
            self.read.fetch_add(range.end - range.start, Ordering::Relaxed);
            Ok(range.map(byte).collect())
        }
    }

    fn read(cache: &Cache, source: &Counting, split: u64, range: Range<u64>) -> u64 {
        let opened = AtomicU64::new(0);
        let before = source.read.load(Ordering::Relaxed);
        let bytes = cache.read(split, source, range.clone(), &opened).unwrap();
        assert!(bytes.as_slice().iter().copied().eq(range.map(byte)));
        let read = source.read.load(Ordering::Relaxed) - before;
        assert_eq!(opened.load(Ordering::Relaxed), read);
        read
    }

    #[test]
    fn small_ranges_share_chunks_and_long_ones_are_kept_whole() {
        let (cache, source) = (Cache::default(), Counting::default());
        assert_eq!(read(&cache, &source, 1, 10..20), CHUNK);
        assert_eq!(read(&cache, &source, 1, 0..CHUNK), 0);
        assert_eq!(read(&cache, &source, 1, 7..7), 0);
        assert_eq!(read(&cache, &source, 2, 10..20), CHUNK, "of another split");
        assert_eq!(read(&cache, &source, 1, 10..CHUNK + 1), CHUNK - 9);
        assert_eq!(read(&cache, &source, 1, 10..CHUNK + 1), 0);
        assert_eq!(read(&cache, &source, 1, 0..RANGE_MAX), RANGE_MAX);
        assert_eq!(read(&cache, &source, 1, 0..RANGE_MAX), 0);
        assert_eq!(read(&cache, &source, 1, 1..RANGE_MAX + 2), RANGE_MAX + 1);
        assert_eq!(
            read(&cache, &source, 1, 1..RANGE_MAX + 2),
            RANGE_MAX + 1,
            "too long to keep"
        );
        assert_eq!(
            read(&cache, &source, 1, LENGTH - 3..LENGTH),
            5,
            "the last chunk is short"
        );
        assert_eq!(cache.opened_total(), source.read.load(Ordering::Relaxed));
    }

    #[test]
    fn no_more_is_held_than_the_bound() {
        let bound = 8 * 1024 * 1024;
        let (cache, source) = (Cache::new(bound), Counting::default());
        for n in 0..2000 {
            read(&cache, &source, n % 7, n * CHUNK..n * CHUNK + 1);
            read(&cache, &source, n % 7, n * 1000..n * 1000 + 3 * CHUNK);
            assert!(cache.bytes() <= bound, "{} after {n}", cache.bytes());
        }
        assert!(cache.bytes() > bound / 2, "{}", cache.bytes());
        for split in 0..7 {
            cache.forget(split);
        }
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn long_ranges_leave_chunks_alone() {
        let (cache, source) = (Cache::new(8 * 1024 * 1024), Counting::default());
        read(&cache, &source, 1, 0..1);
        for n in 0..500 {
            read(&cache, &source, 2, n * 1000..n * 1000 + 10 * CHUNK);
        }
        assert_eq!(read(&cache, &source, 1, 0..1), 0);
    }

    #[test]
    fn a_tiny_cache_reads_everything_again() {
        let (cache, source) = (Cache::new(0), Counting::default());
        assert_eq!(read(&cache, &source, 1, 0..1), CHUNK);
        assert_eq!(read(&cache, &source, 1, 0..1), CHUNK);
        assert_eq!(cache.bytes(), 0);
    }
}
