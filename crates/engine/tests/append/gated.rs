//! A disk whose synchronous writes can be held up, and which knows the threads that did them.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::ThreadId;

use attestore_disk::{DirEntry, Disk, File, LockGuard, Mode};
use parking_lot::{Condvar, Mutex};

#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    shut: bool,
    broken: bool,
    waiting: usize,
    writers: Vec<ThreadId>,
}

impl Gate {
    /// Holds up writes from now on.
    pub fn shut(&self) {
        self.state.lock().shut = true;
    }

    /// Lets them go.
    pub fn open(&self) {
        self.state.lock().shut = false;
        self.changed.notify_all();
    }

    /// Every write from now on panics once it is let go.
    pub fn smash(&self) {
        self.state.lock().broken = true;
    }

    /// Returns once a write is held up.
    pub fn wait_for_writer(&self) {
        self.changed
            .wait_while(&mut self.state.lock(), |state| state.waiting == 0);
    }

    /// The threads of the writes since the last call.
    pub fn writers(&self) -> Vec<ThreadId> {
        std::mem::take(&mut self.state.lock().writers)
    }

    fn pass(&self) {
        let mut state = self.state.lock();
        state.writers.push(std::thread::current().id());
        state.waiting += 1;
        self.changed.notify_all();
        self.changed.wait_while(&mut state, |state| state.shut);
        state.waiting -= 1;
        let broken = state.broken;
        drop(state);
        assert!(!broken, "smashed");
    }
}

pub struct GatedDisk {
    pub inner: Arc<dyn Disk>,
    pub gate: Arc<Gate>,
}

struct GatedFile {
    inner: Arc<dyn File>,
    gate: Arc<Gate>,
}

impl Disk for GatedDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        let inner = self.inner.open(path, mode)?;
        Ok(if mode == Mode::DirectSync {
            let gate = Arc::clone(&self.gate);
            Arc::new(GatedFile { inner, gate })
        } else {
            inner
        })
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(dir)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        self.inner.len(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.inner.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.inner.free_bytes()
    }

    fn mode_bits(&self, path: &Path) -> io::Result<u32> {
        self.inner.mode_bits(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        self.inner.try_lock(path)
    }
}

impl File for GatedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.gate.pass();
        self.inner.write_all_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn is_direct(&self) -> bool {
        self.inner.is_direct()
    }
}
