//! A handle of a simulated file.

use std::{io, sync::Arc};

use parking_lot::Mutex;

use super::state::{Play, State, crashed};
use crate::{File, Mode, aligned::is_aligned};

/// An open file; the node stays alive as long as the handle.
pub(super) struct SimFile {
    state: Arc<Mutex<State>>,
    node: u64,
    mode: Mode,
    _handle: Arc<()>,
}

impl SimFile {
    pub(super) fn new(state: Arc<Mutex<State>>, node: u64, mode: Mode, handle: Arc<()>) -> Self {
        Self {
            state,
            node,
            mode,
            _handle: handle,
        }
    }

    fn check_writable(&self) -> io::Result<()> {
        if matches!(self.mode, Mode::Read | Mode::ReadDirect) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the file is open for reading only",
            ));
        }
        Ok(())
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state.lock();
        state.check()?;
        state.check_read(self.node, &(offset..offset.saturating_add(buf.len() as u64)))?;
        Ok(state.node(self.node)?.cached.read(buf, offset))
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        let direct = self.mode == Mode::DirectSync;
        if self.is_direct() && !is_aligned(buf, offset) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "direct writes need aligned memory, offset and length",
            ));
        }
        let end = offset
            .checked_add(buf.len() as u64)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let mut state = self.state.lock();
        let play = state.begin()?;
        state.reserve(self.node, end)?;
        let mut random = state.random.clone();
        let node = state.node(self.node)?;
        match play {
            Play::Whole | Play::WholeThenCrash if direct => node.write_direct(buf, offset),
            Play::Whole | Play::WholeThenCrash => node.write(buf, offset),
            Play::TornThenCrash if direct => node.tear_direct(buf, offset, &mut random),
            Play::Fail(_) if direct => node.fail_direct(buf, offset, &mut random),
            Play::TornThenCrash | Play::Fail(_) => {
                let part = usize::try_from(random.below(buf.len() as u64 + 1)).unwrap_or(0);
                node.write(&buf[..part], offset);
            }
        }
        state.random = random;
        match play {
            Play::Whole => Ok(()),
            Play::WholeThenCrash | Play::TornThenCrash => Err(crashed()),
            Play::Fail(error) => Err(error),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check()?;
        state.node(self.node)?;
        let id = self.node;
        let node = move |state: &mut State, change: &mut dyn FnMut(&mut super::node::Node)| {
            if let Ok(node) = state.node(id) {
                change(node);
            }
        };
        state.play_sync(
            |state| node(state, &mut |node| node.sync()),
            |state| {
                let mut random = state.random.clone();
                node(state, &mut |node| node.tear_sync(&mut random));
                state.random = random;
            },
            |state| node(state, &mut |node| node.drop_dirty()),
        )
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        let mut state = self.state.lock();
        state.check()?;
        state.reserve(self.node, len)?;
        state.node(self.node)?;
        let id = self.node;
        state.play_names(|state| {
            if let Ok(node) = state.node(id) {
                node.set_len(len);
            }
        })
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.check()?;
        Ok(state.node(self.node)?.cached.len())
    }

    fn is_direct(&self) -> bool {
        matches!(self.mode, Mode::DirectSync | Mode::CreateDirect)
    }
}
