//! Killed, restarted and resumed under load: every record once, in order.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::events::{Listened, PATIENCE, listen, numbered, try_listen};
use crate::harness::{Client, Server, escape, scale};

/// Listens, and comes back with the last id whenever the stream ends, until nothing is appended and nothing comes any more.
fn follow(base: &str, secret: &str, path: &str, done: &AtomicBool) -> Vec<u64> {
    let mut last: Option<String> = None;
    let mut seqs = Vec::new();
    let mut quiet = None;
    loop {
        let Ok(Listened::Open(mut stream)) = try_listen(base, secret, path, last.as_deref()) else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        loop {
            match stream.next_within(Duration::from_millis(250)) {
                Some(event) if event.name.is_empty() && !event.data.is_empty() => {
                    seqs.push(event.seq());
                    last = event.id;
                    quiet = None;
                }
                Some(event) if event.name == "progress" => last = event.id,
                Some(_) => {}
                // Broken, or nothing to come: only looking again tells, once no more is appended.
                None if done.load(Ordering::SeqCst) => {
                    let since = *quiet.get_or_insert_with(Instant::now);
                    if since.elapsed() > Duration::from_secs(3) {
                        return seqs;
                    }
                    break;
                }
                None if stream.is_over() => break,
                None => {}
            }
        }
    }
}

#[test]
fn tails_that_come_back_after_kill_9_miss_nothing_and_repeat_nothing() {
    let rounds = scale("ATTESTORE_TAIL_KILLS", 4);
    let mut server = Server::start_with(
        &[],
        &[
            ("ATTESTORE_ENGINE__WAL_FILE_BYTES", "1048576"),
            ("ATTESTORE_ENGINE__FLUSH_TAIL_BYTES", "300000"),
            ("ATTESTORE_ENGINE__L0_TAIL_BYTES_MAX", "100000"),
        ],
    );
    server.stay();
    let (base, secret) = (server.base().to_owned(), server.secret().to_owned());
    let (done, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let queries = ["", "metadata.shard:s1", "NOT metadata.shard:s2", "actor.name:Ann"];
    std::thread::scope(|scope| {
        let tails: Vec<_> = queries
            .iter()
            .map(|q| {
                let path = format!("/v1/tenants/default/tail?from=beginning&q={}", escape(q));
                let (base, secret, done) = (&base, &secret, &done);
                scope.spawn(move || follow(base, secret, &path, done))
            })
            .collect();
        let writer = scope.spawn(|| {
            let client = Client::new(&base, &secret);
            let mut n = 0;
            while !stop.load(Ordering::SeqCst) {
                let lines: String = (n..n + 20).map(|n| format!("{}\n", numbered(n))).collect();
                let headers = [("content-type", "application/x-ndjson")];
                match client.try_request("POST", "/v1/tenants/default/events", &headers, lines.as_bytes()) {
                    Ok(answer) if answer.status == 201 => n += 20,
                    _ => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        });
        for round in 0..rounds {
            std::thread::sleep(Duration::from_millis(700 + 137 * round));
            server.kill();
            server.run();
        }
        std::thread::sleep(Duration::from_millis(700));
        stop.store(true, Ordering::SeqCst);
        writer.join().unwrap();
        done.store(true, Ordering::SeqCst);
        let client = server.client();
        for (tail, q) in tails.into_iter().zip(queries) {
            let shown = tail.join().unwrap();
            let all = client.all("default", q);
            let expected: Vec<u64> = all.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
            assert!(expected.len() > 50, "{q}: {} records", expected.len());
            assert_eq!(shown, expected, "{q}");
        }
    });
}

#[test]
fn two_hundred_tails_with_different_filters_beside_appends_miss_nothing_and_repeat_nothing() {
    const TAILS: u64 = 200;
    let seconds = scale("ATTESTORE_FOLLOW_SECONDS", 3);
    let rate = scale("ATTESTORE_FOLLOW_RATE", 1000);
    let server = Server::start_with(&[], &[("ATTESTORE_ENGINE__FLUSH_TAIL_BYTES", "2000000")]);
    let (base, secret) = (server.base(), server.secret());
    let address = base.strip_prefix("http://").unwrap();
    let stalled: Vec<TcpStream> = (0..10)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            let request = format!(
                "GET /v1/tenants/default/tail HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    let tails: Vec<_> = (0..TAILS)
        .map(|n| {
            let path = format!("/v1/tenants/default/tail?q=metadata.one:x{n}");
            let mut tail = listen(base, secret, &path, None);
            tail.named("progress");
            tail
        })
        .collect();
    let client = server.client();
    let batch = (rate / 20).max(1);
    let (began, mut n) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        let due = began.elapsed().as_millis() as u64 * rate / 1000;
        if n >= due {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        let lines: String = (n..n + batch)
            .map(|n| {
                let mut event = numbered(n);
                event["metadata"]["one"] = format!("x{}", n % TAILS).into();
                format!("{event}\n")
            })
            .collect();
        let answer = client.post_ndjson("/v1/tenants/default/events", &lines);
        match answer.status {
            201 => n += batch,
            status => assert_eq!(status, 503, "{}", answer.text()),
        }
    }
    println!("{n} records in {seconds} s");
    for (at, mut tail) in tails.into_iter().enumerate() {
        let expected: Vec<u64> = (0..n).filter(|seq| seq % TAILS == at as u64).collect();
        assert_eq!(tail.seqs(expected.len()), expected, "tail {at}");
        assert!(
            tail.next_within(Duration::ZERO)
                .is_none_or(|event| event.name == "progress" || event.data.is_empty()),
            "nothing after the last"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(seconds) + 2 * PATIENCE);
    drop(stalled);
}
