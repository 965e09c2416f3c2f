//! The whole simulated disk behind its lock: files, names, the operation counter and the planned faults.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Fault,
    names::{Entry, Names},
    node::Node,
    random::Random,
};

const NO_SPACE: i32 = 28;
const IO_ERROR: i32 = 5;
const FREE_WITHOUT_CAPACITY: u64 = 1 << 40;

#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) names: Names,
    pub(super) nodes: BTreeMap<u64, Node>,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) ops: u64,
    pub(super) faults: BTreeMap<u64, Fault>,
    pub(super) crashed: bool,
    pub(super) capacity: Option<u64>,
    pub(super) read_errors: Vec<(u64, Range<u64>)>,
    pub(super) random: Random,
    next_node: u64,
}

/// How an operation is to be played.
pub(super) enum Play {
    Whole,
    /// Done in full, but the caller sees the crash.
    WholeThenCrash,
    /// Some part of it happens, then the crash.
    TornThenCrash,
    /// Some part of it may happen, then this error.
    Fail(io::Error),
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            names: Names::default(),
            nodes: BTreeMap::new(),
            locks: BTreeSet::new(),
            ops: 0,
            faults: BTreeMap::new(),
            crashed: false,
            capacity: None,
            read_errors: Vec::new(),
            random: Random::new(seed),
            next_node: 0,
        }
    }

    /// Refuses everything after a crash.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.crashed { Err(crashed()) } else { Ok(()) }
    }

    /// Counts one mutating or sync operation and tells how to play it.
    pub(super) fn begin(&mut self) -> io::Result<Play> {
        self.check()?;
        let op = self.ops;
        self.ops += 1;
        Ok(match self.faults.remove(&op) {
            None => Play::Whole,
            Some(Fault::CrashBefore) => {
                self.crashed = true;
                return Err(crashed());
            }
            Some(Fault::CrashTorn) => {
                self.crashed = true;
                Play::TornThenCrash
            }
            Some(Fault::CrashAfter) => {
                self.crashed = true;
                Play::WholeThenCrash
            }
            Some(Fault::Error(kind)) => Play::Fail(kind.into()),
            Some(Fault::Errno(errno)) => Play::Fail(io::Error::from_raw_os_error(errno)),
        })
    }

    /// Plays a directory operation: it happens whole or not at all.
    pub(super) fn play_names(&mut self, change: impl FnOnce(&mut Self)) -> io::Result<()> {
        match self.begin()? {
            Play::Whole => {
                change(self);
                Ok(())
            }
            Play::WholeThenCrash => {
                change(self);
                Err(crashed())
            }
            Play::TornThenCrash => {
                if self.random.below(2) == 0 {
                    change(self);
                }
                Err(crashed())
            }
            Play::Fail(error) => Err(error),
        }
    }

    /// Plays a sync: torn, a part becomes durable; failed, what was dirty is lost for good.
    pub(super) fn play_sync(
        &mut self,
        whole: impl FnOnce(&mut Self),
        torn: impl FnOnce(&mut Self),
        failed: impl FnOnce(&mut Self),
    ) -> io::Result<()> {
        match self.begin()? {
            Play::Whole => {
                whole(self);
                Ok(())
            }
            Play::WholeThenCrash => {
                whole(self);
                Err(crashed())
            }
            Play::TornThenCrash => {
                torn(self);
                Err(crashed())
            }
            Play::Fail(error) => {
                failed(self);
                Err(error)
            }
        }
    }

    pub(super) fn add_file(&mut self, path: &Path) -> u64 {
        let node = self.next_node;
        self.next_node += 1;
        self.nodes.insert(node, Node::default());
        self.names.set(path, Some(Entry::File { node, mode: 0o600 }));
        node
    }

    pub(super) fn node(&mut self, id: u64) -> io::Result<&mut Node> {
        self.nodes
            .get_mut(&id)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<u64> {
        match self.names.get(path)? {
            Entry::File { node, .. } => Ok(node),
            Entry::Dir { .. } => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// Refuses a file length that does not fit into the capacity.
    pub(super) fn reserve(&self, node: u64, len: u64) -> io::Result<()> {
        let Some(capacity) = self.capacity else {
            return Ok(());
        };
        let own = self.nodes.get(&node).map_or(0, |n| n.cached.len());
        let others = self.used_bytes() - allocated(own);
        if len > own && others + allocated(len) > capacity {
            return Err(io::Error::from_raw_os_error(NO_SPACE));
        }
        Ok(())
    }

    pub(super) fn free_bytes(&self) -> u64 {
        self.capacity.map_or(FREE_WITHOUT_CAPACITY, |capacity| {
            capacity.saturating_sub(self.used_bytes())
        })
    }

    pub(super) fn check_read(&self, node: u64, range: &Range<u64>) -> io::Result<()> {
        let hit = |(n, bad): &(u64, Range<u64>)| *n == node && bad.start < range.end && range.start < bad.end;
        if self.read_errors.iter().any(hit) {
            return Err(io::Error::from_raw_os_error(IO_ERROR));
        }
        Ok(())
    }

    /// Forgets files that no name and no handle refers to.
    pub(super) fn collect(&mut self) {
        let named: BTreeSet<u64> = self.names.nodes().collect();
        self.nodes
            .retain(|id, node| named.contains(id) || Arc::strong_count(&node.handles) > 1);
    }

    /// One possible medium after power is lost now.
    pub(super) fn after_crash(&mut self) -> Self {
        let names_survival = self.random.survival();
        let data_survival = self.random.survival();
        let mut next = Self::new(self.random.next());
        next.names = self.names.after_crash(names_survival, &mut self.random);
        for (_, id) in next.names.files() {
            let node = self.nodes.get(&id).expect("a named node is kept");
            next.nodes.insert(
                id,
                Node::from_medium(node.after_crash(data_survival, &mut self.random)),
            );
        }
        next.next_node = self.next_node;
        next.capacity = self.capacity;
        next.read_errors = self.read_errors.clone();
        next
    }

    /// A copy that shares nothing: no handles, no locks.
    pub(super) fn detached(&self) -> Self {
        let mut copy = self.clone();
        copy.locks.clear();
        copy.nodes.values_mut().for_each(|node| *node = node.detached());
        copy
    }

    fn used_bytes(&self) -> u64 {
        self.nodes.values().map(|node| allocated(node.cached.len())).sum()
    }
}

fn allocated(len: u64) -> u64 {
    len.next_multiple_of(4096)
}

pub(super) fn crashed() -> io::Error {
    io::Error::other("the simulated disk has crashed")
}
