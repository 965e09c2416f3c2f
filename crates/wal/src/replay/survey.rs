//! Looks at everything behind the first invalid frame of a file: are there headers of frames, and where do the zeros begin.
//!
//! Each block is read once. What a header says of its own size is not followed: its keyed check, which binds it to its place, is
//! enough to believe its watermark, whether the rest of that frame arrived or not. So nobody without the file's key can make
//! this read more than the file, or hide a header by others.

use attestore_disk::BLOCK;

use super::{Loaded, ReplayError};
use crate::{fields::is_zero, frame::parse_frame_header};

const PIECE: usize = 64 * BLOCK;
const BLOCK_BYTES: u64 = BLOCK as u64;

/// What lies in a file from the first invalid frame on.
pub(super) struct Survey {
    /// Authentic headers, ascending.
    headers: Vec<Later>,
    /// End of the last block that is not zero.
    end: u64,
}

/// What lies behind the end of the log.
pub(super) struct Rest {
    /// The authentic header that claims most.
    pub(super) claim: Option<Later>,
    /// The first authentic header.
    pub(super) next: Option<Later>,
    /// End of the last block that is not zero; the start of the rest if all are.
    pub(super) end: u64,
}

/// An authentic frame header behind an invalid frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Later {
    pub(super) offset: u64,
    pub(super) frame_no: u64,
    pub(super) watermark: u64,
}

impl Survey {
    /// Reads `file` from `from`, where no valid frame begins, to its end.
    pub(super) fn read(file: &Loaded, from: u64) -> Result<Self, ReplayError> {
        let mut survey = Self {
            headers: Vec::new(),
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
                    survey.end = offset + block.len() as u64;
                    survey.headers.extend(authentic_header(file, offset, block));
                }
                offset += BLOCK_BYTES;
            }
        }
        Ok(survey)
    }

    /// What of it lies behind `from`, which is not before where it was read from.
    pub(super) fn behind(&self, from: u64) -> Rest {
        let later = self.headers.partition_point(|header| header.offset <= from);
        let headers = self.headers.get(later..).unwrap_or_default();
        Rest {
            claim: headers.iter().copied().max_by_key(|claim| claim.watermark),
            next: headers.first().copied(),
            end: self.end.max(from),
        }
    }
}

fn authentic_header(file: &Loaded, offset: u64, block: &[u8]) -> Option<Later> {
    let header = parse_frame_header(block).ok()?;
    let spec = &file.header.spec;
    let ours = header.file_id == spec.file_id
        && header.number == spec.number
        && header.is_authentic(&file.key, offset);
    ours.then_some(Later {
        offset,
        frame_no: header.frame_no,
        watermark: if header.watermark.wal == spec.number {
            header.watermark.offset
        } else {
            0
        },
    })
}
