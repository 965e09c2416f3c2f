//! The state: how long the catalog is, and which journal was applied last. Two equal copies, each in one
//! sector of a 4 KiB block of its own.
//!
//! # Format
//! ```text
//!   0  magic[8] = "ATSTCATS" ‖ version u16 LE = 1 ‖ flags u16 LE ‖ zero[4]
//!  16  revision u64 LE: the copy with the higher one is the newer
//!  24  sequence u64 LE: the number of the last journal that was applied, or of which applying began
//!  32  length u64 LE: logical bytes
//!  40  written u64 LE: blocks that are in the file; those beyond were never written and read as zeros
//!  48  keyed check of the 48 bytes before[32]
//!  80  root of the blocks' versions[32] with flag 8; the keyed check is then over the 48 bytes and these
//! 112  zero, to 512
//! ```
//! flags: 1 journaled, applying began and the journal is needed until the catalog is closed; 2 the header is being
//! replaced; 4 finished, the store's first block has had its magic number; 8 versioned. A catalog from before versions
//! were kept lacks flag 8 until it is opened.

use super::block::{Cipher, MAC};

/// Bytes of a copy: one sector, which a medium writes whole or not at all.
pub(super) const LEN: usize = 512;
/// Where the copies are. The rest of the blocks they are in is zero.
pub(super) const COPIES: [u64; 2] = [START, START + 4096];
/// Where the blocks with the copies begin, and end.
pub(super) const START: u64 = 8192;
/// See [`START`].
pub(super) const END: u64 = START + 8192;

const MAGIC: [u8; 8] = *b"ATSTCATS";
const VERSION: u16 = 1;
const MAC_AT: usize = 48;
const ROOT_AT: usize = MAC_AT + MAC;
const ZERO_AT: usize = ROOT_AT + MAC;
const JOURNALED: u16 = 1;
const HEADER_CHANGING: u16 = 2;
const FINISHED: u16 = 4;
const VERSIONED: u16 = 8;
const PURPOSE: &str = "attestore 2026 catalog state v1";
const VERSIONED_PURPOSE: &str = "attestore 2026 catalog state v2";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct State {
    pub(super) revision: u64,
    pub(super) sequence: u64,
    pub(super) length: u64,
    pub(super) written: u64,
    pub(super) journaled: bool,
    pub(super) header_changing: bool,
    /// The store was created to the end: never is it to be emptied again.
    pub(super) finished: bool,
    /// The root of the blocks' versions.
    pub(super) versions: Option<[u8; MAC]>,
}

impl State {
    pub(super) fn encode(&self, cipher: &Cipher) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        let flags = u16::from(self.journaled) * JOURNALED
            + u16::from(self.header_changing) * HEADER_CHANGING
            + u16::from(self.finished) * FINISHED
            + u16::from(self.versions.is_some()) * VERSIONED;
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&flags.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.revision.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.length.to_le_bytes());
        bytes[40..MAC_AT].copy_from_slice(&self.written.to_le_bytes());
        bytes[ROOT_AT..ZERO_AT].copy_from_slice(&self.versions.unwrap_or_default());
        let mac = check(&bytes, cipher);
        bytes[MAC_AT..ROOT_AT].copy_from_slice(&mac);
        bytes
    }

    /// Reads a copy; the error is what does not hold.
    pub(super) fn decode(bytes: &[u8], cipher: &Cipher) -> Result<Self, &'static str> {
        let bytes: &[u8; LEN] = bytes.try_into().map_err(|_| "short state")?;
        if check(bytes, cipher) != bytes[MAC_AT..ROOT_AT] {
            return Err("state is not authentic");
        }
        if bytes[ZERO_AT..].iter().any(|byte| *byte != 0) {
            return Err("padding of the state is not zero");
        }
        let word = |at: usize| {
            bytes[at..at + 8]
                .try_into()
                .map(u64::from_le_bytes)
                .map_err(|_| "short state")
        };
        let flags = u16::from_le_bytes([bytes[10], bytes[11]]);
        if bytes[..8] != MAGIC
            || bytes[8..10] != VERSION.to_le_bytes()
            || flags > JOURNALED + HEADER_CHANGING + FINISHED + VERSIONED
        {
            return Err("unknown version of the state");
        }
        let root = bytes[ROOT_AT..].first_chunk::<MAC>().ok_or("short state")?;
        let versioned = flags & VERSIONED != 0;
        if !versioned && *root != [0; MAC] {
            return Err("padding of the state is not zero");
        }
        Ok(Self {
            revision: word(16)?,
            sequence: word(24)?,
            length: word(32)?,
            written: word(40)?,
            journaled: flags & JOURNALED != 0,
            header_changing: flags & HEADER_CHANGING != 0,
            finished: flags & FINISHED != 0,
            versions: versioned.then_some(*root),
        })
    }
}

fn check(bytes: &[u8; LEN], cipher: &Cipher) -> [u8; MAC] {
    if bytes[10] & VERSIONED.to_le_bytes()[0] == 0 {
        cipher.mac(PURPOSE, &bytes[..MAC_AT])
    } else {
        cipher.mac(
            VERSIONED_PURPOSE,
            &[&bytes[..MAC_AT], &bytes[ROOT_AT..ZERO_AT]].concat(),
        )
    }
}
