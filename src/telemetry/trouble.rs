//! Trouble that lasts: said at once, then once a minute, and once when it is over.
//!
//! Decides what to say and when; whoever asks says it. Invariant: however often a state is looked at, and however it changes,
//! no more than `LINES` lines a minute come of it.

use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
/// Changes of mind within a minute that are still worth a line each.
const LINES: u32 = 6;

/// Lines that may still be written in this minute.
#[derive(Debug, Default)]
pub struct Budget {
    minute: Option<Instant>,
    lines: u32,
}

impl Budget {
    /// Takes one line, if there is one left.
    pub fn take(&mut self, now: Instant) -> bool {
        if self.minute.is_none_or(|start| now.duration_since(start) >= MINUTE) {
            (self.minute, self.lines) = (Some(now), 0);
        }
        self.lines += 1;
        self.lines <= LINES
    }
}

/// When a problem is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    AtOnce,
    /// Once it has lasted so long: it may well pass.
    For(Duration),
    /// Now, even if it has been said: somebody waits for it.
    Asked,
}

/// What is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// There is trouble, new or still.
    Trouble,
    Over,
}

/// One place where there may be trouble.
#[derive(Debug, Default)]
pub struct Trouble {
    problem: Option<String>,
    since: Option<Instant>,
    /// The problem as it was said last, until its end is said as well.
    said: Option<(String, Instant)>,
    budget: Budget,
}

impl Trouble {
    /// Takes note of how things are, and tells what to say about it.
    pub fn observe(&mut self, problem: Option<String>, patience: Patience, now: Instant) -> Option<Notice> {
        self.since = problem.as_ref().and(self.since.or(Some(now)));
        self.problem = problem;
        let Some(problem) = &self.problem else { return self.end(now) };
        let lasted = now.duration_since(self.since.unwrap_or(now));
        let is_due = match &self.said {
            _ if patience == Patience::Asked => true,
            Some((said, at)) => {
                now.duration_since(*at) >= MINUTE || (said != problem && self.has_lasted(patience, lasted))
            }
            None => self.has_lasted(patience, lasted),
        };
        if !is_due || !self.budget.take(now) {
            return None;
        }
        self.said = Some((problem.clone(), now));
        Some(Notice::Trouble)
    }

    /// What is wrong now, said or not.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    fn has_lasted(&self, patience: Patience, lasted: Duration) -> bool {
        match patience {
            Patience::AtOnce | Patience::Asked => true,
            Patience::For(limit) => lasted >= limit,
        }
    }

    fn end(&mut self, now: Instant) -> Option<Notice> {
        if self.said.is_none() || !self.budget.take(now) {
            return None;
        }
        self.said = None;
        Some(Notice::Over)
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
    fn said_at_once_then_once_a_minute_and_at_its_end() {
        let (mut trouble, start) = (Trouble::default(), Instant::now());
        let mut notices = Vec::new();
        for second in 0..200 {
            let problem = (10..190).contains(&second).then(|| "bad".to_owned());
            let notice = trouble.observe(problem, Patience::AtOnce, start + SECOND * second);
            notices.extend(notice.map(|notice| (second, notice)));
        }
        let (said, over) = (Notice::Trouble, Notice::Over);
        assert_eq!(notices, [(10, said), (70, said), (130, said), (190, over)]);
    }

    #[test]
    fn what_passes_in_time_is_not_said() {
        let (mut trouble, start) = (Trouble::default(), Instant::now());
        let patience = Patience::For(SECOND * 10);
        for second in [0, 9] {
            assert_eq!(trouble.observe(bad(), patience, start + SECOND * second), None);
        }
        assert_eq!(trouble.observe(None, patience, start + SECOND * 10), None, "what was not said does not end");
        assert_eq!(trouble.observe(bad(), patience, start + SECOND * 11), None);
        assert_eq!(trouble.observe(bad(), patience, start + SECOND * 21), Some(Notice::Trouble));
        assert_eq!(trouble.observe(bad(), patience, start + SECOND * 22), None);
        assert_eq!(trouble.observe(bad(), Patience::Asked, start + SECOND * 23), Some(Notice::Trouble));
    }

    #[test]
    fn a_state_that_flaps_does_not_flood() {
        let (mut trouble, start) = (Trouble::default(), Instant::now());
        let mut lines = 0;
        for step in 0..600 {
            let problem = (step % 2 == 0).then(|| format!("bad {step}"));
            lines += u32::from(trouble.observe(problem, Patience::AtOnce, start + SECOND * step).is_some());
        }
        assert!((10..=LINES * 10).contains(&lines), "{lines} lines in 10 minutes");
        trouble.observe(None, Patience::AtOnce, start + SECOND * 700);
        assert!(trouble.said.is_none(), "once it is calm, nothing false is left standing");
    }
}
