//! Limits that servers keep together over Redis (Debian: redis-server).

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Server, event, scale};
use crate::tls::{Authority, local};

use super::wire::Wire;

const EVENTS: &str = "/v1/tenants/default/events";

struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        Self::start_at(port)
    }

    fn start_at(port: u16) -> Self {
        Self::start_with(port, &["--port", &port.to_string()])
    }

    /// With TLS and nothing else.
    fn start_tls(authority: &Authority) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let arguments = [
            "--port",
            "0",
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &authority.text("redis.pem"),
            "--tls-key-file",
            &authority.text("redis.key"),
            "--tls-ca-cert-file",
            &authority.text("ca.pem"),
            "--tls-auth-clients",
            "no",
        ];
        Self::start_with(port, &arguments)
    }

    fn start_with(port: u16, arguments: &[&str]) -> Self {
        let child = Command::new("redis-server")
            .args(arguments)
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(20), "redis does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, port }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn server(&self, limit: &str) -> Server {
        let url = format!("redis://127.0.0.1:{}/", self.port);
        Server::start_with(
            &[],
            &[
                ("ATTESTORE_REDIS__URL", &url),
                ("ATTESTORE_LIMITS__TENANT__APPEND", limit),
            ],
        )
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shared(server: &Server) -> Value {
    server.client().get("/v1/status").json()["limits"]["shared"].take()
}

/// Waits until the state is as it should be.
fn until(server: &Server, what: &str, is: impl Fn(&Value) -> bool) -> Duration {
    let begin = Instant::now();
    loop {
        let state = shared(server);
        if is(&state) {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{what}: {state}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn three_servers_on_one_redis_hold_a_limit_within_two_percent() {
    let seconds = scale("ATTESTORE_LIMIT_SECONDS", 4);
    let limit = scale("ATTESTORE_LIMIT", 1200);
    let redis = Redis::start();
    let servers: Vec<Server> = (0..3)
        .map(|_| redis.server(&format!("{limit}/{seconds}s")))
        .collect();
    for server in &servers {
        until(server, "all are there", |state| {
            state["servers"] == 3 && state["degraded"] == false
        });
    }
    let (window, rounds) = (Duration::from_secs(seconds), 3);
    let begin = Instant::now();
    let end = begin + window * (rounds + 1) + Duration::from_millis(500);
    let results: Vec<(Vec<(Duration, Duration)>, u64)> = std::thread::scope(|scope| {
        let clients: Vec<_> = servers
            .iter()
            .flat_map(|server| std::iter::repeat_n(server, 8))
            .map(|server| {
                scope.spawn(move || {
                    let mut wire = Wire::connect(server.base(), server.secret());
                    let body = event(1);
                    let (mut passed, mut refused) = (Vec::new(), 0);
                    while Instant::now() < end {
                        let sent = begin.elapsed();
                        let answer = wire.post(EVENTS, &body);
                        match answer.status {
                            201 => passed.push((sent, begin.elapsed())),
                            429 => {
                                refused += 1;
                                std::thread::sleep(Duration::from_millis(4));
                            }
                            status => panic!("{status}: {}", answer.text()),
                        }
                    }
                    (passed, refused)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let refused: u64 = results.iter().map(|(_, refused)| refused).sum();
    let mut times: Vec<(Duration, Duration)> = results.into_iter().flat_map(|(passed, _)| passed).collect();
    times.sort();
    // What was sent and answered within a window was surely let through within it; how long a machine that is busy takes for
    // the rest is no business of the limit.
    let fullest = times
        .iter()
        .enumerate()
        .map(|(at, (first, _))| {
            times[at..]
                .iter()
                .filter(|(_, done)| *done - *first < window)
                .count()
        })
        .max()
        .unwrap();
    let passed: Vec<Duration> = times.iter().map(|(sent, _)| *sent).collect();
    let first = passed[0];
    let later = passed
        .iter()
        .filter(|at| **at - first >= window && **at - first < window * (rounds + 1))
        .count();
    let promised = u64::from(rounds) * limit;
    println!(
        "limit {limit} in {seconds} s: fullest window {fullest}, {later} of {promised} in {rounds} windows, {refused} refused"
    );
    assert!(
        refused > limit / 4,
        "the load was below the limit: {refused} refused"
    );
    assert!(fullest as u64 * 100 <= limit * 102, "{fullest} in one window");
    assert!(later as u64 * 100 >= promised * 98, "{later} of {promised}");
}

#[test]
fn appends_go_on_when_redis_stalls_or_dies_and_all_is_well_when_it_is_back() {
    let mut redis = Redis::start();
    let server = redis.server("1000000/s");
    until(&server, "it answers", |state| state["degraded"] == false);
    let stop = AtomicBool::new(false);
    let measure = |name: &str| {
        let begin = Instant::now();
        let mut wire = Wire::connect(server.base(), server.secret());
        let mut times = Vec::new();
        while begin.elapsed() < Duration::from_secs(2) {
            let sent = Instant::now();
            let answer = wire.post(EVENTS, &event(1));
            assert_eq!(answer.status, 201, "{name}: {}", answer.text());
            times.push(sent.elapsed());
        }
        times.sort();
        let p99 = times[times.len() * 99 / 100];
        println!(
            "{name}: {} appends, p99 {p99:?}, most {:?}",
            times.len(),
            times[times.len() - 1]
        );
        p99
    };
    std::thread::scope(|scope| {
        // In the background all the time, and never refused.
        scope.spawn(|| {
            let mut wire = Wire::connect(server.base(), server.secret());
            while !stop.load(Ordering::Relaxed) {
                let answer = wire.post(EVENTS, &event(2));
                assert_eq!(answer.status, 201, "{}", answer.text());
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let calm = measure("calm");
        redis.signal("-STOP");
        let stalled = measure("stalled");
        let took = until(&server, "the stall shows", |state| state["degraded"] == true);
        println!("the stall was seen, at most {took:?} after the measurement");
        let metrics = server.client().get("/metrics").text();
        assert!(
            metrics.contains("attestore_limits_shared_degraded 1"),
            "{metrics}"
        );
        redis.signal("-CONT");
        let back = until(&server, "it is back", |state| state["degraded"] == false);
        println!("back after {back:?}");
        let port = redis.port;
        redis.signal("-KILL");
        let _ = redis.child.wait();
        let dead = measure("dead");
        until(&server, "the death shows", |state| state["degraded"] == true);
        redis = Redis::start_at(port);
        until(&server, "a new one is taken", |state| state["degraded"] == false);
        let again = measure("again");
        stop.store(true, Ordering::Relaxed);
        assert!(shared(&server)["failures"].as_u64().unwrap() >= 2);
        // Machines that run tests are busy with other things; figures are printed.
        let bound = calm * 2 + Duration::from_millis(10);
        assert!(
            stalled < bound && dead < bound && again < bound,
            "{calm:?} {stalled:?} {dead:?} {again:?}"
        );
    });
}

#[test]
fn servers_limit_together_over_tls_and_only_with_a_redis_that_they_trust() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.issue("redis", local());
    let redis = Redis::start_tls(&authority);
    let url = format!("rediss://localhost:{}/", redis.port);
    let start = |trusted: &Authority| {
        Server::start_with(
            &[],
            &[
                ("ATTESTORE_REDIS__URL", &url),
                ("ATTESTORE_LIMITS__TENANT__APPEND", "20/h"),
                ("SSL_CERT_FILE", &trusted.text("ca.pem")),
            ],
        )
    };
    let servers = [start(&authority), start(&authority)];
    for server in &servers {
        until(server, "both are there", |state| {
            state["servers"] == 2 && state["degraded"] == false
        });
    }
    let passed = (0..60)
        .filter(|n| {
            let server = &servers[n % 2];
            let answer = server.client().post_json(EVENTS, &event(1));
            assert!(matches!(answer.status, 201 | 429), "{}", answer.text());
            answer.status == 201
        })
        .count();
    // On a busy machine an answer of the store may be late, and then a server goes by its own share for a moment.
    let late = servers.len();
    assert!((1..=20 + late).contains(&passed), "{passed} of 20 an hour");
    let wary = start(&stranger);
    for _ in 0..20 {
        let state = shared(&wary);
        assert!(state["degraded"] == true && state["answers"] == 0, "{state}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(wary.client().post_json(EVENTS, &event(1)).status, 201);
}
