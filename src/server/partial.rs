//! Bodies on their way in: what they hold of the budgets, and who makes room when there is none.
//!
//! A small body holds what has arrived of it, so that a promise costs nothing; a large one all that it declares, so that what
//! is begun can be finished. Where that is more than there is, bodies that arrive slowly make room, the oldest first: any
//! client could otherwise keep all others out by sending nothing.
//! Invariant: no bytes are kept that are not reserved.

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
/// Small bodies begin with so much.
const FIRST_STEP: usize = 4 * 1024;

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

/// Bytes that have come. The buffer never grows beyond the reservation.
struct Content {
    buffer: BytesMut,
    reservation: Option<Reservation>,
}

impl Receiving {
    pub fn new(budgets: Budgets) -> Self {
        Self { budgets, slots: Mutex::default(), next: AtomicU64::new(0) }
    }

    /// A body that is here already.
    pub fn whole(&self, bytes: Bytes) -> Result<Received, NoRoom> {
        let reservation = self.reserve(bytes.len())?;
        Ok(Received { bytes, _reservation: reservation })
    }

    /// A body that is yet to come, and its length where it says so.
    pub fn begin(&self, declared: Option<usize>) -> Result<Partial<'_>, NoRoom> {
        let reservation = match declared.filter(|length| Size::of(*length) == Size::Large) {
            Some(length) => Some(self.reserve(length)?),
            None => None,
        };
        let content = Content { buffer: BytesMut::new(), reservation };
        let slot = Slot { began: Instant::now(), content: Mutex::new(Some(content)), gone: Notify::new() };
        let (number, slot) = (self.next.fetch_add(1, Ordering::Relaxed), Arc::new(slot));
        lock(&self.slots).insert(number, Arc::clone(&slot));
        Ok(Partial { receiving: self, number, slot, declared })
    }

    /// Takes from the budget; slow bodies make room where there is none.
    fn reserve(&self, bytes: usize) -> Result<Reservation, NoRoom> {
        if let Some(reservation) = self.budgets.reserve(bytes) {
            return Ok(reservation);
        }
        let (pool, now) = (Pool::of(bytes), Instant::now());
        // All after the first young one are younger still.
        for slot in lock(&self.slots).values().take_while(|slot| slot.age(now) > PATIENCE) {
            if slot.make_room(pool, now)
                && let Some(reservation) = self.budgets.reserve(bytes)
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
    pub fn push(&self, piece: &[u8], limit: usize) -> Result<(), NoRoom> {
        let (length, held) = match lock(&self.slot.content).as_ref() {
            Some(content) => (content.buffer.len() + piece.len(), content.held()),
            None => return Err(NoRoom),
        };
        // Not while the slot is locked: others are looked through for room.
        let more = if length > held { Some(self.receiving.reserve(self.step(length, limit))?) } else { None };
        match lock(&self.slot.content).as_mut() {
            Some(content) => content.push(piece, more),
            None => return Err(NoRoom),
        }
        Ok(())
    }

    /// How much to hold for a body of which so much has come: twice as much, and no more than it can be.
    fn step(&self, length: usize, limit: usize) -> usize {
        let most = self.declared.unwrap_or(limit).min(limit);
        let doubled = (2 * length).max(FIRST_STEP);
        // What may end as a small one is not moved to the large ones by doubling.
        let within = if length <= Size::SMALL { doubled.min(Size::SMALL) } else { doubled };
        within.min(most).max(length)
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
    pub fn finish(self) -> Result<Received, NoRoom> {
        let content = lock(&self.slot.content).take().ok_or(NoRoom)?;
        match content.reservation {
            Some(reservation) => Ok(Received { bytes: content.buffer.freeze(), _reservation: reservation }),
            None => self.receiving.whole(content.buffer.freeze()),
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

    /// The old buffer and what was reserved for it live until the new one is filled.
    fn push(&mut self, piece: &[u8], more: Option<Reservation>) {
        let reservation = more.or_else(|| self.reservation.take());
        let capacity = reservation.as_ref().map_or(0, Reservation::bytes);
        if self.buffer.capacity() < self.buffer.len() + piece.len() {
            let mut buffer = BytesMut::with_capacity(capacity);
            buffer.extend_from_slice(&self.buffer);
            self.buffer = buffer;
        }
        self.buffer.extend_from_slice(piece);
        self.reservation = reservation;
    }
}

/// Nothing is left half done under these locks: they are held for copying and counting.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
