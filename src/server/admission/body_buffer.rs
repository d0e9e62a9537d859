//! Bodies on their way in: what they hold of the budgets, and who makes room when there is none.
//!
//! A small body holds what has arrived of it, so that a promise costs nothing; a large one all that it declares, so that what
//! is begun can be finished. Where that is more than there is, bodies that arrive slowly make room, the oldest first: any
//! client could otherwise keep all others out by sending nothing.
//! Has no clock of its own. Invariant: no bytes are kept that are not reserved.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use bytes::BytesMut;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::budget::{Budgets, Pool, Reservation, Size};

/// So long a body may take however small it is; API servers need milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);
/// And a second more for so many bytes that have come.
const BYTES_A_SECOND: u64 = 1024 * 1024;
/// Small bodies take from the budget in such steps.
const STEP: usize = 16 * 1024;

/// There is no room for a body, or there is no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// A whole body, and what it holds of the budget until it is dropped.
pub struct Received {
    pub bytes: Bytes,
    _reservation: Reservation,
}

/// All bodies that are being received.
pub struct Receiving {
    budgets: Budgets,
    /// The oldest first.
    slots: Mutex<BTreeMap<u64, Arc<Slot>>>,
    next: AtomicU64,
}

/// One body on its way in. Its bytes are here, and not with who reads them, so that taking them away frees them at once.
struct Slot {
    began: Instant,
    /// `None` once it has had to make room.
    content: Mutex<Option<Content>>,
    gone: Notify,
}

/// Bytes that have come; never more than are reserved.
struct Content {
    buffer: BytesMut,
    reservation: Option<Reservation>,
}

impl Receiving {
    pub fn new(budgets: Budgets) -> Self {
        Self { budgets, slots: Mutex::default(), next: AtomicU64::new(0) }
    }

    /// A body that is here already.
    pub fn whole(&self, bytes: Bytes, now: Instant) -> Result<Received, NoRoom> {
        let reservation = self.reserve(bytes.len(), Size::of(bytes.len()), now)?;
        Ok(Received { bytes, _reservation: reservation })
    }

    /// A body that is yet to come, and its length where it says so.
    pub fn begin(&self, declared: Option<usize>, now: Instant) -> Result<Partial<'_>, NoRoom> {
        let reservation = match declared.filter(|length| Size::of(*length) == Size::Large) {
            Some(length) => Some(self.reserve(length, Size::Large, now)?),
            None => None,
        };
        let content = Content { buffer: BytesMut::new(), reservation };
        let slot = Slot { began: now, content: Mutex::new(Some(content)), gone: Notify::new() };
        let (number, slot) = (self.next.fetch_add(1, Ordering::Relaxed), Arc::new(slot));
        lock(&self.slots).insert(number, Arc::clone(&slot));
        Ok(Partial { receiving: self, number, slot, declared })
    }

    /// Takes from the budget; slow bodies make room where there is none.
    fn reserve(&self, bytes: usize, size: Size, now: Instant) -> Result<Reservation, NoRoom> {
        if let Some(reservation) = self.budgets.reserve(bytes, size) {
            return Ok(reservation);
        }
        // All after the first young one are younger still.
        for slot in lock(&self.slots).values().take_while(|slot| slot.age(now) > PATIENCE) {
            if slot.make_room(size.pool(), now)
                && let Some(reservation) = self.budgets.reserve(bytes, size)
            {
                return Ok(reservation);
            }
        }
        Err(NoRoom)
    }
}

impl Slot {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Frees all that is held of this pool if the body is slow; whether it was.
    fn make_room(&self, pool: Pool, now: Instant) -> bool {
        let mut content = lock(&self.content);
        let is_meant = content.as_ref().is_some_and(|content| {
            let holds = content.reservation.as_ref().is_some_and(|reservation| reservation.pool() == pool);
            holds && self.age(now) > allowed(content.buffer.len())
        });
        if is_meant {
            *content = None;
            self.gone.notify_one();
        }
        is_meant
    }
}

/// How long a body may have taken when so much of it has come, before others are more important.
fn allowed(bytes: usize) -> Duration {
    PATIENCE + Duration::from_millis(bytes as u64 * 1000 / BYTES_A_SECOND)
}

/// One body on its way in, as its reader has it.
pub struct Partial<'r> {
    receiving: &'r Receiving,
    number: u64,
    slot: Arc<Slot>,
    declared: Option<usize>,
}

impl Partial<'_> {
    /// Adds a piece. `limit` is the longest body.
    pub fn push(&self, piece: &[u8], limit: usize, now: Instant) -> Result<(), NoRoom> {
        let (length, held) = match lock(&self.slot.content).as_ref() {
            Some(content) => (content.buffer.len() + piece.len(), content.held()),
            None => return Err(NoRoom),
        };
        // Not while the slot is locked: others are looked through for room.
        let growth = if length > held { self.grow(length, held, limit, now)? } else { Growth::None };
        match lock(&self.slot.content).as_mut() {
            Some(content) => content.push(piece, growth, self.declared),
            None => return Err(NoRoom),
        }
        Ok(())
    }

    fn grow(&self, length: usize, held: usize, limit: usize, now: Instant) -> Result<Growth, NoRoom> {
        match self.declared {
            Some(declared) => {
                let total = length.next_multiple_of(STEP).min(declared).max(length);
                self.receiving.reserve(total - held, Size::of(declared), now).map(Growth::More)
            }
            None => {
                // What may end as a small one is not moved to the large ones by doubling.
                let most = if length <= Size::SMALL { Size::SMALL } else { limit };
                let total = (2 * length).clamp(STEP, most).max(length);
                self.receiving.reserve(total, Size::of(total), now).map(Growth::Anew)
            }
        }
    }

    /// So much has come.
    pub fn received(&self) -> usize {
        lock(&self.slot.content).as_ref().map_or(0, |content| content.buffer.len())
    }

    /// Waits until the body has had to make room.
    pub async fn gone(&self) {
        self.slot.gone.notified().await;
    }

    /// The body, with nothing more to come.
    pub fn finish(self, now: Instant) -> Result<Received, NoRoom> {
        let content = lock(&self.slot.content).take().ok_or(NoRoom)?;
        match content.reservation {
            Some(reservation) => Ok(Received { bytes: content.buffer.freeze(), _reservation: reservation }),
            None => self.receiving.whole(content.buffer.freeze(), now),
        }
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        lock(&self.receiving.slots).remove(&self.number);
    }
}

impl Content {
    fn held(&self) -> usize {
        self.reservation.as_ref().map_or(0, Reservation::bytes)
    }

    fn push(&mut self, piece: &[u8], growth: Growth, declared: Option<usize>) {
        if self.buffer.capacity() == 0
            && let Some(declared) = declared
        {
            // What is not written to takes no memory yet.
            self.buffer.reserve(declared);
        }
        match growth {
            Growth::None => {}
            Growth::More(more) => {
                self.reservation = Some(match self.reservation.take() {
                    Some(held) => held.and(more),
                    None => more,
                });
            }
            Growth::Anew(total) => {
                let mut buffer = BytesMut::with_capacity(total.bytes());
                buffer.extend_from_slice(&self.buffer);
                // The old buffer and what was reserved for it have lived until now.
                self.buffer = buffer;
                self.reservation = Some(total);
            }
        }
        self.buffer.extend_from_slice(piece);
    }
}

/// What a body takes from the budget for its next piece.
enum Growth {
    None,
    /// Beside what it holds: its buffer is as long as it declares.
    More(Reservation),
    /// Instead of what it holds: it did not say how long it is, and moves to a longer buffer.
    Anew(Reservation),
}

/// Nothing is left half done under these locks: they are held for copying and counting.
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

    fn receiving() -> (Receiving, IntGauge) {
        let gauge = IntGauge::new("bytes", "bytes").expect("a gauge");
        (Receiving::new(Budgets::new(16 * MIB, 48 * MIB, gauge.clone())), gauge)
    }

    fn held(gauge: &IntGauge) -> usize {
        usize::try_from(gauge.get()).expect("never less than nothing")
    }

    #[tokio::test]
    async fn a_small_body_holds_what_has_come_and_a_large_one_what_it_declares() {
        let (receiving, gauge) = receiving();
        let small = receiving.begin(Some(MIB), start()).expect("room");
        assert_eq!(held(&gauge), 0, "a promise costs nothing");
        small.push(b"a", LIMIT, start()).expect("room");
        assert_eq!(held(&gauge), STEP);
        small.push(&[b'b'; 600 * KIB], LIMIT, start()).expect("room");
        assert_eq!(held(&gauge), 608 * KIB);
        let large = receiving.begin(Some(9 * MIB), start()).expect("room");
        assert_eq!(held(&gauge), 9 * MIB + 608 * KIB);
        drop(large);
        let received = small.finish(start()).expect("it is here");
        assert_eq!((received.bytes.len(), held(&gauge)), (600 * KIB + 1, 608 * KIB));
        drop(received);
        assert_eq!(held(&gauge), 0);
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_moves_to_the_large_ones() {
        let (receiving, gauge) = receiving();
        let _filled: Vec<_> = (0..10).map(|_| receiving.reserve(MIB, Size::Medium, start()).expect("room")).collect();
        let body = receiving.begin(None, start()).expect("room");
        for _ in 0..8 {
            body.push(&[b'a'; 64 * KIB], LIMIT, start()).expect("room");
        }
        assert_eq!(body.push(&[b'a'; 600 * KIB], LIMIT, start()), Ok(()), "as a large one");
        assert_eq!(held(&gauge), 10 * MIB + 2 * (8 * 64 + 600) * KIB);
        let _others: Vec<_> = (0..4).map(|_| receiving.begin(Some(10 * MIB), start()).expect("room")).collect();
        assert_eq!(body.push(&[b'a'; 8 * MIB], LIMIT, start()), Err(NoRoom));
        assert!(body.push(&[b'a'; MIB], LIMIT, start()).is_ok(), "what it holds already");
    }

    #[tokio::test]
    async fn slow_bodies_make_room_the_oldest_first_and_no_more_than_is_needed() {
        let (receiving, gauge) = receiving();
        let slow: Vec<_> = (0..5).map(|_| receiving.begin(Some(9 * MIB), start()).expect("room")).collect();
        slow[1].push(&[b'a'; 2 * MIB], LIMIT, start()).expect("room");
        assert!(receiving.begin(Some(9 * MIB), start()).is_err(), "all have just begun");
        let later = start() + PATIENCE + Duration::from_millis(1);
        let (next, after) = (receiving.begin(Some(9 * MIB), later), receiving.begin(Some(9 * MIB), later));
        assert!(next.is_ok() && after.is_ok());
        for (number, is_gone) in [true, false, true, false, false].into_iter().enumerate() {
            let pushed = slow[number].push(b"a", LIMIT, start());
            assert_eq!(pushed.is_err(), is_gone, "{number}: the second one has sent enough to be let be");
        }
        assert_eq!(held(&gauge), 45 * MIB);
        // Returns at once.
        slow[0].gone().await;
    }

    #[tokio::test]
    async fn slow_large_bodies_make_no_room_for_small_ones() {
        let (receiving, _) = receiving();
        let large = receiving.begin(Some(9 * MIB), start()).expect("room");
        let _filled: Vec<_> = (0..12).map(|_| receiving.reserve(MIB, Size::Medium, start()).expect("room")).collect();
        let later = start() + Duration::from_secs(5);
        assert_eq!(receiving.whole(Bytes::from(vec![0; MIB]), later).err(), Some(NoRoom));
        assert_eq!(large.push(b"a", LIMIT, start()), Ok(()));
    }

    /// What a body at hand is to do: begin with such a length, add so much, or end.
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

        /// Whatever bodies do: what is kept of them is reserved, within the budgets, and all is given back.
        #[test]
        fn nothing_is_kept_that_is_not_reserved_and_nothing_leaks(steps in steps()) {
            let (receiving, gauge) = receiving();
            let (mut bodies, mut now): (Vec<Partial<'_>>, _) = (Vec::new(), start());
            let piece = vec![b'a'; 3 * MIB];
            for step in steps {
                match step {
                    Step::Begin(declared) => bodies.extend(receiving.begin(declared, now)),
                    Step::Push(which, bytes) if which < bodies.len() => {
                        let body = &bodies[which];
                        let most = body.declared.unwrap_or(LIMIT).saturating_sub(body.received());
                        let _ = body.push(&piece[..bytes.min(most)], LIMIT, now);
                    }
                    Step::End(which) if which < bodies.len() => drop(bodies.swap_remove(which).finish(now)),
                    Step::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
                    Step::Push(..) | Step::End(_) => {}
                }
                let kept: usize = bodies.iter().map(Partial::received).sum();
                prop_assert!(kept <= held(&gauge) && held(&gauge) <= 64 * MIB);
            }
            drop(bodies);
            prop_assert_eq!(held(&gauge), 0);
            prop_assert!(lock(&receiving.slots).is_empty());
        }
    }
}
