//! The container's header: what a file is, before any key is used.

use attestore_keys::{Key, KeyCheck};

use super::CHUNK_LOG2;
use crate::Malformed;
use crate::cursor::Cursor;

/// A container's random id, fresh for each attempt at writing one.
pub type FileId = [u8; 16];

/// Bytes in a header.
pub const HEADER_BYTES: usize = 128;

/// What a container holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ContainerType {
    /// Public groups, see [`crate::seg`].
    Seg = 1,
    /// Personal groups, see [`crate::sub`].
    Sub = 2,
    /// A search split; this crate does not look into it.
    Idx = 3,
    /// A piece of a file of an export; this crate does not look into it.
    Export = 4,
}

impl ContainerType {
    /// The extension of a file of this type, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Seg => "seg",
            Self::Sub => "sub",
            Self::Idx => "idx",
            Self::Export => "exp",
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Seg),
            2 => Some(Self::Sub),
            3 => Some(Self::Idx),
            4 => Some(Self::Export),
            _ => None,
        }
    }
}

/// What a container is and whose; everything in the header that its writer chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerMeta {
    /// What it holds.
    pub ty: ContainerType,
    /// Its random id.
    pub id: FileId,
    /// Slot of its key in the tree of key pages.
    pub slot: u64,
    /// The tenant it belongs to.
    pub tenant: [u8; 16],
    /// The retention class of its records.
    pub class: u16,
    /// Number of the segment in its tenant.
    pub set: u64,
    /// Generation of the segment: how many times it has been rewritten.
    pub generation: u32,
}

/// A parsed header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What the container is.
    pub meta: ContainerMeta,
    /// Recognises the right key.
    pub key_check: KeyCheck,
    /// Bytes of plaintext.
    pub plaintext_len: u64,
}

impl Header {
    pub(crate) fn new(meta: &ContainerMeta, key: &Key, plaintext_len: u64) -> Self {
        Self {
            meta: meta.clone(),
            key_check: key.check(),
            plaintext_len,
        }
    }

    pub(crate) fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let meta = &self.meta;
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10] = meta.ty as u8;
        bytes[11] = CHUNK_LOG2;
        bytes[12..28].copy_from_slice(&meta.id);
        bytes[28..36].copy_from_slice(&meta.slot.to_le_bytes());
        bytes[36..44].copy_from_slice(&self.key_check.0);
        bytes[44..52].copy_from_slice(&self.plaintext_len.to_le_bytes());
        bytes[52..68].copy_from_slice(&meta.tenant);
        bytes[68..70].copy_from_slice(&meta.class.to_le_bytes());
        bytes[70..78].copy_from_slice(&meta.set.to_le_bytes());
        bytes[78..82].copy_from_slice(&meta.generation.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

/// Parses and checks a header. Nothing is authenticated yet.
///
/// # Errors
/// [`Malformed`] with the offset in the header.
pub fn parse_header(bytes: &[u8]) -> Result<Header, Malformed> {
    let bytes: &[u8; HEADER_BYTES] = bytes
        .try_into()
        .map_err(|_| Malformed::at(bytes.len(), "a header has 128 bytes"))?;
    let crc = crc32fast::hash(&bytes[..CRC_AT]);
    if crc.to_le_bytes() != bytes[CRC_AT..] {
        return Err(Malformed::at(0, "the header's checksum does not hold"));
    }
    let mut cursor = Cursor::new(&bytes[..CRC_AT]);
    if cursor.array::<8>()? != *MAGIC {
        return Err(Malformed::at(0, "not a sealed file"));
    }
    if cursor.u16()? != VERSION {
        return Err(Malformed::at(
            8,
            "a container version that this program does not know",
        ));
    }
    let ty = ContainerType::from_byte(cursor.u8()?)
        .ok_or_else(|| Malformed::at(10, "a container type that this program does not know"))?;
    if cursor.u8()? != CHUNK_LOG2 {
        return Err(Malformed::at(11, "a chunk size that this program does not know"));
    }
    let id = cursor.array()?;
    let slot = cursor.u64()?;
    let key_check = KeyCheck(cursor.array()?);
    let plaintext_len = cursor.u64()?;
    let meta = ContainerMeta {
        ty,
        id,
        slot,
        tenant: cursor.array()?,
        class: cursor.u16()?,
        set: cursor.u64()?,
        generation: cursor.u32()?,
    };
    cursor.zeros(CRC_AT - USED)?;
    cursor.end()?;
    Ok(Header {
        meta,
        key_check,
        plaintext_len,
    })
}

const MAGIC: &[u8; 8] = b"ATSTSEAL";
const VERSION: u16 = 1;
const USED: usize = 82;
const CRC_AT: usize = HEADER_BYTES - 4;
const _: () = assert!(USED == 8 + 2 + 1 + 1 + 16 + 8 + 8 + 8 + 16 + 2 + 8 + 4);
