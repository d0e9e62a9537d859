//! Shows on a terminal how far long work has come: on stderr, after its first second.
//!
//! Invariant: nothing is written where stderr is no terminal, and nothing stays on it afterwards.

use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that ends before this shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two turns of the spinner.
const TICK: Duration = Duration::from_millis(200);

/// Work of a number of steps, or of an unknown number.
pub(super) struct Progress {
    bar: ProgressBar,
    what: &'static str,
    /// Closed at the end, which ends the thread that shows the bar.
    _end: Sender<()>,
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
            "{spinner} {pos} of {len} [{bar:30}] {msg}",
            what,
        )
    }

    fn with_style(bar: ProgressBar, template: &str, what: &'static str) -> Self {
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what);
        let (end, is_ended) = mpsc::channel();
        if std::io::stderr().is_terminal() {
            let bar = bar.clone();
            // A step may take minutes, so no step can show the bar.
            std::thread::spawn(move || {
                if is_ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                    bar.enable_steady_tick(TICK);
                }
            });
        }
        Self { bar, what, _end: end }
    }

    /// So many more steps are done.
    pub(super) fn advance(&self, steps: usize) {
        self.bar.inc(u64::try_from(steps).unwrap_or(u64::MAX));
    }

    /// Tells what is waited for, or nothing.
    pub(super) fn waits_for(&self, state: &str) {
        let message = if state.is_empty() { self.what.to_owned() } else { format!("{}; {state}", self.what) };
        self.bar.set_message(message);
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
        let progress = Progress::of(3, "pods");
        progress.advance(2);
        assert_eq!((progress.bar.position(), progress.bar.length()), (2, Some(3)));
        progress.waits_for("pod web-1");
        assert_eq!(progress.bar.message(), "pods; pod web-1");
        assert!(progress.bar.is_hidden());
    }
}
