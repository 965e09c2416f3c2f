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
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use ureq::Agent;
use ureq::http::{Response, StatusCode, header};
use url::Url;

use crate::client::tls;
use crate::failure::Failure;

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
        let usage = |what: &str| Failure::usage(format!("--head-register {name}: {what}"));
        let url = Url::parse(name).map_err(|error| usage(&error.to_string()))?;
        let bucket = url.host_str().ok_or_else(|| usage("no bucket"))?;
        let key = url.path().trim_start_matches('/');
        if key.is_empty() {
            return Err(usage("no key"));
        }
        let (mut endpoint, mut region, mut ca_file) = (None, "us-east-1".to_owned(), None);
        for (option, value) in url.query_pairs() {
            match &*option {
                "endpoint" => endpoint = Some(value.into_owned()),
                "region" => region = value.into_owned(),
                "ca_file" => ca_file = Some(PathBuf::from(value.into_owned())),
                other => return Err(usage(&format!("{other}: not endpoint, region or ca_file"))),
            }
        }
        // Whoever names an endpoint has a store of other people's making: those go by path.
        let (endpoint, style) = match endpoint {
            Some(endpoint) => (endpoint, UrlStyle::Path),
            None => (
                format!("https://s3.{region}.amazonaws.com"),
                UrlStyle::VirtualHost,
            ),
        };
        let endpoint = Url::parse(&endpoint).map_err(|error| usage(&format!("endpoint: {error}")))?;
        let loopback = matches!(endpoint.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        if endpoint.scheme() != "https" && !loopback {
            return Err(usage("endpoint: only https, but on this machine"));
        }
        let bucket = Bucket::new(endpoint, style, bucket.to_owned(), region)
            .map_err(|error| usage(&error.to_string()))?;
        let credentials = Credentials::from_env()
            .ok_or_else(|| usage("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"))?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_global(Some(Duration::from_secs(15)))
            .tls_config(tls(ca_file.as_deref(), None)?);
        Ok(Self {
            name: name.to_owned(),
            agent: config.build().into(),
            key: key.to_owned(),
            bucket,
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

fn failed(error: ureq::Error) -> io::Error {
    match error {
        ureq::Error::Io(error) => error,
        // Never with the URL, which is signed.
        other => io::Error::other(format!("object store: {other}")),
    }
}

fn refused(what: &str, status: StatusCode) -> io::Error {
    io::Error::other(format!("the object store answered {what} with {status}"))
}

/// How long a signed URL is good for.
const SIGNED_FOR: Duration = Duration::from_secs(60);
/// Other starts that may come in between.
const TRIES_MAX: u32 = 5;
/// Longest register that is read.
const OBJECT_BYTES_MAX: u64 = 1 << 30;
