//! Who counts as whom, and floods.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Server, event, scale};

use super::wire::Wire;

#[test]
fn only_a_proxy_that_is_named_is_believed() {
    let limits = [
        ("ATTESTORE_LIMITS__EXEMPT", "192.0.2.1"),
        ("ATTESTORE_LIMITS__ADDRESS__PUBLIC", "3/h"),
    ];
    let passed = |server: &Server, header: &str, values: &mut dyn FnMut(usize) -> String| {
        let mut wire = Wire::connect(server.base(), "");
        (0..10)
            .filter(|n| wire.ask("GET", "/livez", &[(header, &values(*n))], b"").status == 200)
            .count()
    };
    let alone = Server::start_with(&[], &limits);
    let mut spoofed = |n: usize| format!("203.0.113.{n}");
    assert_eq!(passed(&alone, "x-forwarded-for", &mut spoofed), 3);
    let mut behind = limits.to_vec();
    behind.push(("ATTESTORE_PROXY__TRUSTED", "127.0.0.0/8"));
    let server = Server::start_with(&[], &behind);
    assert_eq!(passed(&server, "x-forwarded-for", &mut spoofed), 10);
    let mut same = |n: usize| format!("203.0.113.{n}, 198.51.100.7");
    assert_eq!(
        passed(&server, "x-forwarded-for", &mut same),
        3,
        "the client wrote the first itself"
    );
    let mut neighbours = |n: usize| format!("2001:db8::{n}");
    assert_eq!(passed(&server, "x-forwarded-for", &mut neighbours), 3);
    let mut other = |n: usize| format!("for=198.51.100.{n}");
    assert_eq!(
        passed(&server, "forwarded", &mut other),
        3,
        "the proxy does not write that one"
    );
}

#[test]
fn a_flood_of_addresses_takes_no_memory_and_honest_clients_are_served() {
    let addresses = scale("ATTESTORE_ADDRESSES", 60_000);
    let server = Server::start_with(
        &[],
        &[
            ("ATTESTORE_LIMITS__KEYS_MAX", "16384"),
            ("ATTESTORE_LIMITS__ADDRESS__ALL", "20/s gcra burst=20"),
            ("ATTESTORE_LIMITS__TIGHTEN__THRESHOLD", "50"),
            ("ATTESTORE_LIMITS__EXEMPT", "198.51.100.0/24"),
            ("ATTESTORE_PROXY__TRUSTED", "127.0.0.1"),
        ],
    );
    let (base, secret) = (server.base(), server.secret());
    let honest = |count: usize| -> Duration {
        let mut wire = Wire::connect(base, secret);
        let body = serde_json::to_vec(&event(1)).unwrap();
        let headers = [
            ("content-type", "application/json"),
            ("x-forwarded-for", "198.51.100.7"),
        ];
        let mut times: Vec<Duration> = (0..count)
            .map(|_| {
                let begin = Instant::now();
                let answer = wire.ask("POST", "/v1/tenants/default/events", &headers, &body);
                assert_eq!(answer.status, 201, "{}", answer.text());
                let took = begin.elapsed();
                std::thread::sleep(Duration::from_millis(1));
                took
            })
            .collect();
        times.sort();
        times[times.len() * 99 / 100]
    };
    let calm = honest(500);
    let before = resident_bytes(server.pid());
    let (next, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let flooded = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut wire = Wire::connect(base, "");
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= addresses {
                        break;
                    }
                    let from = format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255);
                    let answer = wire.ask("GET", "/livez", &[("x-forwarded-for", &from)], b"");
                    assert_eq!(answer.status, 200);
                }
                over.store(true, Ordering::Relaxed);
            });
        }
        honest(500)
    });
    assert!(over.load(Ordering::Relaxed));
    let grown = resident_bytes(server.pid()).saturating_sub(before);
    let limits = server.client().get("/v1/status").json()["limits"].take();
    println!("p99 {calm:?}, in the flood {flooded:?}; {addresses} addresses, {grown} bytes more; {limits}");
    assert!(limits["keys"].as_u64().unwrap() <= 3 * 16_384, "{limits}");
    assert!(
        limits["keys_evicted"].as_u64().unwrap() > addresses / 2,
        "{limits}"
    );
    assert!(grown < 64 << 20, "{grown} bytes more");
    assert!(
        flooded < calm * 2 + Duration::from_millis(50),
        "{calm:?}, then {flooded:?}"
    );
}

fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
