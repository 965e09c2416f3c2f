//! States of many keys in bounded memory.
//!
//! A table has a fixed number of sets of `WAYS` places each; a key belongs to one set. Where a set is full, the state that is
//! worth the least makes room: it is the one whose loss lets the least through. So a flood of new keys costs
//! neither memory nor those who really used their limit.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::{Ns, key::Place};

/// A state that ends by itself.
pub trait State {
    /// From when on it says no more than a fresh one.
    fn idle_at(&self) -> Ns;

    /// What is lost with it, as a time: the one with the earliest makes room first.
    fn worth(&self) -> Ns {
        self.idle_at()
    }
}

/// States by key.
pub struct Table<S> {
    shards: Box<[Mutex<Vec<Set<S>>>]>,
    sets: u64,
    len: AtomicU64,
    evicted: AtomicU64,
}

type Set<S> = Vec<(u64, S)>;

impl<S: State> Table<S> {
    /// Makes a table of at most about `keys_max` keys.
    pub fn new(keys_max: usize) -> Self {
        let sets = (keys_max / WAYS).max(SHARDS).div_ceil(SHARDS);
        let shard = || Mutex::new((0..sets).map(|_| Vec::new()).collect());
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            sets: sets as u64,
            len: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// Runs `then` on the state of a key, made anew if there is none.
    pub fn with<R>(&self, place: Place, fresh: impl FnOnce() -> S, then: impl FnOnce(&mut S) -> R) -> R {
        let (shard, set) = self.find(place);
        let mut shard = shard.lock();
        let set = &mut shard[set];
        let at = match set.iter().position(|(mark, _)| *mark == place.mark) {
            Some(at) => at,
            None if set.len() < WAYS => {
                self.len.fetch_add(1, Ordering::Relaxed);
                if set.capacity() == 0 {
                    set.reserve_exact(1);
                }
                set.push((place.mark, fresh()));
                set.len() - 1
            }
            None => {
                let idlest = (0..WAYS).min_by_key(|at| set[*at].1.worth()).unwrap_or_default();
                self.evicted.fetch_add(1, Ordering::Relaxed);
                set[idlest] = (place.mark, fresh());
                idlest
            }
        };
        then(&mut set[at].1)
    }

    /// Runs `then` on the state of a key, if there is one.
    pub fn if_there<R>(&self, place: Place, then: impl FnOnce(&mut S) -> R) -> Option<R> {
        let (shard, set) = self.find(place);
        let mut shard = shard.lock();
        let (_, state) = shard[set].iter_mut().find(|(mark, _)| *mark == place.mark)?;
        Some(then(state))
    }

    /// How many states satisfy `which`; looks at all of them.
    pub fn count(&self, which: impl Fn(&S) -> bool) -> u64 {
        self.shards
            .iter()
            .map(|shard| {
                let shard = shard.lock();
                shard.iter().flatten().filter(|(_, state)| which(state)).count() as u64
            })
            .sum()
    }

    /// Forgets states that say nothing any more.
    pub fn forget_idle(&self, now: Ns) {
        for shard in &self.shards {
            for set in shard.lock().iter_mut() {
                let before = set.len();
                set.retain(|(_, state)| state.idle_at() > now);
                self.len.fetch_sub((before - set.len()) as u64, Ordering::Relaxed);
                if set.is_empty() {
                    set.shrink_to_fit();
                }
            }
        }
    }

    /// How many keys it holds.
    pub fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many had to make room.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// How many keys fit, and bytes of memory they take then, about.
    pub fn capacity(&self) -> (u64, u64) {
        let keys = self.sets * SHARDS as u64 * WAYS as u64;
        (keys, keys * size_of::<(u64, S)>() as u64)
    }

    fn find(&self, place: Place) -> (&Mutex<Vec<Set<S>>>, usize) {
        let shard = usize::try_from(place.at % SHARDS as u64).unwrap_or_default();
        let set = usize::try_from(place.at / SHARDS as u64 % self.sets).unwrap_or_default();
        (&self.shards[shard], set)
    }
}

/// Locks of a table.
const SHARDS: usize = 64;
/// Keys of a set.
const WAYS: usize = 8;
