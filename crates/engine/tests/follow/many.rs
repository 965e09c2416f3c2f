//! Many followers with different filters beside a stream of appends, and one of them that takes nothing for a while.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use attestore_disk::{Disk, RealDisk, SystemClock};
use attestore_engine::{Engine, Mode, Parts, Settings, follow::Start};
use attestore_keys::{Entropy, FileRoot, SystemEntropy};

use crate::world::{TENANT, everything, items};

const FOLLOWERS: u64 = 200;
/// More than any step of a follower may take when nothing holds it up; generous, since tests share the machine.
const LATE: Duration = Duration::from_secs(20);

fn scale(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn open(dir: &Path) -> Engine {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir).unwrap());
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let root = FileRoot::open_or_create(Arc::clone(&disk), "keys", Arc::clone(&entropy)).unwrap();
    let parts = Parts {
        disk,
        clock: Arc::new(SystemClock),
        entropy,
        root: Arc::new(root),
        register: None,
    };
    // Tails are small, so that flushes happen under the followers.
    let settings = Settings {
        flush_tail_bytes: 2 << 20,
        ..Settings::default()
    };
    let engine = Engine::create_or_open(parts, settings).unwrap().0;
    engine.create_tenant(TENANT, &everything()).unwrap();
    engine
}

/// What a follower was shown, and the longest that it was behind with something to look at.
struct Shown {
    seqs: Vec<u64>,
    steps: u64,
    latest: Duration,
}

/// Follows until `done` and everything was looked at. A stalled one begins only then.
async fn follow(engine: Engine, q: String, done: Arc<AtomicBool>, stalled: bool) -> Shown {
    let mut follower = engine
        .follow(TENANT, &everything(), &q, &Start::Beginning)
        .unwrap();
    let mut shown = Shown {
        seqs: Vec::new(),
        steps: 0,
        latest: Duration::ZERO,
    };
    while stalled && !done.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    loop {
        let over = done.load(Ordering::SeqCst);
        if over && follower.behind() == 0 {
            return shown;
        }
        follower = {
            let begin = Instant::now();
            let pull = follower.pull(256, 1 << 20);
            let Ok(pulled) = tokio::time::timeout(Duration::from_secs(60), pull).await else {
                panic!("{q}: nothing came for a minute");
            };
            let (follower, step) = pulled.unwrap();
            assert!(step.gaps.is_empty());
            shown.steps += 1;
            shown.seqs.extend(step.items.iter().map(|item| item.seq));
            if !over && shown.steps > 1 {
                shown.latest = shown.latest.max(begin.elapsed());
            }
            follower
        };
    }
}

#[test]
fn two_hundred_followers_beside_appends_miss_nothing_repeat_nothing_and_wait_for_nobody() {
    let seconds = scale("ATTESTORE_FOLLOW_SECONDS", 3);
    let per_second = scale("ATTESTORE_FOLLOW_RATE", 1000);
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let done = Arc::new(AtomicBool::new(false));
    // One of two hundred follows everything, one does so and is stalled; the others each have their own filter.
    let filters: Vec<String> = (0..FOLLOWERS)
        .map(|n| {
            if n < 2 {
                String::new()
            } else {
                format!("metadata.shard:s{n}")
            }
        })
        .collect();
    let following: Vec<_> = filters
        .iter()
        .enumerate()
        .map(|(n, q)| runtime.spawn(follow(engine.clone(), q.clone(), Arc::clone(&done), n == 1)))
        .collect();
    let batch = (per_second / 100).max(1);
    let began = Instant::now();
    let mut n = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        let due = u64::try_from(began.elapsed().as_millis()).unwrap() * per_second / 1000;
        if n >= due {
            std::thread::yield_now();
            continue;
        }
        match engine.append_blocking(TENANT, &everything(), "native", items(n..n + batch), Mode::Each) {
            Ok(_) => n += batch,
            Err(error) => assert_eq!(error.code(), "overloaded", "{error}"),
        }
    }
    done.store(true, Ordering::SeqCst);
    // Those who wait for news are told of the last record.
    engine
        .append_blocking(TENANT, &everything(), "native", items(n..n + 1), Mode::Each)
        .unwrap();
    n += 1;
    let mut expected: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for seq in 0..n {
        expected.entry(seq % 200).or_default().push(seq);
    }
    let mut latest = Duration::ZERO;
    let mut steps = 0;
    for (at, task) in following.into_iter().enumerate() {
        let shown = runtime.block_on(task).unwrap();
        let all: Vec<u64> = (0..n).collect();
        let wanted = if at < 2 { &all } else { &expected[&(at as u64)] };
        // After the last record some end before they are shown it: those for whom `behind` was 0 when the appends ended.
        let cut: Vec<u64> = wanted
            .iter()
            .copied()
            .filter(|seq| *seq < n - 1 || shown.seqs.contains(seq))
            .collect();
        assert_eq!(shown.seqs, cut, "follower {at}");
        latest = latest.max(shown.latest);
        steps += shown.steps;
    }
    println!("{n} records in {seconds} s, {steps} steps, longest step {latest:?}");
    assert!(latest < LATE, "a follower waited {latest:?} for its next step");
    engine.close().unwrap();
}
