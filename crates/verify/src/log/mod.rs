//! A whole log: its root recomputed from entries, and everything else it serves held against that.

mod report;
mod source;
#[cfg(test)]
mod tests;
mod tiles;

use attestore_record::{Entry, entry::ENTRY_BYTES};
use attestore_tlog::{Bundle, Checkpoint, Frontier, VerifierKey, leaf_hash, open_checkpoint};

pub use report::{FINDINGS_MAX, Finding, Head, LogReport, TimesReport};
pub use source::{LogSource, Resource, SourceError};
use tiles::TileCheck;

/// Verifies a log from its entries up. Reads every entry and every tile once, holds less than one tile for each level.
#[derive(Clone, Debug)]
pub struct LogVerifier {
    key: VerifierKey,
    saved: Option<Checkpoint>,
    tiles: bool,
}

impl LogVerifier {
    /// Prepares to verify the log of this key.
    #[must_use]
    pub const fn new(key: VerifierKey) -> Self {
        Self {
            key,
            saved: None,
            tiles: true,
        }
    }

    /// Demands that the log extends an earlier checkpoint, which the caller has opened.
    #[must_use]
    pub fn saved(mut self, checkpoint: Checkpoint) -> Self {
        self.saved = Some(checkpoint);
        self
    }

    /// Leaves the tiles unread: they are derived from the entries and no part of the evidence.
    #[must_use]
    pub const fn without_tiles(mut self) -> Self {
        self.tiles = false;
        self
    }

    /// Verifies the log. What is wrong is in the report; the log is sound only if [`LogReport::is_sound`].
    pub fn verify(&self, source: &dyn LogSource) -> LogReport {
        self.verify_with(source, |_| {})
    }

    /// Verifies the log and calls `progress` with the number of entries read, after each bundle.
    pub fn verify_with(&self, source: &dyn LogSource, mut progress: impl FnMut(u64)) -> LogReport {
        let mut report = LogReport::default();
        let Some(checkpoint) = self.open(source, &mut report) else {
            return report;
        };
        self.compare_saved_head(&checkpoint, &mut report);

        let size = checkpoint.size();
        let mut tree = Frontier::new();
        let mut tiles = self.tiles.then(|| TileCheck::new(source, size));
        self.compare_saved_root(&tree, &mut report);
        for bundle in (0..).map_while(|index| Bundle::at(index, size)) {
            let Some(entries) = read_bundle(source, bundle, &mut report) else {
                return report; // the rest cannot be placed in a tree any more
            };
            for (seq, bytes) in bundle.entries().zip(&entries) {
                match Entry::from_bytes(bytes) {
                    Ok(entry) => report.count(seq, &entry),
                    Err(error) => report.add(Finding::Entry { seq, error }),
                }
                let leaf = leaf_hash(bytes);
                if let Some(tiles) = &mut tiles {
                    tiles.node(0, leaf, &mut report);
                    tree.push_with(leaf, |level, _, node| tiles.node(level, node, &mut report));
                } else {
                    tree.push(leaf);
                }
                self.compare_saved_root(&tree, &mut report);
            }
            report.entries = tree.size();
            progress(tree.size());
        }
        if let Some(tiles) = tiles {
            tiles.finish(&mut report);
        }
        if tree.root() != checkpoint.root() {
            report.add(Finding::Root {
                size,
                signed: checkpoint.root(),
                computed: tree.root(),
            });
        }
        report.complete = true;
        report
    }

    fn open(&self, source: &dyn LogSource, report: &mut LogReport) -> Option<Checkpoint> {
        let note = match source.checkpoint() {
            Ok(note) => note,
            Err(error) => {
                report.add(Finding::source(Resource::Checkpoint, error));
                return None;
            }
        };
        match open_checkpoint(&note, &self.key) {
            Ok(checkpoint) => {
                report.head = Some(Head::of(&checkpoint));
                Some(checkpoint)
            }
            Err(error) => {
                report.add(Finding::Checkpoint { error });
                None
            }
        }
    }

    fn compare_saved_head(&self, checkpoint: &Checkpoint, report: &mut LogReport) {
        let Some(saved) = &self.saved else { return };
        report.saved = Some(Head::of(saved));
        if saved.origin() != checkpoint.origin() {
            report.add(Finding::SavedOrigin {
                saved: saved.origin().into(),
            });
        }
        if saved.size() > checkpoint.size() {
            report.add(Finding::Rollback {
                saved: saved.size(),
                size: checkpoint.size(),
            });
        }
    }

    /// Once the tree has as many leaves as the saved checkpoint, it must have its root.
    fn compare_saved_root(&self, tree: &Frontier, report: &mut LogReport) {
        let Some(saved) = self.saved.as_ref().filter(|saved| saved.size() == tree.size()) else {
            return;
        };
        if saved.root() != tree.root() {
            report.add(Finding::Inconsistent {
                size: saved.size(),
                saved: saved.root(),
                computed: tree.root(),
            });
        }
    }
}

fn read_bundle(
    source: &dyn LogSource,
    bundle: Bundle,
    report: &mut LogReport,
) -> Option<Vec<[u8; ENTRY_BYTES]>> {
    let resource = Resource::Entries {
        index: bundle.index(),
        width: bundle.width(),
    };
    match source.entries(bundle.index(), bundle.width()) {
        Ok(entries) if entries.len() == usize::from(bundle.width()) => return Some(entries),
        Ok(entries) => report.add(Finding::Length {
            resource,
            found: entries.len(),
        }),
        Err(error) => report.add(Finding::source(resource, error)),
    }
    None
}
