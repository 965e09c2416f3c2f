//! Thousands of tenants in one process stay cheap: no thread, no open file per tenant, little memory when idle.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Server, event, scale};

const CLIENTS: u64 = 8;
/// What an idle tenant may cost in memory.
const IDLE_BYTES_MAX: u64 = 64 << 10;

fn each_tenant(server: &Server, tenants: u64, act: impl Fn(&crate::harness::Client, u64) + Sync) -> Duration {
    let next = AtomicU64::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let client = server.client();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= tenants {
                        break;
                    }
                    act(&client, n);
                }
            });
        }
    });
    started.elapsed()
}

/// Resident memory in bytes, threads and open descriptors of the server.
fn usage(server: &Server) -> (u64, u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let field = |name: &str| -> u64 {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", server.pid()))
        .unwrap()
        .count() as u64;
    (field("VmRSS:") * 1024, field("Threads:"), descriptors)
}

fn files(dir: &std::path::Path) -> u64 {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .map(|p| if p.is_dir() { files(&p) } else { 1 })
        .sum()
}

#[test]
fn many_tenants_with_an_event_each_stay_cheap() {
    let tenants = scale("ATTESTORE_TENANTS", 300);
    let mut server = Server::start_with(&[], &[("ATTESTORE_ENGINE__FLUSH_AGE_MS", "3000")]);
    let (rss_before, threads_before, _) = usage(&server);
    let made = each_tenant(&server, tenants, |client, n| {
        let answer = client.request("PUT", &format!("/v1/tenants/t{n}"), &[], &[]);
        assert_eq!(answer.status, 201, "{}", answer.text());
    });
    for round in 0..3 {
        let appended = each_tenant(&server, tenants, |client, n| {
            let answer = client.post_json(&format!("/v1/tenants/t{n}/events"), &event(n));
            assert_eq!(answer.status, 201, "{}", answer.text());
        });
        println!("round {round}: {tenants} events in {appended:?}");
    }
    let (rss_busy, threads, descriptors) = usage(&server);
    println!(
        "{tenants} tenants made in {made:?}; with a tail each: {} MiB, {threads} threads, {descriptors} descriptors",
        rss_busy >> 20
    );
    assert!(
        descriptors < 200,
        "{descriptors} descriptors for {tenants} tenants"
    );
    assert!(
        threads <= threads_before + 64,
        "{threads} threads for {tenants} tenants"
    );

    // The tails age and are flushed; nothing waits in the log any more.
    let started = Instant::now();
    let tail = || metric(&server, "attestore_tail_records");
    while tail() > 0 {
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "the tails are not flushed: {}",
            tail()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let flushed = started.elapsed();
    let (rss_flushed, _, _) = usage(&server);
    // Idle: the allocator has given back what the flush needed for a moment.
    std::thread::sleep(Duration::from_secs(if tenants >= 1000 { 15 } else { 0 }));
    let (rss_idle, _, descriptors) = usage(&server);
    let each = rss_idle.saturating_sub(rss_before) / tenants;
    println!(
        "flushed {flushed:?} after the last append (tails age for 3 s): {} MiB; idle: {} MiB, {each} bytes per tenant, {descriptors} descriptors, {} files",
        rss_flushed >> 20,
        rss_idle >> 20,
        files(&server.data())
    );
    // A process has costs of its own that only many tenants make small.
    if tenants >= 1000 {
        assert!(each <= IDLE_BYTES_MAX, "an idle tenant costs {each} bytes");
    }
    for n in [0, tenants / 2, tenants - 1] {
        assert_eq!(
            server.client().count(&format!("t{n}"), "action:invoice.export"),
            3
        );
    }
    server.kill();
    let start = server.run();
    println!("started again in {start:?}");
    assert_eq!(server.client().count(&format!("t{}", tenants - 1), ""), 3);
}

fn metric(server: &Server, name: &str) -> u64 {
    let text = server.client().get("/metrics").text();
    let line = text
        .lines()
        .find(|l| l.starts_with(name))
        .unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64
}
