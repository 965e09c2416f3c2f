//! The kinds of edits.

mod catalog;
mod files;
mod forged;
mod log;
mod whole;

use crate::store::{Case, Store};

/// What it takes at least to notice an edit. What is less than that does not notice it: the table says so, and the test too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Least {
    /// The directory alone.
    Directory,
    /// The head register, kept elsewhere.
    Register,
    /// A witness, or somebody who saved a checkpoint.
    Outside,
    /// Nothing that is there: nobody outside was told of what was changed, or nothing was lost.
    Nobody,
}

impl Least {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Directory => "the directory",
            Self::Register => "the register",
            Self::Outside => "an outsider",
            Self::Nobody => "nobody notices",
        }
    }
}

/// A kind of edit.
pub(crate) struct Edit {
    pub(crate) name: &'static str,
    pub(crate) least: Least,
    /// Makes it in every way that the store has room for.
    pub(crate) apply: for<'a> fn(&'a Store) -> Vec<Case<'a>>,
}

const fn edit(name: &'static str, least: Least, apply: for<'a> fn(&'a Store) -> Vec<Case<'a>>) -> Edit {
    Edit { name, least, apply }
}

/// All of them.
pub(crate) const EDITS: &[Edit] = &[
    edit("a bit flipped in a file", Least::Directory, files::flipped),
    edit("a block of a file zeroed", Least::Directory, files::zeroed),
    edit(
        "two blocks of a file swapped",
        Least::Directory,
        files::blocks_swapped,
    ),
    edit("a file cut in the middle", Least::Directory, files::cut),
    edit("a file emptied", Least::Directory, files::emptied),
    edit("a file deleted", Least::Directory, files::deleted),
    edit("a file made longer", Least::Directory, files::longer),
    edit("two files of a tenant swapped", Least::Directory, files::swapped),
    edit(
        "a file replaced by another tenant's",
        Least::Directory,
        files::of_another_tenant,
    ),
    edit(
        "a file replaced by its older state",
        Least::Directory,
        files::older,
    ),
    edit("a file added", Least::Directory, files::added),
    edit(
        "a header changed, its checksum recomputed",
        Least::Directory,
        files::checksum,
    ),
    edit(
        "a file that tenants share made longer",
        Least::Nobody,
        files::shared_longer,
    ),
    edit(
        "a frame dropped that the catalog knows of, later ones moved up",
        Least::Directory,
        log::dropped_known,
    ),
    edit(
        "a newer frame dropped, later ones moved up",
        Least::Register,
        log::dropped_newer,
    ),
    edit(
        "the log cut before a frame that the catalog knows of",
        Least::Directory,
        log::cut_known,
    ),
    edit(
        "the log cut before a newer frame",
        Least::Register,
        log::cut_newer,
    ),
    edit(
        "two frames of the log reordered",
        Least::Directory,
        log::reordered,
    ),
    edit("a frame of the log duplicated", Least::Directory, log::duplicated),
    edit(
        "the log sealed again without its last frame",
        Least::Register,
        log::resealed,
    ),
    edit(
        "a segment taken out of the catalog",
        Least::Directory,
        catalog::segment_removed,
    ),
    edit(
        "the range of a segment in the catalog narrowed",
        Least::Directory,
        catalog::range_narrowed,
    ),
    edit(
        "the times of a segment in the catalog changed",
        Least::Directory,
        catalog::times_changed,
    ),
    edit(
        "the last flushed record uncounted",
        Least::Directory,
        catalog::uncounted,
    ),
    edit(
        "the names of two tenants swapped",
        Least::Directory,
        catalog::names_swapped,
    ),
    edit("the signing key replaced", Least::Outside, catalog::signing_key),
    edit("the origin of a log changed", Least::Register, catalog::origin),
    edit(
        "a part of a shared file uncounted",
        Least::Directory,
        catalog::shared_uncounted,
    ),
    edit(
        "a record left out of the index",
        Least::Directory,
        catalog::index_without,
    ),
    edit(
        "a record indexed under another's words",
        Least::Nobody,
        catalog::index_other_words,
    ),
    edit(
        "a subject's key destroyed without an erasure on record",
        Least::Directory,
        catalog::key_destroyed,
    ),
    edit(
        "personal groups taken out of a sealed file",
        Least::Directory,
        forged::groups_removed,
    ),
    edit(
        "a record changed and sealed again",
        Least::Directory,
        forged::file_only,
    ),
    edit(
        "a record changed, its entry recomputed",
        Least::Directory,
        forged::entry_too,
    ),
    edit(
        "a record changed, everything recomputed and signed again",
        Least::Register,
        forged::changed,
    ),
    edit(
        "a record dropped, everything recomputed and signed again",
        Least::Register,
        forged::dropped,
    ),
    edit(
        "a record inserted, everything recomputed and signed again",
        Least::Register,
        forged::inserted,
    ),
    edit(
        "records reordered, everything recomputed and signed again",
        Least::Register,
        forged::reordered,
    ),
    edit(
        "the time of a record changed, everything recomputed and signed again",
        Least::Register,
        forged::time,
    ),
    edit(
        "a subject erased, and an erasure inserted into the past, everything recomputed",
        Least::Register,
        forged::excused,
    ),
    edit(
        "a subject erased, and an erasure put on record now",
        Least::Nobody,
        forged::excused_now,
    ),
    edit(
        "a record changed, everything recomputed, the register made anew",
        Least::Outside,
        forged::with_register,
    ),
    edit(
        "a record that nobody outside knows of yet changed, everything recomputed",
        Least::Nobody,
        forged::unknown,
    ),
    edit("the directory rolled back", Least::Register, whole::rolled_back),
    edit(
        "the directory and the register rolled back",
        Least::Outside,
        whole::both_rolled_back,
    ),
    edit(
        "the register replaced by an older one",
        Least::Register,
        whole::register_older,
    ),
    edit("the register deleted", Least::Nobody, whole::register_deleted),
    edit(
        "a copy of the directory started beside the original",
        Least::Register,
        whole::cloned,
    ),
    edit(
        "another tenant's checkpoint presented",
        Least::Outside,
        whole::other_checkpoint,
    ),
];
