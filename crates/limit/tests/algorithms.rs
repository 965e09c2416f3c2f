//! The two algorithms against models that are plain and slow.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::VecDeque;

use attestore_limit::gcra::Gcra;
use attestore_limit::window::Window;
use attestore_limit::{Ns, Rate};
use proptest::prelude::*;

/// Requests by their distance to the one before, and their cost.
fn arrivals() -> impl Strategy<Value = Vec<(Ns, u32)>> {
    let gap = prop_oneof![
        4 => 0..2_000_000u64,
        2 => 0..200_000_000u64,
        1 => 0..3_000_000_000u64,
    ];
    prop::collection::vec((gap, prop_oneof![8 => Just(1u32), 1 => 1..20u32]), 1..600)
}

/// The most that passed in any window. Windows that begin with a request are the fullest.
fn fullest(passed: &[(Ns, u32)], window: Ns) -> u64 {
    let mut within: VecDeque<(Ns, u32)> = VecDeque::new();
    let (mut sum, mut most) = (0, 0);
    for (at, cost) in passed {
        while within.front().is_some_and(|(first, _)| at - first >= window) {
            sum -= u64::from(within.pop_front().unwrap().1);
        }
        within.push_back((*at, *cost));
        sum += u64::from(*cost);
        most = most.max(sum);
    }
    most
}

proptest! {
    #[test]
    fn no_window_ever_holds_more_than_the_count(
        arrivals in arrivals(), count in 1..300u32, window_ms in 10..5000u64, begin in 0..u64::MAX / 4,
    ) {
        let rate = Rate::window(count, window_ms).unwrap();
        let mut window = Window::default();
        let mut now = begin;
        let mut passed = Vec::new();
        for (gap, cost) in arrivals {
            now += gap;
            let outcome = window.take(now, &rate, cost);
            if outcome.passes {
                passed.push((now, cost.min(count)));
            } else {
                // Who comes when told passes, if nobody else does.
                let mut later = window.clone();
                prop_assert!(later.take(now + outcome.wait_ns, &rate, cost).passes);
            }
        }
        prop_assert!(fullest(&passed, rate.window_ns()) <= u64::from(count));
    }

    #[test]
    fn a_window_lets_through_what_it_promises(count in 64..1000u32, window_ms in 100..5000u64, begin in 0..u64::MAX / 4) {
        let rate = Rate::window(count, window_ms).unwrap();
        let mut window = Window::default();
        let step = rate.window_ns() / u64::from(count) / 3;
        let steps = u64::from(count) * 3 * 20;
        let passed = (0..steps).filter(|i| window.take(begin + i * step, &rate, 1).passes).count();
        let promised = steps * step * u64::from(count) / rate.window_ns();
        prop_assert!(passed as u64 * 100 >= promised * 98, "{passed} of {promised}");
    }

    /// The model: a bucket of tokens that fills continuously, in whole numbers of tokens times nanoseconds.
    #[test]
    fn gcra_decides_as_a_token_bucket(
        arrivals in arrivals(), interval_us in 1..100_000u64, burst in 1..50u32, begin in 0..u64::MAX / 4,
    ) {
        let interval = u128::from(interval_us) * 1000;
        // A rate whose interval is a whole number of nanoseconds, so that nothing is rounded.
        let window_ms = 10 * interval_us;
        let rate = Rate::gcra(10_000, window_ms, burst).unwrap();
        let mut gcra = Gcra::default();
        let full = u128::from(burst) * interval;
        let (mut level, mut at) = (full, begin);
        let mut now = begin;
        for (gap, cost) in arrivals {
            now += gap;
            level = full.min(level + u128::from(now - at));
            at = now;
            let wanted = (u128::from(cost) * interval).min(full);
            let passes = level >= wanted;
            if passes {
                level -= wanted;
            }
            let outcome = gcra.take(now, &rate, cost);
            prop_assert_eq!(outcome.passes, passes);
            prop_assert_eq!(u128::from(outcome.remaining), level / interval);
            if !passes {
                prop_assert_eq!(u128::from(outcome.wait_ns), wanted - level);
            }
        }
    }

    #[test]
    fn what_is_given_back_can_be_taken_again(count in 1..100u32, now in 0..u64::MAX / 4) {
        let rate = Rate::window(count, 1000).unwrap();
        let even = Rate::gcra(count, 1000, count).unwrap();
        let (mut window, mut gcra) = (Window::default(), Gcra::default());
        for _ in 0..3 * count {
            prop_assert!(window.take(now, &rate, 1).passes);
            window.give_back(1);
            prop_assert!(gcra.take(now, &even, 1).passes);
            gcra.give_back(&even, 1);
        }
    }
}
