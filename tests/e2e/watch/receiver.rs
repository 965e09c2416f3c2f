//! A webhook receiver: keeps what comes, and answers as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver as Channel, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::harness::scale;

/// What a request had.
#[derive(Clone, Debug)]
pub struct Got {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// How requests are answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// With this status.
    Status(u16),
    /// With a redirect to there.
    Redirect(String),
    /// Not at all: the connection stays open.
    Never,
    /// With the head only, and a body that does not end.
    Endless,
}

pub struct Receiver {
    pub url: String,
    requests: Channel<Got>,
    answer: Arc<Mutex<Answer>>,
}

impl Got {
    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The seqs of the records that it tells of.
    pub fn seqs(&self) -> Vec<u64> {
        let json = self.json();
        let records = json["data"]["records"].as_array().unwrap();
        assert_eq!(json["data"]["count"], records.len());
        records
            .iter()
            .map(|record| record["seq"].as_u64().unwrap())
            .collect()
    }

    /// Asserts that Python, which knows nothing of ours, finds the signature right.
    pub fn verify(&self, secret: &str) {
        const PROGRAM: &str = "import base64, hashlib, hmac, sys, time\n\
            secret, id, stamp, signature = sys.argv[1:5]\n\
            body = sys.stdin.buffer.read()\n\
            key = base64.b64decode(secret.removeprefix('whsec_'))\n\
            own = hmac.new(key, f'{id}.{stamp}.'.encode() + body, hashlib.sha256).digest()\n\
            assert signature == 'v1,' + base64.b64encode(own).decode(), signature\n\
            assert abs(time.time() - int(stamp)) < 300, stamp\n";
        let header = |name: &str| self.headers[name].as_str();
        let mut python = std::process::Command::new("python3")
            .args(["-c", PROGRAM, secret])
            .args([
                header("webhook-id"),
                header("webhook-timestamp"),
                header("webhook-signature"),
            ])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        python.stdin.take().unwrap().write_all(&self.body).unwrap();
        assert!(python.wait().unwrap().success(), "{self:?}");
    }
}

impl Receiver {
    pub fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (sender, requests) = channel();
        let answer = Arc::new(Mutex::new(answer));
        let shared = Arc::clone(&answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (sender, answer) = (sender.clone(), Arc::clone(&shared));
                std::thread::spawn(move || {
                    let Ok(stream) = stream else { return };
                    let Some(got) = read(&stream) else { return };
                    let answer = answer.lock().unwrap().clone();
                    let _ = sender.send(got);
                    reply(stream, &answer);
                });
            }
        });
        Self {
            url,
            requests,
            answer,
        }
    }

    /// Changes how later requests are answered.
    pub fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// The next request.
    pub fn next(&self) -> Got {
        let patience = Duration::from_secs(scale("ATTESTORE_PATIENCE_S", 40));
        self.requests.recv_timeout(patience).expect("a request comes")
    }

    /// The next request, if it comes soon.
    pub fn try_next(&self) -> Option<Got> {
        self.requests.recv_timeout(Duration::from_millis(300)).ok()
    }

    /// Asserts that nothing comes for a while.
    pub fn quiet(&self) {
        let got = self.requests.recv_timeout(Duration::from_millis(700));
        assert!(got.is_err(), "{got:?}");
    }
}

fn read(stream: &TcpStream) -> Option<Got> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    assert!(line.starts_with("POST "), "{line:?}");
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ")?;
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Got { path, headers, body })
}

fn reply(mut stream: TcpStream, answer: &Answer) {
    let head = match answer {
        Answer::Status(status) => format!("HTTP/1.1 {status} x\r\ncontent-length: 2\r\n\r\nok"),
        Answer::Redirect(to) => {
            format!("HTTP/1.1 307 x\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
        }
        Answer::Never => String::new(),
        Answer::Endless => "HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
    };
    let _ = stream.write_all(head.as_bytes());
    match answer {
        Answer::Never => drop(stream.read_to_end(&mut Vec::new())),
        Answer::Endless => while stream.write_all(b"4\r\nmore\r\n").is_ok() {},
        Answer::Status(_) | Answer::Redirect(_) => {}
    }
}
