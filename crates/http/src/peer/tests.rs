use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Peer;
use crate::serve::serve;
use crate::server::Settings;

const POST: &str = "POST /append HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
const WATCH: &str = "GET /watch HTTP/1.1\r\nHost: x\r\n\r\n";

const LARGE: usize = 64 << 20;

/// A server with a route that reads a body and one that waits until the client has left.
struct Fixture {
    runtime: Runtime,
    address: SocketAddr,
    seen: UnboundedReceiver<&'static str>,
}

fn fixture() -> Fixture {
    serving(Settings::default())
}

fn serving(settings: Settings) -> Fixture {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, seen) = unbounded_channel();
    let router = Router::new()
        .route("/append", post(|_: Bytes| async { StatusCode::CREATED }))
        .route("/large", get(|| async { vec![b'x'; LARGE] }))
        .route("/watch", get(move |peer: Peer| watch(peer, tell.clone())));
    runtime.spawn(async move { serve(listener, router, &settings, std::future::pending()).await });
    Fixture {
        runtime,
        address,
        seen,
    }
}

async fn watch(peer: Peer, tell: UnboundedSender<&'static str>) -> StatusCode {
    tell.send("watching").unwrap();
    peer.left().await;
    tell.send("left").unwrap();
    StatusCode::GONE
}

impl Fixture {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    }

    fn next(&mut self) -> Option<&'static str> {
        let next = async { tokio::time::timeout(Duration::from_secs(20), self.seen.recv()).await };
        self.runtime.block_on(next).unwrap()
    }
}

/// What comes until the server closes.
fn all(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The next so many bytes.
fn some(stream: &mut TcpStream, bytes: usize) -> String {
    let mut answer = vec![0; bytes];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn who_closes_its_side_after_a_request_gets_the_answer() {
    let fixture = fixture();
    for requests in 1..4 {
        let mut stream = fixture.connect();
        stream.write_all(POST.repeat(requests).as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let answers = all(stream);
        assert_eq!(answers.matches("HTTP/1.1 201").count(), requests, "{answers}");
    }
}

#[test]
fn who_leaves_while_it_waits_is_noticed() {
    let mut fixture = fixture();
    for half in [true, false] {
        let mut stream = fixture.connect();
        stream.write_all(WATCH.as_bytes()).unwrap();
        assert_eq!(fixture.next(), Some("watching"));
        if half {
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(fixture.next(), Some("left"));
            assert!(all(stream).starts_with("HTTP/1.1 410"));
        } else {
            drop(stream);
            assert_eq!(fixture.next(), Some("left"));
        }
    }
}

#[test]
fn an_answer_does_not_wait_for_the_rest_of_the_next_request() {
    let fixture = fixture();
    for rest in ["\r\n", "GET /wat"] {
        let mut stream = fixture.connect();
        stream.write_all(format!("{POST}{rest}").as_bytes()).unwrap();
        assert_eq!(some(&mut stream, 12), "HTTP/1.1 201", "{rest:?}");
    }
}

#[test]
fn what_is_not_http_is_told_so() {
    let fixture = fixture();
    for request in [
        "POST /append HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST /append HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\nabc",
        "POST /append HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "GET /watch HTTP/1.1\r\nHost : x\r\n\r\n",
        "\x16\x03\x01\r\n\r\n",
    ] {
        let mut stream = fixture.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let answer = all(stream);
        assert!(answer.starts_with("HTTP/1.1 400"), "{request:?}: {answer:?}");
    }
}

#[test]
fn who_takes_nothing_of_an_answer_does_not_keep_its_connection() {
    let mut settings = Settings {
        connections_max: 1,
        ..Settings::default()
    };
    settings.body.deadline = Duration::from_millis(200);
    let fixture = serving(settings);
    let mut idle = fixture.connect();
    idle.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(some(&mut idle, 12), "HTTP/1.1 200");
    let mut next = fixture.connect();
    next.write_all(POST.as_bytes()).unwrap();
    assert_eq!(some(&mut next, 12), "HTTP/1.1 201");
    drop(idle);
}
