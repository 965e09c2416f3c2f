//! Who fails often may ask less, for a while.
//!
//! Each failure adds one to a score that halves every half-life. From the threshold on whoever fails is held to a low rate, at
//! twice the threshold to half of it, and so on. What is refused for that does not add, so the score falls while they wait.

use crate::{MS, Ns, Rate, Tighten, table::State};

/// State of one key.
#[derive(Clone, Copy, Debug)]
pub struct Score {
    points: f64,
    at: Ns,
    half_life_ns: Ns,
}

impl Score {
    /// A score of nothing.
    pub fn new(settings: &Tighten) -> Self {
        Self {
            points: 0.0,
            at: 0,
            half_life_ns: settings.half_life_ms.max(1) * MS,
        }
    }

    /// Adds a failure.
    pub fn fail(&mut self, now: Ns) {
        self.points = (self.now(now) + 1.0).min(POINTS_MAX);
        self.at = self.at.max(now);
    }

    /// How tight: 0 below the threshold, and one more for each time that the threshold doubles.
    pub fn level(&self, now: Ns, threshold: u32) -> u32 {
        let times = self.now(now) / f64::from(threshold.max(1));
        match LEVELS.iter().position(|level| times < *level) {
            Some(level) => u32::try_from(level).unwrap_or(u32::MAX),
            None => u32::try_from(LEVELS.len()).unwrap_or(u32::MAX),
        }
    }

    fn now(&self, now: Ns) -> f64 {
        let halves = ratio(now.saturating_sub(self.at), self.half_life_ns);
        self.points * (-halves).exp2()
    }
}

impl State for Score {
    /// Less than one failure is left then.
    fn idle_at(&self) -> Ns {
        let mut left = self.points;
        let mut at = self.at;
        while left >= 1.0 {
            left /= 2.0;
            at = at.saturating_add(self.half_life_ns);
        }
        at
    }
}

/// What is allowed at a level.
pub fn rate(base: Rate, level: u32) -> Rate {
    base.scaled(2000_u32.checked_shr(level).unwrap_or_default().max(1))
}

#[expect(clippy::cast_precision_loss, reason = "a share of times, for a decay")]
fn ratio(a: Ns, b: Ns) -> f64 {
    a as f64 / b as f64
}

/// Scores end here, so that they decay in reasonable time.
const POINTS_MAX: f64 = 1e6;
/// Times the threshold at which each level begins.
const LEVELS: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_tighten_step_by_step_and_decay() {
        let settings = Tighten {
            half_life_ms: 1000,
            ..Tighten::default()
        };
        let mut score = Score::new(&settings);
        let second = 1000 * MS;
        for _ in 0..9 {
            score.fail(second);
        }
        assert_eq!(score.level(second, 10), 0);
        score.fail(second);
        assert_eq!(score.level(second, 10), 1);
        for _ in 0..10 {
            score.fail(second);
        }
        assert_eq!(score.level(second, 10), 2);
        assert_eq!(score.level(2 * second, 10), 1);
        assert_eq!(score.level(2 * second + MS, 10), 0);
        assert!(score.idle_at() > 5 * second && score.idle_at() < 7 * second);
    }

    #[test]
    fn each_level_halves_the_rate() {
        let base: Rate = "64/s".parse().unwrap();
        let counts: Vec<_> = (1..=7).map(|level| rate(base, level).count()).collect();
        assert_eq!(counts, [64, 32, 16, 8, 3, 1, 1]);
    }
}
