//! What is given up first when space or the medium does not keep up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use attestore_engine::Settings;
use attestore_http::Keeper;
use axum::http::{Method, StatusCode};

use super::World;

const EVENTS: &str = "/v1/tenants/acme/events";
const EVENT: &str = r#"{"action":"a.b","actor":{"type":"user","id":"u"}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_stop_at_the_reserve_and_reads_when_most_of_it_is_spent() {
    let world = World::new(6);
    let append = async || world.ask(Method::POST, EVENTS, EVENT).await;
    let (status, body) = append().await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    // The reserve is 256 MiB: half of it is left, then less than a quarter.
    world.leave(128 << 20);
    let (status, body) = append().await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{body}");
    assert!(body.contains("no_space"), "{body}");
    let (status, body) = world.ask(Method::GET, EVENTS, "").await;
    assert_eq!(status, StatusCode::OK, "reads go on: {body}");
    world.leave(48 << 20);
    world.refused(Method::GET, EVENTS).await;
    world.refused(Method::PUT, "/v1/tenants/late").await;
    let (status, _) = append().await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE);
    // Reads alone find out that there is room again.
    world.leave(u64::MAX);
    let (status, body) = world.ask(Method::GET, EVENTS, "").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(append().await.0, StatusCode::CREATED);
    world.engine.close().unwrap();
}

impl World {
    /// Leaves about so much of the disk, and lets the server look.
    fn leave(&self, bytes: u64) {
        self.disk.set_capacity(bytes);
        self.clock.advance_ms(1000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_are_shed_before_appends_while_commits_are_slow_and_come_back() {
    let limits = attestore_limit::Settings {
        reads_max: 40,
        ..attestore_limit::Settings::default()
    };
    let keeper = Keeper::alone(limits, [1, 2]);
    let settings = Settings {
        queue_records_max: 16,
        ..Settings::default()
    };
    let world = Arc::new(World::with(7, settings, keeper.clone()));
    let looks = tokio::spawn(keeper.clone().run(world.engine.clone()));
    world.shut.store(true, Ordering::Release);
    // Frames may be on their way past the tap.
    while world.ask(Method::GET, EVENTS, "").await.0 == StatusCode::OK {}
    let append = || {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.ask(Method::POST, EVENTS, EVENT).await })
    };
    // More than half of the queue waits.
    let mut waiting: Vec<_> = (0..10).map(|_| append()).collect();
    until(&keeper, |status| status.reads_percent <= 3).await;
    assert_eq!(keeper.status().appends_percent, 100, "appends are spared");
    let reads = (0..4).map(|_| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.ask(Method::GET, EVENTS, "").await })
    });
    let (mut shed, before) = (0, keeper.status().shed_reads);
    for read in reads.collect::<Vec<_>>() {
        let (status, body) = read.await.unwrap();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
        shed += u64::from(body.contains("\"overloaded\""));
    }
    assert!(shed >= 1, "more than one read at once");
    assert_eq!(keeper.status().shed_reads - before, shed);
    waiting.push(append());
    world.shut.store(false, Ordering::Release);
    for append in waiting {
        let (status, body) = append.await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{body}");
    }
    assert_eq!(keeper.status().shed_appends, 0);
    until(&keeper, |status| status.reads_percent == 100).await;
    let (status, body) = world.ask(Method::GET, EVENTS, "").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    looks.abort();
    world.engine.close().unwrap();
}

async fn until(keeper: &Keeper, is: impl Fn(&attestore_limit::limits::Status) -> bool) {
    let begun = Instant::now();
    while !is(&keeper.status()) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", keeper.status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
