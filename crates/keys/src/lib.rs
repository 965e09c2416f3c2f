//! The key hierarchy: root, key pages, sealing.
//!
//! Every byte that Attestore writes is sealed under a key that hangs, through the tree of key pages, from one root
//! key. Destroying data means destroying a key: the path from its page to the root is rewritten under fresh page
//! keys, and then the old root is destroyed, after which no copy of any old page opens.
//!
//! - [`Key`], [`derive()`], [`KeyCheck`]: secrets, derivation, recognition of the right key;
//! - [`aead`][]: AES-256-GCM;
//! - [`Entropy`]: where randomness comes from;
//! - [`RootProvider`], [`FileRoot`], [`RootSeal`]: who holds the root;
//! - [`KeyTree`], [`PageStore`]: the tree of key pages, over storage that the caller passes in;
//! - [`Recipient`], [`RecipientKey`]: sealing for who keeps the key elsewhere;
//! - [`signing`][]: Ed25519, by keys in memory or in a security module.
//!
//! Absent on purpose: this crate does not know tenants, subjects or files other than as opaque identifiers in
//! [`SlotContext`], logs nothing, and opens no file but the root's, through `disk`.
//!
//! The bytes are described in `docs/format/keys.md`.

pub mod aead;
mod entropy;
mod error;
mod key;
mod recipient;
mod root;
pub mod signing;
mod tree;

pub use entropy::{Entropy, SeededEntropy, SystemEntropy, random_array};
pub use error::{Error, Result};
pub use key::{Key, KeyCheck, derive};
pub use recipient::{Recipient, RecipientKey};
pub use root::{Cost, FileRoot, Holder, PassphraseSeal, Provider, RootProvider, RootSeal};
#[cfg(feature = "pkcs11")]
pub use root::{Pkcs11Seal, TokenAt};
#[cfg(feature = "vault")]
pub use root::{VaultAt, VaultLogin, VaultSeal};
pub use signing::{SigningKey, SigningModule};
pub use tree::{
    KeyTree, NewKey, PageDamage, PageId, PageStore, SLOTS_PER_PAGE, Slot, SlotContext, SlotKind, TreeHead,
    TreeMark, TreeReport,
};
