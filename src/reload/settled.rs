//! Waits until a file that is being written has come to rest.

use std::time::Instant;

/// What [`reload`](super) found in files since the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reloaded<T = ()> {
    Unchanged,
    /// The files are being changed: check again soon.
    Unsettled,
    Replaced(T),
}

/// The last value that differs from the one in use. Invariant: a value is taken only if two checks
/// in a row have found it.
#[derive(Debug)]
pub(crate) struct Settled<T> {
    last: Option<T>,
    /// When the value in use was first found to differ.
    since: Option<Instant>,
}

/// Whether a changed value can be taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settling<T> {
    /// The previous check found the same value.
    Settled,
    /// The previous check found this value, or none that differs; the change began at `since`.
    Changing { previous: Option<T>, since: Instant },
}

impl<T> Default for Settled<T> {
    fn default() -> Self {
        Self { last: None, since: None }
    }
}

impl<T: Clone + PartialEq> Settled<T> {
    /// Records a value that differs from the one in use.
    pub(crate) fn observe(&mut self, value: &T, now: Instant) -> Settling<T> {
        if self.last.as_ref() == Some(value) {
            return Settling::Settled;
        }
        let since = *self.since.get_or_insert(now);
        Settling::Changing { previous: self.last.replace(value.clone()), since }
    }

    /// As [`Self::observe`], for callers that wait however long the change lasts.
    pub(crate) fn has_settled(&mut self, value: &T) -> bool {
        self.observe(value, Instant::now()) == Settling::Settled
    }

    /// The value is the one in use, or has been taken.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_value_is_settled_when_it_is_found_twice_in_a_row() {
        let (mut settled, start) = (Settled::default(), Instant::now());
        let later = start + Duration::from_secs(1);
        assert_eq!(settled.observe(&1, start), Settling::Changing { previous: None, since: start });
        assert_eq!(settled.observe(&2, later), Settling::Changing { previous: Some(1), since: start });
        assert_eq!(settled.observe(&2, later), Settling::Settled);
        settled.reset();
        assert_eq!(settled.observe(&2, later), Settling::Changing { previous: None, since: later });
    }
}
