//! A bucket in memory, with faults at will. It wants a checksum of everything that is written, and pages of lists are short.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use url::form_urlencoded;

use super::super::answer::Sum;

/// What goes wrong with a request.
#[derive(Clone, Copy)]
pub enum Fault {
    /// It is answered so, and not done.
    Answer(u16, &'static str),
    /// The connection ends in the middle of the body.
    Cut,
    /// It is done, and the connection ends before the answer.
    Lost,
    /// A bit of the body is turned over on the way.
    Damage,
}

#[derive(Default)]
pub struct State {
    pub objects: BTreeMap<String, Vec<u8>>,
    tags: BTreeMap<String, String>,
    pub uploads: BTreeMap<String, BTreeMap<u16, Vec<u8>>>,
    begun: u32,
    /// Kinds of the requests that came.
    pub asked: Vec<&'static str>,
    /// The next request of a kind has this fault.
    faults: Vec<(&'static str, Fault)>,
    /// Every request of a kind has this one.
    pub always: Option<(&'static str, Fault)>,
    /// Objects that were written whatever was there.
    pub blind: u32,
}

/// The server. Its thread ends with the process.
pub struct Fake {
    pub port: u16,
    pub state: Arc<Mutex<State>>,
}

struct Request {
    method: String,
    key: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Fake {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that goes away is its own affair.
                let _ = serve(stream.unwrap(), &served);
            }
        });
        Self { port, state }
    }

    /// What goes wrong with the next requests, in order; a kind for each.
    pub fn plan(&self, faults: &[(&'static str, Fault)]) {
        self.state.lock().faults = faults.to_vec();
    }

    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.state.lock().objects.get(key).cloned()
    }

    /// How many requests of a kind came.
    pub fn count(&self, kind: &str) -> usize {
        self.state
            .lock()
            .asked
            .iter()
            .filter(|asked| **asked == kind)
            .count()
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        key: path.trim_start_matches('/').to_owned(),
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: BTreeMap::new(),
        body: Vec::new(),
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        request.headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = request.headers.get("content-length");
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    let kind = request.kind();
    let mut locked = state.lock();
    locked.asked.push(kind);
    let planned = locked.faults.iter().position(|(of, _)| *of == kind);
    let always = locked.always.filter(|(of, _)| *of == kind || *of == "*");
    let fault = planned.map(|at| locked.faults.remove(at)).or(always);
    let fault = fault.map(|(_, fault)| fault);
    drop(locked);
    if matches!(fault, Some(Fault::Cut)) {
        let mut half = vec![0; length / 2];
        return reader.read_exact(&mut half);
    }
    request.body = vec![0; length];
    reader.read_exact(&mut request.body)?;
    if matches!(fault, Some(Fault::Damage)) {
        request.body[length / 2] ^= 1;
    }
    let reply = match fault {
        Some(Fault::Answer(status, code)) => Reply::error(status, code),
        _ => request.answer(&mut state.lock()),
    };
    if matches!(fault, Some(Fault::Lost)) {
        return Ok(());
    }
    let body: &[u8] = if method == "HEAD" { &[] } else { &reply.body };
    write!(stream, "HTTP/1.1 {} Said\r\nconnection: close\r\n", reply.status)?;
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    write!(stream, "content-length: {}\r\n\r\n", reply.body.len())?;
    stream.write_all(body)
}

impl State {
    fn put(&mut self, key: &str, bytes: Vec<u8>, tag: String) {
        self.objects.insert(key.to_owned(), bytes);
        self.tags.insert(key.to_owned(), format!("\"{tag}\""));
    }
}

impl Request {
    fn kind(&self) -> &'static str {
        match self.method.as_str() {
            "HEAD" => "HEAD",
            "GET" if self.query.contains_key("list-type") => "LIST",
            "GET" => "GET",
            "PUT" if self.query.contains_key("partNumber") => "PART",
            "PUT" => "PUT",
            "POST" if self.query.contains_key("uploads") => "BEGIN",
            "POST" => "END",
            "DELETE" if self.query.contains_key("uploadId") => "ABORT",
            _ => "DELETE",
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn answer(&self, state: &mut State) -> Reply {
        let Some(key) = self
            .key
            .strip_prefix("audit")
            .map(|key| key.trim_start_matches('/'))
        else {
            return Reply::error(404, "NoSuchBucket");
        };
        assert!(self.query.contains_key("X-Amz-Signature"), "everything is signed");
        let there = state.objects.get(key).cloned();
        let tag = there.as_ref().map(|_| state.tags[key].clone());
        match self.kind() {
            "PUT" | "PART" if self.header("content-md5") != Some(&STANDARD.encode(Sum::of(&self.body).0)) => {
                Reply::error(400, "BadDigest")
            }
            "PUT" => match (self.header("if-none-match"), self.header("if-match")) {
                (Some("*"), None) if there.is_some() => Reply::error(412, "PreconditionFailed"),
                (None, Some(_)) if there.is_none() => Reply::error(404, "NoSuchKey"),
                (None, Some(wanted)) if tag.as_deref() != Some(wanted) => {
                    Reply::error(412, "PreconditionFailed")
                }
                conditions => {
                    state.blind += u32::from(conditions == (None, None));
                    state.put(key, self.body.clone(), Sum::of(&self.body).hex());
                    Reply::ok(Vec::new())
                }
            },
            "BEGIN" => {
                state.begun += 1;
                let id = format!("upload-{}", state.begun);
                state.uploads.insert(id.clone(), BTreeMap::new());
                Reply::ok(format!(
                    "<InitiateMultipartUploadResult xmlns=\"{NS}\"><Bucket>audit</Bucket><Key>k</Key><UploadId>{id}</UploadId>\
                     </InitiateMultipartUploadResult>"
                ))
            }
            "PART" | "END" | "ABORT" if !state.uploads.contains_key(&self.query["uploadId"]) => {
                Reply::error(404, "NoSuchUpload")
            }
            "PART" => {
                let parts = state.uploads.get_mut(&self.query["uploadId"]).unwrap();
                parts.insert(self.query["partNumber"].parse().unwrap(), self.body.clone());
                Reply::ok(Vec::new()).with("etag", format!("\"{}\"", Sum::of(&self.body).hex()))
            }
            "END" => {
                let parts = state.uploads.remove(&self.query["uploadId"]).unwrap();
                let named = String::from_utf8_lossy(&self.body).matches("<ETag>").count();
                assert_eq!(named, parts.len(), "every part is named");
                let bytes: Vec<u8> = parts.values().flatten().copied().collect();
                let sums: Vec<u8> = parts.values().flat_map(|part| Sum::of(part).0).collect();
                state.put(key, bytes, format!("{}-{}", Sum::of(&sums).hex(), parts.len()));
                Reply::ok(format!(
                    "<CompleteMultipartUploadResult xmlns=\"{NS}\"><ETag>x</ETag></CompleteMultipartUploadResult>"
                ))
            }
            "ABORT" => {
                state.uploads.remove(&self.query["uploadId"]);
                Reply::empty(204)
            }
            "DELETE" => {
                state.objects.remove(key);
                Reply::empty(204)
            }
            "LIST" => self.list(state),
            "HEAD" => match (there, tag) {
                (Some(bytes), Some(tag)) => Reply::ok(bytes).with("etag", tag),
                _ => Reply::empty(404),
            },
            _ => match (there, tag) {
                (Some(bytes), Some(tag)) => self.range(&bytes, tag),
                _ => Reply::error(404, "NoSuchKey"),
            },
        }
    }

    fn range(&self, bytes: &[u8], tag: String) -> Reply {
        if self.header("if-match").is_some_and(|wanted| wanted != tag) {
            return Reply::error(412, "PreconditionFailed");
        }
        let (first, last) = self
            .header("range")
            .unwrap()
            .strip_prefix("bytes=")
            .unwrap()
            .split_once('-')
            .unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        if first >= bytes.len() {
            return Reply::error(416, "InvalidRange");
        }
        let last = last.min(bytes.len() - 1);
        let mut reply = Reply::ok(&bytes[first..=last]).with("etag", tag);
        reply.status = 206;
        reply.with("content-range", format!("bytes {first}-{last}/{}", bytes.len()))
    }

    fn list(&self, state: &State) -> Reply {
        let prefix = &self.query["prefix"];
        let delimiter = self.query.get("delimiter");
        let mut names: Vec<(String, Option<usize>)> = Vec::new();
        for (key, bytes) in state
            .objects
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(prefix.as_str()))
        {
            let rest = &key[prefix.len()..];
            let name = match delimiter.and_then(|delimiter| rest.find(delimiter.as_str())) {
                Some(at) => (format!("{prefix}{}", &rest[..=at]), None),
                None => (key.clone(), Some(bytes.len())),
            };
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        let from: usize = self
            .query
            .get("continuation-token")
            .map_or(0, |token| token.parse().unwrap());
        let page = self
            .query
            .get("max-keys")
            .map_or(PAGE, |most| most.parse().unwrap());
        let to = names.len().min(from + page);
        let is_cut = to < names.len();
        let mut text =
            format!("<ListBucketResult xmlns=\"{NS}\"><Name>audit</Name><IsTruncated>{is_cut}</IsTruncated>");
        for (name, len) in &names[from..to] {
            text += &match len {
                Some(len) => format!("<Contents><Key>{name}</Key><Size>{len}</Size></Contents>"),
                None => format!("<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"),
            };
        }
        if is_cut {
            text += &format!("<NextContinuationToken>{to}</NextContinuationToken>");
        }
        Reply::ok(text + "</ListBucketResult>")
    }
}

impl Reply {
    fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    fn empty(status: u16) -> Self {
        Self {
            status,
            ..Self::ok(Vec::new())
        }
    }

    fn error(status: u16, code: &str) -> Self {
        Self {
            status,
            ..Self::ok(format!(
                "<Error><Code>{code}</Code><Message>because of {code}</Message></Error>"
            ))
        }
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

const NS: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
/// Names in one answer.
const PAGE: usize = 3;
