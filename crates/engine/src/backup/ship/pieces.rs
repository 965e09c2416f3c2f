//! What a tail has, as sections.

use std::sync::Arc;

use attestore_record::Kind;
use attestore_wal::FrameBuilder;

use super::super::chunk::Piece;
use super::chain::{Place, Taken};
use crate::append::section::{self, SectionHead};
use crate::tenant::{Generation, Subject, TailRecord, Tenant, View};

/// Sections of one tenant in the making.
pub(super) struct Pieces<'a> {
    tenant: &'a Tenant,
    frame_bytes: u64,
    pub(super) taken: Vec<Taken>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(tenant: &'a Tenant, frame_bytes: u64) -> Self {
        Self {
            tenant,
            frame_bytes,
            taken: Vec::new(),
        }
    }

    /// Takes what a view has from a place on, up to the first record that only a backup can have.
    ///
    /// # Errors
    /// What keeps it from being a part of the log.
    pub(super) fn all(&mut self, place: &mut Place, view: &View) -> Result<(), &'static str> {
        let logged = self.tenant.directory.logged();
        // Also those whose records are not shown yet: a flush may take them over before.
        let mut fresh: Vec<Arc<Subject>> = logged
            .iter()
            .filter(|subject| !place.carried.contains(&subject.handle))
            .cloned()
            .collect();
        place.carried = logged.iter().map(|subject| subject.handle).collect();
        let (mut run, mut bytes): (Vec<&TailRecord>, u64) = (Vec::new(), 0);
        for record in view.tail.iter(place.next..view.size) {
            if !goes_along(record.entry.kind) {
                place.stopped = true;
                break;
            }
            let splits = run
                .last()
                .is_some_and(|last| last.generation != record.generation);
            if splits || bytes > self.frame_bytes {
                self.run(place, &mut fresh, &mut run)?;
                bytes = 0;
            }
            bytes += record.bytes_len();
            run.push(record);
        }
        if !run.is_empty() || !fresh.is_empty() {
            self.run(place, &mut fresh, &mut run)?;
        }
        match place.stopped || place.next == view.size && place.frontier.root() == view.root {
            true => Ok(()),
            false => Err("the tail has another root"),
        }
    }

    fn run(
        &mut self,
        place: &mut Place,
        fresh: &mut Vec<Arc<Subject>>,
        run: &mut Vec<&TailRecord>,
    ) -> Result<(), &'static str> {
        let generation = match run.first() {
            Some(record) => self.generation(record.generation)?,
            None => self.tenant.generation.load_full(),
        };
        let first = place.next;
        run.iter().for_each(|record| place.frontier.push(record.leaf));
        place.next = place.frontier.size();
        let head = SectionHead {
            first_seq: first,
            generation: &generation,
            size: place.next,
            root: place.frontier.root(),
        };
        let mut frame = FrameBuilder::new();
        let section = frame.section(
            *self.tenant.id.as_bytes(),
            self.tenant.keys.ring().current(),
            |buf| {
                section::write(buf, &head, fresh, run.iter().copied());
                buf.to_vec()
            },
        );
        frame.clear();
        self.taken.push(Taken {
            piece: Piece {
                tenant: *self.tenant.id.as_bytes(),
                section: section.into(),
            },
            first,
            end: place.next,
        });
        fresh.clear();
        run.clear();
        Ok(())
    }

    fn generation(&self, number: u32) -> Result<Arc<Generation>, &'static str> {
        let known = self.tenant.generations.read();
        let found = known.iter().find(|known| known.number == number).cloned();
        found.ok_or("a salt generation is not known")
    }
}

/// Whether a record means nothing that rows of the catalog would have to say too.
fn goes_along(kind: Kind) -> bool {
    matches!(kind, Kind::Event | Kind::CheckpointImport)
}
