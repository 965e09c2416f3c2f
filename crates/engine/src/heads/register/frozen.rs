//! A register that is looked at: what is written goes no further than memory.

use std::{path::PathBuf, sync::Arc};

use attestore_keys::Key;

use super::{Head, HeadStore, HeadWriter, Heads, Nonce, RegisterError, Started};

/// See the module's head.
pub(crate) struct Frozen(pub(crate) Arc<dyn HeadStore>);

impl HeadStore for Frozen {
    fn place(&self) -> PathBuf {
        self.0.place()
    }

    fn read(&self, key: &Key) -> Result<Option<Heads>, RegisterError> {
        self.0.read(key)
    }

    fn check(&self, key: &Key) -> Result<(), RegisterError> {
        self.0.check(key)
    }

    fn start(&self, key: Key, nonce: Nonce) -> Result<Started, RegisterError> {
        let found = self.read(&key)?;
        let mut heads = found.clone().unwrap_or_default();
        heads.nonce = nonce;
        Ok(Started {
            writer: Box::new(Nowhere),
            heads,
            found,
        })
    }
}

struct Nowhere;

impl HeadWriter for Nowhere {
    fn write(&mut self, _: &Heads, _: &[(&str, Head)]) -> Result<(), RegisterError> {
        Ok(())
    }
}
