//! Search against a naive evaluator: random events, queries, sorts, pages and aggregations, on a store to which random
//! things happen between them. What is found must be what looking at every record finds, by `docs/search.md` alone.
//!
//! `ATTESTORE_MODEL_CASES` is how many queries are asked in all; `ATTESTORE_MODEL_SEED` plays one life again. A failure
//! names its seed and the smallest life and query that were found to fail in the same way.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod aggregations;
mod ask;
mod columns;
mod evaluate;
mod events;
mod fields;
mod query;
mod random;
mod words;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use ask::Case;
use random::Random;
use world::{Step, World};

/// Queries of one life.
const CASES_A_LIFE: u64 = (ASKS * ask::CASES) as u64;
/// How often queries are asked in one life.
const ASKS: usize = 8;
/// Lives that are tried to make a failing one smaller.
const SMALLER_MAX: usize = 150;
/// How many tests share the cases.
const SHARES: u64 = 4;

/// What failed, and on what.
struct Failure {
    case: Option<Box<Case>>,
    message: String,
}

/// Plays a life. With `only`, that case is asked instead of random ones.
fn live(seed: u64, steps: &[Step], only: Option<&Case>) -> Result<(), Failure> {
    let mut world = World::new(seed);
    for step in steps {
        let failed = |message| Failure { case: None, message };
        world.play(step).map_err(failed)?;
        let Step::Ask(seed) = step else { continue };
        let cases = match only {
            Some(case) => vec![case.clone()],
            None => ask::cases(&mut Random::new(*seed), world.records.len() as u64),
        };
        for case in cases {
            let checked = catch_unwind(AssertUnwindSafe(|| case.check(&world)));
            if let Err(message) = checked.unwrap_or_else(|_| Err("a panic".into())) {
                return Err(Failure {
                    case: Some(Box::new(case)),
                    message,
                });
            }
        }
    }
    Ok(())
}

/// Makes a failing life smaller as long as it fails, and says what is left.
fn smallest(seed: u64, mut steps: Vec<Step>, failure: Failure) -> String {
    let (mut case, mut message) = (failure.case.map(|case| *case), failure.message);
    let mut tries = SMALLER_MAX;
    let mut attempt = |steps: &[Step], case: &Option<Case>| -> Option<String> {
        tries = tries.checked_sub(1)?;
        let caught = catch_unwind(|| live(seed, steps, case.as_ref()));
        caught.ok()?.err().map(|failure| failure.message)
    };
    let mut progress = true;
    while progress {
        progress = false;
        let simpler = case.iter().flat_map(Case::simpler).collect::<Vec<_>>();
        for other in simpler {
            let other = Some(other);
            if let Some(said) = attempt(&steps, &other) {
                (case, message, progress) = (other, said, true);
                break;
            }
        }
        let mut at = steps.len();
        while at > 0 {
            at -= 1;
            let mut fewer = steps.clone();
            fewer.remove(at);
            if let Some(said) = attempt(&fewer, &case) {
                (steps, message, progress) = (fewer, said, true);
                continue;
            }
            if let Step::Append(events) = &steps[at]
                && events.len() > 1
            {
                let half = events.len() / 2;
                for events in [events[half..].to_vec(), events[..half].to_vec()] {
                    let mut fewer = steps.clone();
                    fewer[at] = Step::Append(events);
                    if let Some(said) = attempt(&fewer, &case) {
                        (steps, message, progress) = (fewer, said, true);
                        break;
                    }
                }
            }
        }
    }
    let life: Vec<String> = steps.iter().map(|step| format!("  {}", told(step))).collect();
    let case = case.map(|case| case.told()).unwrap_or_default();
    format!("{message}\n{case}\nlife:\n{}", life.join("\n"))
}

fn told(step: &Step) -> String {
    match step {
        Step::Append(events) => {
            let events: Vec<String> = events.iter().map(ToString::to_string).collect();
            format!("append\n    {}", events.join("\n    "))
        }
        other => format!("{other:?}"),
    }
}

fn run(seed: u64) {
    let steps = world::steps(&mut Random::new(seed), ASKS);
    if let Err(failure) = live(seed, &steps, None) {
        let first = failure.message.clone();
        panic!(
            "ATTESTORE_MODEL_SEED={seed}: {first}\nsmallest: {}",
            smallest(seed, steps, failure)
        );
    }
}

fn share(which: u64) {
    if let Ok(seed) = std::env::var("ATTESTORE_MODEL_SEED") {
        if which == 0 {
            run(seed.parse().unwrap());
        }
        return;
    }
    let cases = std::env::var("ATTESTORE_MODEL_CASES").map_or(10_000, |cases| cases.parse().unwrap());
    let lives = u64::div_ceil(cases, CASES_A_LIFE);
    for seed in (0..lives).filter(|seed| seed % SHARES == which) {
        run(seed);
    }
}

#[test]
fn searches_find_what_looking_at_every_record_finds_first_share() {
    share(0);
}

#[test]
fn searches_find_what_looking_at_every_record_finds_second_share() {
    share(1);
}

#[test]
fn searches_find_what_looking_at_every_record_finds_third_share() {
    share(2);
}

#[test]
fn searches_find_what_looking_at_every_record_finds_fourth_share() {
    share(3);
}
