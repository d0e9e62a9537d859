//! Randomized waits and backoff, so that replicas that start together do not call together.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// The standard library's only source of randomness: good enough for jitter, and for nothing
/// secret.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Between `duration` and six fifths of it.
pub(crate) fn jittered(duration: Duration) -> Duration {
    duration + duration * u32::try_from(random() % 1000).unwrap_or(0) / 5000
}

/// Exponential backoff with a low maximum, so that everything is soon up to date after an outage.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    /// How long to wait after one more failure.
    pub(crate) fn failed(&mut self) -> Duration {
        let wait = Self::FIRST * 2_u32.pow(self.failures.min(6));
        self.failures += 1;
        jittered(wait.min(Self::LONGEST))
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_a_maximum_and_resets_after_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..40).map(|_| backoff.failed()).collect();
        assert!(waits[0] >= Backoff::FIRST && waits[0] <= Backoff::FIRST * 6 / 5);
        assert!(waits.iter().all(|wait| *wait <= Backoff::LONGEST * 6 / 5));
        assert!(waits[39] >= Backoff::LONGEST);
        backoff.succeeded();
        assert!(backoff.failed() <= Backoff::FIRST * 6 / 5);
    }

    #[test]
    fn jittered_waits_rarely_repeat() {
        let waits: std::collections::BTreeSet<Duration> = (0..50).map(|_| jittered(Duration::from_secs(2))).collect();
        assert!(waits.len() > 25);
        assert!(waits.iter().all(|wait| (Duration::from_secs(2)..Duration::from_millis(2401)).contains(wait)));
    }
}
