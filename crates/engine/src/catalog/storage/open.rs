//! Creating the catalog's files, and taking them up again after a clean end or a crash.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use attestore_disk::{Disk, File, Mode};
use attestore_keys::{Entropy, Key, RootProvider, random_array};
use parking_lot::{Mutex, RwLock};

use super::block::Cipher;
use super::header::{self, Header, Wrap};
use super::journal::Journal;
use super::overlay::Overlay;
use super::state::{self, State};
use super::versions::Versions;
use super::{CATALOG, Damage, Error, Inner, JOURNALS, VERSIONS, Writer, place, slot};

const TEMPORARY: &str = "catalog.new";

/// Creates the files of an empty catalog. The catalog's own name appears last.
pub(super) fn create(
    disk: &dyn Disk,
    provider: &dyn RootProvider,
    entropy: &dyn Entropy,
) -> Result<(), Error> {
    if disk.exists(Path::new(CATALOG))? {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
    }
    let cipher = Cipher::new(random_array(entropy), Key::random(entropy));
    let header = Header {
        id: cipher.id(),
        sequence: 1,
        check: cipher.key().check(),
        wraps: [Some(Wrap::new(provider, &cipher.id(), cipher.key())?), None],
    };
    let mut bytes = vec![0; usize::try_from(state::END).unwrap_or(0)];
    let state = State {
        versions: Some(Versions::default().root(&cipher)),
        ..State::default()
    };
    let encoded = [header.encode(&cipher), state.encode(&cipher).to_vec()];
    for (copies, encoded) in [header::COPIES, state::COPIES].iter().zip(&encoded) {
        for copy in copies {
            let at = usize::try_from(*copy).unwrap_or(0);
            bytes[at..at + encoded.len()].copy_from_slice(encoded);
        }
    }
    for leftover in [TEMPORARY, JOURNALS[0], JOURNALS[1], VERSIONS] {
        if disk.exists(Path::new(leftover))? {
            disk.remove(Path::new(leftover))?;
        }
    }
    let file = disk.open(Path::new(TEMPORARY), Mode::Create)?;
    file.write_all_at(&bytes, 0)?;
    file.sync_data()?;
    drop(file);
    for name in [JOURNALS[0], JOURNALS[1], VERSIONS] {
        disk.open(Path::new(name), Mode::Create)?.sync_data()?;
    }
    disk.sync_dir(Path::new(""))?;
    disk.rename(Path::new(TEMPORARY), Path::new(CATALOG))?;
    disk.sync_dir(Path::new(""))?;
    Ok(())
}

pub(super) fn open(
    disk: &dyn Disk,
    provider: &dyn RootProvider,
    entropy: Arc<dyn Entropy>,
) -> Result<Inner, Error> {
    let catalog = disk.open(Path::new(CATALOG), Mode::ReadWrite)?;
    let (header, cipher, headers_agree) = read_header(catalog.as_ref(), provider)?;
    let (state, states_agree) = read_state(catalog.as_ref(), &cipher)?;
    let ([even, odd, versions], created) = open_beside(disk)?;
    let journals = [even, odd];
    if created {
        disk.sync_dir(Path::new(""))?;
    }
    let writer = Writer {
        header,
        state,
        restored: Vec::new(),
        list_is_wrong: false,
    };
    let inner = Inner {
        entropy,
        catalog,
        journals,
        versions,
        cipher,
        overlay: RwLock::new(Overlay::new(state.length, state.written)),
        writer: Mutex::new(writer),
        poisoned: AtomicBool::new(false),
    };
    inner.recover(headers_agree, states_agree)?;
    Ok(inner)
}

impl Inner {
    /// Applies the journal that a crash left, and brings the copies of header and state together where a crash can
    /// have parted them. What no crash explains is left as it is, for a scan to report.
    fn recover(&self, headers_agree: bool, states_agree: bool) -> Result<(), Error> {
        let mut writer = self.writer.lock();
        let interrupted = writer.state.header_changing;
        let unsettled = interrupted || self.is_unsettled()?;
        if let Some(journal) = self.left_journal(&writer.state)? {
            self.replay(&mut writer, &journal)?;
        } else if unsettled && !states_agree {
            let state = State {
                revision: writer.state.revision + 1,
                ..writer.state
            };
            self.write_state(&mut writer, state)?;
            self.catalog.sync_data()?;
        }
        if interrupted && !headers_agree {
            let header = Header {
                sequence: writer.header.sequence + 1,
                ..writer.header.clone()
            };
            self.replace_header(&mut writer, header)?;
        }
        let end = place(writer.state.written);
        if self.catalog.len()? < end {
            let reason = format!("file is cut short; it has {end} bytes");
            return Err(Damage::new(CATALOG, self.catalog.len()?, reason).into());
        }
        self.take_versions(&mut writer)?;
        self.settle(&mut writer)?;
        Ok(())
    }

    /// The journal to be applied again: the one after the state's, if it was completed, or the state's own.
    fn left_journal(&self, state: &State) -> Result<Option<Journal>, Error> {
        let fits = |journal: &Journal| state.versions.is_none() || journal.versions.is_some();
        let next = Journal::read(self.journals[slot(state.sequence + 1)].as_ref(), &self.cipher)?;
        let next = next.ok().filter(|journal| journal.sequence == state.sequence + 1);
        if let Some(journal) = next.filter(fits) {
            return Ok(Some(journal));
        }
        if !state.journaled {
            return Ok(None);
        }
        let path = JOURNALS[slot(state.sequence)];
        match Journal::read(self.journals[slot(state.sequence)].as_ref(), &self.cipher)? {
            Ok(journal) if journal.sequence == state.sequence && fits(&journal) => Ok(Some(journal)),
            Ok(_) => Err(Damage::new(path, 0, "not the journal that the catalog needs").into()),
            Err(reason) => {
                let reason = format!("the journal that the catalog needs is not there: {reason}");
                Err(Damage::new(path, 0, reason).into())
            }
        }
    }
}

/// Reads one copy of header or state. A copy that cannot be read is as good as a bad one, as long as the other is good.
fn read_copy<T>(
    catalog: &dyn File,
    at: u64,
    bytes: &mut [u8],
    decode: impl FnOnce(&[u8]) -> Result<T, &'static str>,
) -> Result<T, Error> {
    match catalog.read_exact_at(bytes, at) {
        Ok(()) => decode(bytes).map_err(|reason| Damage::new(CATALOG, at, reason).into()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Damage::new(CATALOG, at, "file ends in the header or state").into())
        }
        Err(error) => Err(Error::Io(error)),
    }
}

/// What to say when no copy is good. A failure of the medium comes first: it may pass, and then nothing was damaged.
fn refusal(errors: Vec<Error>) -> Error {
    let medium = errors.iter().position(|error| matches!(error, Error::Io(_)));
    let mut errors = errors;
    errors.swap_remove(medium.unwrap_or(0))
}

/// Tells of the bad copies beside a good one.
fn warn(errors: &[Error]) {
    for error in errors {
        tracing::warn!(%error, "the catalog is opened by the other copy");
    }
}

/// Finds the newest copy of the header, and its key; and says whether both copies are valid and the same.
fn read_header(catalog: &dyn File, provider: &dyn RootProvider) -> Result<(Header, Cipher, bool), Error> {
    let mut copies = Vec::new();
    let mut errors = Vec::new();
    for copy in header::COPIES {
        let mut bytes = vec![0; header::LEN];
        match read_copy(catalog, copy, &mut bytes, Header::decode) {
            Ok(header) => copies.push((copy, header, bytes)),
            Err(error) => errors.push(error),
        }
    }
    let agree = matches!(copies.as_slice(), [(_, _, first), (_, _, second)] if first == second);
    let Some((at, header, bytes)) = copies.into_iter().max_by_key(|(_, header, _)| header.sequence) else {
        return Err(refusal(errors));
    };
    warn(&errors);
    let cipher = Cipher::new(header.id, header.unwrap(provider)?);
    if !Header::is_authentic(&bytes, &cipher) {
        return Err(Damage::new(CATALOG, at, "header is not authentic").into());
    }
    Ok((header, cipher, agree))
}

/// Finds the newest copy of the state; and says whether both copies are valid and the same.
fn read_state(catalog: &dyn File, cipher: &Cipher) -> Result<(State, bool), Error> {
    let mut copies = Vec::new();
    let mut errors = Vec::new();
    for copy in state::COPIES {
        let mut bytes = [0; state::LEN];
        match read_copy(catalog, copy, &mut bytes, |bytes| State::decode(bytes, cipher)) {
            Ok(state) => copies.push(state),
            Err(error) => errors.push(error),
        }
    }
    let Some(newest) = copies.iter().copied().max_by_key(|state| state.revision) else {
        return Err(refusal(errors));
    };
    warn(&errors);
    Ok((newest, copies == [newest, newest]))
}

/// Opens the files beside the catalog; says whether one was missing.
fn open_beside(disk: &dyn Disk) -> io::Result<([Arc<dyn File>; 3], bool)> {
    let mut created = false;
    let mut open = |name: &str| {
        created |= !disk.exists(Path::new(name))?;
        disk.open(Path::new(name), Mode::ReadWriteCreate)
    };
    let files = [open(JOURNALS[0])?, open(JOURNALS[1])?, open(VERSIONS)?];
    Ok((files, created))
}
