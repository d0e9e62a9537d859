//! A thread that checks files periodically, and immediately on request.
//!
//! Reading files may block, so no worker of the runtime and no request does it.
//! Invariant: the thread goes on after a scan that panics.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Between two scans of files that do not change.
pub(crate) const CALM: Duration = Duration::from_millis(1_250);
/// Until the next scan of files that are changing. A file whose writer pauses for longer may be
/// read incomplete.
pub(crate) const SOON: Duration = Duration::from_millis(500);

/// How much a scan reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// Files that seem to have changed, once they have settled.
    Quick,
    /// All files, settled or not: an operator has requested it.
    Full,
    /// No file: something else has changed.
    Woken,
}

/// Something that is scanned periodically.
pub(crate) trait Watch: Send + 'static {
    /// Scans once, acts on changes, and returns the time until the next scan.
    fn scan(&mut self, scan: Scan) -> Duration;
}

/// Requests a scan.
#[derive(Clone, Debug)]
pub(crate) struct Trigger(Sender<Scan>);

impl Trigger {
    /// Requests a full scan. Returns immediately. Has no effect once the thread has ended.
    pub(crate) fn pull(&self) {
        _ = self.0.send(Scan::Full);
    }

    /// Says that something else than files has changed.
    pub(crate) fn wake(&self) {
        _ = self.0.send(Scan::Woken);
    }
}

/// Starts a thread of this name, which runs until all its triggers are dropped.
pub(crate) fn spawn(name: &str, mut watched: impl Watch) -> io::Result<Trigger> {
    let (sender, requests) = channel();
    let watch = move || {
        let mut next = Instant::now() + CALM;
        loop {
            let mut scan = match requests.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(scan) => scan,
                Err(RecvTimeoutError::Timeout) => Scan::Quick,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // This scan serves all requests that have arrived so far.
            while let Ok(other) = requests.try_recv() {
                scan = if other == Scan::Full { Scan::Full } else { scan };
            }
            // The panic hook has logged the place; the last good state stays in use.
            let wait = catch_unwind(AssertUnwindSafe(|| watched.scan(scan))).unwrap_or(CALM);
            // What else changes does not put off the next look at the files.
            if scan != Scan::Woken {
                next = Instant::now() + wait;
            }
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(watch)?;
    Ok(Trigger(sender))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::Receiver;

    struct Recorded(Sender<Scan>);

    impl Watch for Recorded {
        fn scan(&mut self, scan: Scan) -> Duration {
            self.0.send(scan).expect("the test listens");
            assert!(scan != Scan::Full, "a full scan panics");
            Duration::from_secs(3600)
        }
    }

    fn next(scans: &Receiver<Scan>) -> Scan {
        scans.recv_timeout(Duration::from_secs(20)).expect("a scan")
    }

    #[test]
    fn it_looks_by_itself_and_when_asked_and_survives_a_panic() {
        let (sender, scans) = channel();
        let trigger = spawn("test", Recorded(sender)).expect("a thread");
        trigger.pull();
        assert_eq!(next(&scans), Scan::Full);
        assert_eq!(next(&scans), Scan::Quick);
        trigger.pull();
        assert_eq!(next(&scans), Scan::Full, "an hour is not waited for");
        trigger.wake();
        assert_eq!(next(&scans), Scan::Woken);
        drop(trigger);
        while scans.recv_timeout(Duration::from_secs(20)).is_ok() {}
    }
}
