//! How often something is written: at once, but no more than once a second where somebody else sets `caBundle` again and again, and
//! not much more often whatever else happens.
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

/// So many writes may follow each other at once: more than an installation or a rotation takes.
const BURST: u32 = 12;
/// And one after each of these.
const EACH: Duration = Duration::from_millis(500);

/// The writes of all kinds.
#[derive(Debug, Default)]
pub struct Pace {
    /// When all of the burst is free again.
    free: Option<Instant>,
}

impl Pace {
    /// How long to wait before the next one.
    pub fn wait(&self, now: Instant) -> Duration {
        self.free.map_or(Duration::ZERO, |free| free.saturating_duration_since(now).saturating_sub(EACH * (BURST - 1)))
    }

    /// One is made.
    pub fn begun(&mut self, now: Instant) {
        self.free = Some(self.free.map_or(now, |free| free.max(now)) + EACH);
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

    #[test]
    fn a_burst_is_free_and_a_flood_is_not() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(pace.wait(start), Duration::ZERO);
            pace.begun(start);
        }
        assert_eq!(pace.wait(start), EACH);
        let (mut now, mut writes) = (start, 0);
        while now < start + Duration::from_secs(60) {
            now += pace.wait(now);
            pace.begun(now);
            writes += 1;
        }
        assert!((119..=121).contains(&writes), "{writes} writes in a minute");
        assert_eq!(pace.wait(now + EACH * BURST), Duration::ZERO, "all of it is free again");
    }
}
