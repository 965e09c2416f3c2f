//! Requests to a store, tried again where that may help.
//!
//! # Errors
//! Each names the object, what was asked, the status and the store's own code. Nothing that the store does not answer, or refuses, says
//! anything about an object, so all of it has one kind ([`AWAY`]); only an object that is not there has `NotFound`.

use std::io;
use std::time::{Duration, Instant};

use rusty_s3::S3Action;
use rusty_s3::actions::ListObjectsV2;
use ureq::Body;
use ureq::http::{Response, StatusCode, header};

use super::super::{Place, SIGNED_FOR, failed};
use super::answer::{Answer, Sum, plain};

/// What names of objects begin with, in a bucket.
pub(super) struct Store {
    pub(super) place: Place,
    /// Before the first request is tried again; twice as long before each further one.
    pub(super) pause: Duration,
}

/// What a store says of an object.
pub(super) struct Head {
    pub(super) len: u64,
    pub(super) tag: String,
    /// In a bucket that keeps versions, or did.
    version: Option<String>,
}

/// Some of an object's bytes.
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// Bytes of the whole object.
    pub(super) total: u64,
    pub(super) tag: String,
}

/// One name of a list, without the folder's.
pub(super) struct Listed {
    pub(super) name: String,
    /// `None` for a folder.
    pub(super) len: Option<u64>,
}

impl Store {
    /// Asks until there is an answer with one of the statuses that are expected. `what` is said in errors.
    ///
    /// # Errors
    /// [`AWAY`].
    pub(super) fn ask(
        &self,
        what: &str,
        key: &str,
        expected: &[StatusCode],
        send: &dyn Fn(&Place) -> Result<Response<Body>, ureq::Error>,
    ) -> io::Result<Answer> {
        let (begun, mut pause, mut tries) = (Instant::now(), self.pause, 0);
        loop {
            tries += 1;
            let why = match send(&self.place).map_err(failed).and_then(Answer::read) {
                // That there is no bucket says nothing about an object.
                Ok(answer) if expected.contains(&answer.status) && answer.code() != "NoSuchBucket" => {
                    return Ok(answer);
                }
                Ok(answer) if !answer.may_pass() => {
                    return Err(self.away(key, &format!("{what} was refused with {}", answer.said())));
                }
                Ok(answer) => answer.said(),
                Err(error) => error.to_string(),
            };
            if tries == TRIES || begun.elapsed() >= TRYING {
                return Err(self.away(
                    key,
                    &format!("{what} failed {tries} times, the last time with {why}"),
                ));
            }
            tracing::debug!(key, what, %why, "a bucket is asked again");
            std::thread::sleep(pause);
            pause *= 2;
        }
    }

    /// What keeps an object from being read or written.
    pub(super) fn away(&self, key: &str, why: &str) -> io::Error {
        io::Error::new(AWAY, format!("s3://{}/{key}: {why}", self.place.bucket.name()))
    }

    /// The object, if there is one.
    ///
    /// # Errors
    /// [`AWAY`].
    pub(super) fn head(&self, key: &str) -> io::Result<Option<Head>> {
        let answer = self.ask(
            "asking",
            key,
            &[StatusCode::OK, StatusCode::NOT_FOUND],
            &|place| {
                let action = place.bucket.head_object(Some(&place.credentials), key);
                place.agent.head(action.sign(SIGNED_FOR).as_str()).call()
            },
        )?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let len = answer
            .header(header::CONTENT_LENGTH.as_str())
            .and_then(|len| len.parse().ok());
        Ok(Some(Head {
            len: len.ok_or_else(|| self.away(key, "no length was answered"))?,
            tag: self.tag(key, &answer)?,
            version: answer.header("x-amz-version-id").map(str::to_owned),
        }))
    }

    /// Up to `len` bytes of an object. With a tag, of that state of it only.
    ///
    /// # Errors
    /// `NotFound`; [`AWAY`].
    pub(super) fn get(&self, key: &str, from: u64, len: u64, tag: Option<&str>) -> io::Result<Piece> {
        let expected = [
            StatusCode::PARTIAL_CONTENT,
            StatusCode::RANGE_NOT_SATISFIABLE,
            StatusCode::NOT_FOUND,
        ];
        let range = format!("bytes={from}-{}", from.saturating_add(len.max(1) - 1));
        let answer = self.ask("reading", key, &expected, &|place| {
            let action = place.bucket.get_object(Some(&place.credentials), key);
            let request = place.agent.get(action.sign(SIGNED_FOR).as_str());
            let request = request.header(header::RANGE, &range);
            match tag {
                Some(tag) => request.header(header::IF_MATCH, tag).call(),
                None => request.call(),
            }
        })?;
        match answer.status {
            StatusCode::NOT_FOUND => {
                let name = format!("s3://{}/{key}: there is no such object", self.place.bucket.name());
                return Err(io::Error::new(io::ErrorKind::NotFound, name));
            }
            StatusCode::RANGE_NOT_SATISFIABLE if from == 0 => {
                return Ok(Piece {
                    bytes: Vec::new(),
                    total: 0,
                    tag: String::new(),
                });
            }
            _ => {}
        }
        let tag = self.tag(key, &answer)?;
        let total = answer.header(header::CONTENT_RANGE.as_str()).and_then(|said| {
            let (span, total) = said.strip_prefix("bytes ")?.split_once('/')?;
            let (first, last) = span.split_once('-')?;
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            let is_whole =
                first == from && answer.body.len() as u64 == last.checked_add(1)?.checked_sub(first)?;
            (is_whole && answer.body.len() as u64 <= len).then_some(total.parse().ok()?)
        });
        Ok(Piece {
            total: total.ok_or_else(|| self.away(key, "reading was answered with other bytes"))?,
            bytes: answer.body,
            tag,
        })
    }

    /// Writes an object in one request.
    ///
    /// Each request says which state it replaces. So one that was given up on and arrives late changes nothing.
    ///
    /// # Errors
    /// [`AWAY`]: then it may be there or not.
    pub(super) fn put(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        let sum = Sum::of(bytes);
        let mut replaced: Option<String> = None;
        for _ in 0..TRIES {
            let expected = match replaced {
                Some(_) => &[
                    StatusCode::OK,
                    StatusCode::PRECONDITION_FAILED,
                    StatusCode::NOT_FOUND,
                ][..],
                None => &[StatusCode::OK, StatusCode::PRECONDITION_FAILED],
            };
            let answer = self.ask("writing", key, expected, &|place| {
                let action = place.bucket.put_object(Some(&place.credentials), key);
                let request = place.agent.put(action.sign(SIGNED_FOR).as_str());
                let request = request.header(CONTENT_MD5, sum.base64());
                match &replaced {
                    Some(tag) => request.header(header::IF_MATCH, tag).send(bytes),
                    None => request.header(header::IF_NONE_MATCH, "*").send(bytes),
                }
            })?;
            if answer.status == StatusCode::OK {
                return Ok(());
            }
            replaced = match self.head(key)? {
                // Written by a request whose answer was lost.
                Some(head) if head.len == bytes.len() as u64 && plain(&head.tag) == sum.hex() => {
                    return Ok(());
                }
                Some(head) => Some(head.tag),
                None => None,
            };
        }
        Err(self.away(key, "writing: somebody else writes it too"))
    }

    /// Removes an object; one that is not there is removed.
    ///
    /// # Errors
    /// [`AWAY`].
    pub(super) fn delete(&self, key: &str, version: Option<&str>) -> io::Result<()> {
        let what = match version {
            Some(_) => "removing a version",
            None => "removing",
        };
        let expected = [StatusCode::OK, StatusCode::NO_CONTENT, StatusCode::NOT_FOUND];
        self.ask(what, key, &expected, &|place| {
            let mut action = place.bucket.delete_object(Some(&place.credentials), key);
            if let Some(version) = version {
                action.query_mut().insert("versionId", version);
            }
            place.agent.delete(action.sign(SIGNED_FOR).as_str()).call()
        })
        .map(drop)
    }

    /// Overwrites an object, and removes every earlier version of it that the bucket kept.
    ///
    /// # Errors
    /// [`AWAY`], also where versions may not be removed: some are left then.
    pub(super) fn wipe(&self, key: &str, with: &[u8]) -> io::Result<()> {
        for _ in 0..VERSIONS_MAX {
            match self.head(key)? {
                None => return Ok(()),
                Some(Head { version: None, .. }) => return self.put(key, with),
                Some(Head {
                    version: Some(version),
                    ..
                }) => self.delete(key, Some(&version))?,
            }
        }
        Err(self.away(key, "it has more versions than anybody wrote"))
    }

    /// Names that begin with a prefix, without it. With a delimiter, folders as one; at most `limit` if there is one. Sorted.
    ///
    /// # Errors
    /// [`AWAY`].
    pub(super) fn list(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        limit: Option<usize>,
    ) -> io::Result<Vec<Listed>> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let answer = self.ask("listing", prefix, &[StatusCode::OK], &|place| {
                let mut action = place.bucket.list_objects_v2(Some(&place.credentials));
                action.with_prefix(prefix);
                if let Some(delimiter) = delimiter {
                    action.with_delimiter(delimiter);
                }
                if let Some(limit) = limit {
                    action.with_max_keys(limit);
                }
                if let Some(token) = &token {
                    action.with_continuation_token(token.as_str());
                }
                place.agent.get(action.sign(SIGNED_FOR).as_str()).call()
            })?;
            let no_list = || self.away(prefix, "listing was answered with something else");
            let text = std::str::from_utf8(&answer.body).map_err(|_| no_list())?;
            let page = ListObjectsV2::parse_response(text).map_err(|_| no_list())?;
            for object in page.contents {
                found.push(Listed {
                    name: object.key.strip_prefix(prefix).ok_or_else(no_list)?.to_owned(),
                    len: Some(object.size.ok_or_else(no_list)?),
                });
            }
            for below in page.common_prefixes {
                let name = below.prefix.strip_prefix(prefix).ok_or_else(no_list)?;
                found.push(Listed {
                    name: name.trim_end_matches('/').to_owned(),
                    len: None,
                });
            }
            token = page.next_continuation_token;
            if token.is_none() || limit.is_some() {
                // Some tools make an object for a folder.
                found.retain(|listed| !listed.name.is_empty());
                found.sort_by(|a, b| a.name.cmp(&b.name));
                return Ok(found);
            }
        }
    }

    fn tag(&self, key: &str, answer: &Answer) -> io::Result<String> {
        let tag = answer.header(header::ETAG.as_str());
        Ok(tag
            .ok_or_else(|| self.away(key, "no ETag was answered"))?
            .to_owned())
    }
}

/// Says nothing about any object: the store could not be asked, or refused.
pub(super) const AWAY: io::ErrorKind = io::ErrorKind::NetworkDown;
pub(super) const CONTENT_MD5: &str = "content-md5";
/// How often a request is sent at most.
const TRIES: u32 = 5;
/// After this time none is sent again.
const TRYING: Duration = Duration::from_secs(60);
/// More versions than retries leave.
const VERSIONS_MAX: u32 = 100;
