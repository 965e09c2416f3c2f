//! The header: which catalog this is, and its key as the root wrapped it. Two equal copies, at 0 and 4096.
//!
//! # Format
//! ```text
//!    0  magic[8] = "ATSTCAT\0"
//!    8  version u16 LE = 1 ‖ zero[6]
//!   16  catalog id[16]
//!   32  sequence u64 LE: the copy with the higher one is the newer
//!   40  key check of the catalog key[8]
//!   48  two places: root generation u64 LE, 0 when empty ‖ length u16 LE ‖ wrapped catalog key, zero-padded to [1022]
//! 2112  zero
//! 4060  keyed check of the 4060 bytes before, under the catalog key[32]
//! 4092  crc32 u32 LE of the 4092 bytes before
//! ```
//! The checksum tells damage before any key is at hand; the keyed check tells a forged header after.

use attestore_keys::{Key, KeyCheck, RootProvider};

use super::block::{Cipher, MAC};

/// Bytes of a copy.
pub(super) const LEN: usize = 4096;
/// Where the copies are.
pub(super) const COPIES: [u64; 2] = [0, LEN as u64];

const MAGIC: [u8; 8] = *b"ATSTCAT\0";
const VERSION: u16 = 1;
const ID_AT: usize = 16;
const SEQUENCE_AT: usize = 32;
const CHECK_AT: usize = 40;
const PLACES_AT: usize = 48;
const PLACE: usize = 8 + 2 + WRAPPED_MAX;
const WRAPPED_MAX: usize = 1022;
const ZERO_AT: usize = PLACES_AT + 2 * PLACE;
const MAC_AT: usize = CRC_AT - MAC;
const CRC_AT: usize = LEN - 4;

const _: () = assert!(ZERO_AT == 2112 && MAC_AT == 4060);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: [u8; 16],
    pub(super) sequence: u64,
    pub(super) check: KeyCheck,
    pub(super) wraps: [Option<Wrap>; 2],
}

/// The catalog key under one generation of the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrap {
    pub(super) generation: u64,
    pub(super) wrapped: Vec<u8>,
}

impl Header {
    pub(super) fn encode(&self, cipher: &Cipher) -> Vec<u8> {
        let mut bytes = vec![0; LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[ID_AT..SEQUENCE_AT].copy_from_slice(&self.id);
        bytes[SEQUENCE_AT..CHECK_AT].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[CHECK_AT..PLACES_AT].copy_from_slice(&self.check.0);
        for (place, wrap) in bytes[PLACES_AT..ZERO_AT].chunks_exact_mut(PLACE).zip(&self.wraps) {
            let Some(wrap) = wrap else { continue };
            place[..8].copy_from_slice(&wrap.generation.to_le_bytes());
            let len = u16::try_from(wrap.wrapped.len()).expect("checked when the wrap was made");
            place[8..10].copy_from_slice(&len.to_le_bytes());
            place[10..10 + wrap.wrapped.len()].copy_from_slice(&wrap.wrapped);
        }
        let mac = cipher.mac(PURPOSE, &bytes[..MAC_AT]);
        bytes[MAC_AT..CRC_AT].copy_from_slice(&mac);
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a copy; the error is what does not hold. It is not authenticated yet, see [`Header::is_authentic`].
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes: &[u8; LEN] = bytes.try_into().map_err(|_| "short header")?;
        if bytes[..8] != MAGIC {
            return Err("no catalog header");
        }
        if crc32fast::hash(&bytes[..CRC_AT]).to_le_bytes() != bytes[CRC_AT..] {
            return Err("header checksum");
        }
        if bytes[8..10] != VERSION.to_le_bytes() {
            return Err("unknown catalog version");
        }
        if bytes[10..ID_AT]
            .iter()
            .chain(&bytes[ZERO_AT..MAC_AT])
            .any(|byte| *byte != 0)
        {
            return Err("reserved bytes of the header are not zero");
        }
        let mut places = bytes[PLACES_AT..ZERO_AT].chunks_exact(PLACE).map(Wrap::decode);
        let mut place = || places.next().unwrap_or(Ok(None));
        Ok(Self {
            id: array(&bytes[ID_AT..SEQUENCE_AT])?,
            sequence: u64::from_le_bytes(array(&bytes[SEQUENCE_AT..CHECK_AT])?),
            check: KeyCheck(array(&bytes[CHECK_AT..PLACES_AT])?),
            wraps: [place()?, place()?],
        })
    }

    /// Says whether `bytes`, which decoded, were written under the catalog key.
    pub(super) fn is_authentic(bytes: &[u8], cipher: &Cipher) -> bool {
        bytes.len() == LEN && cipher.mac(PURPOSE, &bytes[..MAC_AT]) == bytes[MAC_AT..CRC_AT]
    }

    /// Takes the catalog key out of the newest place that `provider` can unwrap.
    pub(super) fn unwrap(&self, provider: &dyn RootProvider) -> Result<Key, attestore_keys::Error> {
        let mut wraps: Vec<&Wrap> = self.wraps.iter().flatten().collect();
        wraps.sort_by_key(|wrap| std::cmp::Reverse(wrap.generation));
        let mut refusal = None;
        for wrap in wraps {
            match provider.unwrap(wrap.generation, &wrap_aad(&self.id), &wrap.wrapped) {
                Ok(key) if self.check.matches(&key) => return Ok(key),
                Ok(_) => {
                    let what = "catalog key".to_owned();
                    refusal.get_or_insert(attestore_keys::Error::WrongKey { what });
                }
                // A root that is simply gone says less than one that does not fit.
                Err(error @ attestore_keys::Error::MissingKey { .. }) => drop(refusal.get_or_insert(error)),
                Err(error) => {
                    refusal.replace(error);
                }
            }
        }
        Err(refusal.unwrap_or_else(|| attestore_keys::Error::MissingKey {
            what: "a wrapped catalog key".to_owned(),
        }))
    }
}

impl Wrap {
    /// Wraps the catalog key under the current generation, and checks that it comes out again.
    pub(super) fn new(
        provider: &dyn RootProvider,
        id: &[u8; 16],
        key: &Key,
    ) -> Result<Self, attestore_keys::Error> {
        let generation = provider.generation();
        let wrapped = provider.wrap(&wrap_aad(id), key)?;
        let again = provider.unwrap(generation, &wrap_aad(id), &wrapped)?;
        if wrapped.len() > WRAPPED_MAX || !again.ct_eq(key) {
            return Err(attestore_keys::Error::WrongKey {
                what: format!("root generation {generation}"),
            });
        }
        Ok(Self { generation, wrapped })
    }

    fn decode(place: &[u8]) -> Result<Option<Self>, &'static str> {
        let generation = u64::from_le_bytes(array(&place[..8])?);
        let len = usize::from(u16::from_le_bytes(array(&place[8..10])?));
        let body = &place[10..];
        if len > body.len() || body[len..].iter().any(|byte| *byte != 0) || (generation == 0) != (len == 0) {
            return Err("a wrapped key has a wrong length");
        }
        Ok((generation != 0).then(|| Self {
            generation,
            wrapped: body[..len].to_vec(),
        }))
    }
}

const PURPOSE: &str = "attestore 2026 catalog header v1";

fn wrap_aad(id: &[u8; 16]) -> Vec<u8> {
    [b"attestore catalog key v1", id.as_slice()].concat()
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], &'static str> {
    bytes.try_into().map_err(|_| "short header")
}
