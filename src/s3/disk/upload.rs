//! Files that are being written: objects that get their name when everything of them is there.
//!
//! What is short is kept in memory and written by one request; of what is longer, each part is sent as soon as it is whole. An upload that
//! is dropped is given up: the store is told to forget its parts.

use std::io;
use std::sync::{Arc, Weak};

use attestore_disk::{BLOCK, File};
use parking_lot::Mutex;
use rusty_s3::S3Action;
use rusty_s3::actions::CreateMultipartUpload;
use ureq::http::{StatusCode, header};

use super::super::SIGNED_FOR;
use super::answer::{Sum, plain};
use super::store::{CONTENT_MD5, Store};
use super::unsupported;

/// An object in the making.
pub(super) struct Upload {
    pub(super) store: Arc<Store>,
    pub(super) key: String,
    /// Bytes of a part.
    pub(super) part: usize,
    pub(super) state: Mutex<Parts>,
}

#[derive(Default)]
pub(super) struct Parts {
    /// Id of the upload, once there are parts.
    id: Option<String>,
    /// Of each part that was sent.
    tags: Vec<String>,
    sums: Vec<Sum>,
    /// Bytes of these.
    sent: u64,
    /// What comes behind them.
    rest: Vec<u8>,
    /// Something of it is lost: it is never completed.
    broken: bool,
}

impl Upload {
    fn write(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.broken || offset != state.sent + state.rest.len() as u64 {
            return Err(unsupported());
        }
        state.rest.extend_from_slice(buf);
        // The last block may be cut.
        while state.rest.len() >= self.part + BLOCK {
            let later = state.rest.split_off(self.part);
            let part = std::mem::replace(&mut state.rest, later);
            self.send(&mut state, &part)?;
        }
        Ok(())
    }

    fn send(&self, state: &mut Parts, part: &[u8]) -> io::Result<()> {
        let (store, key) = (&self.store, &self.key);
        state.broken = true;
        if state.id.is_none() {
            let answer = store.ask("beginning an upload", key, &[StatusCode::OK], &|place| {
                let action = place
                    .bucket
                    .create_multipart_upload(Some(&place.credentials), key);
                place.agent.post(action.sign(SIGNED_FOR).as_str()).send_empty()
            })?;
            let text = String::from_utf8_lossy(&answer.body);
            let begun = CreateMultipartUpload::parse_response(&text);
            let begun = begun.map_err(|_| store.away(key, "beginning an upload was answered with none"))?;
            state.id = Some(begun.upload_id().to_owned());
        }
        let id = state.id.as_deref().unwrap_or_default();
        let number = state.tags.len() + 1;
        let number = u16::try_from(number).ok().filter(|number| *number <= PARTS_MAX);
        let number = number.ok_or_else(|| store.away(key, "it is too long for an object"))?;
        let sum = Sum::of(part);
        let answer = store.ask("writing a part", key, &[StatusCode::OK], &|place| {
            let action = place
                .bucket
                .upload_part(Some(&place.credentials), key, number, id);
            let request = place.agent.put(action.sign(SIGNED_FOR).as_str());
            request.header(CONTENT_MD5, sum.base64()).send(part)
        })?;
        let tag = answer.header(header::ETAG.as_str());
        let tag = tag.ok_or_else(|| store.away(key, "no ETag of a part was answered"))?;
        state.tags.push(tag.to_owned());
        state.sums.push(sum);
        state.sent += part.len() as u64;
        state.broken = false;
        Ok(())
    }

    /// Makes the object.
    ///
    /// # Errors
    /// What the store says: whether it is there is not known then.
    pub(super) fn complete(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.broken {
            return Err(unsupported());
        }
        state.broken = true;
        let rest = std::mem::take(&mut state.rest);
        if state.id.is_none() {
            return self.store.put(&self.key, &rest);
        }
        if !rest.is_empty() {
            self.send(&mut state, &rest)?;
            state.broken = true;
        }
        let (store, key) = (&self.store, &self.key);
        let id = state.id.clone().unwrap_or_default();
        let expected = [StatusCode::OK, StatusCode::NOT_FOUND];
        let answer = store.ask("ending an upload", key, &expected, &|place| {
            let tags = state.tags.iter().map(String::as_str);
            let action = place
                .bucket
                .complete_multipart_upload(Some(&place.credentials), key, &id, tags);
            let url = action.sign(SIGNED_FOR);
            place.agent.post(url.as_str()).send(action.body())
        })?;
        if answer.status == StatusCode::NOT_FOUND {
            // It was ended by a request whose answer was lost, or by somebody else.
            let head = store.head(key)?;
            if head.is_none_or(|head| head.len != state.sent || plain(&head.tag) != state.tag()) {
                return Err(store.away(
                    key,
                    &format!("ending an upload was refused with {}", answer.said()),
                ));
            }
        }
        state.id = None;
        Ok(())
    }
}

impl Parts {
    /// The tag of an object of these parts, as stores make it that do not encrypt under keys of their own.
    fn tag(&self) -> String {
        let sums: Vec<u8> = self.sums.iter().flat_map(|sum| sum.0).collect();
        format!("{}-{}", Sum::of(&sums).hex(), self.sums.len())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(id) = self.state.get_mut().id.take() else {
            return;
        };
        let expected = [StatusCode::OK, StatusCode::NO_CONTENT, StatusCode::NOT_FOUND];
        let given_up = self
            .store
            .ask("giving an upload up", &self.key, &expected, &|place| {
                let action = place
                    .bucket
                    .abort_multipart_upload(Some(&place.credentials), &self.key, &id);
                place.agent.delete(action.sign(SIGNED_FOR).as_str()).call()
            });
        if let Err(error) = given_up {
            tracing::warn!(%error, "parts of an upload are left to a rule of the bucket");
        }
    }
}

/// A file that is being written. Once it is dropped without its name, it never gets one.
pub(super) struct Writing(pub(super) Arc<Upload>);

impl Writing {
    /// What the disk finds it by.
    pub(super) fn found_by(&self) -> Weak<Upload> {
        Arc::downgrade(&self.0)
    }
}

impl File for Writing {
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Err(unsupported())
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        // Nothing of it is there before it has its name.
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.0.state.lock();
        let keep = len
            .checked_sub(state.sent)
            .and_then(|keep| usize::try_from(keep).ok());
        let keep = keep
            .filter(|keep| *keep <= state.rest.len())
            .ok_or_else(unsupported)?;
        state.rest.truncate(keep);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.0.state.lock();
        Ok(state.sent + state.rest.len() as u64)
    }

    fn is_direct(&self) -> bool {
        false
    }
}

/// Parts that an object has at most.
const PARTS_MAX: u16 = 10_000;
