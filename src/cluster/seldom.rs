//! Says the same thing at most once a minute.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(60);

/// When it was last said.
#[derive(Debug, Default)]
pub struct Seldom(Option<Instant>);

impl Seldom {
    pub fn say(&mut self, log: impl FnOnce()) {
        self.say_at(Instant::now(), log);
    }

    /// What was wrong is mended: the next time is news again.
    pub fn forget(&mut self) {
        self.0 = None;
    }

    fn say_at(&mut self, now: Instant, log: impl FnOnce()) {
        if self.0.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE) {
            self.0 = Some(now);
            log();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute_and_again_after_it_was_mended() {
        let (mut seldom, start, mut said) = (Seldom::default(), Instant::now(), 0);
        for second in [0, 1, 59, 60, 61] {
            seldom.say_at(start + Duration::from_secs(second), || said += 1);
        }
        assert_eq!(said, 2);
        seldom.forget();
        seldom.say_at(start + Duration::from_secs(62), || said += 1);
        assert_eq!(said, 3);
    }
}
