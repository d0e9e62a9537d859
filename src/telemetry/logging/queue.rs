//! A bounded queue of log lines, and the thread that writes them to stderr in batches.
//!
//! Logging copies a line into memory and returns. Invariants: at most [`MAX_BYTES`] are queued, and
//! further lines are dropped and counted (lines that are no decision may use [`RESERVED_BYTES`]
//! more); nothing waits for the reader of the log but [`LineQueue::flush`], for a limited time.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus::IntCounter;

/// Several thousand lines: the moment in which a reader is slow, not the hour in which it is gone.
const MAX_BYTES: usize = 2 * 1024 * 1024;
/// However many decisions there are, there is room to say that the process ends, or what is wrong.
const RESERVED_BYTES: usize = 64 * 1024;
/// What a batch may leave reserved for the next one.
const KEPT_BYTES: usize = 64 * 1024;
/// After the first line of a batch, others get so long to come along: one write and one wake-up
/// serve them all.
const LINGER: Duration = Duration::from_millis(5);
/// So many bytes are a batch by themselves.
const FULL_BATCH: usize = 256 * 1024;
/// For a standard error that was made non-blocking by somebody else and is full.
const AGAIN: Duration = Duration::from_millis(10);

/// Which lines are dropped first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineClass {
    /// One request of many.
    Decision,
    /// The process itself.
    Process,
}

impl LineClass {
    const fn max_bytes(self) -> usize {
        match self {
            Self::Decision => MAX_BYTES,
            Self::Process => MAX_BYTES + RESERVED_BYTES,
        }
    }
}

/// Takes lines and has them written.
pub(super) struct LineQueue {
    state: Mutex<Pending>,
    /// There is something for the writer to do.
    work: Condvar,
    /// A batch has been written, or is lost.
    done: Condvar,
    dropped: IntCounter,
}

#[derive(Default)]
struct Pending {
    pending: Vec<u8>,
    lines: u64,
    /// The writer waits for a first line, and has to be woken.
    is_idle: bool,
    /// The writer waits for more lines, and has to be woken when there are many.
    is_lingering: bool,
    is_writing: bool,
    /// Somebody waits for everything to be written.
    is_urgent: bool,
}

impl LineQueue {
    /// Starts the thread that writes to `sink`; `dropped` counts the lines that are lost.
    pub(super) fn start(sink: impl Write + Send + 'static, dropped: IntCounter) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self { state: Mutex::default(), work: Condvar::new(), done: Condvar::new(), dropped });
        let writer = Arc::clone(&queue);
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_for_ever(sink))?;
        Ok(queue)
    }

    /// Takes a line with its end, or loses it.
    pub(super) fn push(&self, line: &[u8], class: LineClass) {
        let mut state = self.lock();
        if state.pending.len() + line.len() > class.max_bytes() {
            drop(state);
            self.dropped.inc();
            return;
        }
        state.pending.extend_from_slice(line);
        state.lines += 1;
        let is_full = state.pending.len() >= FULL_BATCH;
        let wakes = std::mem::take(&mut state.is_idle) || (is_full && std::mem::take(&mut state.is_lingering));
        drop(state);
        if wakes {
            self.work.notify_one();
        }
    }

    /// Waits until everything so far is written, but no longer than `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let mut state = self.lock();
        state.is_urgent = true;
        self.work.notify_one();
        let is_left = |state: &mut Pending| state.is_writing || !state.pending.is_empty();
        let waited = self.done.wait_timeout_while(state, limit, is_left);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_urgent = false;
    }

    fn write_for_ever(&self, mut sink: impl Write) {
        let mut batch = Vec::new();
        let mut reported = self.dropped.get();
        loop {
            let lines = self.take(&mut batch);
            let written = write(&mut sink, &batch);
            batch.clear();
            batch.shrink_to(KEPT_BYTES);
            match written {
                Ok(()) => report(&self.dropped, &mut reported),
                Err(_) => self.dropped.inc_by(lines),
            }
            self.lock().is_writing = false;
            self.done.notify_all();
        }
    }

    /// Waits for lines and puts them into the empty `batch`; returns how many there are.
    fn take(&self, batch: &mut Vec<u8>) -> u64 {
        let mut state = self.lock();
        while state.pending.is_empty() {
            state.is_idle = true;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_idle = false;
        state.is_lingering = state.pending.len() < FULL_BATCH;
        let lingers = |state: &mut Pending| state.is_lingering && !state.is_urgent;
        let waited = self.work.wait_timeout_while(state, LINGER, lingers);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.is_lingering = false;
        std::mem::swap(&mut state.pending, batch);
        state.is_writing = true;
        std::mem::take(&mut state.lines)
    }

    /// Nothing here can panic half way through a change.
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Now that lines get through again: how many did not.
fn report(dropped: &IntCounter, reported: &mut u64) {
    let total = dropped.get();
    if total > *reported {
        tracing::warn!(lines = total - *reported, "lines of the log were lost: whoever reads it did not keep up");
        *reported = total;
    }
}

fn write(sink: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::park_timeout(AGAIN),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn counter() -> IntCounter {
        IntCounter::new("dropped", "lines").expect("a name")
    }

    /// Takes what it is given once the gate is open.
    struct Gated {
        gate: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Open for good once the other end is gone.
            _ = self.gate.recv();
            self.written.lock().expect("no panic while writing").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_takes_nothing_costs_lines_and_no_time() {
        let (opens, gate) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let dropped = counter();
        let queue = LineQueue::start(Gated { gate, written: Arc::clone(&written) }, dropped.clone()).expect("a thread");
        let line = [b'x'; 1024];
        let count = 3 * MAX_BYTES / line.len();
        for _ in 0..count {
            queue.push(&line, LineClass::Decision);
        }
        let lost = dropped.get();
        queue.push(&line, LineClass::Process);
        assert_eq!(dropped.get(), lost, "there is room left for what is no decision");
        queue.flush(Duration::from_millis(10));
        // One batch may be with the writer, another waits.
        let lost = usize::try_from(dropped.get()).expect("a count");
        assert!((MAX_BYTES / line.len()..=2 * MAX_BYTES / line.len()).contains(&lost), "{lost} of {count}");
        drop(opens);
        queue.flush(Duration::from_secs(30));
        assert_eq!(written.lock().expect("no panic while writing").len(), (count + 1 - lost) * line.len());
    }

    #[test]
    fn lines_keep_their_order_across_batches() {
        let (opens, gate) = mpsc::channel();
        drop(opens);
        let written = Arc::new(Mutex::new(Vec::new()));
        let queue = LineQueue::start(Gated { gate, written: Arc::clone(&written) }, counter()).expect("a thread");
        let lines: Vec<String> = (0..1_000).map(|number| format!("{number}\n")).collect();
        for (number, line) in lines.iter().enumerate() {
            queue.push(line.as_bytes(), LineClass::Decision);
            if number % 250 == 0 {
                queue.flush(Duration::from_secs(30));
            }
        }
        queue.flush(Duration::from_secs(30));
        assert_eq!(String::from_utf8_lossy(&written.lock().expect("no panic while writing")), lines.concat());
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let dropped = counter();
        let queue = LineQueue::start(Broken, dropped.clone()).expect("a thread");
        for _ in 0..7 {
            queue.push(b"line\n", LineClass::Process);
        }
        queue.flush(Duration::from_secs(30));
        assert_eq!(dropped.get(), 7);
    }
}
