//! Limits how often certificates and `caBundle` are written.
//!
//! A repair of `caBundle` is immediate, but at most once a second while another client keeps
//! changing it; all writes together have a burst and a rate.
//! Invariant: a single change is repaired without waiting, and no conflict causes a busy loop.

use std::time::{Duration, Instant};

const REPAIR_INTERVAL: Duration = Duration::from_secs(1);
/// This many repairs without a quiet period between them count as a conflict.
const CONFLICT_REPAIRS: u32 = 5;
const QUIET_PERIOD: Duration = Duration::from_secs(60);

/// Throttles repairs of `caBundle`.
#[derive(Debug, Default)]
pub(super) struct RepairThrottle {
    last: Option<Instant>,
    in_a_row: u32,
}

impl RepairThrottle {
    /// How long to wait before the next write.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.last.map_or(Duration::ZERO, |last| REPAIR_INTERVAL.saturating_sub(now.saturating_duration_since(last)))
    }

    /// Records a repair. Returns whether another client keeps changing the field.
    pub(super) fn record(&mut self, now: Instant) -> bool {
        let is_quiet = self.last.is_none_or(|last| now.saturating_duration_since(last) >= QUIET_PERIOD);
        self.in_a_row = if is_quiet { 1 } else { self.in_a_row + 1 };
        self.last = Some(now);
        self.in_a_row >= CONFLICT_REPAIRS
    }
}

/// Writes allowed in a burst: more than an installation or a rotation takes.
const WRITE_BURST: u32 = 12;
/// After a burst, one write is allowed per interval.
const WRITE_INTERVAL: Duration = Duration::from_millis(500);

/// Throttles writes of all kinds.
#[derive(Debug, Default)]
pub(super) struct WriteThrottle {
    /// When the whole burst is available again.
    free: Option<Instant>,
}

impl WriteThrottle {
    /// How long to wait before the next write.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.free.map_or(Duration::ZERO, |free| {
            free.saturating_duration_since(now).saturating_sub(WRITE_INTERVAL * (WRITE_BURST - 1))
        })
    }

    /// Records a write.
    pub(super) fn record(&mut self, now: Instant) {
        self.free = Some(self.free.map_or(now, |free| free.max(now)) + WRITE_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_repair_is_immediate_and_repeated_ones_are_throttled() {
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
    fn a_burst_is_not_throttled_and_a_flood_is() {
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
