//! Reads the frames of one file, one after the other, until the first that is not valid.

use attestore_keys::aead::TAG;

use super::{
    Frame, Loaded, ReplayError, Source, TornTail, Trouble,
    survey::{Rest, Survey},
    tail,
};
use crate::{
    FrameHeader, Position,
    frame::{HEADER_LEN, OpenFrame, open_frame},
    keys::KeyError,
    parse_frame_header,
};

impl Frame {
    /// The offset that the watermark names in file `wal`; 0 if it lies in an earlier one.
    fn watermark_in(&self, wal: u64) -> u64 {
        if self.watermark.wal == wal {
            self.watermark.offset
        } else {
            0
        }
    }
}

/// What the walk through a file found.
pub(super) struct Walked {
    pub(super) frames: u64,
    /// Where the last valid frame ends.
    pub(super) end: u64,
    /// Everything in this file before this offset is known to be synced.
    pub(super) synced: u64,
    pub(super) torn: Option<TornTail>,
}

/// Where the walk stands: what the next frame must be.
struct Cursor {
    offset: u64,
    frame_no: u64,
    /// `None` after damage that a scan skipped.
    previous_tag: Option<[u8; TAG]>,
}

/// One step of the walk.
enum Step {
    Frame(Frame, [u8; TAG]),
    Invalid(&'static str),
}

/// Reads the frames of `file`: up to exactly `bound` where the next file names one, else up to the end of the log.
pub(super) fn walk(
    source: &Source<'_>,
    file: &Loaded,
    bound: Option<u64>,
    trouble: &mut Trouble,
    visitor: &mut dyn FnMut(Frame),
) -> Result<Walked, ReplayError> {
    let first = Position::first_frame(file.header.spec.number).offset;
    let mut cursor = Cursor {
        offset: first,
        frame_no: 0,
        previous_tag: Some([0; TAG]),
    };
    let mut walked = Walked {
        frames: 0,
        end: first,
        synced: first,
        torn: None,
    };
    let claimed = source
        .claimed
        .filter(|claim| claim.wal == file.header.spec.number)
        .map_or(0, |claim| claim.offset);
    let mut surveyed = None;
    loop {
        if bound == Some(cursor.offset) {
            return Ok(walked);
        }
        let invalid = match step(source, file, &cursor, bound) {
            Ok(Step::Frame(frame, tag)) => {
                walked.frames += 1;
                walked.end = frame.end.offset;
                walked.synced = walked.synced.max(frame.watermark_in(file.header.spec.number));
                cursor = Cursor {
                    offset: walked.end,
                    frame_no: cursor.frame_no + 1,
                    previous_tag: Some(tag),
                };
                visitor(frame);
                continue;
            }
            Ok(Step::Invalid(reason)) => Some(reason),
            Err(error) => {
                trouble.report(error)?;
                None // a frame that cannot be read is not a damaged one
            }
        };
        // Read once, however many frames are damaged.
        if surveyed.is_none() {
            match Survey::read(file, cursor.offset) {
                Ok(survey) => surveyed = Some(survey),
                Err(error) => trouble.report(error)?,
            }
        }
        let Some(survey) = &surveyed else {
            return Ok(walked);
        };
        let rest = survey.behind(cursor.offset);
        if let Some(reason) = invalid {
            let Some(claim) = claim(&rest, bound, claimed, cursor.offset) else {
                walked.synced = walked.synced.max(claimed);
                walked.torn = tail::torn(file, cursor.offset, &rest)?;
                return Ok(walked);
            };
            let told = format!("{reason}, but {claim}");
            trouble.report(ReplayError::damage(&file.path, cursor.offset, told))?;
        }
        // A scan goes on at the next authentic frame.
        match rest
            .next
            .filter(|next| bound.is_none_or(|bound| next.offset < bound))
        {
            Some(next) => {
                cursor = Cursor {
                    offset: next.offset,
                    frame_no: next.frame_no,
                    previous_tag: None,
                }
            }
            None => return Ok(walked),
        }
    }
}

/// Who claims that more than `offset` was synced.
fn claim(rest: &Rest, bound: Option<u64>, claimed: u64, offset: u64) -> Option<String> {
    if let Some(bound) = bound {
        return Some(format!("the next file says that the log reaches {bound} here"));
    }
    if claimed > offset {
        return Some(format!(
            "the catalog says that everything before {claimed} was synced"
        ));
    }
    let claim = rest.claim.as_ref().filter(|claim| claim.watermark > offset)?;
    Some(format!(
        "the frame at {} says that everything before {} was synced",
        claim.offset, claim.watermark
    ))
}

fn step(
    source: &Source<'_>,
    file: &Loaded,
    cursor: &Cursor,
    bound: Option<u64>,
) -> Result<Step, ReplayError> {
    let Some(head) = file.read(cursor.offset, HEADER_LEN)? else {
        return Ok(Step::Invalid("the file ends here"));
    };
    let Ok(header) = parse_frame_header(&head) else {
        return Ok(Step::Invalid("there is no frame"));
    };
    if let Some(reason) = misfit(file, cursor, bound, &header) {
        return Ok(Step::Invalid(reason));
    }
    if !header.is_authentic(&file.key, cursor.offset) {
        return Ok(Step::Invalid("the frame header is not authentic"));
    }
    let Some(bytes) = file.read(cursor.offset, header.frame_len())? else {
        return Ok(Step::Invalid("the file ends inside the frame"));
    };
    match open_frame(bytes, &header, &file.key, source.section_keys) {
        OpenFrame::Invalid(reason) => Ok(Step::Invalid(reason)),
        OpenFrame::Key {
            error: KeyError::Io(e),
            ..
        } => Err(ReplayError::io(&file.path, e)),
        OpenFrame::Key { owner, error } => Err(ReplayError::Key {
            path: file.path.clone(),
            what: format!("sections of {:032x}", u128::from_be_bytes(owner)),
            reason: error.to_string(),
        }),
        OpenFrame::Valid(opened) => {
            let wal = file.header.spec.number;
            let frame = Frame {
                position: Position {
                    wal,
                    offset: cursor.offset,
                },
                end: Position {
                    wal,
                    offset: cursor.offset + u64::from(header.length),
                },
                watermark: header.watermark,
                sections: opened.sections,
            };
            Ok(Step::Frame(frame, opened.tag))
        }
    }
}

/// Tells why a header with a good checksum is not the frame that belongs here.
fn misfit(file: &Loaded, cursor: &Cursor, bound: Option<u64>, header: &FrameHeader) -> Option<&'static str> {
    let here = Position {
        wal: file.header.spec.number,
        offset: cursor.offset,
    };
    let end = cursor.offset + u64::from(header.length);
    if header.file_id != file.header.spec.file_id || header.number != here.wal {
        Some("the frame belongs to another file")
    } else if header.frame_no != cursor.frame_no {
        Some("the frame belongs to another place in the file")
    } else if cursor.previous_tag.is_some_and(|tag| tag != header.previous_tag) {
        Some("the frame does not follow the one before it")
    } else if header.watermark > here {
        Some("the frame's watermark lies behind it")
    } else if end > file.header.spec.size || bound.is_some_and(|bound| end > bound) {
        Some("the frame reaches past the end of the log in this file")
    } else {
        None
    }
}
