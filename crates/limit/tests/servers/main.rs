//! Several servers on one store, by a virtual clock: what they let through together.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "a failure says its seed")]

mod store;
mod world;

use attestore_limit::MS;
use proptest::prelude::*;
use world::{Plan, World};

const SECOND: u64 = 1000 * MS;

#[test]
fn three_servers_under_full_load_hold_the_limit_within_two_percent() {
    for (count, window) in [(1000, "1s"), (3000, "2s"), (20_000, "5s"), (600, "10s")] {
        let mut world = World::new(3, &format!("{count}/{window}"), 7);
        let window_ns = world.window_ns();
        let plan = Plan {
            per_second: [count * 2; 3],
            seconds: 6 * window_ns / SECOND,
            ..Plan::default()
        };
        world.play(&plan);
        let fullest = world.fullest();
        assert!(
            fullest * 100 <= count * 102,
            "{count}/{window}: {fullest} in one window"
        );
        let passed = world.passed_after(window_ns);
        let promised = count * 5;
        assert!(
            passed * 100 >= promised * 98,
            "{count}/{window}: {passed} of {promised}"
        );
    }
}

#[test]
fn below_the_limit_nobody_is_refused() {
    let mut world = World::new(3, "1000/1s", 3);
    let plan = Plan {
        per_second: [250, 250, 250],
        seconds: 10,
        ..Plan::default()
    };
    world.play(&plan);
    assert_eq!(world.refused(), 0);
}

#[test]
fn a_store_that_stalls_leaves_each_server_its_share_at_once_and_comes_back_by_itself() {
    let mut world = World::new(3, "3000/1s", 11);
    let calm = Plan {
        per_second: [500; 3],
        seconds: 3,
        ..Plan::default()
    };
    world.play(&calm);
    world.stall();
    world.play(&calm);
    assert_eq!(world.refused(), 0, "each stays below its share");
    assert!(world.degraded());
    // Overload while it is stalled: everybody keeps to the share.
    world.forget();
    world.play(&Plan {
        per_second: [3000; 3],
        seconds: 5,
        ..Plan::default()
    });
    assert!(world.fullest() <= 3060, "{}", world.fullest());
    assert!(world.passed_after(0) >= 4 * 2940);
    world.resume();
    world.play(&Plan {
        per_second: [1500; 3],
        seconds: 6,
        ..Plan::default()
    });
    assert!(!world.degraded());
    assert!(world.fullest() <= 3060, "{}", world.fullest());
}

#[test]
fn an_even_rate_is_shared_as_well() {
    let mut world = World::new(3, "1000/1s gcra burst=50", 5);
    world.play(&Plan {
        per_second: [1000; 3],
        seconds: 10,
        ..Plan::default()
    });
    let passed = world.passed_after(SECOND);
    assert!((8820..=9180).contains(&passed), "{passed}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever the load does: bursts, pauses, servers that take turns, answers that come late.
    #[test]
    fn no_window_holds_more_than_the_count_and_the_credit(
        seed: u64, count in 200..5000u64, servers in 1..5usize,
        phases in prop::collection::vec((prop::array::uniform3(0..8000u64), 1..4u64, 0..30u64), 1..5),
    ) {
        let mut world = World::new(servers, &format!("{count}/1s"), seed);
        for (per_second, seconds, delay_ms) in phases {
            // Answers later than 20 ms count as none: each server may then use its share.
            world.play(&Plan { per_second, seconds, delay_ms: delay_ms.min(15) });
        }
        // 1 % while the store is known to answer, an eighth after a pause.
        let most = count + count / 8 + servers as u64 + count / 50;
        prop_assert!(world.fullest() <= most, "{} of {count}", world.fullest());
    }

    /// Without pauses no server is ever new to the key.
    #[test]
    fn under_steady_load_no_window_holds_two_percent_more(
        seed: u64, count in 500..5000u64, factors in prop::array::uniform3(1..6u64), delay_ms in 0..10u64,
    ) {
        let mut world = World::new(3, &format!("{count}/1s"), seed);
        let per_second = factors.map(|factor| count * factor / 4);
        world.play(&Plan { per_second, seconds: 5, delay_ms });
        prop_assert!(world.fullest() * 100 <= count * 102 + 300, "{} of {count}", world.fullest());
    }
}
