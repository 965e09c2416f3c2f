//! Looks at everything behind the first invalid frame of a file: are there authentic frames, and where do the zeros begin.

use attestore_disk::BLOCK;

use super::{Loaded, ReplayError};
use crate::{
    fields::is_zero,
    frame::{FrameHeader, HEADER_LEN, is_authentic, parse_frame_header},
};

const PIECE: usize = 64 * BLOCK;
const BLOCK_BYTES: u64 = BLOCK as u64;

/// What lies behind the end of the log.
pub(super) struct Rest {
    /// The authentic frame that claims most.
    pub(super) claim: Option<Later>,
    /// The first authentic frame.
    pub(super) next: Option<Later>,
    /// End of the last block that is not zero; the start of the rest if all are.
    pub(super) end: u64,
}

/// An authentic frame behind an invalid one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Later {
    pub(super) offset: u64,
    pub(super) frame_no: u64,
    pub(super) watermark: u64,
}

/// Reads `file` from `from`, where no valid frame begins, to its end.
pub(super) fn survey(file: &Loaded, from: u64) -> Result<Rest, ReplayError> {
    let mut rest = Rest {
        claim: None,
        next: None,
        end: from,
    };
    let mut offset = from;
    while offset < file.len {
        let len = usize::try_from(file.len - offset).unwrap_or(PIECE).min(PIECE);
        let Some(piece) = file.read(offset, len)? else {
            break;
        };
        for block in piece.chunks(BLOCK) {
            if !is_zero(block) {
                rest.end = offset + block.len() as u64;
                if offset > from
                    && let Some(later) = authentic_frame(file, offset, block)?
                {
                    rest.next.get_or_insert(later);
                    rest.claim = rest
                        .claim
                        .into_iter()
                        .chain([later])
                        .max_by_key(|claim| claim.watermark);
                }
            }
            offset += BLOCK_BYTES;
        }
    }
    Ok(rest)
}

fn authentic_frame(file: &Loaded, offset: u64, block: &[u8]) -> Result<Option<Later>, ReplayError> {
    let Ok(header) = parse_frame_header(block) else {
        return Ok(None);
    };
    let spec = &file.header.spec;
    if header.file_id != spec.file_id || header.number != spec.number {
        return Ok(None);
    }
    let Some(sealed) = read_directory(file, offset, &header)? else {
        return Ok(None);
    };
    let head = block.get(..HEADER_LEN).unwrap_or_default();
    if !is_authentic(head, sealed, &header, &file.key) {
        return Ok(None);
    }
    let watermark = if header.watermark.wal == spec.number {
        header.watermark.offset
    } else {
        0
    };
    Ok(Some(Later {
        offset,
        frame_no: header.frame_no,
        watermark,
    }))
}

fn read_directory(file: &Loaded, offset: u64, header: &FrameHeader) -> Result<Option<Vec<u8>>, ReplayError> {
    let start = header.payload_len() - header.directory_len(); // parsing has checked that it fits
    file.read(offset + start as u64, header.directory_len())
}
