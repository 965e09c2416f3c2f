//! Which requests are sent again.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Client;
use crate::cli::Remote;

/// A server that reads each request and hangs up on the first `broken` of them; then it answers 201. Returns a client of it
/// and how many requests it got.
fn server(broken: u32, first: &'static str) -> (Client, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n{}") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            let number = counter.fetch_add(1, Ordering::SeqCst);
            let answer = if number < broken {
                first
            } else {
                "HTTP/1.1 201 Created\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
            };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let remote = Remote {
        url,
        credential: Some("secret".into()),
        ca_file: None,
        client_certificate: None,
        client_key: None,
    };
    (Client::new(&remote).unwrap_or_else(|_| panic!("client")), seen)
}

#[test]
fn a_post_without_a_key_is_not_sent_again_when_the_connection_breaks() {
    let (client, seen) = server(1, "");
    assert!(client.post("/v1/credentials", &[], b"{}").is_err());
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[test]
fn a_post_with_a_key_is_sent_again() {
    let (client, seen) = server(2, "");
    let answer = client.post("/v1/events", &[("Idempotency-Key", "k")], b"{}");
    assert_eq!(answer.unwrap_or_else(|_| panic!("failed")).status, 201);
    assert_eq!(seen.load(Ordering::SeqCst), 3);
}

#[test]
fn a_post_without_a_key_is_sent_again_when_the_server_refused_it_for_now() {
    let busy = "HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (client, seen) = server(1, busy);
    let answer = client.post("/v1/credentials", &[], b"{}");
    assert_eq!(answer.unwrap_or_else(|_| panic!("failed")).status, 201);
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[test]
fn a_post_without_a_key_is_not_sent_again_when_the_server_stopped_over_it() {
    let stopped = "HTTP/1.1 503 Stopped\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (client, seen) = server(1, stopped);
    let answer = client.post("/v1/credentials", &[], b"{}");
    assert_eq!(answer.unwrap_or_else(|_| panic!("failed")).status, 503);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}
