//! Names: which paths exist for readers, which on the medium, and the directory operations in between.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::random::{Random, Survival};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Dir { mode: u32 },
    File { node: u64, mode: u32 },
}

type Tree = BTreeMap<PathBuf, Entry>;

/// One atomic directory operation: all names in it change together.
type Change = Vec<(PathBuf, Option<Entry>)>;

/// The name space, as readers see it and as the medium holds it.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    cached: Tree,
    durable: Tree,
    pending: Vec<Change>,
}

impl Names {
    pub(super) fn get(&self, path: &Path) -> io::Result<Entry> {
        if path.as_os_str().is_empty() {
            return Ok(Entry::Dir { mode: 0o700 });
        }
        self.cached
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn children(&self, dir: &Path) -> io::Result<Vec<(PathBuf, Entry)>> {
        self.require_dir(dir)?;
        let below = self.cached.iter().filter(|(path, _)| path.parent() == Some(dir));
        Ok(below.map(|(path, entry)| (path.clone(), *entry)).collect())
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&PathBuf, u64)> {
        self.cached.iter().filter_map(|(path, entry)| match entry {
            Entry::File { node, .. } => Some((path, *node)),
            Entry::Dir { .. } => None,
        })
    }

    pub(super) fn require_dir(&self, dir: &Path) -> io::Result<()> {
        match self.get(dir)? {
            Entry::Dir { .. } => Ok(()),
            Entry::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Checks that `path` can be given to something: it has a name and its parent exists.
    pub(super) fn require_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) => self.require_dir(parent),
            None => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    pub(super) fn set(&mut self, path: &Path, entry: Option<Entry>) {
        self.change(vec![(path.to_owned(), entry)]);
    }

    /// Changes permission bits at once, also on the medium.
    pub(super) fn set_mode(&mut self, path: &Path, bits: u32) {
        let pending = self
            .pending
            .iter_mut()
            .flatten()
            .filter(|(p, _)| p == path)
            .filter_map(|(_, e)| e.as_mut());
        let trees = [&mut self.cached, &mut self.durable]
            .into_iter()
            .filter_map(|tree| tree.get_mut(path));
        for entry in trees.chain(pending) {
            match entry {
                Entry::Dir { mode } | Entry::File { mode, .. } => *mode = bits,
            }
        }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        let moved = self.cached.iter().filter(|(path, _)| path.starts_with(from));
        let mut change = Change::new();
        for (path, entry) in moved {
            let rest = path.strip_prefix(from).expect("filtered by this prefix");
            let target = if rest.as_os_str().is_empty() {
                to.to_owned()
            } else {
                to.join(rest)
            };
            change.push((path.clone(), None));
            change.push((target, Some(*entry)));
        }
        self.change(change);
    }

    /// Makes the operations that touch names in `dir` durable, and those that they build on.
    pub(super) fn sync_dir(&mut self, dir: &Path) {
        let mut wanted = vec![false; self.pending.len()];
        for later in (0..self.pending.len()).rev() {
            let touches_dir = self.pending[later]
                .iter()
                .any(|(path, _)| path.parent() == Some(dir));
            let needed = (later + 1..self.pending.len())
                .any(|i| wanted[i] && shares_a_name(&self.pending[i], &self.pending[later]));
            wanted[later] = touches_dir || needed;
        }
        let mut keep = wanted.iter();
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let synced = *keep.next().expect("one flag for each change");
            if synced {
                apply(durable, change);
            }
            !synced
        });
    }

    pub(super) fn sync_all(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            apply(&mut self.durable, &change);
        }
    }

    /// One possible set of names on the medium after power is lost now.
    ///
    /// An operation survives only with all earlier ones on the same names; independent ones survive in any combination.
    pub(super) fn after_crash(&self, survival: Survival, random: &mut Random) -> Self {
        let mut durable = self.durable.clone();
        let mut lost: Vec<&Change> = Vec::new();
        for change in &self.pending {
            let builds_on_lost = lost.iter().any(|l| shares_a_name(l, change));
            if !builds_on_lost && survival.survives(random) {
                apply(&mut durable, change);
            } else {
                lost.push(change);
            }
        }
        let reachable: Tree = durable
            .iter()
            .filter(|(path, _)| is_reachable(&durable, path))
            .map(clone_entry)
            .collect();
        Self {
            cached: reachable.clone(),
            durable: reachable,
            pending: Vec::new(),
        }
    }

    /// All nodes that some name refers to or may refer to after a crash.
    pub(super) fn nodes(&self) -> impl Iterator<Item = u64> {
        let pending = self
            .pending
            .iter()
            .flatten()
            .filter_map(|(_, entry)| entry.as_ref());
        self.cached
            .values()
            .chain(self.durable.values())
            .chain(pending)
            .filter_map(|entry| match entry {
                Entry::File { node, .. } => Some(*node),
                Entry::Dir { .. } => None,
            })
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.cached, &change);
        self.pending.push(change);
    }
}

fn apply(tree: &mut Tree, change: &Change) {
    for (path, entry) in change {
        match entry {
            Some(entry) => tree.insert(path.clone(), *entry),
            None => tree.remove(path),
        };
    }
}

fn shares_a_name(a: &Change, b: &Change) -> bool {
    a.iter().any(|(path, _)| b.iter().any(|(other, _)| path == other))
}

fn is_reachable(tree: &Tree, path: &Path) -> bool {
    let mut above = path.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty());
    above.all(|dir| matches!(tree.get(dir), Some(Entry::Dir { .. })))
}

fn clone_entry((path, entry): (&PathBuf, &Entry)) -> (PathBuf, Entry) {
    (path.clone(), *entry)
}
