//! What one connection is doing, since when, and how long it may.
//!
//! hyper has one time limit for idle connections and slow heads alike, and none for much else; API servers need the first to be
//! long, and slow clients the others to be short. So bytes are watched as they come and go ([`super::deadline_io`]).
//! Invariants: a request counts as in flight from its first byte until its answer is written; a connection that ends counts no
//! more; one that is dismissed was silent, and does nothing any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::in_flight::{Entered, InFlight};
use crate::server::Limits;

/// A head that takes longer counts as silence: it comes in one piece from whoever means it.
const SLOW_HEAD: Duration = Duration::from_secs(1);

/// What the peer may take for each MiB of a body beside [`SLOW_HEAD`], before it counts as silent.
const SLOW_MEBIBYTE: Duration = Duration::from_secs(1);

/// What HTTP/2 begins with: `PRI * HTTP/2.0`, two empty lines and `SM` between them.
const PREFACE_BYTES: usize = 24;

/// What a peer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// TLS.
    Handshake,
    /// HTTP/1.1: the first byte of a request.
    Head,
    /// HTTP/2: so many bytes of its preface.
    Preface { missing: usize },
    /// HTTP/2: a request.
    Stream,
    /// The peer's end of a connection that is over for us.
    Close,
}

/// What a connection is doing.
enum State {
    /// Nothing is in flight.
    Waiting { since: Instant, wait: Wait },
    /// HTTP/1.1: receiving the head of a request.
    Head { since: Instant, entered: Entered },
    /// HTTP/1.1: receiving a body, of which so many bytes have come, or working: limited elsewhere.
    Busy { since: Instant, body: Progress, entered: Entered },
    /// HTTP/1.1: the answer is known and being written, which the peer holds up when it does not read.
    Answered { begun: Instant, progress: Instant, then: Then, entered: Entered },
    /// HTTP/2: requests side by side, each with its limit; after the last one, what is still to be written.
    Streams { open: usize, ended: Instant, entered: Entered },
    /// Everything is written; what the peer still sends is thrown away.
    Lingering { since: Instant, entered: Entered },
    /// It is over: another connection got its place, or it has ended.
    Dismissed { since: Instant },
}

/// How much of a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Bytes(usize),
    Whole,
}

/// What comes after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    NextRequest,
    Close,
}

/// Which HTTP a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    One,
    Two,
}

struct Shared {
    state: State,
    /// Bytes were given to the stream that have not all left for the peer.
    is_writing: bool,
    /// The peer is to be asked to take its next request elsewhere.
    is_leaving: bool,
    /// Wakes the driver of an HTTP/2 connection, whose requests have tasks of their own.
    driver: Option<Waker>,
}

/// The state of one connection, shared by the parts that see it: the bytes, the service, the driver and the table of connections.
#[derive(Clone)]
pub struct Clock {
    shared: Arc<Mutex<Shared>>,
    in_flight: InFlight,
}

impl Shared {
    fn change(&mut self, next: impl FnOnce(State) -> State) {
        // The stand-in is never seen: `next` cannot panic and the lock is held.
        let stand_in = State::Dismissed { since: Instant::now() };
        self.state = next(std::mem::replace(&mut self.state, stand_in));
    }
}

impl Clock {
    pub fn new(in_flight: InFlight) -> Self {
        let state = State::Waiting { since: Instant::now(), wait: Wait::Handshake };
        let shared = Shared { state, is_writing: false, is_leaving: false, driver: None };
        Self { shared: Arc::new(Mutex::new(shared)), in_flight }
    }

    /// The handshake is done, or there is none.
    pub fn begin(&self, http: Http) {
        let wait = match http {
            Http::One => Wait::Head,
            Http::Two => Wait::Preface { missing: PREFACE_BYTES },
        };
        self.change(|state, _| match state {
            State::Dismissed { .. } => state,
            _ => State::Waiting { since: Instant::now(), wait },
        });
    }

    /// Bytes came in; whether they are still wanted.
    pub fn received(&self, count: usize) -> bool {
        let mut shared = self.lock();
        match &mut shared.state {
            State::Waiting { wait: Wait::Head, .. } => {
                shared.state = State::Head { since: Instant::now(), entered: self.in_flight.enter() };
            }
            State::Waiting { wait, since } => {
                if let Wait::Preface { missing } = wait {
                    *missing = missing.saturating_sub(count);
                    if *missing == 0 {
                        (*wait, *since) = (Wait::Stream, Instant::now());
                    }
                }
            }
            State::Head { since, entered } => {
                let has_room = entered.head_grows(count);
                if !has_room {
                    shared.state = State::Dismissed { since: *since };
                    return false;
                }
            }
            State::Busy { body: Progress::Bytes(bytes), .. } => *bytes = bytes.saturating_add(count),
            State::Dismissed { .. } => return false,
            _ => {}
        }
        true
    }

    /// HTTP/1.1: the head of a request is complete.
    pub fn busy(&self) {
        let (since, body) = (Instant::now(), Progress::Bytes(0));
        self.change(|state, in_flight| match state {
            State::Head { mut entered, .. } | State::Busy { mut entered, .. } | State::Answered { mut entered, .. } => {
                entered.head_ends();
                State::Busy { since, body, entered }
            }
            // The head came in together with the request before it.
            _ => State::Busy { since, body, entered: in_flight.enter() },
        });
    }

    /// HTTP/1.1: all of a request has come; from here on it is we who take the time.
    pub fn whole(&self) {
        if let State::Busy { body, .. } = &mut self.lock().state {
            *body = Progress::Whole;
        }
    }

    /// HTTP/1.1: the answer is known.
    pub fn answered(&self, then: Then) {
        let now = Instant::now();
        self.change(|state, _| match state {
            State::Busy { entered, .. } => State::Answered { begun: now, progress: now, then, entered },
            other => other,
        });
    }

    /// Bytes were taken from us.
    pub fn wrote(&self) {
        let mut shared = self.lock();
        shared.is_writing = true;
        if let State::Answered { progress, .. } = &mut shared.state {
            *progress = Instant::now();
        }
    }

    /// All that was to be written has left for the peer.
    pub fn flushed(&self) {
        let mut shared = self.lock();
        shared.is_writing = false;
        if let State::Answered { .. } = shared.state {
            let since = Instant::now();
            shared.change(|state| match state {
                State::Answered { then: Then::Close, entered, .. } => State::Lingering { since, entered },
                _ => State::Waiting { since, wait: Wait::Head },
            });
        }
    }

    /// Everything is written, and the peer is to close first.
    pub fn linger(&self) {
        let since = Instant::now();
        self.change(|state, in_flight| match state {
            State::Dismissed { .. } => state,
            State::Head { entered, .. } | State::Lingering { entered, .. } => State::Lingering { since, entered },
            _ => State::Lingering { since, entered: in_flight.enter() },
        });
    }

    /// The connection has ended, whoever still holds its clock.
    pub fn end(&self) {
        self.lock().state = State::Dismissed { since: Instant::now() };
    }

    /// When the connection has taken too long; `None` while we are the ones who work.
    pub fn deadline(&self, limits: &Limits) -> Option<Instant> {
        match &self.lock().state {
            State::Waiting { since, wait } => Some(*since + patience(*wait, limits)),
            State::Head { since, .. } => Some(*since + limits.head),
            State::Answered { begun, progress, .. } => Some((*progress + limits.write).min(*begun + limits.idle)),
            State::Streams { open: 0, ended, .. } => Some(*ended + limits.write),
            State::Lingering { since, .. } => Some(*since + limits.linger + limits.write),
            State::Busy { .. } | State::Streams { .. } => None,
            State::Dismissed { since } => Some(*since),
        }
    }

    /// Whether a connection whose time is over can be closed with a word: it was only idle. From now on it has the time that
    /// this takes.
    pub fn takes_leave(&self) -> bool {
        let mut shared = self.lock();
        let State::Waiting { since, wait: wait @ (Wait::Head | Wait::Stream) } = &mut shared.state else {
            return false;
        };
        (*since, *wait) = (Instant::now(), Wait::Close);
        true
    }

    fn change(&self, next: impl FnOnce(State, &InFlight) -> State) {
        self.lock().change(|state| next(state, &self.in_flight));
    }

    /// Held for moments: by the tasks of the connection, and by whoever looks for one that can be closed.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a peer may let us wait.
fn patience(wait: Wait, limits: &Limits) -> Duration {
    match wait {
        Wait::Handshake => limits.handshake,
        Wait::Head | Wait::Stream => limits.idle,
        Wait::Preface { .. } => limits.head,
        Wait::Close => limits.write,
    }
}

/// For the table of connections: which are silent, and the end of those.
impl Clock {
    /// Since when the peer has been silent, or slow with a request; `None` while one is being answered.
    pub fn silent_since(&self) -> Option<Instant> {
        silence(&self.lock().state)
    }

    /// Takes its place away from a connection that has been silent since `since`; whether it still was.
    pub fn dismiss(&self, since: Instant) -> bool {
        let mut shared = self.lock();
        let is_silent = silence(&shared.state) == Some(since);
        if is_silent {
            shared.state = State::Dismissed { since };
        }
        is_silent
    }
}

fn silence(state: &State) -> Option<Instant> {
    match state {
        State::Waiting { since, .. } | State::Lingering { since, .. } => Some(*since),
        State::Head { since, .. } => (since.elapsed() >= SLOW_HEAD).then_some(*since),
        State::Busy { since, body: Progress::Bytes(bytes), .. } => {
            let patience = SLOW_HEAD + SLOW_MEBIBYTE.mul_f64(*bytes as f64 / (1024.0 * 1024.0));
            (since.elapsed() >= patience).then_some(*since)
        }
        _ => None,
    }
}

/// For HTTP/2, whose requests have tasks of their own.
impl Clock {
    /// A request begins.
    pub fn open_stream(&self) {
        let ended = Instant::now();
        self.change(|state, in_flight| match state {
            State::Streams { open, ended, entered } => State::Streams { open: open + 1, ended, entered },
            State::Dismissed { .. } => state,
            _ => State::Streams { open: 1, ended, entered: in_flight.enter() },
        });
    }

    /// A request is answered, or given up; of its answer some may still have to be written.
    pub fn close_stream(&self) {
        let mut shared = self.lock();
        if let State::Streams { open, ended, .. } = &mut shared.state {
            (*open, *ended) = (open.saturating_sub(1), Instant::now());
        }
        if let Some(driver) = &shared.driver {
            driver.wake_by_ref();
        }
    }

    /// The peer is to take its next request elsewhere.
    pub fn leave(&self) {
        let mut shared = self.lock();
        shared.is_leaving = true;
        if let Some(driver) = &shared.driver {
            driver.wake_by_ref();
        }
    }

    /// Whether the peer has to be told so now: once.
    pub fn is_leaving_now(&self) -> bool {
        std::mem::take(&mut self.lock().is_leaving)
    }

    /// Before the connection moves on: whether all requests are answered. Their answers are written in this turn, if the peer
    /// takes them.
    pub fn is_over(&self, driver: &Waker) -> bool {
        let mut shared = self.lock();
        if !shared.driver.as_ref().is_some_and(|known| known.will_wake(driver)) {
            shared.driver = Some(driver.clone());
        }
        matches!(shared.state, State::Streams { open: 0, .. })
    }

    /// After a turn before which all requests were answered: when nothing is left to be written, nothing is in flight.
    pub fn settle(&self) {
        let mut shared = self.lock();
        if !shared.is_writing && matches!(shared.state, State::Streams { open: 0, .. }) {
            shared.state = State::Waiting { since: Instant::now(), wait: Wait::Stream };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> (Clock, InFlight) {
        let in_flight = InFlight::default();
        (Clock::new(in_flight.clone()), in_flight)
    }

    /// Whether `limit` runs since a moment after `start`.
    fn runs(clock: &Clock, limits: &Limits, limit: Duration, start: Instant) -> bool {
        let deadlines = start + limit..=Instant::now() + limit;
        clock.deadline(limits).is_some_and(|deadline| deadlines.contains(&deadline))
    }

    #[tokio::test]
    async fn limits_follow_what_the_connection_does() {
        let limits = Limits::default();
        let start = Instant::now();
        let (clock, in_flight) = clock();
        assert!(runs(&clock, &limits, limits.handshake, start));
        clock.begin(Http::One);
        assert!(runs(&clock, &limits, limits.idle, start));
        let first_byte = Instant::now();
        assert!(clock.received(1) && clock.received(1));
        assert!(runs(&clock, &limits, limits.head, first_byte), "later bytes of a head give it no more time");
        clock.busy();
        assert!(clock.received(1));
        assert!(clock.deadline(&limits).is_none() && in_flight.count() == 1);
        clock.flushed();
        assert_eq!(in_flight.count(), 1, "a connection that is busy stays so until it has answered");
        clock.answered(Then::NextRequest);
        let answered = Instant::now();
        clock.wrote();
        assert!(runs(&clock, &limits, limits.write, answered) && in_flight.count() == 1);
        clock.flushed();
        assert_eq!(in_flight.count(), 0);
        assert!(runs(&clock, &limits, limits.idle, answered));
    }

    #[tokio::test]
    async fn a_peer_that_takes_its_answer_in_drops_is_given_up_in_the_end() {
        let limits = Limits { write: Duration::from_secs(500), ..Limits::default() };
        let (clock, _) = clock();
        clock.busy();
        let start = Instant::now();
        clock.answered(Then::NextRequest);
        clock.wrote();
        assert!(runs(&clock, &limits, limits.idle, start));
    }

    #[tokio::test]
    async fn the_last_answer_is_in_flight_until_the_peer_has_closed() {
        let (clock, in_flight) = clock();
        clock.busy();
        clock.answered(Then::Close);
        clock.flushed();
        assert_eq!(in_flight.count(), 1);
        clock.linger();
        assert!(in_flight.count() == 1 && clock.silent_since().is_some());
        drop(clock);
        assert_eq!(in_flight.count(), 0);
    }

    #[tokio::test]
    async fn a_connection_that_ends_is_not_in_flight() {
        let (clock, in_flight) = clock();
        clock.busy();
        assert_eq!(in_flight.count(), 1);
        clock.end();
        assert_eq!(in_flight.count(), 0);
    }

    #[tokio::test]
    async fn only_the_silent_are_dismissed() {
        let (clock, in_flight) = clock();
        clock.begin(Http::One);
        let since = clock.silent_since().expect("nothing came in yet");
        assert!(clock.received(1));
        assert!(clock.silent_since().is_none() && !clock.dismiss(since), "a request has begun");
        tokio::time::sleep(SLOW_HEAD).await;
        let slow = clock.silent_since().expect("a head does not take so long");
        clock.busy();
        assert!(clock.silent_since().is_none() && !clock.dismiss(slow), "it has come to its end");
        clock.answered(Then::NextRequest);
        assert!(clock.silent_since().is_none());
        clock.flushed();
        let since = clock.silent_since().expect("all is answered");
        assert!(clock.dismiss(since) && !clock.received(1));
        assert!(clock.deadline(&Limits::default()).is_some_and(|deadline| deadline <= Instant::now()));
        assert_eq!(in_flight.count(), 0);
    }

    #[tokio::test]
    async fn streams_are_in_flight_until_their_answers_are_written() {
        let limits = Limits::default();
        let start = Instant::now();
        let (clock, in_flight) = clock();
        clock.begin(Http::Two);
        assert!(clock.received(PREFACE_BYTES - 1));
        assert!(runs(&clock, &limits, limits.head, start), "the preface has its limit");
        assert!(clock.received(1) && clock.received(100));
        assert!(runs(&clock, &limits, limits.idle, start) && in_flight.count() == 0);
        clock.open_stream();
        clock.open_stream();
        clock.close_stream();
        assert!(clock.deadline(&limits).is_none() && clock.silent_since().is_none() && in_flight.count() == 1);
        assert!(!clock.is_over(Waker::noop()));
        clock.close_stream();
        assert!(clock.is_over(Waker::noop()) && runs(&clock, &limits, limits.write, start));
        clock.wrote();
        clock.settle();
        assert_eq!(in_flight.count(), 1, "the peer has not taken all of it");
        clock.flushed();
        clock.settle();
        assert!(in_flight.count() == 0 && clock.silent_since().is_some());
    }

    #[tokio::test]
    async fn the_idle_are_closed_with_a_word() {
        let limits = Limits::default();
        for http in [Http::One, Http::Two] {
            let (clock, _) = clock();
            assert!(!clock.takes_leave(), "nobody is there yet to take leave of");
            clock.begin(http);
            if http == Http::Two {
                clock.received(PREFACE_BYTES);
            }
            let start = Instant::now();
            assert!(clock.takes_leave());
            assert!(runs(&clock, &limits, limits.write, start) && !clock.takes_leave(), "once");
        }
    }
}
