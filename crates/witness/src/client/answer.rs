//! What a witness's answer means.

use attestore_outbound::{Response, header};
use attestore_tlog::{CosignatureError, CosignerKey, NoteSignature, SignedNote};

use super::SubmitError;
use crate::request::{SIZE_TYPE, parse_size};

/// An answer that is no failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The witness's lines, verified, and the time of the newest.
    Cosigned(Vec<NoteSignature>, u64),
    /// The size that it has.
    Conflict(u64),
}

/// Reads an answer to a submission of `checkpoint`; `now_s` is the time of its arrival.
pub(super) fn read(
    response: &Response,
    checkpoint: &SignedNote,
    key: &CosignerKey,
    now_s: u64,
) -> Result<Answer, SubmitError> {
    match response.status.as_u16() {
        200 => cosigned(&response.body, checkpoint, key, now_s),
        409 => {
            let content_type = response.headers.get(header::CONTENT_TYPE);
            let is_size = content_type.is_some_and(|value| value.as_bytes() == SIZE_TYPE.as_bytes());
            let size = is_size.then(|| parse_size(&response.body)).flatten();
            size.map(Answer::Conflict)
                .ok_or(SubmitError::Answer("a conflict without a tree size"))
        }
        404 => Err(SubmitError::UnknownLog),
        403 => Err(SubmitError::Signature),
        422 => Err(SubmitError::Inconsistent),
        other => Err(SubmitError::Status(other)),
    }
}

fn cosigned(
    body: &[u8],
    checkpoint: &SignedNote,
    key: &CosignerKey,
    now_s: u64,
) -> Result<Answer, SubmitError> {
    let malformed = SubmitError::Answer("lines that are no signatures");
    let body = str::from_utf8(body).map_err(|_| malformed.clone())?;
    // All lines, as every one by the key has to verify.
    let note = SignedNote::parse(&format!("{}\n{body}", checkpoint.text())).map_err(|_| malformed)?;
    let time_s = note.cosigned_at(key).map_err(|error| match error {
        CosignatureError::UnknownKey => SubmitError::Answer("no line of the witness's key"),
        error => SubmitError::Cosignature(error),
    })?;
    if time_s.abs_diff(now_s) > CLOCKS_APART_MAX_S {
        return Err(SubmitError::Time { time_s, now_s });
    }
    let lines = note.signatures().iter().filter(|line| key.made(line));
    Ok(Answer::Cosigned(lines.cloned().collect(), time_s))
}

/// How far the witness's clock may be from ours.
const CLOCKS_APART_MAX_S: u64 = 300;
