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
    fields::{bytes_at, is_zero},
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
    /// A section's key cannot be had.
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
    let mut sections = Vec::with_capacity(entries.len());
    for (index, entry) in (0u16..).zip(&entries) {
        let key = match keys.section_key(&entry.owner) {
            Ok(key) => key,
            Err(KeyError::Destroyed) => {
                sections.push((entry.owner, SectionBody::Destroyed));
                continue;
            }
            Err(error) => {
                return OpenFrame::Key {
                    owner: entry.owner,
                    error,
                };
            }
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

/// Checks the directory alone, which authenticates the header. `head` are the header's bytes, `sealed` the directory's with
/// its tag.
pub(crate) fn is_authentic(head: &[u8], mut sealed: Vec<u8>, header: &FrameHeader, file_key: &Key) -> bool {
    open_sealed(head, &mut sealed, header, file_key).is_some()
}

fn open_entries(frame: &mut [u8], header: &FrameHeader, file_key: &Key) -> Option<(Vec<Entry>, [u8; TAG])> {
    let (head, rest) = frame.split_at_mut_checked(HEADER_LEN)?;
    let end = header.payload_len().checked_sub(HEADER_LEN)?;
    let start = end.checked_sub(header.directory_len())?;
    open_sealed(head, rest.get_mut(start..end)?, header, file_key)
}

fn open_sealed(
    head: &[u8],
    sealed: &mut [u8],
    header: &FrameHeader,
    file_key: &Key,
) -> Option<(Vec<Entry>, [u8; TAG])> {
    let (directory, tag) = sealed.split_at_mut_checked(sealed.len().checked_sub(TAG)?)?;
    let tag: [u8; TAG] = bytes_at(tag, 0);
    directory::sealer(file_key, &header.random)
        .open_in_place([0; NONCE], head, directory, &tag)
        .ok()?;
    Some((directory::parse(directory, header)?, tag))
}
