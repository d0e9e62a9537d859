//! What one connection is doing, since when, and how long it may.
//!
//! hyper has one time limit for idle connections and slow heads alike; API servers need the first to be long, and slow
//! clients the second to be short. So bytes are watched as they come in.
//! Invariants: a request counts as in flight from its first byte until its answer is written; a connection that ends counts no more.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Limits;

/// The number of requests in flight, and who waits for there to be none.
#[derive(Clone, Default)]
pub struct InFlight(Arc<(AtomicUsize, Notify)>);

impl InFlight {
    fn enter(&self) -> Entered {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        Entered(self.clone())
    }

    /// Waits until nothing is in flight.
    pub async fn none(&self) {
        loop {
            let left = self.0.1.notified();
            tokio::pin!(left);
            // From here on no notification is missed, so the count may be looked at.
            left.as_mut().enable();
            if self.0.0.load(Ordering::SeqCst) == 0 {
                return;
            }
            left.await;
        }
    }
}

/// One request in flight.
struct Entered(InFlight);

impl Drop for Entered {
    fn drop(&mut self) {
        if self.0.0.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.0.1.notify_waiters();
        }
    }
}

/// What a connection is doing.
enum State {
    /// Waiting for a request.
    Idle { since: Instant },
    /// Receiving the head of one.
    Head { since: Instant, entered: Entered },
    /// Receiving a body, or working: limited elsewhere.
    Busy { entered: Entered },
    /// The answer is known and being written, which the peer holds up when it does not read.
    Answered { since: Instant, entered: Entered },
}

/// The state of one connection, shared by the parts that see it: the bytes, the service and the driver.
#[derive(Clone)]
pub struct Clock {
    state: Arc<Mutex<State>>,
    in_flight: InFlight,
}

impl Clock {
    pub fn new(in_flight: InFlight) -> Self {
        Self { state: Arc::new(Mutex::new(State::Idle { since: Instant::now() })), in_flight }
    }

    /// Bytes came in.
    fn received(&self) {
        let mut state = self.lock();
        if let State::Idle { .. } = *state {
            *state = State::Head { since: Instant::now(), entered: self.in_flight.enter() };
        }
    }

    /// The head of a request is complete.
    pub fn busy(&self) {
        self.change(|state, in_flight| match state {
            State::Head { entered, .. } | State::Busy { entered } | State::Answered { entered, .. } => {
                State::Busy { entered }
            }
            // The head came in together with the request before it.
            State::Idle { .. } => State::Busy { entered: in_flight.enter() },
        });
    }

    /// The answer is known.
    pub fn answered(&self) {
        self.change(|state, _| match state {
            State::Busy { entered } => State::Answered { since: Instant::now(), entered },
            other => other,
        });
    }

    /// All that was to be written has left for the peer.
    fn flushed(&self) {
        self.change(|state, _| match state {
            State::Answered { entered, .. } => {
                drop(entered);
                State::Idle { since: Instant::now() }
            }
            other => other,
        });
    }

    /// When the connection has taken too long; `None` while we are the ones who work.
    pub fn deadline(&self, limits: &Limits) -> Option<Instant> {
        match &*self.lock() {
            State::Idle { since } | State::Answered { since, .. } => Some(*since + limits.idle),
            State::Head { since, .. } => Some(*since + limits.head),
            State::Busy { .. } => None,
        }
    }

    fn change(&self, next: impl FnOnce(State, &InFlight) -> State) {
        let mut state = self.lock();
        // The stand-in is never seen: `next` cannot panic and the lock is held.
        let current = std::mem::replace(&mut *state, State::Idle { since: Instant::now() });
        *state = next(current, &self.in_flight);
    }

    /// One task uses all clones of a clock, so nobody ever waits here.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that tells its clock when bytes come in, and when they all have gone out.
pub struct Clocked<S> {
    stream: S,
    clock: Clock,
}

impl<S> Clocked<S> {
    pub fn new(stream: S, clock: Clock) -> Self {
        Self { stream, clock }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Clocked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.clock.received();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Clocked<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.stream).poll_flush(context);
        if matches!(flush, Poll::Ready(Ok(()))) {
            self.clock.flushed();
        }
        flush
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_none(in_flight: &InFlight) -> bool {
        in_flight.0.0.load(Ordering::SeqCst) == 0
    }

    #[tokio::test]
    async fn limits_follow_what_the_connection_does() {
        let (limits, in_flight) = (Limits::default(), InFlight::default());
        let within = |limit, since: Instant| {
            let deadlines = since + limit..=Instant::now() + limit;
            move |clock: &Clock, limits: &Limits| {
                clock.deadline(limits).is_some_and(|deadline| deadlines.contains(&deadline))
            }
        };
        let start = Instant::now();
        let clock = Clock::new(in_flight.clone());
        assert!(within(limits.idle, start)(&clock, &limits));
        let first_byte = Instant::now();
        clock.received();
        let after = within(limits.head, first_byte);
        clock.received();
        assert!(after(&clock, &limits), "later bytes of a head give it no more time");
        clock.busy();
        clock.received();
        assert!(clock.deadline(&limits).is_none() && !is_none(&in_flight));
        clock.flushed();
        assert!(!is_none(&in_flight), "a connection that is busy stays so until it has answered");
        clock.answered();
        assert!(!is_none(&in_flight), "the answer is not written yet");
        let answered = Instant::now();
        clock.flushed();
        assert!(is_none(&in_flight));
        assert!(within(limits.idle, answered)(&clock, &limits));
    }

    #[tokio::test]
    async fn a_connection_that_ends_is_not_in_flight() {
        let in_flight = InFlight::default();
        let clock = Clock::new(in_flight.clone());
        clock.busy();
        let waiting = tokio::spawn({
            let in_flight = in_flight.clone();
            async move { in_flight.none().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(clock);
        waiting.await.expect("the wait ends");
    }
}
