//! When a message is sent again, and when it is given up.

/// How hard is tried. Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Wait after the first failure; each further one doubles it.
    pub first_ms: u64,
    /// The longest wait.
    pub last_ms: u64,
    /// Attempts, after which a message is a dead letter. At least 1.
    pub attempts_max: u32,
    /// How long nothing may have succeeded before a watch is turned off.
    pub disable_after_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first_ms: 5000,
            last_ms: 3_600_000,
            attempts_max: 16,
            disable_after_ms: 3 * 24 * 3_600_000,
        }
    }
}

impl Retry {
    /// How long to wait after so many failures, spread by up to a fifth in each direction so that messages do not come together:
    /// the same for the same message and attempt.
    pub(super) fn wait_ms(&self, attempts: u32, id: &str, asked_for_ms: Option<u64>) -> u64 {
        let doubled = 1u64.checked_shl(attempts.saturating_sub(1)).unwrap_or(u64::MAX);
        let plain = self.first_ms.saturating_mul(doubled).min(self.last_ms);
        let hash = blake3::hash(format!("{id} {attempts}").as_bytes());
        let spread = u64::from(hash.as_bytes()[0]);
        let wait = plain / 5 * 4 + plain / 5 * 2 * spread / 255;
        // Who asks for more time gets it, within what is waited at most.
        wait.max(asked_for_ms.unwrap_or_default().min(self.last_ms))
    }

    /// Whether a message that failed so often is given up.
    pub(super) fn gives_up(&self, attempts: u32) -> bool {
        attempts >= self.attempts_max.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_spread() {
        let retry = Retry::default();
        for attempts in 1..80 {
            let plain = (5000u64 << (attempts - 1).min(20)).min(3_600_000);
            let wait = retry.wait_ms(attempts, "a", None);
            assert!(
                (plain / 5 * 4..=plain / 5 * 6).contains(&wait),
                "{attempts}: {wait}"
            );
        }
        assert_ne!(retry.wait_ms(1, "a", None), retry.wait_ms(1, "b", None));
        assert_eq!(retry.wait_ms(1, "a", Some(60_000)), 60_000);
        assert_eq!(retry.wait_ms(1, "a", Some(u64::MAX)), 3_600_000);
        assert!(!retry.gives_up(15) && retry.gives_up(16));
    }
}
