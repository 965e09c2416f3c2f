//! A disk that reads from another and keeps what is written in memory.
//!
//! `fsck` opens a data directory like a start does, recovery included, and must not change a byte of it: all of that
//! happens here. Pages of zeros beyond the end of the original cost nothing, so preallocated files are free.

use std::{
    collections::BTreeMap,
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use attestore_disk::{DirEntry, Disk, File, LockGuard, Mode};
use parking_lot::Mutex;

/// See the module's head.
pub(super) struct Overlay {
    base: Arc<dyn Disk>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What differs from the base, by path; `None` is removed.
    files: BTreeMap<PathBuf, Option<Arc<Copy>>>,
    dirs: BTreeMap<PathBuf, ()>,
}

impl Overlay {
    /// Starts as `base` is. The caller holds the lock of the data directory: locks here are always free.
    pub(super) fn new(base: Arc<dyn Disk>) -> Self {
        Self {
            base,
            state: Mutex::default(),
        }
    }

    fn base_file(&self, path: &Path) -> io::Result<Copy> {
        let file = self.base.open(path, Mode::Read)?;
        let length = file.len()?;
        Ok(Copy {
            base: Some(file),
            content: Mutex::new(Content {
                length,
                base_length: length,
                pages: BTreeMap::new(),
            }),
        })
    }

    /// Takes the file at `path` into memory, if there is one.
    fn copy(&self, state: &mut State, path: &Path) -> io::Result<Arc<Copy>> {
        match state.files.get(path) {
            Some(Some(copy)) => return Ok(Arc::clone(copy)),
            Some(None) => return Err(io::ErrorKind::NotFound.into()),
            None => {}
        }
        let copy = Arc::new(self.base_file(path)?);
        state.files.insert(path.to_owned(), Some(Arc::clone(&copy)));
        Ok(copy)
    }
}

impl Disk for Overlay {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        let path = plain(path)?;
        let mut state = self.state.lock();
        if matches!(mode, Mode::Read | Mode::ReadDirect) && !state.files.contains_key(&path) {
            return self.base.open(&path, mode);
        }
        match (self.copy(&mut state, &path), mode) {
            (Ok(_), Mode::Create) => Err(io::ErrorKind::AlreadyExists.into()),
            (Ok(copy), _) => Ok(Arc::new(Handle(copy))),
            (Err(error), Mode::Create | Mode::ReadWriteCreate) if error.kind() == io::ErrorKind::NotFound => {
                let copy = Arc::new(Copy::default());
                state.files.insert(path, Some(Arc::clone(&copy)));
                Ok(Arc::new(Handle(copy)))
            }
            (Err(error), _) => Err(error),
        }
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = plain(path)?;
        let mut state = self.state.lock();
        for dir in path.ancestors() {
            state.dirs.insert(dir.to_owned(), ());
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let dir = plain(dir)?;
        let state = self.state.lock();
        let base = match self.base.list(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && state.dirs.contains_key(&dir) => {
                Vec::new()
            }
            entries => entries?,
        };
        let mut entries: BTreeMap<String, DirEntry> = base
            .into_iter()
            .map(|entry| (entry.name.clone(), entry))
            .collect();
        for (path, file) in state.files.iter().filter(|(path, _)| path.parent() == Some(&dir)) {
            let name = name_of(path);
            match file {
                None => drop(entries.remove(&name)),
                Some(copy) => {
                    let len = copy.content.lock().length;
                    entries.insert(
                        name.clone(),
                        DirEntry {
                            name,
                            is_dir: false,
                            len,
                        },
                    );
                }
            }
        }
        for path in state.dirs.keys().filter(|path| path.parent() == Some(&dir)) {
            let name = name_of(path);
            entries.entry(name.clone()).or_insert(DirEntry {
                name,
                is_dir: true,
                len: 0,
            });
        }
        Ok(entries.into_values().collect())
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        match self.state.lock().files.get(&plain(path)?) {
            Some(Some(copy)) => Ok(copy.content.lock().length),
            Some(None) => Err(io::ErrorKind::NotFound.into()),
            None => self.base.len(path),
        }
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let path = plain(path)?;
        let state = self.state.lock();
        match state.files.get(&path) {
            Some(file) => Ok(file.is_some()),
            None if state.dirs.contains_key(&path) => Ok(true),
            None => self.base.exists(&path),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (plain(from)?, plain(to)?);
        let mut state = self.state.lock();
        let copy = self.copy(&mut state, &from)?;
        state.files.insert(from, None);
        state.files.insert(to, Some(copy));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = plain(path)?;
        let mut state = self.state.lock();
        if state.dirs.remove(&path).is_some() {
            return Ok(());
        }
        self.copy(&mut state, &path)?;
        state.files.insert(path, None);
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.base.free_bytes()
    }

    fn mode_bits(&self, path: &Path) -> io::Result<u32> {
        match self.state.lock().files.get(&plain(path)?) {
            Some(Some(_)) => Ok(0o600),
            Some(None) => Err(io::ErrorKind::NotFound.into()),
            None => self.base.mode_bits(path),
        }
    }

    fn try_lock(&self, _: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        Ok(Some(Box::new(NoLock)))
    }
}

struct NoLock;

impl LockGuard for NoLock {}

/// A file of the overlay.
#[derive(Default)]
struct Copy {
    base: Option<Arc<dyn File>>,
    content: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    length: u64,
    /// Bytes of the base that still count: less than its length once the file was cut.
    base_length: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

impl Copy {
    /// The page as it is: written, from the base, or zeros.
    fn page(&self, content: &Content, number: u64) -> io::Result<Box<[u8; PAGE]>> {
        if let Some(page) = content.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = Box::new([0; PAGE]);
        let start = number * PAGE as u64;
        if let Some(base) = self.base.as_ref().filter(|_| start < content.base_length) {
            let length = usize::try_from(content.base_length - start).map_or(PAGE, |left| left.min(PAGE));
            base.read_exact_at(&mut page[..length], start)?;
        }
        Ok(page)
    }
}

struct Handle(Arc<Copy>);

impl File for Handle {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.0.content.lock();
        let left = content.length.saturating_sub(offset);
        let length = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        let mut at = offset;
        let mut rest = &mut buf[..length];
        while !rest.is_empty() {
            let (number, start) = split(at);
            let part = rest.len().min(PAGE - start);
            let page = self.0.page(&content, number)?;
            rest[..part].copy_from_slice(&page[start..start + part]);
            rest = &mut rest[part..];
            at += part as u64;
        }
        Ok(length)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut content = self.0.content.lock();
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let (number, start) = split(at);
            let (part, left) = rest.split_at(rest.len().min(PAGE - start));
            let fresh = !content.pages.contains_key(&number) && number * PAGE as u64 >= content.base_length;
            if !(fresh && *part == ZEROS[..part.len()]) {
                let mut page = self.0.page(&content, number)?;
                page[start..start + part.len()].copy_from_slice(part);
                content.pages.insert(number, page);
            }
            at += part.len() as u64;
            rest = left;
        }
        content.length = content.length.max(at);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut content = self.0.content.lock();
        if len < content.length {
            let (number, start) = split(len);
            let mut page = self.0.page(&content, number)?;
            page[start..].fill(0);
            content.pages.retain(|at, _| *at < number);
            if start > 0 {
                content.pages.insert(number, page);
            }
            content.base_length = content.base_length.min(len);
        }
        content.length = len;
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.content.lock().length)
    }

    fn is_direct(&self) -> bool {
        false
    }
}

/// Page and offset in it.
fn split(at: u64) -> (u64, usize) {
    let start = usize::try_from(at % PAGE as u64).expect("below the length of a page");
    (at / PAGE as u64, start)
}

/// The path in one spelling.
fn plain(path: &Path) -> io::Result<PathBuf> {
    attestore_disk::check_path(path)?;
    Ok(path
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect())
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

const PAGE: usize = 4096;
static ZEROS: [u8; PAGE] = [0; PAGE];

#[cfg(test)]
mod tests {
    use attestore_disk::sim::SimDisk;

    use super::*;

    #[test]
    fn nothing_reaches_the_disk_below() {
        let base = SimDisk::new(1);
        let path = Path::new("a");
        base.open(path, Mode::Create)
            .unwrap()
            .write_all_at(&[7; 5000], 0)
            .unwrap();
        let ops = base.op_count();
        let overlay = Overlay::new(Arc::new(base.clone()));
        let file = overlay.open(path, Mode::ReadWrite).unwrap();
        file.write_all_at(&[9; 10], 4090).unwrap();
        file.set_len(4095).unwrap();
        file.set_len(6000).unwrap();
        let mut bytes = vec![1; 6000];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes[..4090], [7; 4090]);
        assert_eq!(bytes[4090..4095], [9; 5]);
        assert!(bytes[4095..].iter().all(|byte| *byte == 0));
        overlay.rename(path, Path::new("b")).unwrap();
        overlay.create_dir_all(Path::new("d/e")).unwrap();
        overlay
            .open(Path::new("d/e/f"), Mode::Create)
            .unwrap()
            .write_all_at(&[0; 9000], 0)
            .unwrap();
        assert!(!overlay.exists(path).unwrap());
        assert_eq!(overlay.len(Path::new("b")).unwrap(), 6000);
        assert_eq!(overlay.len(Path::new("d/e/f")).unwrap(), 9000);
        let names = |dir: &str| -> Vec<String> {
            overlay
                .list(Path::new(dir))
                .unwrap()
                .into_iter()
                .map(|entry| entry.name)
                .collect()
        };
        assert_eq!(names(""), ["b", "d"]);
        assert_eq!(names("d/e"), ["f"]);
        overlay.remove(Path::new("b")).unwrap();
        assert_eq!(
            overlay.open(Path::new("b"), Mode::Read).err().unwrap().kind(),
            io::ErrorKind::NotFound
        );
        assert_eq!(base.op_count(), ops);
        assert_eq!(base.len(path).unwrap(), 5000);
    }
}
