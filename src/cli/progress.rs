//! Shows on a terminal how far long work has come: on stderr, after its first second.
//!
//! Invariant: nothing is written where stderr is no terminal, and nothing stays on it afterwards.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that ends before this shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Work of a number of steps, or of an unknown number.
pub(super) struct Progress {
    bar: ProgressBar,
    begin: Instant,
    is_shown: bool,
}

impl Progress {
    /// Work whose number of steps is not known, such as a list in pages.
    pub(super) fn counting(what: &'static str) -> Self {
        Self::with_style(ProgressBar::hidden(), "{spinner} {msg}: {pos}", what)
    }

    /// Work of so many steps.
    pub(super) fn of(steps: usize, what: &'static str) -> Self {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        Self::with_style(
            ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::hidden()),
            "{msg}: {pos} of {len} [{bar:30}] {eta}",
            what,
        )
    }

    fn with_style(bar: ProgressBar, template: &str, what: &'static str) -> Self {
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what);
        Self { bar, begin: Instant::now(), is_shown: false }
    }

    /// So many more steps are done.
    pub(super) fn advance(&mut self, steps: usize) {
        self.bar.inc(u64::try_from(steps).unwrap_or(u64::MAX));
        if !self.is_shown && self.begin.elapsed() >= PATIENCE && std::io::stderr().is_terminal() {
            self.is_shown = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Writes a line above the bar.
    pub(super) fn message(&self, line: &str) {
        self.bar.suspend(|| super::stdio::print_message(line));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_and_nothing_is_shown_before_a_second() {
        let mut progress = Progress::of(3, "pods");
        progress.advance(2);
        assert_eq!((progress.bar.position(), progress.bar.length()), (2, Some(3)));
        assert!(!progress.is_shown);
    }
}
