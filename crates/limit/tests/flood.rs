//! Many keys: memory stays bounded, and who used the limit is remembered.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use attestore_limit::adaptive::Load;
use attestore_limit::{Class, Classes, Limits, MS, Settings, Tighten, Why};

const SECOND: u64 = 1000 * MS;

fn settings(rate: &str) -> Settings {
    let classes = Classes {
        all: Some(rate.parse().unwrap()),
        ..Classes::default()
    };
    Settings {
        address: classes,
        keys_max: 4096,
        ..Settings::default()
    }
}

fn v4(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))
}

#[test]
fn a_flood_of_addresses_takes_no_more_memory_and_forgives_nobody() {
    for rate in ["10/s gcra burst=10", "10/s"] {
        let limits = Limits::new(settings(rate), [1, 2]);
        let heavy = v4(0);
        let mut now = SECOND;
        while limits.address(now, heavy, Class::Read).is_ok() {}
        for n in 1..200_000 {
            now += 100;
            assert!(
                limits.address(now, v4(n), Class::Read).is_ok(),
                "a new address is served"
            );
            if n % 1000 == 0 {
                assert!(
                    limits.address(now, heavy, Class::Read).is_err(),
                    "{rate}: forgiven after {n}"
                );
            }
        }
        let status = limits.status(now);
        assert!(status.keys <= 4096, "{status:?}");
        assert!(status.keys_evicted > 190_000, "{status:?}");
        limits.sweep(now + 10 * SECOND);
        assert_eq!(limits.status(now).keys, 0);
    }
}

#[test]
fn addresses_of_one_64_are_one() {
    let limits = Limits::new(settings("3/s"), [1, 2]);
    let v6 = |n: u64| IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n)));
    let passed = (0..100)
        .filter(|n| limits.address(SECOND, v6(*n), Class::Read).is_ok())
        .count();
    assert_eq!(passed, 3);
}

#[test]
fn exempt_networks_are_not_limited_and_not_tightened() {
    let limits = Limits::new(settings("1/s"), [1, 2]);
    let own: IpAddr = "127.0.0.1".parse().unwrap();
    for _ in 0..5000 {
        limits.login_failed(SECOND, own);
        assert!(limits.address(SECOND, own, Class::Read).is_ok());
    }
}

#[test]
fn who_fails_often_is_slowed_down_and_let_off_later() {
    let tighten = Tighten {
        threshold: 20,
        half_life_ms: 1000,
        rate: "2/s gcra burst=2".parse().unwrap(),
    };
    let limits = Limits::new(
        Settings {
            tighten,
            ..Settings::default()
        },
        [3, 4],
    );
    let (bad, good) = (v4(1), v4(2));
    for _ in 0..19 {
        limits.login_failed(SECOND, bad);
    }
    assert!((0..10).all(|_| limits.address(SECOND, bad, Class::Read).is_ok()));
    limits.login_failed(SECOND, bad);
    let passed = (0..10)
        .filter(|_| limits.address(SECOND, bad, Class::Read).is_ok())
        .count();
    assert_eq!(passed, 2);
    let refusal = limits.address(SECOND, bad, Class::Read).unwrap_err();
    assert!(matches!(refusal.why, Why::Tightened(_)));
    assert_eq!(limits.status(SECOND).tightened, 1);
    assert!((0..100).all(|_| limits.address(SECOND, good, Class::Read).is_ok()));
    assert!((0..10).all(|_| limits.address(2 * SECOND + MS, bad, Class::Read).is_ok()));
    for _ in 0..40 {
        limits.denied(SECOND, "c");
    }
    let passed = (0..10)
        .filter(|_| limits.caller(SECOND, "c", None, Class::Append).is_ok())
        .count();
    assert_eq!(passed, 1);
    assert!(limits.caller(SECOND, "d", None, Class::Append).is_ok());
}

#[test]
fn a_request_that_one_limit_refuses_costs_nothing_of_another() {
    let limits = Limits::new(
        Settings {
            credential: Classes {
                all: Some("1000/m".parse().unwrap()),
                ..Classes::default()
            },
            tenant: Classes {
                search: Some("5/m".parse().unwrap()),
                ..Classes::default()
            },
            ..Settings::default()
        },
        [5, 6],
    );
    for n in 0..100 {
        let outcome = limits.caller(SECOND, "c", Some("t"), Class::Search);
        match outcome {
            Ok(standing) => assert_eq!(&*standing.unwrap().policy, "tenant-search"),
            Err(refusal) => assert!(n >= 5 && refusal.standing.unwrap().policy.starts_with("tenant-search")),
        }
    }
    let standing = limits
        .caller(SECOND, "c", Some("t"), Class::Read)
        .unwrap()
        .unwrap();
    assert_eq!((&*standing.policy, standing.remaining), ("credential", 994));
}

#[test]
fn under_load_reads_give_way_before_appends() {
    let limits = Arc::new(Limits::new(
        Settings {
            reads_max: 100,
            appends_max: 100,
            ..Settings::default()
        },
        [7, 8],
    ));
    let open = |class| {
        std::iter::from_fn(|| limits.admit(class).ok())
            .take(1000)
            .collect::<Vec<_>>()
    };
    assert_eq!(open(Class::Search).len(), 100);
    let slow = Load {
        commit_us: 900_000,
        queue_per_mille: 0,
    };
    (0..20).for_each(|_| limits.observe(slow));
    assert_eq!((open(Class::Search).len(), open(Class::Append).len()), (3, 100));
    assert_eq!(limits.admit(Class::Read).err(), None);
    let held = open(Class::Tail);
    assert_eq!(limits.admit(Class::Read).err().unwrap().why, Why::Overloaded);
    drop(held);
    assert_eq!(limits.status(0).reads_under_way, 0);
    (0..100).for_each(|_| limits.observe(Load::default()));
    assert_eq!(open(Class::Search).len(), 100);
}
