//! Measures a thread's processor time: the clock of the engine, which has none, and of long
//! reviews.
//!
//! Elapsed time would not do: on a busy machine a thread waits longer than it works, and no pod may
//! be denied for that.
//! Invariant: the clock never goes back and is at most a millisecond behind.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Shortest interval between two system calls. The call takes ten times as long as reading the
/// monotonic clock, and an expression reads this clock at every step. A thread cannot work longer
/// than time passes.
const REFRESH_INTERVAL: Duration = Duration::from_millis(1);

thread_local! {
    /// Time and result of the last system call.
    static LAST_READING: Cell<Option<(Instant, u64)>> = const { Cell::new(None) };
}

/// Milliseconds of this thread's processor time; of a monotonic clock if the system cannot tell.
pub(crate) fn milliseconds() -> u64 {
    let now = Instant::now();
    match LAST_READING.get() {
        Some((when, milliseconds)) if now.saturating_duration_since(when) < REFRESH_INTERVAL => milliseconds,
        _ => {
            let time = thread_time().unwrap_or_else(since_start).as_millis();
            let milliseconds = u64::try_from(time).unwrap_or(u64::MAX);
            LAST_READING.set(Some((now, milliseconds)));
            milliseconds
        }
    }
}

#[cfg(unix)]
#[allow(unsafe_code, reason = "the system call has no safe wrapper among our crates")]
fn thread_time() -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value of ours that outlives the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
    (result == 0).then(|| Duration::new(seconds, nanoseconds))
}

#[cfg(not(unix))]
fn thread_time() -> Option<Duration> {
    None
}

fn since_start() -> Duration {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "no runtime runs on the thread of a test")]
    fn time_advances_while_working_and_not_while_sleeping() {
        let start = milliseconds();
        std::thread::sleep(Duration::from_millis(200));
        let waited = milliseconds() - start;
        assert!(waited < 100, "{waited} ms");
        let begin = Instant::now();
        while milliseconds() - start < waited + 50 {
            assert!(begin.elapsed() < Duration::from_secs(20), "time does not pass");
        }
    }
}
