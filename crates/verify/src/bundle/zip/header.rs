//! The headers of an archive, each in the one form that is written and read.

use super::Member;

/// Bytes of the end of an archive.
pub(super) const END_BYTES: u64 = 56 + 20 + 22;
/// Bytes behind a member.
pub(super) const DESCRIPTOR_BYTES: u64 = 24;

/// Bytes before those of a member.
pub(super) fn local_bytes(name: &str) -> u64 {
    30 + length(name) + 20
}

/// The header before a member.
pub(super) fn local(name: &str) -> Vec<u8> {
    let mut out = Fields::default();
    out.u32(0x0403_4b50).version_flags_and_date();
    out.u32(0).u32(u32::MAX).u32(u32::MAX).name_length(name).u16(20);
    out.0.extend_from_slice(name.as_bytes());
    out.u16(ZIP64).u16(16).u64(0).u64(0);
    out.0
}

/// What follows a member.
pub(super) fn descriptor(member: &Member) -> Vec<u8> {
    let mut out = Fields::default();
    out.u32(0x0807_4b50)
        .u32(member.crc)
        .u64(member.bytes)
        .u64(member.bytes);
    out.0
}

/// The header of a member in the directory.
pub(super) fn directory(member: &Member) -> Vec<u8> {
    let mut out = Fields::default();
    out.u32(0x0201_4b50).u16(UNIX | VERSION).version_flags_and_date();
    out.u32(member.crc).u32(u32::MAX).u32(u32::MAX);
    out.name_length(&member.name).u16(28).u16(0).u16(0).u16(0);
    out.u32(FILE_MODE << 16).u32(u32::MAX);
    out.0.extend_from_slice(member.name.as_bytes());
    out.u16(ZIP64).u16(24).u64(member.bytes).u64(member.bytes);
    out.u64(member.offset);
    out.0
}

/// The end of an archive whose directory has `bytes` bytes from `offset` on.
pub(super) fn end(members: u64, bytes: u64, offset: u64) -> Vec<u8> {
    let mut out = Fields::default();
    out.u32(0x0606_4b50).u64(44).u16(UNIX | VERSION).u16(VERSION);
    out.u32(0).u32(0).u64(members).u64(members).u64(bytes).u64(offset);
    out.u32(0x0706_4b50)
        .u32(0)
        .u64(offset.saturating_add(bytes))
        .u32(1);
    out.u32(0x0605_4b50).u16(0).u16(0).u16(u16::MAX).u16(u16::MAX);
    out.u32(u32::MAX).u32(u32::MAX).u16(0);
    out.0
}

/// Reads name and fields of the first header of a directory; whether they were written so is for the caller to compare.
pub(super) fn parse_directory(bytes: &[u8]) -> Option<Member> {
    let name = usize::from(u16::from_le_bytes(array(bytes, 28)?));
    let zip64 = 46_usize.checked_add(name)?.checked_add(4)?;
    Some(Member {
        name: String::from_utf8(bytes.get(46..46 + name)?.to_vec()).ok()?,
        bytes: u64::from_le_bytes(array(bytes, zip64)?),
        crc: u32::from_le_bytes(array(bytes, 16)?),
        offset: u64::from_le_bytes(array(bytes, zip64 + 16)?),
    })
}

/// Reads number of members, length and offset of the directory from an end.
pub(super) fn parse_end(bytes: &[u8]) -> Option<(u64, u64, u64)> {
    let field = |at| array(bytes, at).map(u64::from_le_bytes);
    Some((field(24)?, field(40)?, field(48)?))
}

#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn version_flags_and_date(&mut self) -> &mut Self {
        self.u16(VERSION).u16(DESCRIBED).u16(STORED).u16(0).u16(DATE)
    }

    fn name_length(&mut self, name: &str) -> &mut Self {
        self.u16(u16::try_from(name.len()).expect("names are checked to be short"))
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn length(name: &str) -> u64 {
    u64::try_from(name.len()).expect("a length fits 64 bits")
}

/// 4.5, the first with ZIP64.
const VERSION: u16 = 45;
/// Made on Unix, so that the mode counts.
const UNIX: u16 = 3 << 8;
/// Lengths and CRC follow the member.
const DESCRIBED: u16 = 1 << 3;
const STORED: u16 = 0;
/// 1 January 1980, the earliest.
const DATE: u16 = 1 << 5 | 1;
const ZIP64: u16 = 1;
/// A regular file, `rw-r--r--`.
const FILE_MODE: u32 = 0o100_644;
