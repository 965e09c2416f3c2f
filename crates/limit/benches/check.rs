//! What a check costs on the path of an append.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use attestore_limit::{Class, Classes, Limits, Redis, Settings};
use criterion::{Criterion, criterion_group, criterion_main};

const CREDENTIAL: &str = "0123456789AB";

fn path(limits: &Arc<Limits>, now: u64, address: IpAddr) {
    let _ = black_box(limits.address(now, address, Class::Append));
    let _ = black_box(limits.caller(now, CREDENTIAL, Some("default"), Class::Append));
    let _ = black_box(limits.admit(Class::Append));
}

fn checks(criterion: &mut Criterion) {
    let address: IpAddr = "203.0.113.9".parse().expect("an address");
    let all = |rate: &str| Classes {
        all: Some(rate.parse().expect("a rate")),
        ..Classes::default()
    };
    let with = |rate: &str| Settings {
        address: all(rate),
        credential: all(rate),
        tenant: all(rate),
        ..Settings::default()
    };
    let mut bench = |name: &str, limits: Limits, step: u64| {
        let limits = Arc::new(limits);
        let mut now = 1_000_000_000;
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                now += step;
                path(&limits, black_box(now), address);
            });
        });
    };
    bench("defaults", Limits::new(Settings::default(), [1, 2]), 10_000);
    bench("three windows", Limits::new(with("1000000/s"), [1, 2]), 10_000);
    bench(
        "three even rates",
        Limits::new(with("1000000/s gcra"), [1, 2]),
        10_000,
    );
    bench(
        "three windows, refused",
        Limits::new(with("10/m"), [1, 2]),
        10_000,
    );
    let shared = Limits::shared(with("1000000/s"), [1, 2], &Redis::default(), || {});
    shared.beaten(1);
    bench("shared, on credit", shared, 10_000);
}

criterion_group!(benches, checks);
criterion_main!(benches);
