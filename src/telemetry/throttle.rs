//! Limits how often the log repeats itself: one line a minute for the same problem or the same kind
//! of event.
//!
//! [`ProblemThrottle`] is for problems that last: it reports a persistent error immediately, then
//! once a minute, then once when it clears. [`EventThrottle`] is for single events, which it counts
//! between two lines. Both decide when to log and leave the logging to the caller. Invariant: no
//! state or event, however often it changes, leads to more than [`MAX_LINES`] lines a minute.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_secs(60);
/// Lines a minute for a problem that comes, changes and goes.
const MAX_LINES: u32 = 6;

/// Allows [`MAX_LINES`] lines a minute.
#[derive(Debug, Default)]
pub(crate) struct LineLimit {
    minute: Option<Instant>,
    lines: u32,
}

impl LineLimit {
    /// Whether one more line may be logged in this minute; counts it.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        if self.minute.is_none_or(|start| now.duration_since(start) >= PERIOD) {
            (self.minute, self.lines) = (Some(now), 0);
        }
        self.lines += 1;
        self.lines <= MAX_LINES
    }
}

/// When a problem is logged for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    Immediate,
    /// Once it has lasted this long, since it may clear by itself.
    After(Duration),
    /// Immediately, even if it was logged less than a minute ago: an operator has requested the
    /// check.
    Requested,
}

/// What the caller should log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The problem is new, has changed, or persists.
    Problem,
    /// The problem has cleared.
    Cleared,
}

/// Throttles the log lines about one thing that may have a problem.
#[derive(Debug, Default)]
pub(crate) struct ProblemThrottle {
    problem: Option<String>,
    since: Option<Instant>,
    /// The problem as it was last logged, until the log says that it has cleared.
    logged: Option<(String, Instant)>,
    limit: LineLimit,
}

impl ProblemThrottle {
    /// Records the current problem, or that there is none, and returns what to log now.
    pub(crate) fn observe(&mut self, problem: Option<String>, urgency: Urgency, now: Instant) -> Option<Notice> {
        self.since = problem.as_ref().and(self.since.or(Some(now)));
        self.problem = problem;
        let Some(problem) = &self.problem else { return self.clear_at(now) };
        let lasted = now.duration_since(self.since.unwrap_or(now));
        let is_ripe = match urgency {
            Urgency::Immediate | Urgency::Requested => true,
            Urgency::After(delay) => lasted >= delay,
        };
        let is_due = match &self.logged {
            _ if urgency == Urgency::Requested => true,
            Some((logged, at)) => now.duration_since(*at) >= PERIOD || (logged != problem && is_ripe),
            None => is_ripe,
        };
        if !is_due || !self.limit.allow(now) {
            return None;
        }
        self.logged = Some((problem.clone(), now));
        Some(Notice::Problem)
    }

    /// There is this problem now; calls `log` if it should be logged.
    pub(crate) fn report(&mut self, problem: &str, urgency: Urgency, log: impl FnOnce()) {
        if self.observe(Some(problem.to_owned()), urgency, Instant::now()) == Some(Notice::Problem) {
            log();
        }
    }

    /// There is no problem now; calls `log` if one was logged before.
    pub(crate) fn clear(&mut self, log: impl FnOnce()) {
        if self.observe(None, Urgency::Immediate, Instant::now()) == Some(Notice::Cleared) {
            log();
        }
    }

    /// The current problem, logged or not.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    fn clear_at(&mut self, now: Instant) -> Option<Notice> {
        if self.logged.is_none() || !self.limit.allow(now) {
            return None;
        }
        self.logged = None;
        Some(Notice::Cleared)
    }
}

/// Throttles the log lines about events of one kind.
#[derive(Debug, Default)]
pub(crate) struct EventThrottle(Mutex<Events>);

#[derive(Debug, Default)]
struct Events {
    last_line: Option<Instant>,
    /// Events since `last_line`.
    count: u64,
}

impl EventThrottle {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Events { last_line: None, count: 0 }))
    }

    /// Counts an event. If a line is due, returns the number of events since the last line, this
    /// one included.
    pub(crate) fn due(&self) -> Option<u64> {
        self.due_at(Instant::now())
    }

    fn due_at(&self, now: Instant) -> Option<u64> {
        // No panic can leave the two fields half changed.
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.count += 1;
        if events.last_line.is_some_and(|last| now.duration_since(last) < PERIOD) {
            return None;
        }
        events.last_line = Some(now);
        Some(std::mem::take(&mut events.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn bad() -> Option<String> {
        Some("bad".to_owned())
    }

    #[test]
    fn a_persistent_problem_is_logged_immediately_then_once_a_minute_and_when_it_clears() {
        let (mut throttle, start) = (ProblemThrottle::default(), Instant::now());
        let mut notices = Vec::new();
        for second in 0..200 {
            let problem = (10..190).contains(&second).then(|| "bad".to_owned());
            let notice = throttle.observe(problem, Urgency::Immediate, start + SECOND * second);
            notices.extend(notice.map(|notice| (second, notice)));
        }
        let (problem, cleared) = (Notice::Problem, Notice::Cleared);
        assert_eq!(notices, [(10, problem), (70, problem), (130, problem), (190, cleared)]);
    }

    #[test]
    fn a_problem_that_clears_within_its_delay_is_not_logged() {
        let (mut throttle, start) = (ProblemThrottle::default(), Instant::now());
        let urgency = Urgency::After(SECOND * 10);
        for second in [0, 9] {
            assert_eq!(throttle.observe(bad(), urgency, start + SECOND * second), None);
        }
        assert_eq!(
            throttle.observe(None, urgency, start + SECOND * 10),
            None,
            "it was not logged, so it does not clear"
        );
        assert_eq!(throttle.observe(bad(), urgency, start + SECOND * 11), None);
        assert_eq!(throttle.observe(bad(), urgency, start + SECOND * 21), Some(Notice::Problem));
        assert_eq!(throttle.observe(bad(), urgency, start + SECOND * 22), None);
        assert_eq!(throttle.observe(bad(), Urgency::Requested, start + SECOND * 23), Some(Notice::Problem));
    }

    #[test]
    fn a_flapping_problem_does_not_flood_the_log() {
        let (mut throttle, start) = (ProblemThrottle::default(), Instant::now());
        let mut lines = 0;
        for step in 0..600 {
            let problem = (step % 2 == 0).then(|| format!("bad {step}"));
            lines += u32::from(throttle.observe(problem, Urgency::Immediate, start + SECOND * step).is_some());
        }
        assert!((10..=MAX_LINES * 10).contains(&lines), "{lines} lines in 10 minutes");
        throttle.observe(None, Urgency::Immediate, start + SECOND * 700);
        assert!(throttle.logged.is_none(), "the last line says that the problem has cleared");
    }

    #[test]
    fn events_are_logged_once_a_minute_with_their_number() {
        let (throttle, start) = (EventThrottle::new(), Instant::now());
        let at = |seconds| throttle.due_at(start + SECOND * seconds);
        assert_eq!([at(0), at(1), at(59), at(60), at(61), at(200)], [Some(1), None, None, Some(3), None, Some(2)]);
    }
}
