//! A head register in an S3 object.
//!
//! The object is a whole register each time, replaced only if it is still the one that this process wrote last (`If-Match`, and
//! `If-None-Match: *` for the first): compare-and-swap by the store itself. Credentials come from `AWS_ACCESS_KEY_ID`,
//! `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
//!
//! A write whose answer is lost may have been done or not. The next one reads what is there first: this run's own last write, or one
//! that nobody was told of, is gone on from; anything else is somebody else's.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use attestore_engine::heads::register::codec::{self, DecodeError, Decoded};
use attestore_engine::heads::{
    Head, HeadStore, HeadWriter, Nonce, RegisterError, RegisteredHeads as Heads, Started,
};
use attestore_keys::Key;
use rusty_s3::{Bucket, Credentials, S3Action};
use ureq::Agent;
use ureq::http::{Response, StatusCode, header};

use crate::failure::Failure;
use crate::s3::{Patience, Place, SIGNED_FOR, failed, refused};

/// An object in a bucket.
#[derive(Clone)]
pub struct Object {
    /// As it was named, without credentials.
    name: String,
    agent: Agent,
    bucket: Bucket,
    key: String,
    credentials: Credentials,
}

/// Bytes of an object, and what names this state of it.
struct State {
    bytes: Vec<u8>,
    tag: String,
}

impl Object {
    /// Takes `s3://bucket/key`, with `endpoint`, `region` and `ca_file` as query; nothing is asked yet.
    ///
    /// # Errors
    /// Usage when the name makes no sense, or there are no credentials.
    pub fn named(name: &str) -> Result<Self, Failure> {
        let Place {
            agent,
            bucket,
            key,
            credentials,
        } = Place::named("--head-register", name, PATIENCE)?;
        Ok(Self {
            name: name.to_owned(),
            agent,
            bucket,
            key,
            credentials,
        })
    }

    /// The object as it is; `None` if there is none.
    fn get(&self) -> Result<Option<State>, RegisterError> {
        let url = self
            .bucket
            .get_object(Some(&self.credentials), &self.key)
            .sign(SIGNED_FOR);
        let mut response = self.agent.get(url.as_str()).call().map_err(failed)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(RegisterError::Io(refused("reading", status))),
        }
        let tag = tag(&response)?;
        let body = response.body_mut().with_config().limit(OBJECT_BYTES_MAX);
        let bytes = body.read_to_vec().map_err(failed)?;
        Ok(Some(State { bytes, tag }))
    }

    /// Replaces the object if it is still in the state that `tag` names, or makes it if there is none; `None` if that is not so.
    fn put(&self, bytes: &[u8], expected: Option<&str>) -> Result<Option<String>, RegisterError> {
        let url = self
            .bucket
            .put_object(Some(&self.credentials), &self.key)
            .sign(SIGNED_FOR);
        let request = self.agent.put(url.as_str());
        let request = match expected {
            Some(tag) => request.header(header::IF_MATCH, tag),
            None => request.header(header::IF_NONE_MATCH, "*"),
        };
        let unwritten = |error| RegisterError::Unwritten(failed(error));
        let response = request.send(bytes).map_err(unwritten)?;
        match response.status() {
            StatusCode::OK => tag(&response).map(Some),
            // S3 answers 409 when two such writes meet, and 404 when what was to match is gone.
            StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT | StatusCode::NOT_FOUND => Ok(None),
            status => Err(RegisterError::Unwritten(refused("writing", status))),
        }
    }

    fn decode(&self, bytes: &[u8], key: &Key) -> Result<Heads, RegisterError> {
        let path = self.place();
        match codec::decode(bytes, key) {
            Ok(Decoded { heads, torn: None }) => Ok(heads),
            Ok(Decoded {
                torn: Some(offset), ..
            }) => Err(RegisterError::Damage {
                path,
                source: DecodeError::Damaged {
                    offset,
                    reason: "an object has no changes that were cut short",
                },
            }),
            Err(DecodeError::Key) => Err(RegisterError::Key { path }),
            Err(source) => Err(RegisterError::Damage { path, source }),
        }
    }
}

impl HeadStore for Object {
    fn place(&self) -> PathBuf {
        PathBuf::from(&self.name)
    }

    fn read(&self, key: &Key) -> Result<Option<Heads>, RegisterError> {
        let state = self.get()?;
        state.map(|state| self.decode(&state.bytes, key)).transpose()
    }

    fn start(&self, key: Key, nonce: Nonce) -> Result<Started, RegisterError> {
        for _ in 0..TRIES_MAX {
            let state = self.get()?;
            let found = state
                .as_ref()
                .map(|state| self.decode(&state.bytes, &key))
                .transpose()?;
            let mut heads = found.clone().unwrap_or_default();
            heads.nonce = nonce;
            heads.version = heads.version.saturating_add(1);
            let expected = state.as_ref().map(|state| state.tag.as_str());
            if let Some(tag) = self.put(&codec::encode(&heads, &key), expected)? {
                let writer = Box::new(Writer {
                    object: self.clone(),
                    key,
                    tag: Some(tag),
                });
                return Ok(Started { writer, heads, found });
            }
        }
        Err(RegisterError::Busy)
    }
}

struct Writer {
    object: Object,
    key: Key,
    /// State of the object after the last write; `None` while that is not known.
    tag: Option<String>,
}

impl HeadWriter for Writer {
    fn write(&mut self, heads: &Heads, _: &[(&str, Head)]) -> Result<(), RegisterError> {
        let tag = match self.tag.take() {
            Some(tag) => tag,
            None => self.look(heads)?,
        };
        match self.object.put(&codec::encode(heads, &self.key), Some(&tag))? {
            Some(tag) => self.tag = Some(tag),
            // A write of this run that was given up on may have come through only now: the next one goes on from it.
            None => {
                self.look(heads)?;
                let late = io::Error::other("an earlier write to the object store came through late");
                return Err(RegisterError::Unwritten(late));
            }
        }
        Ok(())
    }
}

impl Writer {
    /// Finds out what became of a write whose answer was lost.
    fn look(&self, next: &Heads) -> Result<String, RegisterError> {
        let unwritten = |error| match error {
            RegisterError::Io(error) => RegisterError::Unwritten(error),
            other => other,
        };
        let state = self
            .object
            .get()
            .map_err(unwritten)?
            .ok_or(RegisterError::Cloned)?;
        let found = self.object.decode(&state.bytes, &self.key)?;
        let ours = found.nonce == next.nonce && found.version <= next.version;
        ours.then_some(state.tag).ok_or(RegisterError::Cloned)
    }
}

fn tag<T>(response: &Response<T>) -> Result<String, RegisterError> {
    let tag = response
        .headers()
        .get(header::ETAG)
        .and_then(|tag| tag.to_str().ok());
    let missing = || io::Error::new(io::ErrorKind::InvalidData, "the object store gave no ETag");
    Ok(tag.ok_or_else(missing)?.to_owned())
}

const PATIENCE: Patience = Patience {
    request: Duration::from_secs(15),
    silence: Duration::from_secs(15),
};
/// Other starts that may come in between.
const TRIES_MAX: u32 = 5;
/// Longest register that is read.
const OBJECT_BYTES_MAX: u64 = 1 << 30;
