//! Says the same thing at most once a minute, however often there is cause: a flood of peers makes no flood of log lines.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_secs(60);

/// One line of the log.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    last: Option<Instant>,
    /// How often there was cause since.
    causes: u64,
}

impl Seldom {
    pub const fn new() -> Self {
        Self(Mutex::new(Said { last: None, causes: 0 }))
    }

    /// There is cause: where the line is due again, how often there was cause since it was last said, this time included.
    pub fn due(&self) -> Option<u64> {
        self.due_at(Instant::now())
    }

    fn due_at(&self, now: Instant) -> Option<u64> {
        // A counter cannot be left half changed.
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.causes += 1;
        if said.last.is_some_and(|last| now.duration_since(last) < PERIOD) {
            return None;
        }
        said.last = Some(now);
        Some(std::mem::take(&mut said.causes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute_with_the_number_of_causes() {
        let (seldom, start) = (Seldom::new(), Instant::now());
        let at = |seconds| seldom.due_at(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(59), at(60), at(61), at(200)], [Some(1), None, None, Some(3), None, Some(2)]);
    }
}
