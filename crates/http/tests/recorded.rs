//! Acts that cannot be recorded are not answered: the router over an engine whose log fails or stalls.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attestore_disk::sim::{Fault, SimDisk};
use attestore_disk::{Disk, ManualClock};
use attestore_engine::credentials::CredentialSpec;
use attestore_engine::{Engine, OpenMode, Parts, Principal, Role, Scope, Settings};
use attestore_http::{Keeper, Recorded, Row};
use attestore_keys::{Entropy, FileRoot, SeededEntropy};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

#[path = "recorded/forgetting.rs"]
mod forgetting;
#[path = "../../../tests/e2e/paths.rs"]
mod paths;
#[path = "recorded/pressure.rs"]
mod pressure;
#[path = "recorded/tenants.rs"]
mod tenants;

/// Randomness that keeps the committer waiting while it is shut: every frame takes some.
struct Tap {
    inner: SeededEntropy,
    shut: Arc<AtomicBool>,
}

impl Entropy for Tap {
    fn fill(&self, buf: &mut [u8]) {
        let is_committer = std::thread::current().name() == Some("attestore-commit");
        while is_committer && self.shut.load(Ordering::Acquire) {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        self.inner.fill(buf);
    }
}

struct World {
    engine: Engine,
    disk: SimDisk,
    clock: ManualClock,
    shut: Arc<AtomicBool>,
    service: TowerToHyperService<axum::Router>,
    secret: String,
}

const WAIT: Duration = Duration::from_millis(150);

impl World {
    fn new(seed: u64) -> Self {
        Self::with(seed, Settings::default(), Keeper::default())
    }

    fn with(seed: u64, settings: Settings, limits: Keeper) -> Self {
        let (disk, shut) = (SimDisk::new(seed), Arc::new(AtomicBool::new(false)));
        let entropy: Arc<dyn Entropy> = Arc::new(Tap {
            inner: SeededEntropy::new(seed),
            shut: Arc::clone(&shut),
        });
        let files: Arc<dyn Disk> = Arc::new(disk.clone());
        let root = FileRoot::open_or_create(Arc::clone(&files), "keys", Arc::clone(&entropy)).unwrap();
        let clock = ManualClock::new(1_795_312_800_000);
        let parts = Parts {
            disk: files,
            clock: Arc::new(clock.clone()),
            entropy,
            root: Arc::new(root),
            register: None,
        };
        let settings = Settings {
            wal_file_bytes: 1 << 20,
            ..settings
        };
        let (engine, _) = Engine::open_as(parts, settings, OpenMode::Threads).unwrap();
        engine.create_tenant("acme", &Principal::internal()).unwrap();
        let spec = CredentialSpec {
            name: "all".into(),
            roles: vec![Role::Admin, Role::Ingest, Role::Investigator, Role::Auditor],
            tenants: Scope::All,
            networks: Vec::new(),
            expires_at_ms: None,
        };
        let (_, secret) = engine.create_credential(spec, &Principal::internal()).unwrap();
        let settings = attestore_http::Settings {
            audit_wait: WAIT,
            limits,
            ..attestore_http::Settings::default()
        };
        let router = attestore_http::router(engine.clone(), settings, None);
        Self {
            engine,
            disk,
            clock,
            shut,
            service: TowerToHyperService::new(router),
            secret: secret.expose().to_owned(),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> (StatusCode, String) {
        self.ask_as(&self.secret, method, path, body).await
    }

    async fn ask_as(&self, secret: &str, method: Method, path: &str, body: &str) -> (StatusCode, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {secret}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap();
        let response = self.service.call(request).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Asks for what cannot be recorded.
    async fn refused(&self, method: Method, path: &str) {
        let (status, body) = self.ask(method.clone(), path, "{}").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{method} {path}: {body}");
        assert!(body.contains("audit_unavailable"), "{method} {path}: {body}");
    }
}

/// A request for each recorded route, good enough to be let in.
fn requests() -> Vec<(Row, String)> {
    let recorded = |row: &Row| row.entry.recorded != Recorded::Not;
    attestore_http::table()
        .into_iter()
        .filter(recorded)
        .map(|row| {
            let path = paths::path(&row, "acme");
            (row, path)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_recorded_in_time_is_refused_within_the_bound() {
    let world = World::new(1);
    let (status, _) = world.ask(Method::GET, "/v1/tenants/acme/events?q=x", "").await;
    assert_eq!(status, StatusCode::OK);
    world.shut.store(true, Ordering::Release);
    // One frame may be on its way past the tap.
    let _ = world.ask(Method::GET, "/v1/tenants/acme", "").await;
    let mut slowest = Duration::ZERO;
    for (row, path) in requests() {
        let begun = Instant::now();
        world.refused(row.method.clone(), &path).await;
        let took = begun.elapsed();
        slowest = slowest.max(took);
        // The first record of an act that fails, and that it failed.
        assert!(took < WAIT * 3, "{} {path}: {took:?}", row.method);
    }
    let (status, body) = world.ask_as("nobody", Method::GET, "/v1/tenants/acme", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    for path in ["/livez", "/openapi.json"] {
        assert_eq!(world.ask(Method::GET, path, "").await.0, StatusCode::OK, "{path}");
    }
    println!("slowest refusal: {slowest:?}");
    world.shut.store(false, Ordering::Release);
    let (status, _) = world.ask(Method::GET, "/v1/tenants/acme/events?q=x", "").await;
    assert_eq!(status, StatusCode::OK, "it comes back by itself");
    world.engine.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_changed_that_cannot_be_recorded() {
    let world = World::new(2);
    let before = world.engine.tenants(None, 100).unwrap().len();
    world.shut.store(true, Ordering::Release);
    let _ = world.ask(Method::GET, "/v1/tenants/acme", "").await;
    world.refused(Method::PUT, "/v1/tenants/late").await;
    world.shut.store(false, Ordering::Release);
    assert_eq!(world.engine.tenants(None, 100).unwrap().len(), before);
    world.engine.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_fails_ends_answers_for_good() {
    let world = World::new(3);
    let (status, _) = world.ask(Method::GET, "/v1/tenants/acme", "").await;
    assert_eq!(status, StatusCode::OK);
    for op in 0..64 {
        world.disk.fail_at(world.disk.op_count() + op, Fault::Errno(5));
    }
    let begun = Instant::now();
    for (row, path) in requests() {
        world.refused(row.method, &path).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(world.engine.close().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_has_its_entry_once_and_a_gate() {
    let world = World::new(4);
    let rows = attestore_http::table();
    let mut seen = std::collections::BTreeSet::new();
    for row in &rows {
        assert!(seen.insert((row.method.to_string(), row.path.clone())), "{row:?}");
    }
    for (row, path) in requests() {
        let (status, body) = world.ask_as("nobody", row.method.clone(), &path, "{}").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{} {path}: {body}", row.method);
    }
    world.engine.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_clock_step_nothing_is_answered_until_an_operator_confirms_it_on_record() {
    let world = World::new(5);
    let confirm = async |now: &str| {
        let body = format!("{{\"now\":\"{now}\"}}");
        world.ask(Method::POST, "/v1/clock/confirm", &body).await
    };
    let (status, body) = confirm("2026-11-22T02:00:00Z").await;
    assert_eq!(
        (status, body.contains("null")),
        (StatusCode::OK, true),
        "nothing to confirm: {body}"
    );
    world.clock.set_now_ms(1_795_312_800_000 + 3_600_000);
    world.refused(Method::GET, "/v1/tenants/acme").await;
    let (status, _) = confirm("2026-11-22T02:00:00Z").await;
    assert_eq!(
        status,
        StatusCode::SERVICE_UNAVAILABLE,
        "the time that it was an hour ago"
    );
    world.refused(Method::GET, "/v1/tenants/acme").await;
    let (status, body) = confirm("2026-11-22T03:01:00Z").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(body.contains("3600000"), "{body}");
    let (status, body) = world
        .ask(
            Method::GET,
            "/v1/tenants/_system/events?q=action:clock.confirm%20OR%20action:access.confirm_clock",
            "",
        )
        .await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let count = |what: &str| body.matches(&format!("\"action\":\"{what}\"")).count();
    assert_eq!(
        (count("clock.confirm"), count("access.confirm_clock")),
        (1, 2),
        "{body}"
    );
    world.engine.close().unwrap();
}
