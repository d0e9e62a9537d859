//! How often something is written: at once, but no more than once a second where somebody else sets `caBundle` again and again, and
//! not much more often whatever else happens.
//!
//! Invariant: a single change is repaired without waiting; no fight keeps us and the API server busy.

use std::time::{Duration, Instant};

const REPAIR_INTERVAL: Duration = Duration::from_secs(1);
/// RepairThrottle without a quiet minute between them that are a fight.
const CONFLICT_REPAIRS: u32 = 5;
const QUIET_PERIOD: Duration = Duration::from_secs(60);

/// The repairs so far.
#[derive(Debug, Default)]
pub struct RepairThrottle {
    last: Option<Instant>,
    in_a_row: u32,
}

impl RepairThrottle {
    /// How long to wait before the next one.
    pub fn wait(&self, now: Instant) -> Duration {
        self.last.map_or(Duration::ZERO, |last| REPAIR_INTERVAL.saturating_sub(now.saturating_duration_since(last)))
    }

    /// One was made. Whether somebody conflicts with us.
    pub fn record(&mut self, now: Instant) -> bool {
        let is_quiet = self.last.is_none_or(|last| now.saturating_duration_since(last) >= QUIET_PERIOD);
        self.in_a_row = if is_quiet { 1 } else { self.in_a_row + 1 };
        self.last = Some(now);
        self.in_a_row >= CONFLICT_REPAIRS
    }
}

/// So many writes may follow each other at once: more than an installation or a rotation takes.
const WRITE_BURST: u32 = 12;
/// And one after each of these.
const WRITE_INTERVAL: Duration = Duration::from_millis(500);

/// The writes of all kinds.
#[derive(Debug, Default)]
pub struct WriteThrottle {
    /// When all of the burst is free again.
    free: Option<Instant>,
}

impl WriteThrottle {
    /// How long to wait before the next one.
    pub fn wait(&self, now: Instant) -> Duration {
        self.free.map_or(Duration::ZERO, |free| {
            free.saturating_duration_since(now).saturating_sub(WRITE_INTERVAL * (WRITE_BURST - 1))
        })
    }

    /// One is made.
    pub fn record(&mut self, now: Instant) {
        self.free = Some(self.free.map_or(now, |free| free.max(now)) + WRITE_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_made_at_once_and_a_fight_is_slow() {
        let (mut repairs, start) = (RepairThrottle::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(repairs.wait(at(0)), Duration::ZERO);
        assert!(!repairs.record(at(0)));
        assert_eq!(repairs.wait(at(0)), REPAIR_INTERVAL);
        assert_eq!(repairs.wait(at(1)), Duration::ZERO);
        let conflicts: Vec<bool> = (1..6).map(|second| repairs.record(at(second))).collect();
        assert_eq!(conflicts, [false, false, false, true, true]);
        assert!(!repairs.record(at(70)), "a quiet minute ends it");
    }

    #[test]
    fn a_burst_is_free_and_a_flood_is_not() {
        let (mut throttle, start) = (WriteThrottle::default(), Instant::now());
        for _ in 0..WRITE_BURST {
            assert_eq!(throttle.wait(start), Duration::ZERO);
            throttle.record(start);
        }
        assert_eq!(throttle.wait(start), WRITE_INTERVAL);
        let (mut now, mut writes) = (start, 0);
        while now < start + Duration::from_secs(60) {
            now += throttle.wait(now);
            throttle.record(now);
            writes += 1;
        }
        assert!((119..=121).contains(&writes), "{writes} writes in a minute");
        assert_eq!(throttle.wait(now + WRITE_INTERVAL * WRITE_BURST), Duration::ZERO, "all of it is free again");
    }
}
