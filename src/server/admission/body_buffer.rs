//! The bodies that are being received: their bytes, the memory that they reserve, and which of them
//! are dropped when memory runs out.
//!
//! A small body reserves memory as its bytes arrive, so that announcing a length costs nothing. A
//! large body reserves all that it declares, so that a body that has begun can be finished. When
//! memory runs out, bodies that arrive slowly are dropped, the oldest first: otherwise a client
//! that sends nothing could crowd out all others. The module has no clock of its own. Invariant: no
//! bytes are kept that are not reserved.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use bytes::BytesMut;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::budget::{Budgets, Pool, Reservation, Size};

/// Time that a body may take, however small; API servers need milliseconds.
const GRACE: Duration = Duration::from_secs(1);
/// A body has one second more for every so many bytes received.
const BYTES_PER_SECOND: u64 = 1024 * 1024;
/// Step in which small bodies reserve memory.
const STEP: usize = 16 * 1024;

/// There is no memory for a body, or the body was dropped to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// A complete body, and its reservation until it is dropped.
pub(super) struct ReceivedBody {
    pub bytes: Bytes,
    _reservation: Reservation,
}

/// All bodies that are being received.
pub(super) struct BodyBuffer {
    budgets: Budgets,
    /// The oldest first.
    bodies: Mutex<BTreeMap<u64, Arc<SharedBody>>>,
    next: AtomicU64,
}

/// One body that is being received. Its bytes are here and not with its reader, so that dropping
/// them frees them at once.
struct SharedBody {
    began: Instant,
    /// `None` once the body was dropped to make room.
    content: Mutex<Option<BodyContent>>,
    dropped: Notify,
}

/// Bytes received; never more than are reserved.
struct BodyContent {
    buffer: BytesMut,
    reservation: Option<Reservation>,
}

impl BodyBuffer {
    pub(super) fn new(budgets: Budgets) -> Self {
        Self { budgets, bodies: Mutex::default(), next: AtomicU64::new(0) }
    }

    /// A body that has arrived in one piece.
    pub(super) fn complete(&self, bytes: Bytes, now: Instant) -> Result<ReceivedBody, NoRoom> {
        let reservation = self.reserve(bytes.len(), Size::of(bytes.len()), now)?;
        Ok(ReceivedBody { bytes, _reservation: reservation })
    }

    /// A body that is yet to arrive, with its length if the client declares one.
    pub(super) fn begin(&self, declared: Option<usize>, now: Instant) -> Result<IncompleteBody<'_>, NoRoom> {
        let reservation = match declared.filter(|length| Size::of(*length) == Size::Large) {
            Some(length) => Some(self.reserve(length, Size::Large, now)?),
            None => None,
        };
        let content = BodyContent { buffer: BytesMut::new(), reservation };
        let body = SharedBody { began: now, content: Mutex::new(Some(content)), dropped: Notify::new() };
        let (number, body) = (self.next.fetch_add(1, Ordering::Relaxed), Arc::new(body));
        lock(&self.bodies).insert(number, Arc::clone(&body));
        Ok(IncompleteBody { buffer: self, number, body, declared })
    }

    /// Reserves memory; when there is none, slow bodies are dropped.
    fn reserve(&self, bytes: usize, size: Size, now: Instant) -> Result<Reservation, NoRoom> {
        if let Some(reservation) = self.budgets.reserve(bytes, size) {
            return Ok(reservation);
        }
        // Every body after the first young one is younger still.
        for body in lock(&self.bodies).values().take_while(|body| body.age(now) > GRACE) {
            if body.drop_if_slow(size.pool(), now)
                && let Some(reservation) = self.budgets.reserve(bytes, size)
            {
                return Ok(reservation);
            }
        }
        Err(NoRoom)
    }
}

impl SharedBody {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Drops the body if it is slow and holds memory of this pool; returns whether it did.
    fn drop_if_slow(&self, pool: Pool, now: Instant) -> bool {
        let mut content = lock(&self.content);
        let is_slow = content.as_ref().is_some_and(|content| {
            let holds = content.reservation.as_ref().is_some_and(|reservation| reservation.pool() == pool);
            holds && self.age(now) > longest(content.buffer.len())
        });
        if is_slow {
            *content = None;
            self.dropped.notify_one();
        }
        is_slow
    }
}

/// How long a body of which so many bytes have arrived may take before it counts as slow.
fn longest(bytes: usize) -> Duration {
    GRACE + Duration::from_millis(bytes as u64 * 1000 / BYTES_PER_SECOND)
}

/// The reader's handle of a body that is being received.
pub(super) struct IncompleteBody<'r> {
    buffer: &'r BodyBuffer,
    number: u64,
    body: Arc<SharedBody>,
    declared: Option<usize>,
}

impl IncompleteBody<'_> {
    /// Adds a piece. `limit` is the longest body.
    pub(super) fn push(&self, piece: &[u8], limit: usize, now: Instant) -> Result<(), NoRoom> {
        let (length, held) = match lock(&self.body.content).as_ref() {
            Some(content) => (content.buffer.len() + piece.len(), content.held()),
            None => return Err(NoRoom),
        };
        // Not while this body is locked: `reserve` locks the others.
        let growth = if length > held { self.grow(length, held, limit, now)? } else { Growth::None };
        match lock(&self.body.content).as_mut() {
            Some(content) => content.push(piece, growth, self.declared),
            None => return Err(NoRoom),
        }
        Ok(())
    }

    fn grow(&self, length: usize, held: usize, limit: usize, now: Instant) -> Result<Growth, NoRoom> {
        match self.declared {
            Some(declared) => {
                let total = length.next_multiple_of(STEP).min(declared).max(length);
                self.buffer.reserve(total - held, Size::of(declared), now).map(Growth::More)
            }
            None => {
                // Doubling must not make a large body of one that may end as a small one.
                let most = if length <= Size::SMALL { Size::SMALL } else { limit };
                let total = (2 * length).clamp(STEP, most).max(length);
                self.buffer.reserve(total, Size::of(total), now).map(Growth::Replace)
            }
        }
    }

    /// Bytes received.
    pub(super) fn received(&self) -> usize {
        lock(&self.body.content).as_ref().map_or(0, |content| content.buffer.len())
    }

    /// Waits until the body is dropped to make room.
    pub(super) async fn dropped(&self) {
        self.body.dropped.notified().await;
    }

    /// The complete body.
    pub(super) fn finish(self, now: Instant) -> Result<ReceivedBody, NoRoom> {
        let content = lock(&self.body.content).take().ok_or(NoRoom)?;
        match content.reservation {
            Some(reservation) => Ok(ReceivedBody { bytes: content.buffer.freeze(), _reservation: reservation }),
            None => self.buffer.complete(content.buffer.freeze(), now),
        }
    }
}

impl Drop for IncompleteBody<'_> {
    fn drop(&mut self) {
        lock(&self.buffer.bodies).remove(&self.number);
    }
}

impl BodyContent {
    fn held(&self) -> usize {
        self.reservation.as_ref().map_or(0, Reservation::bytes)
    }

    fn push(&mut self, piece: &[u8], growth: Growth, declared: Option<usize>) {
        if self.buffer.capacity() == 0
            && let Some(declared) = declared
        {
            // Memory is taken only when it is written to.
            self.buffer.reserve(declared);
        }
        match growth {
            Growth::None => {}
            Growth::More(more) => {
                self.reservation = Some(match self.reservation.take() {
                    Some(held) => held.merge(more),
                    None => more,
                });
            }
            Growth::Replace(total) => {
                let mut buffer = BytesMut::with_capacity(total.bytes());
                buffer.extend_from_slice(&self.buffer);
                // The old buffer and its reservation are freed here.
                self.buffer = buffer;
                self.reservation = Some(total);
            }
        }
        self.buffer.extend_from_slice(piece);
    }
}

/// What a body reserves for its next piece.
enum Growth {
    None,
    /// In addition to its reservation: the buffer is as long as declared.
    More(Reservation),
    /// In place of its reservation: the length is not declared, and the bytes move to a longer
    /// buffer.
    Replace(Reservation),
}

/// No panic can leave these locks poisoned half-way: they are held for copying and counting only.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use prometheus::IntGauge;
    use proptest::prelude::*;

    use super::*;

    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;
    const LIMIT: usize = 10 * MIB;

    fn start() -> Instant {
        use std::sync::OnceLock;
        static START: OnceLock<Instant> = OnceLock::new();
        *START.get_or_init(Instant::now)
    }

    fn buffer() -> (BodyBuffer, IntGauge) {
        let gauge = IntGauge::new("bytes", "bytes").expect("a gauge");
        (BodyBuffer::new(Budgets::new(16 * MIB, 48 * MIB, gauge.clone())), gauge)
    }

    fn held(gauge: &IntGauge) -> usize {
        usize::try_from(gauge.get()).expect("never less than nothing")
    }

    #[tokio::test]
    async fn a_small_body_reserves_what_has_arrived_and_a_large_one_what_it_declares() {
        let (buffer, gauge) = buffer();
        let small = buffer.begin(Some(MIB), start()).expect("room");
        assert_eq!(held(&gauge), 0, "a declared length costs nothing");
        small.push(b"a", LIMIT, start()).expect("room");
        assert_eq!(held(&gauge), STEP);
        small.push(&[b'b'; 600 * KIB], LIMIT, start()).expect("room");
        assert_eq!(held(&gauge), 608 * KIB);
        let large = buffer.begin(Some(9 * MIB), start()).expect("room");
        assert_eq!(held(&gauge), 9 * MIB + 608 * KIB);
        drop(large);
        let received = small.finish(start()).expect("it is here");
        assert_eq!((received.bytes.len(), held(&gauge)), (600 * KIB + 1, 608 * KIB));
        drop(received);
        assert_eq!(held(&gauge), 0);
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_becomes_a_large_one_when_it_grows() {
        let (buffer, gauge) = buffer();
        let _filled: Vec<_> = (0..10).map(|_| buffer.reserve(MIB, Size::Medium, start()).expect("room")).collect();
        let body = buffer.begin(None, start()).expect("room");
        for _ in 0..8 {
            body.push(&[b'a'; 64 * KIB], LIMIT, start()).expect("room");
        }
        assert_eq!(body.push(&[b'a'; 600 * KIB], LIMIT, start()), Ok(()), "as a large one");
        assert_eq!(held(&gauge), 10 * MIB + 2 * (8 * 64 + 600) * KIB);
        let _others: Vec<_> = (0..4).map(|_| buffer.begin(Some(10 * MIB), start()).expect("room")).collect();
        assert_eq!(body.push(&[b'a'; 8 * MIB], LIMIT, start()), Err(NoRoom));
        assert!(body.push(&[b'a'; MIB], LIMIT, start()).is_ok(), "what it holds already");
    }

    #[tokio::test]
    async fn slow_bodies_are_dropped_oldest_first_and_no_more_than_needed() {
        let (buffer, gauge) = buffer();
        let slow: Vec<_> = (0..5).map(|_| buffer.begin(Some(9 * MIB), start()).expect("room")).collect();
        slow[1].push(&[b'a'; 2 * MIB], LIMIT, start()).expect("room");
        assert!(buffer.begin(Some(9 * MIB), start()).is_err(), "all have just begun");
        let later = start() + GRACE + Duration::from_millis(1);
        let (next, after) = (buffer.begin(Some(9 * MIB), later), buffer.begin(Some(9 * MIB), later));
        assert!(next.is_ok() && after.is_ok());
        for (number, is_dropped) in [true, false, true, false, false].into_iter().enumerate() {
            let pushed = slow[number].push(b"a", LIMIT, start());
            assert_eq!(pushed.is_err(), is_dropped, "{number}: the second body has sent enough");
        }
        assert_eq!(held(&gauge), 45 * MIB);
        // Returns at once.
        slow[0].dropped().await;
    }

    #[tokio::test]
    async fn slow_large_bodies_are_not_dropped_for_small_ones() {
        let (buffer, _) = buffer();
        let large = buffer.begin(Some(9 * MIB), start()).expect("room");
        let _filled: Vec<_> = (0..12).map(|_| buffer.reserve(MIB, Size::Medium, start()).expect("room")).collect();
        let later = start() + Duration::from_secs(5);
        assert_eq!(buffer.complete(Bytes::from(vec![0; MIB]), later).err(), Some(NoRoom));
        assert_eq!(large.push(b"a", LIMIT, start()), Ok(()));
    }

    /// One step: a body begins, receives bytes or ends, or time passes.
    #[derive(Clone, Debug)]
    enum Step {
        Begin(Option<usize>),
        Push(usize, usize),
        End(usize),
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            proptest::option::of(0..LIMIT).prop_map(Step::Begin),
            (0..8_usize, 0..3 * MIB).prop_map(|(which, bytes)| Step::Push(which, bytes)),
            (0..8_usize).prop_map(Step::End),
            (0..800_u64).prop_map(Step::Wait),
        ];
        proptest::collection::vec(step, 1..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// In any sequence of steps, all bytes kept are reserved, within the budgets, and all is
        /// released at the end.
        #[test]
        fn kept_bytes_are_reserved_and_reservations_do_not_leak(steps in steps()) {
            let (buffer, gauge) = buffer();
            let (mut bodies, mut now): (Vec<IncompleteBody<'_>>, _) = (Vec::new(), start());
            let piece = vec![b'a'; 3 * MIB];
            for step in steps {
                match step {
                    Step::Begin(declared) => bodies.extend(buffer.begin(declared, now)),
                    Step::Push(which, bytes) if which < bodies.len() => {
                        let body = &bodies[which];
                        let most = body.declared.unwrap_or(LIMIT).saturating_sub(body.received());
                        let _ = body.push(&piece[..bytes.min(most)], LIMIT, now);
                    }
                    Step::End(which) if which < bodies.len() => drop(bodies.swap_remove(which).finish(now)),
                    Step::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
                    Step::Push(..) | Step::End(_) => {}
                }
                let kept: usize = bodies.iter().map(IncompleteBody::received).sum();
                prop_assert!(kept <= held(&gauge) && held(&gauge) <= 64 * MIB);
            }
            drop(bodies);
            prop_assert_eq!(held(&gauge), 0);
            prop_assert!(lock(&buffer.bodies).is_empty());
        }
    }
}
