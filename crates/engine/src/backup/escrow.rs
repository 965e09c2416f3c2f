//! What opens a backup: the key of its dump and the key of the root page, sealed for the recipient.
//!
//! # Format
//! ```text
//! sealed for the recipient (context, key of the dump[32] ‖ key of the root page[32])
//! context = "attestore backup escrow v1" ‖ id of the instance, hex ‖ id of the backup, hex
//! ```

use attestore_keys::{Entropy, Key, Recipient, RecipientKey};
use zeroize::Zeroizing;

use crate::error::Result;

/// The two keys.
pub(super) struct Escrow {
    pub(super) dump: Key,
    pub(super) root_page: Key,
}

impl Escrow {
    /// Seals them.
    ///
    /// # Errors
    /// A recipient that is none.
    pub(super) fn seal(
        &self,
        recipient: &Recipient,
        entropy: &dyn Entropy,
        instance: &str,
        id: &str,
    ) -> Result<Vec<u8>> {
        let mut plain = Zeroizing::new(Vec::with_capacity(2 * Key::LEN));
        plain.extend_from_slice(self.dump.expose());
        plain.extend_from_slice(self.root_page.expose());
        Ok(recipient.seal(entropy, &context(instance, id), &plain)?)
    }

    /// Opens them.
    ///
    /// # Errors
    /// A key that is another's, or damage.
    pub(super) fn open(
        key: &RecipientKey,
        instance: &str,
        id: &str,
        sealed: &[u8],
    ) -> std::result::Result<Self, attestore_keys::Error> {
        let plain = key.open(&context(instance, id), sealed)?;
        let keys = plain.split_first_chunk::<{ Key::LEN }>();
        let keys = keys.and_then(|(dump, rest)| Some((*dump, <[u8; Key::LEN]>::try_from(rest).ok()?)));
        let (dump, root_page) = keys.ok_or(attestore_keys::Error::Damaged {
            what: "escrow".to_owned(),
            reason: "another length",
        })?;
        Ok(Self {
            dump: Key::from_bytes(dump),
            root_page: Key::from_bytes(root_page),
        })
    }
}

fn context(instance: &str, id: &str) -> Vec<u8> {
    [b"attestore backup escrow v1", instance.as_bytes(), id.as_bytes()].concat()
}
