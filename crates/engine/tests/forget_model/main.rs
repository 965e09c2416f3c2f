//! Forgetting against a model that knows only times and rules: random policies, holds, purges, erasures of people and of records, and restrictions under a
//! clock that only the test moves, with flushes, compactions, restarts and crashes in between.
//!
//! Nothing goes early, nothing stays readable late, holds win, and what one half of a crash has done is never shown. What outsiders
//! took along at any time holds at the end, and an auditor with entries and control records alone confirms that only what had expired
//! or was ordered is gone; one record more, and the same auditor refuses.
//!
//! `ATTESTORE_FORGET_SEEDS` is how many lives are played; `ATTESTORE_FORGET_SEED` plays one again. A failure names its seed and the
//! smallest number of steps that was found to fail.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests"
)]
#![expect(clippy::disallowed_methods, reason = "tests hand files to other programs")]

mod acts;
mod check;
mod doctor;
mod guesses;
mod keepsakes;
mod model;
mod people;
mod play;
mod random;
mod removals;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use play::Play;
use random::Random;

/// Plays a life and looks back at it.
fn live(seed: u64, steps: &[u64]) -> Result<Play, String> {
    let mut play = Play::new(seed);
    let lived = catch_unwind(AssertUnwindSafe(|| {
        for step in steps {
            play.step(*step);
        }
        // What is due by now is gone, and nobody who may go is kept.
        play.tick().map_err(|(_, error)| error).unwrap();
        play.schedule().map_err(|(_, error)| error).unwrap();
        play.catch_up();
        play.check(&mut Random::new(seed));
        play.judge_keepsakes();
    }));
    match lived {
        Ok(()) => Ok(play),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(format!(
                "{}\nafter: {}",
                text.unwrap_or_default(),
                play.told.join("\n  ")
            ))
        }
    }
}

/// Leaves out steps as long as it fails.
fn smallest(seed: u64, mut steps: Vec<u64>, mut message: String) -> String {
    let mut tries = SMALLER_MAX;
    let mut size = steps.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < steps.len() && tries > 0 {
            tries -= 1;
            let mut fewer = steps.clone();
            fewer.drain(at..fewer.len().min(at + size));
            match live(seed, &fewer) {
                Err(said) => (steps, message) = (fewer, said),
                Ok(_) => at += size,
            }
        }
        size /= 2;
    }
    format!("seed {seed}, {} steps: {message}", steps.len())
}

fn steps(seed: u64) -> Vec<u64> {
    let mut random = Random::new(seed ^ 0xf0f0);
    (0..STEPS).map(|_| random.below(u64::MAX)).collect()
}

fn play(seed: u64) -> Play {
    println!("seed {seed}");
    let steps = steps(seed);
    live(seed, &steps).unwrap_or_else(|message| panic!("{}", smallest(seed, steps, message)))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// One of the shares of all lives.
fn share(which: u64) {
    let seeds = number("ATTESTORE_FORGET_SEEDS").unwrap_or(SEEDS);
    let only = number("ATTESTORE_FORGET_SEED");
    let (mut purged, mut erased) = (0, 0);
    for seed in (0..seeds).filter(|seed| seed % SHARES == which) {
        let mut play = play(only.unwrap_or(seed));
        let counts = play.model.counts();
        (purged, erased) = (purged + counts.0, erased + counts.1);
        play.end();
        play.doctored_is_refused();
    }
    assert!(
        (purged > 0 && erased > 0) || seeds < SEEDS,
        "lives in which nothing goes show nothing"
    );
}

#[test]
fn nothing_goes_early_nothing_stays_late_and_holds_win() {
    share(0);
}

#[test]
fn nothing_goes_early_nothing_stays_late_and_holds_win_in_other_lives() {
    share(1);
}

/// The script for outsiders says of what one life handed out what our own verifier says.
#[test]
fn what_was_handed_out_holds_for_software_that_shares_no_code() {
    let play = play(1001);
    if !play.judge_with_python() {
        println!("no Python in target/venv: scripts/test installs it");
    }
}

const SEEDS: u64 = 12;
const SHARES: u64 = 2;
const STEPS: usize = 60;
/// Lives that are tried to make a failing one smaller.
const SMALLER_MAX: usize = 60;
