//! Checks and opens a frame that was read back.

use attestore_keys::{
    Key,
    aead::{NONCE, TAG},
};

use super::{
    directory::{self, Entry},
    header::{FrameHeader, HEADER_LEN},
};
use crate::{
    fields::is_zero,
    keys::{KeyError, SectionKeys},
    replay::SectionBody,
};

/// The sections of a frame, opened.
pub(crate) struct Opened {
    pub(crate) sections: Vec<([u8; 16], SectionBody)>,
    /// Tag of the directory, which the next frame repeats.
    pub(crate) tag: [u8; TAG],
}

/// What [`open_frame`] found.
pub(crate) enum OpenFrame {
    Valid(Opened),
    /// The bytes are not a whole authentic frame; why.
    Invalid(&'static str),
    /// A section's key cannot be had, or is not the one that it was sealed under.
    Key {
        owner: [u8; 16],
        error: KeyError,
    },
}

/// Opens a whole frame (`header.length` bytes that begin with `header`).
pub(crate) fn open_frame(
    mut frame: Vec<u8>,
    header: &FrameHeader,
    file_key: &Key,
    keys: &dyn SectionKeys,
) -> OpenFrame {
    let payload = header.payload_len();
    if frame.len() != header.frame_len() || payload > frame.len() {
        return OpenFrame::Invalid("the frame is cut short");
    }
    if !is_zero(&frame[payload..]) {
        return OpenFrame::Invalid("the frame's padding is not zero");
    }
    let Some((entries, tag)) = open_entries(&mut frame, header, file_key) else {
        return OpenFrame::Invalid("the frame's directory is not authentic");
    };
    let section_keys = match section_keys(&entries, keys) {
        Ok(keys) => keys,
        Err((owner, error)) => return OpenFrame::Key { owner, error },
    };
    let mut sections = Vec::with_capacity(entries.len());
    for (index, (entry, key)) in (0..=u16::MAX).zip(entries.iter().zip(section_keys)) {
        let Some(key) = key else {
            sections.push((entry.owner, SectionBody::Destroyed));
            continue;
        };
        let sealer = directory::section_sealer(&key, file_key, &header.random, &entry.owner);
        let aad = directory::section_aad(&header.file_id, header.frame_no, index, &entry.owner);
        let body = &mut frame[entry.range()];
        if sealer
            .open_in_place(directory::section_nonce(index), &aad, body, &entry.tag)
            .is_err()
        {
            return OpenFrame::Invalid("a section of the frame is not authentic");
        }
        sections.push((entry.owner, SectionBody::Bytes(body.to_vec())));
    }
    OpenFrame::Valid(Opened { sections, tag })
}

/// Gets the key of every section, `None` for a destroyed one, before any section is judged: whatever else is wrong with a frame,
/// a wrong key is told first.
fn section_keys(entries: &[Entry], keys: &dyn SectionKeys) -> Result<Vec<Option<Key>>, ([u8; 16], KeyError)> {
    let key = |entry: &Entry| match keys.section_key(&entry.owner) {
        Ok(key) if entry.key_check.matches(&key) => Ok(Some(key)),
        Ok(_) => match keys.former_section_key(&entry.owner) {
            Some(former) if entry.key_check.matches(&former) => Ok(Some(former)),
            _ => Err((entry.owner, KeyError::Missing)),
        },
        Err(KeyError::Destroyed) => Ok(None),
        Err(error) => Err((entry.owner, error)),
    };
    entries.iter().map(key).collect()
}

fn open_entries(frame: &mut [u8], header: &FrameHeader, file_key: &Key) -> Option<(Vec<Entry>, [u8; TAG])> {
    let (head, rest) = frame.split_at_mut_checked(HEADER_LEN)?;
    let end = header.payload_len().checked_sub(HEADER_LEN)?;
    let start = end.checked_sub(header.directory_len())?;
    let (directory, tag) = rest.get_mut(start..end)?.split_last_chunk_mut::<TAG>()?;
    directory::sealer(file_key, &header.random)
        .open_in_place([0; NONCE], head, directory, tag)
        .ok()?;
    Some((directory::parse(directory, header)?, *tag))
}
