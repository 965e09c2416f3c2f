//! Reads the records of a bundle in batches, and checks each record's opening, on as many threads as wanted.
//!
//! The batches go to the threads in turn, and their records come back in that turn, while the caller uses those of earlier ones.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use attestore_export::FileHash;
use attestore_record::control::Control;
use attestore_record::{Entry, Kind, entry::ENTRY_BYTES};
use attestore_tlog::{Hash, leaf_hash};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Archive, BundleError, Member, OPENING_BYTES_MAX, ReadAt, ZipError};
use crate::opening::{Opened, Parts};

/// A record whose bytes open its entry.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) seq: u64,
    pub(super) entry: [u8; ENTRY_BYTES],
    pub(super) leaf: Hash,
    pub(super) opened: Opened,
    pub(super) kind: Kind,
    /// Of control records.
    pub(super) control: Option<Control>,
    /// Of records that were asked for.
    pub(super) opening: Option<Vec<u8>>,
}

/// Which openings are to be kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted(pub(super) BTreeSet<u64>);

/// The records of a bundle, in order.
pub(super) struct Records<'a, R: ?Sized> {
    archive: &'a Archive<'a, R>,
    member: &'a Member,
    /// Where the next batch starts.
    offset: u64,
    wanted: &'a Wanted,
    /// None: batches are checked where they are read.
    threads: Vec<Checker>,
    /// Batches that were read, and those of them that came back.
    sent: usize,
    received: usize,
    /// Why no further batch can be read.
    failed: Option<BundleError>,
    /// Buffers of batches that were checked: memory that is fresh for each batch costs more than hashing it.
    spare: Vec<Vec<u8>>,
    checked: VecDeque<Checked>,
    last: Option<u64>,
    pub(super) hash: FileHash,
    pub(super) count: u64,
    /// Records that there may be.
    most: u64,
    /// Of the bytes so far.
    crc: crc32fast::Hasher,
}

/// A thread that checks batches.
struct Checker {
    batches: SyncSender<Vec<u8>>,
    checked: Receiver<Answer>,
}

/// A batch, and what is in it.
type Answer = (Vec<u8>, Result<Vec<Checked>, BundleError>);

impl Checker {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, wanted: &'scope Wanted) -> Self {
        let (batches, to_check) = sync_channel::<Vec<u8>>(AHEAD);
        let (done, checked) = sync_channel(AHEAD);
        scope.spawn(move || {
            for batch in to_check {
                let records = check(&batch, wanted);
                if done.send((batch, records)).is_err() {
                    break; // nobody wants them any more
                }
            }
        });
        Self { batches, checked }
    }
}

impl<'a, R: ReadAt + ?Sized> Records<'a, R> {
    pub(super) fn new(
        scope: &'a Scope<'a, '_>,
        archive: &'a Archive<'a, R>,
        member: &'a Member,
        threads: usize,
        wanted: &'a Wanted,
        most: u64,
    ) -> Self {
        let threads = match threads {
            0 | 1 => 0,
            threads => threads.min(THREADS_MAX),
        };
        Self {
            archive,
            member,
            offset: 0,
            wanted,
            threads: (0..threads).map(|_| Checker::start(scope, wanted)).collect(),
            sent: 0,
            received: 0,
            failed: None,
            spare: Vec::new(),
            checked: VecDeque::new(),
            last: None,
            hash: FileHash::default(),
            count: 0,
            most,
            crc: crc32fast::Hasher::new(),
        }
    }

    /// The next record.
    ///
    /// # Errors
    /// [`BundleError`] at the first record that does not hold.
    pub(super) fn next(&mut self) -> Result<Option<Checked>, BundleError> {
        while self.checked.is_empty() {
            let Some(records) = self.checked_batch()? else {
                return Ok(None);
            };
            self.checked.extend(records);
        }
        let Some(record) = self.checked.pop_front() else {
            return Ok(None);
        };
        if self.last.is_some_and(|last| record.seq <= last) {
            return Err(BundleError::Order { seq: record.seq });
        }
        if self.count == self.most {
            return Err(BundleError::OtherRecords);
        }
        self.last = Some(record.seq);
        self.count += 1;
        self.hash.update(&record.seq.to_be_bytes());
        self.hash.update(&record.entry);
        Ok(Some(record))
    }

    /// Checks the CRC of the member, once all records were taken.
    ///
    /// # Errors
    /// [`ZipError::Crc`].
    pub(super) fn check_crc(&self) -> Result<(), ZipError> {
        if self.offset == self.member.bytes && self.crc.clone().finalize() == self.member.crc {
            Ok(())
        } else {
            Err(ZipError::Crc(self.member.name.clone()))
        }
    }

    /// The records of the next batch; none behind the last.
    fn checked_batch(&mut self) -> Result<Option<Vec<Checked>>, BundleError> {
        if self.threads.is_empty() {
            if self.offset == self.member.bytes {
                return Ok(None);
            }
            let batch = self.batch()?;
            let records = check(&batch, self.wanted);
            self.spare.push(batch);
            return records.map(Some);
        }
        self.read_ahead();
        if self.received == self.sent {
            return self.failed.take().map_or(Ok(None), Err);
        }
        let thread = self.threads.get(self.received % self.threads.len());
        let answer = thread.and_then(|thread| thread.checked.recv().ok());
        // Without an answer the thread has panicked, which the end of its scope passes on.
        let (batch, records) = answer.ok_or(BundleError::Records)?;
        self.received += 1;
        self.spare.push(batch);
        records.map(Some)
    }

    /// Gives each thread so many batches that it need not wait for the caller.
    fn read_ahead(&mut self) {
        let most = self.threads.len() * AHEAD;
        while self.failed.is_none() && self.sent - self.received < most && self.offset < self.member.bytes {
            match self.batch() {
                Ok(batch) => {
                    let thread = self.threads.get(self.sent % self.threads.len());
                    // One that has panicked takes none, and gives none back either.
                    let _ = thread.map(|thread| thread.batches.send(batch));
                    self.sent += 1;
                }
                Err(error) => self.failed = Some(error),
            }
        }
    }

    /// Reads whole records: as many as fit a batch, at least one.
    fn batch(&mut self) -> Result<Vec<u8>, BundleError> {
        let left = self.member.bytes - self.offset;
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.resize(usize::try_from(left).unwrap_or(usize::MAX).min(BATCH_BYTES), 0);
        self.archive.read_part(self.member, self.offset, &mut bytes)?;
        let mut whole = 0;
        while let Some(frame) = frame_bytes(&bytes[whole..])? {
            match whole.checked_add(frame).filter(|end| *end <= bytes.len()) {
                Some(end) => whole = end,
                None if whole == 0 => {
                    if u64::try_from(frame).map_or(true, |frame| frame > left) {
                        return Err(BundleError::Records);
                    }
                    let have = bytes.len();
                    bytes.resize(frame, 0);
                    let rest = u64::try_from(have).map_err(|_| BundleError::Records)?;
                    self.archive
                        .read_part(self.member, self.offset + rest, &mut bytes[have..])?;
                    whole = frame;
                }
                None => break,
            }
        }
        if whole == 0 {
            return Err(BundleError::Records);
        }
        bytes.truncate(whole);
        self.crc.update(&bytes);
        self.offset += u64::try_from(whole).map_err(|_| BundleError::Records)?;
        Ok(bytes)
    }
}

/// Bytes of the record that starts here, with its head; none if not even the head is there.
fn frame_bytes(bytes: &[u8]) -> Result<Option<usize>, BundleError> {
    let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else {
        return Ok(None);
    };
    let [.., a, b, c, d] = *head;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| BundleError::Records)?;
    if length > OPENING_BYTES_MAX {
        return Err(BundleError::Records);
    }
    Ok(Some(HEAD_BYTES + length))
}

/// Checks the records of a batch.
fn check(batch: &[u8], wanted: &Wanted) -> Result<Vec<Checked>, BundleError> {
    let (mut rest, mut records) = (batch, Vec::new());
    while let Some(frame) = frame_bytes(rest)? {
        let (record, after) = rest.split_at_checked(frame).ok_or(BundleError::Records)?;
        rest = after;
        let (seq, opening) = record.split_first_chunk().ok_or(BundleError::Records)?;
        let seq = u64::from_be_bytes(*seq);
        let opening = opening.get(4..).ok_or(BundleError::Records)?;
        records.push(check_one(seq, opening, wanted)?);
    }
    Ok(records)
}

fn check_one(seq: u64, opening: &[u8], wanted: &Wanted) -> Result<Checked, BundleError> {
    let record = Parts::from_bytes(opening).map_err(|error| BundleError::Record { seq, error })?;
    let opened = record
        .verify()
        .map_err(|error| BundleError::Opening { seq, error })?;
    let kind = Entry::from_bytes(&record.entry)
        .map_err(|error| BundleError::Entry { seq, error })?
        .kind;
    let control = match kind {
        Kind::Purge | Kind::Erasure | Kind::Hold | Kind::Policy => {
            let control = Control::parse(kind, record.public).map_err(|error| error.to_string());
            let control = control.and_then(|control| {
                bounded(&control)?;
                spelled(&control, record.public)?;
                Ok(control)
            });
            Some(control.map_err(|message| BundleError::Control { seq, message })?)
        }
        _ => None,
    };
    Ok(Checked {
        seq,
        leaf: leaf_hash(&record.entry),
        entry: record.entry,
        opened,
        kind,
        control,
        opening: wanted.0.contains(&seq).then(|| opening.to_vec()),
    })
}

/// Holds the lists of a control against their bounds; that of ranges is checked where they are read.
fn bounded(control: &Control) -> Result<(), String> {
    let (approvals, classes) = match control {
        Control::Purge(purge) => (purge.approved_by.len(), 0),
        Control::Erasure(erasure) => (erasure.approved_by.len(), 0),
        Control::HoldRelease(release) => (release.approved_by.len(), 0),
        Control::Hold(hold) => (0, hold.classes.len()),
        Control::RetentionPolicy(_) | Control::Other => (0, 0),
    };
    if approvals > APPROVALS_MAX {
        return Err(format!("it has more than {APPROVALS_MAX} approvals"));
    }
    if classes > CLASSES_MAX {
        return Err(format!("it has more than {CLASSES_MAX} classes"));
    }
    Ok(())
}

/// A choice of a control is a text; serde takes it as an object too.
fn spelled(control: &Control, public: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Public<'a> {
        #[serde(borrow)]
        control: BTreeMap<Cow<'a, str>, &'a RawValue>,
    }
    let choices: &[&str] = match control {
        Control::RetentionPolicy(_) => &["mode", "erasable"],
        Control::Purge(_) => &["reason"],
        Control::Erasure(_) => &["scope"],
        Control::Hold(_) | Control::HoldRelease(_) | Control::Other => return Ok(()),
    };
    let public: Public<'_> = serde_json::from_slice(public).map_err(|error| error.to_string())?;
    for name in choices {
        let value = public.control.get(*name);
        if value.is_none_or(|value| !value.get().starts_with('"')) {
            return Err(format!("its {name} is no text"));
        }
    }
    Ok(())
}

/// Most credentials that approve a purge, an erasure or the release of a hold.
const APPROVALS_MAX: usize = 1024;
/// Most classes that a hold names.
const CLASSES_MAX: usize = 1024;
/// About so many bytes are checked by a thread at once: they stay in its core's cache.
const BATCH_BYTES: usize = 256 << 10;
/// Batches that a thread has before it.
const AHEAD: usize = 4;
const THREADS_MAX: usize = 256;
/// Seq and length.
const HEAD_BYTES: usize = 8 + 4;
