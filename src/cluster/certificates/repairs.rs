//! How often `caBundle` is set: at once, but no more than once a second when somebody else sets it again and again.
//!
//! Invariant: a single change is repaired without waiting; no fight keeps us and the API server busy.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);
/// Repairs without a quiet minute between them that are a fight.
const FIGHT: u32 = 5;
const QUIET: Duration = Duration::from_secs(60);

/// The repairs so far.
#[derive(Debug, Default)]
pub struct Repairs {
    last: Option<Instant>,
    in_a_row: u32,
}

impl Repairs {
    /// How long to wait before the next one.
    pub fn wait(&self, now: Instant) -> Duration {
        self.last.map_or(Duration::ZERO, |last| INTERVAL.saturating_sub(now.saturating_duration_since(last)))
    }

    /// One was made. Whether somebody fights with us.
    pub fn made(&mut self, now: Instant) -> bool {
        let is_quiet = self.last.is_none_or(|last| now.saturating_duration_since(last) >= QUIET);
        self.in_a_row = if is_quiet { 1 } else { self.in_a_row + 1 };
        self.last = Some(now);
        self.in_a_row >= FIGHT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_made_at_once_and_a_fight_is_slow() {
        let (mut repairs, start) = (Repairs::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(repairs.wait(at(0)), Duration::ZERO);
        assert!(!repairs.made(at(0)));
        assert_eq!(repairs.wait(at(0)), INTERVAL);
        assert_eq!(repairs.wait(at(1)), Duration::ZERO);
        let fights: Vec<bool> = (1..6).map(|second| repairs.made(at(second))).collect();
        assert_eq!(fights, [false, false, false, true, true]);
        assert!(!repairs.made(at(70)), "a quiet minute ends it");
    }
}
