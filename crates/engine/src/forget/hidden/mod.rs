//! Who is hidden: data subjects that are being erased, or the reading of whose data is restricted.
//!
//! Records keep their personal groups until the keys are destroyed, and splits keep their terms until they are built again.
//! Until then every way to read goes through here: groups about somebody hidden show like erased ones ([`Hidden::mask`]), and
//! their records leave the results of whatever looks at values about people ([`Hidden::seqs`]). What flushes, compacts, checks
//! and indexes records does not: it would lose what an undo, or the end of a restriction, brings back.
//!
//! In memory, loaded with the tenant from the rows of erasures and restrictions; replaced whole when they change.

use std::sync::Arc;

use attestore_record::Handle;
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::credentials::Principal;
use crate::error::Result;
use crate::instance::Inner;
use crate::read::readers;
use crate::read::records::{Personal, Record};
use crate::tenant::{FileSet, Tenant, View};

/// What a reader is shown of groups about people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    /// Whether personal fields are shown at all.
    pub(crate) personal: bool,
    /// Whether a purpose was given for which restricted data may be read.
    pub(crate) purpose: bool,
}

impl Sight {
    /// Public fields only.
    pub(crate) const PUBLIC: Self = Self {
        personal: false,
        purpose: false,
    };

    /// What somebody sees, as far as no purpose is needed.
    pub(crate) const fn ordinary(personal: bool) -> Self {
        Self {
            personal,
            purpose: false,
        }
    }

    /// What a principal sees.
    pub(crate) fn of(by: &Principal) -> Self {
        Self {
            personal: by.may_see_personal(),
            purpose: by.purpose().is_some(),
        }
    }
}

/// How somebody is hidden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Veil {
    /// Reading takes a purpose.
    pub(crate) restricted: bool,
    /// An erasure is under way: new events about the person are about another handle.
    pub(crate) leaving: Option<Leaving>,
}

/// How far an erasure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// A hold or a policy keeps it from going on: who has a purpose may read.
    Deferred,
    /// It waits for its end, or may be taken back.
    Suppressed,
    /// The keys are destroyed, or are being destroyed.
    Destroyed,
}

impl Veil {
    fn hides(self, purpose: bool) -> bool {
        match self.leaving {
            Some(Leaving::Suppressed | Leaving::Destroyed) => true,
            Some(Leaving::Deferred) => !purpose,
            None => self.restricted && !purpose,
        }
    }
}

type Found = HashMap<(u64, u32), Arc<[Concerned]>>;

/// Everybody who is hidden in one tenant.
#[derive(Default)]
pub(crate) struct Hidden {
    veils: HashMap<Handle, Veil>,
    /// Records of segments with groups about somebody hidden, by set and generation of the `.sub`.
    found: Mutex<Found>,
}

/// A record with groups about somebody hidden.
#[derive(Clone, Copy)]
struct Concerned {
    seq: u64,
    /// Whether it is for who has a purpose too.
    always: bool,
}

impl Hidden {
    pub(crate) fn new(veils: HashMap<Handle, Veil>) -> Self {
        Self {
            veils,
            found: Mutex::default(),
        }
    }

    /// Whether nobody is hidden.
    pub(crate) fn is_empty(&self) -> bool {
        self.veils.is_empty()
    }

    /// How somebody is hidden.
    pub(crate) fn veil(&self, handle: &Handle) -> Veil {
        match self.veils.is_empty() {
            true => Veil::default(),
            false => self.veils.get(handle).copied().unwrap_or_default(),
        }
    }

    /// Whether somebody is being erased: nothing new is written under the handle.
    pub(crate) fn is_leaving(&self, handle: &Handle) -> bool {
        self.veil(handle).leaving.is_some()
    }

    /// Whether somebody's keys are destroyed.
    pub(crate) fn is_destroyed(&self, handle: &Handle) -> bool {
        self.veil(handle).leaving == Some(Leaving::Destroyed)
    }

    /// Everybody whose keys are destroyed and who may still be named in files.
    pub(crate) fn destroyed(&self) -> impl Iterator<Item = &Handle> {
        let all = self.veils.iter();
        all.filter(|(_, veil)| veil.leaving == Some(Leaving::Destroyed))
            .map(|(handle, _)| handle)
    }

    fn with(&self, handles: &[Handle], change: &impl Fn(&mut Veil)) -> Self {
        let mut veils = self.veils.clone();
        for handle in handles {
            change(veils.entry(*handle).or_default());
        }
        veils.retain(|_, veil| *veil != Veil::default());
        Self::new(veils)
    }

    /// Makes the groups of a record that a reader may not see show like erased ones. Says whether any are restricted only.
    pub(crate) fn mask(&self, record: &mut Record, sight: Sight) -> bool {
        if self.veils.is_empty() {
            return false;
        }
        let mut restricted = false;
        for group in &mut record.personal {
            let Personal::Opened { handles, .. } = group else {
                continue;
            };
            let mut hidden = false;
            for veil in handles.iter().map(|handle| self.veil(handle)) {
                hidden |= veil.hides(sight.purpose);
                restricted |= veil.restricted;
            }
            if hidden {
                *group = Personal::Erased;
            }
        }
        restricted
    }

    /// The records of a snapshot with groups about somebody who is hidden from who has, or has not, a purpose: seqs, ascending.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn seqs(
        &self,
        inner: &Inner,
        tenant: &Tenant,
        view: &View,
        purpose: bool,
    ) -> Result<Arc<[u64]>> {
        if !self.veils.values().any(|veil| veil.hides(purpose)) {
            return Ok(Arc::default());
        }
        let mut seqs = Vec::new();
        for set in view.flushed.iter() {
            let found = self.in_set(inner, tenant, set)?;
            let hidden = found.iter().filter(|one| one.always || !purpose);
            seqs.extend(hidden.map(|one| one.seq));
        }
        for record in view.tail.iter(view.tail.range()) {
            let mut handles = record.groups.iter().flat_map(|group| &group.handles);
            if handles.any(|handle| self.veil(handle).hides(purpose)) {
                seqs.push(record.seq);
            }
        }
        seqs.sort_unstable();
        seqs.dedup();
        Ok(seqs.into())
    }

    fn in_set(&self, inner: &Inner, tenant: &Tenant, set: &FileSet) -> Result<Arc<[Concerned]>> {
        let Some(row) = &set.sub else {
            return Ok(Arc::default());
        };
        let key = (set.set, row.generation);
        if let Some(found) = self.found.lock().get(&key) {
            return Ok(Arc::clone(found));
        }
        let veil = |handles: &[[u8; 16]]| {
            let veils = handles
                .iter()
                .map(|handle| self.veil(&Handle::from_bytes(*handle)));
            veils.fold((false, false), |(any, always), veil| {
                (any | veil.hides(false), always | veil.hides(true))
            })
        };
        let reader = inner.readers.sub(inner, tenant, row)?;
        let mut found = Vec::new();
        if reader.handle_sets().any(|handles| veil(handles).0) {
            for about in reader.sets().map_err(readers::segment_error)? {
                let (any, always) = veil(&about.handles);
                if any {
                    found.extend(about.seqs.iter().map(|seq| Concerned { seq: *seq, always }));
                }
            }
        }
        let found: Arc<[Concerned]> = found.into();
        self.found.lock().insert(key, Arc::clone(&found));
        Ok(found)
    }
}

impl Tenant {
    /// Changes how people are hidden, for every read that begins from now on.
    pub(crate) fn veil(&self, handles: &[Handle], change: impl Fn(&mut Veil)) {
        self.hidden.rcu(|hidden| Arc::new(hidden.with(handles, &change)));
    }
}
