//! From memory to the target.

use std::path::Path;

use super::super::{Target, chunk, folder, ledger};
use super::chain::{Batch, Chain};
use crate::catalog::hex;
use crate::error::Result;
use crate::instance::Inner;

/// Takes up every tail and writes what was taken up, for each chain.
///
/// # Errors
/// What the target says: what it does not have is tried again.
pub(super) fn send(inner: &Inner, target: &Target) -> Result<()> {
    let shipping = &inner.backups.shipping;
    let _one_at_a_time = shipping.sending.lock();
    let ledger = ledger::count(&inner.catalog.read()?)?;
    let now_ms = inner.clock.now_ms();
    let ids: Vec<[u8; 16]> = {
        let mut state = shipping.state.lock();
        let tenants = inner.tenants.all();
        for chain in &mut state.chains {
            tenants.iter().for_each(|tenant| chain.take_up(inner, tenant));
            chain.looked(now_ms);
        }
        state.chains.iter().map(|chain| chain.id).collect()
    };
    for id in ids {
        while let Some(batch) = with(inner, id, |chain| chain.batch(ledger)).flatten() {
            one(inner, target, id, batch)?;
        }
    }
    note(inner);
    Ok(())
}

fn one(inner: &Inner, target: &Target, id: [u8; 16], batch: Batch) -> Result<()> {
    let disk = &*target.disk;
    let written = (|| {
        let pieces: Vec<_> = batch.pieces().collect();
        let sealed = chunk::seal(&batch.key, &*inner.entropy, &batch.link, &batch.head, &pieces)?;
        let name = hex(&id);
        if batch.link.number == 1 {
            disk.create_dir_all(&folder::chunks_path(&name))?;
            disk.sync_dir(Path::new(folder::CHUNKS))?;
            disk.sync_dir(Path::new(""))?;
        }
        folder::write(disk, &folder::chunk_path(&name, batch.link.number), &sealed.0)?;
        Ok((sealed.0.len() as u64, sealed.1))
    })();
    match written {
        Ok((bytes, hash)) => {
            metrics::counter!("attestore_backup_chunks_total").increment(1);
            metrics::counter!("attestore_backup_chunk_bytes_total").increment(bytes);
            with(inner, id, |chain| chain.done(&batch, hash, bytes));
            Ok(())
        }
        Err(error) => {
            with(inner, id, |chain| chain.put_back(batch));
            Err(error)
        }
    }
}

/// Does something with a chain, if it is there still.
fn with<T>(inner: &Inner, id: [u8; 16], act: impl FnOnce(&mut Chain) -> T) -> Option<T> {
    let mut state = inner.backups.shipping.state.lock();
    state.chains.iter_mut().find(|chain| chain.id == id).map(act)
}

/// Notes how far logs are in the target.
fn note(inner: &Inner) {
    let mut state = inner.backups.shipping.state.lock();
    let super::State {
        chains,
        follows,
        there,
        ..
    } = &mut *state;
    if let Some(chain) = chains.iter().find(|chain| Some(chain.id) == *follows) {
        there.sizes.extend(chain.shipped());
        there.at_ms = Some(chain.at_ms);
    }
}
