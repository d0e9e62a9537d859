//! The state of one connection, and the deadline that follows from it.
//!
//! hyper has one time limit for idle connections and slow heads alike, and none for much else. API
//! servers need a long one for the first, and slow clients need short ones for the others, so bytes
//! are watched as they come and go ([`super::deadline_io`]).
//! Invariants: a request counts as in flight from its first byte until its response is written; a
//! connection that has ended counts no more; an evicted connection was idle, and does nothing any
//! more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::in_flight::{InFlight, RequestInFlight};
use crate::server::Limits;

/// A client that takes longer for the head of a request counts as idle: an honest client sends the
/// head in one piece.
const SLOW_HEAD: Duration = Duration::from_secs(1);

/// Beside [`SLOW_HEAD`], the time that a client may take for each MiB of a body before it counts as
/// idle.
const SLOW_MEBIBYTE: Duration = Duration::from_secs(1);

/// Why the server waits for the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// TLS.
    Handshake,
    /// The first byte of a request.
    Request,
    /// The peer's end of a connection that the server has ended.
    Close,
}

/// What the connection is doing.
enum Stage {
    /// No request is in flight.
    Waiting { since: Instant, wait: Wait },
    /// The head of a request is being received.
    Head { since: Instant, request: RequestInFlight },
    /// The body is being received, or the request is being handled. Other parts of the server limit
    /// both.
    Request { since: Instant, body: BodyProgress, request: RequestInFlight },
    /// The response is being written. A peer that does not read holds it up.
    Response { begun: Instant, progress: Instant, after: AfterResponse, request: RequestInFlight },
    /// Everything is written; what the peer still sends is discarded.
    Lingering { since: Instant, request: RequestInFlight },
    /// The connection was evicted, or has ended.
    Closed { since: Instant },
}

/// How much of a body has been received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyProgress {
    Bytes(usize),
    Complete,
}

/// What follows a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterResponse {
    KeepAlive,
    Close,
}

/// The state of one connection, shared by all that see a part of it: the stream, the service, the
/// driver and the table of connections.
#[derive(Clone)]
pub(in crate::server) struct ConnectionState {
    stage: Arc<Mutex<Stage>>,
    in_flight: InFlight,
}

impl ConnectionState {
    pub(super) fn new(in_flight: InFlight) -> Self {
        let stage = Stage::Waiting { since: Instant::now(), wait: Wait::Handshake };
        Self { stage: Arc::new(Mutex::new(stage)), in_flight }
    }

    /// The handshake is done, or the connection needs none.
    pub(super) fn handshake_done(&self) {
        self.change(|stage, _| match stage {
            Stage::Closed { .. } => stage,
            _ => Stage::Waiting { since: Instant::now(), wait: Wait::Request },
        });
    }

    /// Bytes were received. Returns `false` when they are no longer wanted.
    pub(super) fn received(&self, count: usize) -> bool {
        let mut stage = self.lock();
        match &mut *stage {
            Stage::Waiting { wait: Wait::Request, .. } => {
                *stage = Stage::Head { since: Instant::now(), request: self.in_flight.enter() };
            }
            Stage::Head { since, request } => {
                let has_room = request.head_grows(count);
                if !has_room {
                    *stage = Stage::Closed { since: *since };
                    return false;
                }
            }
            Stage::Request { body: BodyProgress::Bytes(bytes), .. } => *bytes = bytes.saturating_add(count),
            Stage::Closed { .. } => return false,
            _ => {}
        }
        true
    }

    /// The head of a request is complete.
    pub(super) fn head_received(&self) {
        let (since, body) = (Instant::now(), BodyProgress::Bytes(0));
        self.change(|stage, in_flight| match stage {
            Stage::Head { mut request, .. }
            | Stage::Request { mut request, .. }
            | Stage::Response { mut request, .. } => {
                request.head_ends();
                Stage::Request { since, body, request }
            }
            // The head arrived together with the request before it.
            _ => Stage::Request { since, body, request: in_flight.enter() },
        });
    }

    /// The whole request has been received; from here on it is the server that takes the time.
    pub(super) fn body_received(&self) {
        if let Stage::Request { body, .. } = &mut *self.lock() {
            *body = BodyProgress::Complete;
        }
    }

    /// The response is known.
    pub(super) fn response_begins(&self, after: AfterResponse) {
        let now = Instant::now();
        self.change(|stage, _| match stage {
            Stage::Request { request, .. } => Stage::Response { begun: now, progress: now, after, request },
            other => other,
        });
    }

    /// The peer's socket has taken some bytes.
    pub(super) fn bytes_written(&self) {
        if let Stage::Response { progress, .. } = &mut *self.lock() {
            *progress = Instant::now();
        }
    }

    /// The peer's socket has taken all bytes that were to be written.
    pub(super) fn flushed(&self) {
        let since = Instant::now();
        self.change(|stage, _| match stage {
            Stage::Response { after: AfterResponse::Close, request, .. } => Stage::Lingering { since, request },
            Stage::Response { .. } => Stage::Waiting { since, wait: Wait::Request },
            other => other,
        });
    }

    /// Everything is written, and the peer is to close first.
    pub(super) fn lingers(&self) {
        let since = Instant::now();
        self.change(|stage, in_flight| match stage {
            Stage::Closed { .. } => stage,
            Stage::Head { request, .. } | Stage::Lingering { request, .. } => Stage::Lingering { since, request },
            _ => Stage::Lingering { since, request: in_flight.enter() },
        });
    }

    /// The connection has ended, even if parts of it still hold its state.
    pub(super) fn closed(&self) {
        *self.lock() = Stage::Closed { since: Instant::now() };
    }

    /// When the peer has taken too long; `None` while the server works on a request.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        match &*self.lock() {
            Stage::Waiting { since, wait: Wait::Handshake } => Some(*since + limits.handshake),
            Stage::Waiting { since, wait: Wait::Request } => Some(*since + limits.idle),
            Stage::Waiting { since, wait: Wait::Close } => Some(*since + limits.write),
            Stage::Head { since, .. } => Some(*since + limits.head),
            Stage::Response { begun, progress, .. } => Some((*progress + limits.write).min(*begun + limits.idle)),
            Stage::Lingering { since, .. } => Some(*since + limits.linger + limits.write),
            Stage::Request { .. } => None,
            Stage::Closed { since } => Some(*since),
        }
    }

    /// Whether a connection past its deadline can be closed gracefully, because it was only idle.
    /// From now on the connection has the time that this takes.
    pub(super) fn begin_graceful_close(&self) -> bool {
        match &mut *self.lock() {
            Stage::Waiting { since, wait: wait @ Wait::Request } => {
                (*since, *wait) = (Instant::now(), Wait::Close);
                true
            }
            _ => false,
        }
    }

    /// Since when the peer has been idle, or slow with a request; `None` while the server works on
    /// a request.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        idle_since(&self.lock())
    }

    /// Closes a connection that has been idle since `since`; `false` when it no longer is.
    pub(super) fn evict(&self, since: Instant) -> bool {
        let mut stage = self.lock();
        let is_idle = idle_since(&stage) == Some(since);
        if is_idle {
            *stage = Stage::Closed { since };
        }
        is_idle
    }

    fn change(&self, next: impl FnOnce(Stage, &InFlight) -> Stage) {
        let mut stage = self.lock();
        // The stand-in is never seen: `next` cannot panic and the lock is held.
        let stand_in = Stage::Closed { since: Instant::now() };
        *stage = next(std::mem::replace(&mut *stage, stand_in), &self.in_flight);
    }

    /// The lock is held for moments: by the tasks of the connection, and by the search for one to
    /// evict.
    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn idle_since(stage: &Stage) -> Option<Instant> {
    match stage {
        Stage::Waiting { since, .. } | Stage::Lingering { since, .. } => Some(*since),
        Stage::Head { since, .. } => (since.elapsed() >= SLOW_HEAD).then_some(*since),
        Stage::Request { since, body: BodyProgress::Bytes(bytes), .. } => {
            let longest = SLOW_HEAD + SLOW_MEBIBYTE.mul_f64(*bytes as f64 / (1024.0 * 1024.0));
            (since.elapsed() >= longest).then_some(*since)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (ConnectionState, InFlight) {
        let in_flight = InFlight::default();
        (ConnectionState::new(in_flight.clone()), in_flight)
    }

    /// Whether `limit` runs since a moment after `start`.
    fn runs(state: &ConnectionState, limits: &Limits, limit: Duration, start: Instant) -> bool {
        let deadlines = start + limit..=Instant::now() + limit;
        state.deadline(limits).is_some_and(|deadline| deadlines.contains(&deadline))
    }

    #[tokio::test]
    async fn each_stage_has_its_own_deadline() {
        let limits = Limits::default();
        let start = Instant::now();
        let (state, in_flight) = state();
        assert!(runs(&state, &limits, limits.handshake, start));
        state.handshake_done();
        assert!(runs(&state, &limits, limits.idle, start));
        let first_byte = Instant::now();
        assert!(state.received(1) && state.received(1));
        assert!(runs(&state, &limits, limits.head, first_byte), "later bytes of a head give it no more time");
        state.head_received();
        assert!(state.received(1));
        assert!(state.deadline(&limits).is_none() && in_flight.count() == 1);
        state.flushed();
        assert_eq!(in_flight.count(), 1, "a request stays in flight until its response is written");
        state.response_begins(AfterResponse::KeepAlive);
        let answered = Instant::now();
        state.bytes_written();
        assert!(runs(&state, &limits, limits.write, answered) && in_flight.count() == 1);
        state.flushed();
        assert_eq!(in_flight.count(), 0);
        assert!(runs(&state, &limits, limits.idle, answered));
    }

    #[tokio::test]
    async fn a_peer_that_reads_a_response_in_drops_reaches_a_deadline() {
        let limits = Limits { write: Duration::from_secs(500), ..Limits::default() };
        let (state, _) = state();
        state.head_received();
        let start = Instant::now();
        state.response_begins(AfterResponse::KeepAlive);
        state.bytes_written();
        assert!(runs(&state, &limits, limits.idle, start));
    }

    #[tokio::test]
    async fn the_last_response_is_in_flight_until_the_peer_has_closed() {
        let (state, in_flight) = state();
        state.head_received();
        state.response_begins(AfterResponse::Close);
        state.flushed();
        assert_eq!(in_flight.count(), 1);
        state.lingers();
        assert!(in_flight.count() == 1 && state.idle_since().is_some());
        drop(state);
        assert_eq!(in_flight.count(), 0);
    }

    #[tokio::test]
    async fn a_closed_connection_is_not_in_flight() {
        let (state, in_flight) = state();
        state.head_received();
        assert_eq!(in_flight.count(), 1);
        state.closed();
        assert_eq!(in_flight.count(), 0);
    }

    #[tokio::test]
    async fn only_idle_connections_are_evicted() {
        let (state, in_flight) = state();
        state.handshake_done();
        let since = state.idle_since().expect("nothing was received yet");
        assert!(state.received(1));
        assert!(state.idle_since().is_none() && !state.evict(since), "a request has begun");
        tokio::time::sleep(SLOW_HEAD).await;
        let slow = state.idle_since().expect("the head is slow");
        state.head_received();
        assert!(state.idle_since().is_none() && !state.evict(slow), "the head is complete");
        state.response_begins(AfterResponse::KeepAlive);
        assert!(state.idle_since().is_none());
        state.flushed();
        let since = state.idle_since().expect("the response is written");
        assert!(state.evict(since) && !state.received(1));
        assert!(state.deadline(&Limits::default()).is_some_and(|deadline| deadline <= Instant::now()));
        assert_eq!(in_flight.count(), 0);
    }

    #[tokio::test]
    async fn idle_connections_are_closed_gracefully() {
        let limits = Limits::default();
        let (state, _) = state();
        assert!(!state.begin_graceful_close(), "the handshake is not done");
        state.handshake_done();
        let start = Instant::now();
        assert!(state.begin_graceful_close());
        assert!(runs(&state, &limits, limits.write, start) && !state.begin_graceful_close(), "only once");
    }
}
