//! Connections: what clients may keep for how long, what is no request, ids and headers, Unix sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Server, binary, event, scale};

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.base().strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends bytes and reads until the server closes.
fn exchange(server: &Server, bytes: &[u8]) -> String {
    let mut stream = connect(server);
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A server that closes with unread bytes resets the connection.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// An answer's head and body, by its length.
fn answer(stream: &mut TcpStream) -> std::io::Result<(String, String)> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((head, String::from_utf8_lossy(&body).into_owned()))
}

fn append(server: &Server, n: u64) -> Vec<u8> {
    let body = event(n).to_string();
    format!(
        "POST /v1/tenants/default/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        server.secret(),
        body.len()
    )
    .into_bytes()
}

#[test]
fn every_answer_has_an_id_and_the_security_headers() {
    let server = Server::start_with(
        &[],
        &[("ATTESTORE_LOG__LEVEL", "info,attestore_http::requests=debug")],
    );
    let get = |path: &str, id: &str| {
        exchange(
            &server,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\n{id}Connection: close\r\n\r\n").as_bytes(),
        )
        .to_lowercase()
    };
    for (path, id) in [
        ("/livez", ""),
        ("/v1/tenants", ""),
        ("/nowhere", ""),
        ("/openapi.json", ""),
        ("/es/x/_doc/1", ""),
    ] {
        let answer = get(path, id);
        for header in [
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'",
            "referrer-policy: no-referrer",
            "cache-control: ",
            "x-request-id: ",
        ] {
            assert_eq!(answer.matches(header).count(), 1, "{path}: {header}: {answer}");
        }
        assert!(!answer.contains("strict-transport-security"), "{answer}");
    }
    let answer = get("/v1/tenants", "X-Request-Id: join-me_1.2\r\n");
    assert!(answer.contains("x-request-id: join-me_1.2\r\n"), "{answer}");
    assert!(answer.contains("\"request_id\":\"join-me_1.2\""), "{answer}");
    for bad in ["a b", "\"><script>", "x/../../y", &"x".repeat(65)] {
        let answer = get("/livez", &format!("X-Request-Id: {bad}\r\n"));
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        assert!(!answer.contains(bad), "{answer}");
    }
    let log = server.log_text();
    assert!(log.contains("join-me_1.2"), "{log}");
    assert!(!log.contains("script"), "{log}");
}

#[test]
fn what_is_no_request_is_told_what_is_wrong_with_it() {
    let server = Server::start();
    let long = format!(
        "GET /livez HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "X-A: b\r\n".repeat(100)
    );
    let path = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000));
    for (bytes, status, code) in [
        (&b"nonsense\r\n\r\n"[..], "400", "malformed_http"),
        (b"GET /livez HTTP/1.1\r\nHost : x\r\n\r\n", "400", "malformed_http"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400", "tls_to_plain"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", "http2_unsupported"),
        (long.as_bytes(), "431", "head_too_large"),
        (path.as_bytes(), "414", "uri_too_long"),
        (
            b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
            "ambiguous_length",
        ),
        (
            b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            "400",
            "ambiguous_length",
        ),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let answer = exchange(&server, bytes);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{shown}: {answer}"
        );
        assert!(!answer.contains("\nHTTP/1.1 "), "{shown}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.to_lowercase().contains("application/problem+json"), "{shown}: {head}");
        assert!(head.to_lowercase().contains("connection: close"), "{shown}: {head}");
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], code, "{shown}: {problem}");
        assert!(problem["request_id"].is_string(), "{problem}");
    }
    assert_eq!(server.client().get("/livez").status, 200);
}

#[test]
fn a_head_has_its_time_and_so_has_the_next_request() {
    let server = Server::start_with(
        &[],
        &[
            ("ATTESTORE_HTTP__HEADER_TIMEOUT_MS", "500"),
            ("ATTESTORE_HTTP__IDLE_TIMEOUT_MS", "2000"),
        ],
    );
    let mut slow = connect(&server);
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n").unwrap();
    // The first head of a connection has its time from the beginning: say something first.
    let mut spoken = connect(&server);
    spoken
        .write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert!(answer(&mut spoken).unwrap().0.starts_with("http/1.1 200"));
    let since = Instant::now();
    spoken.write_all(b"GET /livez HTTP/1.1\r\n").unwrap();
    let (head, body) = answer(&mut spoken).unwrap();
    assert!(
        head.starts_with("http/1.1 408") && body.contains("head_timeout"),
        "{head}{body}"
    );
    assert!(
        since.elapsed() < Duration::from_millis(1800),
        "{:?}",
        since.elapsed()
    );
    assert!(answer(&mut slow).unwrap().1.contains("head_timeout"));
    let mut silent = connect(&server);
    assert_eq!(
        silent.read(&mut [0]).unwrap_or(0),
        0,
        "who says nothing is told nothing"
    );

    let mut idle = connect(&server);
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    answer(&mut idle).unwrap();
    let since = Instant::now();
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
    let waited = since.elapsed();
    assert!(waited > Duration::from_millis(1500), "{waited:?}");
}

#[test]
fn a_connection_ends_after_so_many_requests() {
    let server = Server::start_with(&[], &[("ATTESTORE_HTTP__CONNECTION_REQUESTS_MAX", "3")]);
    let mut stream = connect(&server);
    for n in 1..=3 {
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let (head, _) = answer(&mut stream).unwrap();
        assert_eq!(head.contains("connection: close"), n == 3, "{n}: {head}");
    }
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
}

/// Keeps so many connections open that send a byte of a head now and then; connects again where one was ended.
struct Loris {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<u64>>,
    open: Arc<std::sync::atomic::AtomicUsize>,
}

impl Loris {
    fn start(address: &str, connections: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let open = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (stopped, shown, address) = (Arc::clone(&stop), Arc::clone(&open), address.to_owned());
        let thread = std::thread::spawn(move || {
            let (mut all, mut made) = (Vec::new(), 0);
            while !stopped.load(Ordering::Relaxed) {
                let mut failed = false;
                while all.len() < connections && !failed && !stopped.load(Ordering::Relaxed) {
                    match TcpStream::connect(&address) {
                        Ok(mut stream) => {
                            let _ = stream.set_nonblocking(true);
                            let _ = stream.write_all(b"POST /v1/tenants/default/events HTTP/1.1\r\nX-A: ");
                            all.push(stream);
                            made += 1;
                        }
                        Err(_) => failed = true,
                    }
                }
                shown.store(all.len(), Ordering::Relaxed);
                all.retain_mut(|stream| stream.write_all(b"b").is_ok());
                std::thread::sleep(Duration::from_millis(200));
            }
            made
        });
        Self {
            stop,
            thread: Some(thread),
            open,
        }
    }

    fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

/// Appends one after the other, on one connection or on a new one each; returns the times, sorted.
fn appends(server: &Server, number: u64, fresh: bool) -> Vec<Duration> {
    let mut stream = connect(server);
    let mut times: Vec<_> = (0..number)
        .map(|n| {
            let request = append(server, n);
            let since = Instant::now();
            if fresh {
                stream = connect(server);
            }
            stream.write_all(&request).unwrap();
            let (head, body) = answer(&mut stream).unwrap();
            assert!(head.starts_with("http/1.1 201"), "{head}{body}");
            since.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

/// CI has a smaller crowd, on a server with less room; `ATTESTORE_LORIS=10000` the one that the release must stand.
#[test]
fn a_slow_loris_keeps_nobody_from_appending() {
    let connections = usize::try_from(scale("ATTESTORE_LORIS", 1000)).unwrap();
    let small = [
        ("ATTESTORE_HTTP__CONNECTIONS_MAX", "400"),
        ("ATTESTORE_HTTP__ADDRESS_CONNECTIONS_MAX", "300"),
    ];
    let env = if connections < 5000 { &small[..] } else { &[] };
    let server = Server::start_with(&[], env);
    let number = 400;
    let alone = appends(&server, number, false);
    let loris = Loris::start(server.base().strip_prefix("http://").unwrap(), connections);
    let started = Instant::now();
    while loris.open.load(Ordering::Relaxed) < connections * 9 / 10
        && started.elapsed() < Duration::from_secs(60)
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    let kept = appends(&server, number, false);
    let fresh = appends(&server, number, true);
    let made = loris.stop();
    let at = |times: &[Duration], percent: usize| times[times.len() * percent / 100];
    let table = [("alone", &alone), ("kept", &kept), ("fresh", &fresh)]
        .map(|(name, times)| format!("{name}: p50 {:?}, p99 {:?}", at(times, 50), at(times, 99)));
    println!("{connections} slow connections, {made} made; {table:?}");
    assert!(made as usize >= connections, "{made}");
    // What the release must keep is 10 ms on a quiet machine; others share this one.
    let most = Duration::from_millis(scale("ATTESTORE_LORIS_P99_MS", 150)).max(at(&alone, 99) * 4);
    assert!(at(&kept, 99) < most && at(&fresh, 99) < most, "{table:?}");
}

#[test]
fn quiet_connections_of_an_address_make_room_for_newcomers() {
    let server = Server::start_with(&[], &[("ATTESTORE_HTTP__ADDRESS_CONNECTIONS_MAX", "8")]);
    let quiet: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = connect(&server);
            stream
                .write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                .unwrap();
            answer(&mut stream).unwrap();
            stream
        })
        .collect();
    let newcomers: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = connect(&server);
            stream
                .write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                .unwrap();
            assert!(answer(&mut stream).unwrap().0.starts_with("http/1.1 200"));
            stream
        })
        .collect();
    let ended = quiet
        .iter()
        .filter(|stream| {
            stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            let mut one = [0];
            let mut stream: &TcpStream = stream;
            !matches!(stream.read(&mut one), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        })
        .count();
    assert_eq!(ended, 4, "as many as came");
    let metrics = String::from_utf8(
        Command::new("curl")
            .args(["-s", "-H", &format!("Authorization: Bearer {}", server.secret())])
            .arg(format!("{}/metrics", server.base()))
            .output()
            .unwrap()
            .stdout,
    )
    .unwrap();
    assert!(
        metrics.contains("attestore_http_connections_ended_total{reason=\"made_room\"}"),
        "{metrics}"
    );
    drop(newcomers);
}

#[test]
fn a_unix_socket_has_its_mode_needs_a_credential_and_outlives_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attestore.sock");
    let socket = path.to_string_lossy().into_owned();
    let mut server = Server::start_with(
        &["--unix-socket", &socket],
        &[("ATTESTORE_UNIX__MODE", "0600"), ("ATTESTORE_UNIX__GROUP", "0")],
    );
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let url = format!("unix:{socket}");
    let run = |credential: &str, arguments: &[&str]| {
        let mut command = binary();
        command.args(arguments).env("ATTESTORE_URL", &url);
        command.env("ATTESTORE_CREDENTIAL", credential).output().unwrap()
    };
    let file = folder.path().join("events.ndjson");
    std::fs::write(&file, event(1).to_string()).unwrap();
    let file = file.to_string_lossy().into_owned();
    let secret = server.secret().to_owned();
    let appended = run(&secret, &["append", &file]);
    assert!(appended.status.success(), "{appended:?}");
    let refused = run("nonsense", &["append", &file]);
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("401"),
        "{refused:?}"
    );

    let second = binary()
        .args(["serve", "--listen", "", "--unix-socket", &socket, "--data"])
        .arg(folder.path().join("other"))
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&second.stderr).contains("another server"),
        "{second:?}"
    );

    server.kill();
    assert!(path.exists());
    server.run();
    let found = run(&secret, &["search", "--count"]);
    assert!(found.status.success(), "{found:?}");
    server.stop();
    assert!(!path.exists(), "a server that stops takes its socket with it");
}

#[test]
fn a_server_leaves_no_core_dump() {
    let server = Server::start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    let fields: Vec<_> = core.split_whitespace().collect();
    assert_eq!(fields[4..6], ["0", "0"], "{core}");
}

#[test]
fn a_connection_serves_on_after_a_refusal_whose_body_came_late() {
    let server = Server::start();
    let mut stream = connect(&server);
    for _ in 0..3 {
        let head = "POST /v1/tenants/default/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer nobody\r\n\
                    content-type: application/json\r\ncontent-length: 2\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(30));
        stream.write_all(b"{}").unwrap();
        let (head, body) = answer(&mut stream).unwrap();
        assert!(head.starts_with("http/1.1 401 "), "{head}");
        assert!(!head.contains("connection: close"), "{head}");
        assert!(body.contains("unauthenticated"), "{body}");
    }
    // Who does not send it in time is told that this was the last.
    let head = "POST /v1/tenants/default/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let (head, _) = answer(&mut stream).unwrap();
    assert!(head.starts_with("http/1.1 401 "), "{head}");
    assert!(head.contains("connection: close"), "{head}");
}
