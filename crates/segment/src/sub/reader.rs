//! Reads a sealed `.sub`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use attestore_keys::Key;

use super::block::{SubBlock, SubGroup, open_block, parse_sub_block};
use super::footer::{SubFooter, SubMeta, TRAILER_BYTES, parse_tables, parse_trailer};
use super::packed::Packed;
use super::page::{Pair, parse_sub_page};
use super::{Handle, SetKeys};
use crate::{Container, ContainerType, Error, Malformed, Result};

/// An opened `.sub`: its tables in memory (about 30 bytes for each set), its pages and blocks read when asked for.
pub struct SubReader {
    container: Container,
    footer: SubFooter,
}

/// A personal group of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// It could be opened.
    Opened {
        /// The subjects it is about, ascending.
        handles: Vec<Handle>,
        /// Its bytes, short of what it repeats of the record's public group.
        bytes: Packed,
    },
    /// A key of its subjects has been destroyed; its bytes are gone for good.
    Destroyed {
        /// The subjects it was about, ascending.
        handles: Vec<Handle>,
    },
}

impl Group {
    /// Returns the subjects that the group is about, ascending.
    pub fn handles(&self) -> &[Handle] {
        match self {
            Self::Opened { handles, .. } | Self::Destroyed { handles } => handles,
        }
    }
}

/// A set of subjects and the records that have a group about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandleSet {
    /// The subjects, ascending.
    pub handles: Vec<Handle>,
    /// The records, ascending.
    pub seqs: Vec<u64>,
}

impl SubReader {
    /// Reads and checks the tables.
    ///
    /// # Errors
    /// [`Error::Damage`] when the container is not a `.sub` or its tables do not hold; [`Error::Io`].
    pub fn open(container: Container) -> Result<Self> {
        if container.meta().ty != ContainerType::Sub {
            return Err(container.damage(Malformed {
                at: 0,
                reason: "not a container of personal groups",
            }));
        }
        let length = container.len();
        let trailer_at = length.checked_sub(TRAILER_BYTES as u64).ok_or_else(|| {
            container.damage(Malformed {
                at: 0,
                reason: "too short for a body",
            })
        })?;
        let trailer = container.read(trailer_at..length)?;
        let trailer = parse_trailer(&trailer, length).map_err(|malformed| container.damage(malformed))?;
        let tables = container.read(trailer.tables_offset..trailer_at)?;
        let footer = parse_tables(&trailer, &tables).map_err(|malformed| container.damage(malformed))?;
        Ok(Self { container, footer })
    }

    /// Returns the container below.
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// Returns the numbers of the body.
    pub fn meta(&self) -> &SubMeta {
        &self.footer.meta
    }

    /// Reads the groups of a record, in the order they were given. Asks for the key of each of their sets.
    ///
    /// # Errors
    /// [`Error::WrongKey`] when a set's key does not open its block; [`Error::SetKey`] when the provider failed;
    /// [`Error::Damage`]; [`Error::Io`].
    pub fn groups(&self, seq: u64, keys: &dyn SetKeys) -> Result<Vec<Group>> {
        let mut groups = Vec::new();
        let range = seq..seq.saturating_add(1);
        let mut opener = SubScan::new(self, keys);
        self.pairs(&range, seq, |pair| {
            groups.push(opener.group(pair)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(groups)
    }

    /// Calls `visit` with seq and group for each group of the range, ascending by seq, until it breaks. Asks for each set's
    /// key as rarely as its memory allows ([`SCAN_MEMORY_BYTES`]).
    ///
    /// # Errors
    /// As [`SubReader::groups`], at the first group that fails; those before it have been visited.
    pub fn scan(
        &self,
        seqs: Range<u64>,
        keys: &dyn SetKeys,
        visit: impl FnMut(u64, Group) -> ControlFlow<()>,
    ) -> Result<()> {
        self.scanner(keys).visit(seqs, visit)
    }

    /// Makes a scan that keeps its keys and opened blocks from one range to the next.
    pub fn scanner<'a>(&'a self, keys: &'a dyn SetKeys) -> SubScan<'a> {
        SubScan::new(self, keys)
    }

    /// Goes through the sets of subjects, ascending by their handles. Reads nothing.
    pub fn handle_sets(&self) -> impl ExactSizeIterator<Item = &[Handle]> + '_ {
        (0..self.footer.sets.len()).map(|set| self.footer.sets.handles(set))
    }

    /// Calls `visit` for each group of the set at this place in [`SubReader::handle_sets`], ascending by seq and ordinal.
    /// Holds one block at a time.
    ///
    /// # Errors
    /// [`Error::WrongKey`] when `key` is not the set's; [`Error::Damage`] for a set that is not there or does not hold;
    /// [`Error::Io`]; what `visit` returns.
    pub fn groups_of_set(
        &self,
        set: usize,
        key: &Key,
        mut visit: impl FnMut(&SubGroup) -> Result<()>,
    ) -> Result<()> {
        let blocks = self.footer.sets.blocks(set);
        let mut first = None;
        for number in blocks.ok_or_else(|| self.malformed("a set outside of the table"))? {
            let block = self.block(number, key, first.as_ref())?;
            for group in block.iter() {
                visit(&group)?;
            }
            first.get_or_insert(block);
        }
        Ok(())
    }

    /// Tells whether the file has groups about this subject. Reads nothing.
    pub fn holds(&self, handle: &Handle) -> bool {
        self.handle_sets().any(|set| set.binary_search(handle).is_ok())
    }

    /// Reads all sets of subjects with the records they occur in, ascending by their handles. Needs no subject's key.
    ///
    /// # Errors
    /// [`Error::Damage`], [`Error::Io`].
    pub fn sets(&self) -> Result<Vec<HandleSet>> {
        let mut sets: Vec<HandleSet> = self
            .handle_sets()
            .map(|handles| HandleSet {
                handles: handles.to_vec(),
                seqs: Vec::new(),
            })
            .collect();
        for page in 0..self.footer.pages.len() {
            for pair in self.page(page)? {
                let set = sets.get_mut(self.footer.sets.set_of(pair.block));
                let seqs = &mut set.ok_or_else(|| self.malformed("a block without a set"))?.seqs;
                if seqs.last() != Some(&pair.seq) {
                    seqs.push(pair.seq);
                }
            }
        }
        Ok(sets)
    }

    /// Visits the pairs from `seqs.start` to `last`, which is included so that the highest seq can be asked for.
    fn pairs(
        &self,
        seqs: &Range<u64>,
        last: u64,
        mut visit: impl FnMut(Pair) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let pages = &self.footer.pages;
        let first = pages.partition_point(|page| page.last_seq < seqs.start);
        let past = pages.partition_point(|page| page.first_seq <= last);
        for page in first..past {
            let pairs = self.page(page)?;
            for pair in pairs
                .into_iter()
                .filter(|pair| seqs.start <= pair.seq && pair.seq <= last)
            {
                if visit(pair)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn page(&self, number: usize) -> Result<Vec<Pair>> {
        let entry = self
            .footer
            .pages
            .get(number)
            .ok_or_else(|| self.malformed("a page outside of the index"))?;
        let bytes = self
            .container
            .read_near(entry.offset..entry.offset + u64::from(entry.compressed))?;
        let blocks =
            u32::try_from(self.footer.blocks.len()).map_err(|_| self.malformed("too many blocks"))?;
        parse_sub_page(entry, blocks, &bytes)
            .map_err(|malformed| self.container.damage(malformed.shifted(entry.offset)))
    }

    /// Opens a block; `first` is the first of its set, unless this is it.
    fn block(&self, number: u32, key: &Key, first: Option<&SubBlock>) -> Result<SubBlock> {
        let entry = self.footer.blocks.get(number as usize);
        let entry = entry.ok_or_else(|| self.malformed("a block outside of the table"))?;
        let mut sealed = self
            .container
            .read_near(entry.offset..entry.offset + u64::from(entry.sealed))?;
        let frame = open_block(key, &self.container.meta().id, number, &mut sealed);
        let frame = frame.ok_or_else(|| Error::WrongKey {
            path: self.container.path().to_owned(),
            offset: self.container.file_offset(entry.offset),
            what: "personal groups of a set of subjects",
        })?;
        parse_sub_block(frame, entry.raw, first.map(SubBlock::raw)).map_err(|malformed| {
            self.container.damage(Malformed {
                at: entry.offset,
                reason: malformed.reason,
            })
        })
    }

    fn malformed(&self, reason: &'static str) -> Error {
        self.container.damage(Malformed {
            at: self.container.len(),
            reason,
        })
    }
}

/// Opens groups, and keeps blocks within [`SCAN_MEMORY_BYTES`] and keys for as long as it lives: a key that is destroyed
/// meanwhile may still be used.
pub struct SubScan<'a> {
    reader: &'a SubReader,
    keys: &'a dyn SetKeys,
    set_keys: BTreeMap<usize, Option<Key>>,
    blocks: HashMap<u32, Arc<SubBlock>>,
    order: VecDeque<(u32, usize)>,
    memory: usize,
}

impl<'a> SubScan<'a> {
    fn new(reader: &'a SubReader, keys: &'a dyn SetKeys) -> Self {
        let (set_keys, blocks, order) = (BTreeMap::new(), HashMap::new(), VecDeque::new());
        Self {
            reader,
            keys,
            set_keys,
            blocks,
            order,
            memory: 0,
        }
    }

    /// As [`SubReader::scan`], for the next range.
    ///
    /// # Errors
    /// As [`SubReader::scan`].
    pub fn visit(
        &mut self,
        seqs: Range<u64>,
        mut visit: impl FnMut(u64, Group) -> ControlFlow<()>,
    ) -> Result<()> {
        let Some(last) = seqs.end.checked_sub(1) else {
            return Ok(());
        };
        let reader = self.reader;
        reader.pairs(&seqs, last, |pair| Ok(visit(pair.seq, self.group(pair)?)))
    }

    /// As [`SubScan::visit`], for single records, which ascend: reads each page that holds one of them once, and opens no group
    /// of other records.
    ///
    /// # Errors
    /// As [`SubReader::scan`].
    pub fn visit_each(
        &mut self,
        seqs: &[u64],
        mut visit: impl FnMut(u64, Group) -> ControlFlow<()>,
    ) -> Result<()> {
        let reader = self.reader;
        for (number, page) in reader.footer.pages.iter().enumerate() {
            // A record whose groups go on in the next page is in the bounds of both.
            let from = seqs.partition_point(|seq| *seq < page.first_seq);
            let to = seqs.partition_point(|seq| *seq <= page.last_seq);
            let Some(here) = seqs.get(from..to).filter(|here| !here.is_empty()) else {
                continue;
            };
            for pair in reader.page(number)? {
                if here.binary_search(&pair.seq).is_ok() && visit(pair.seq, self.group(pair)?).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn group(&mut self, pair: Pair) -> Result<Group> {
        let set = self.reader.footer.sets.set_of(pair.block);
        let handles = self.reader.footer.sets.handles(set).to_vec();
        let Some(block) = self.block(pair.block, set, &handles)? else {
            return Ok(Group::Destroyed { handles });
        };
        let group = block.get(pair.seq, pair.ordinal);
        let group = group.ok_or_else(|| self.reader.malformed("a group is not in its block"))?;
        Ok(Group::Opened {
            handles,
            bytes: group.bytes,
        })
    }

    fn block(&mut self, number: u32, set: usize, handles: &[Handle]) -> Result<Option<Arc<SubBlock>>> {
        if let Some(block) = self.blocks.get(&number) {
            return Ok(Some(Arc::clone(block)));
        }
        if !self.set_keys.contains_key(&set) {
            if self.set_keys.len() >= SCAN_KEYS_MAX {
                self.set_keys.pop_first();
            }
            self.set_keys
                .insert(set, self.keys.set_key(handles).map_err(Error::SetKey)?);
        }
        let first = self.reader.footer.sets.blocks(set).map(|blocks| blocks.start);
        let first = match first.filter(|first| *first != number) {
            Some(first) => self.block(first, set, handles)?,
            None => None,
        };
        let Some(key) = self.set_keys.get(&set).and_then(Option::as_ref) else {
            return Ok(None);
        };
        let block = Arc::new(self.reader.block(number, key, first.as_deref())?);
        self.keep(number, Arc::clone(&block));
        Ok(Some(block))
    }

    fn keep(&mut self, number: u32, block: Arc<SubBlock>) {
        let memory = block.memory_bytes();
        while self.memory + memory > SCAN_MEMORY_BYTES {
            let Some((oldest, freed)) = self.order.pop_front() else {
                return;
            };
            self.blocks.remove(&oldest);
            self.memory -= freed;
        }
        self.blocks.insert(number, block);
        self.order.push_back((number, memory));
        self.memory += memory;
    }
}

/// The most bytes of opened blocks that a scan keeps.
pub const SCAN_MEMORY_BYTES: usize = 32 * 1024 * 1024;
/// The most set keys that a scan keeps.
const SCAN_KEYS_MAX: usize = 65_536;
