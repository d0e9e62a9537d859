//! Where a review is worked at: where its body was read, or on a thread of its own.
//!
//! Nearly all take less than handing them over would. What takes long must not hold up those, so it is handed over: bodies over
//! the ordinary, those that would become large trees, and, for a while, all, when one has taken long for another reason.
//! Invariants: few bodies over the ordinary are worked at at a time; trees that are made apart fit into budgets by their
//! size, so that lighter ones never wait for heavier ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, spawn_blocking};

use super::body_buffer::Received;
use super::budget::Size;
use crate::inject::pod::memory_estimate;
use crate::process::processor_time;

/// So many bodies of each size over the ordinary are worked at at a time.
pub const AT_A_TIME: usize = 2;
/// A body of at most so many bytes becomes no tree that would be worth a thought.
const SURELY_LIGHT: usize = 8 * 1024;
/// Trees of this size are made where they are read.
const LIGHT: usize = 1024 * 1024;
/// Nearly all reviews become trees of less than this.
const USUAL: usize = 128 * 1024;
/// Memory for trees of ordinary bodies that are made apart: for hundreds of usual ones at a time, and once more for heavier ones.
const ORDINARY_TREES: usize = 16 * 1024 * 1024;
/// The unit in which memory for trees is handed out.
const UNIT: usize = 1024;
/// Processor time, hundreds of times what an ordinary review takes. Expressions of a template can: they may work for 100 ms.
const LONG_MILLISECONDS: u64 = 20;
/// How long after such a one all reviews have threads of their own, among which the system divides the time.
const WATCHFUL: Duration = Duration::from_secs(10);

/// The places of one server.
pub struct Workplaces {
    medium: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// Memory for the trees of medium and large ones together: a body can become many times its own length.
    trees: Arc<Semaphore>,
    usual_trees: Arc<Semaphore>,
    ordinary_trees: Arc<Semaphore>,
    start: Instant,
    /// Until when all are handed over, in milliseconds from the start.
    watchful_until: AtomicU64,
}

impl Workplaces {
    pub fn new() -> Self {
        Self {
            medium: Arc::new(Semaphore::new(AT_A_TIME)),
            large: Arc::new(Semaphore::new(AT_A_TIME)),
            trees: Arc::new(Semaphore::new(memory_estimate::MAX_BYTES / UNIT)),
            usual_trees: Arc::new(Semaphore::new(ORDINARY_TREES / UNIT)),
            ordinary_trees: Arc::new(Semaphore::new(ORDINARY_TREES / UNIT)),
            start: Instant::now(),
            watchful_until: AtomicU64::new(0),
        }
    }

    /// Does the work, when there is a place for it. Work that has begun is finished, and its body kept until then, whoever still
    /// waits for it.
    pub async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        body: Received,
        work: impl FnOnce(&[u8]) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let is_ordinary = is_ordinary(&body.bytes);
        if is_ordinary && !self.is_watchful() {
            return Ok(self.timed(|| work(&body.bytes)));
        }
        let (place, (body, units)) = match is_ordinary {
            true => (None, weighed(body)),
            false => (self.place(&body).await, spawn_blocking(move || weighed(body)).await?),
        };
        let trees = match is_ordinary {
            true if units as usize <= USUAL / UNIT => &self.usual_trees,
            true => &self.ordinary_trees,
            false => &self.trees,
        };
        // The semaphores are never closed.
        let tree = Arc::clone(trees).acquire_many_owned(units).await.ok();
        let places = Arc::clone(self);
        spawn_blocking(move || {
            let (_place, _tree, body) = (place, tree, body);
            if is_ordinary { places.timed(|| work(&body.bytes)) } else { work(&body.bytes) }
        })
        .await
    }

    async fn place(&self, body: &Received) -> Option<OwnedSemaphorePermit> {
        let places = if Size::of(body.bytes.len()) == Size::Large { &self.large } else { &self.medium };
        Arc::clone(places).acquire_owned().await.ok()
    }

    fn is_watchful(&self) -> bool {
        let until = self.watchful_until.load(Ordering::Relaxed);
        until > 0 && self.start.elapsed() < Duration::from_millis(until)
    }

    fn timed<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = processor_time::milliseconds();
        let result = work();
        if processor_time::milliseconds().saturating_sub(start) >= LONG_MILLISECONDS {
            let until = (self.start.elapsed() + WATCHFUL).as_millis();
            self.watchful_until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        result
    }
}

/// Whether a body is, as far as can be seen, answered as fast as it could be handed over.
fn is_ordinary(body: &[u8]) -> bool {
    Size::of(body.len()) == Size::Ordinary
        && (body.len() <= SURELY_LIGHT || memory_estimate::at_most(body) <= LIGHT || memory_estimate::of(body) <= LIGHT)
}

/// The body, and how many units of memory its review takes for its tree. One that is too heavy never becomes one, but what is
/// read of it can take as much.
fn weighed(body: Received) -> (Received, u32) {
    let weight = memory_estimate::of(&body.bytes);
    (body, u32::try_from(weight.min(memory_estimate::MAX_BYTES) / UNIT).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use prometheus::IntGauge;

    use super::*;
    use crate::server::admission::body_buffer::Receiving;
    use crate::server::admission::budget::Budgets;

    fn received(body: impl Into<Bytes>) -> Received {
        let gauge = IntGauge::new("bytes", "bytes").expect("a gauge");
        let receiving = Receiving::new(Budgets::new(4 * Size::SMALL, 9 * Size::SMALL, gauge));
        receiving.whole(body.into(), tokio::time::Instant::now()).unwrap_or_else(|_| panic!("room"))
    }

    /// One that would become a hundred times as large is not parsed where others wait behind it.
    #[test]
    fn only_what_is_soon_done_is_answered_where_it_is_read() {
        assert!(is_ordinary(&b"{\"name\":\"A\",\"value\":\"a\"},".repeat(1_000)));
        assert!(!is_ordinary(&b"{\"\":1},".repeat(9_000)));
        assert!(!is_ordinary(&[b'a'; 65 * 1024]));
        assert!(is_ordinary(&[b'a'; 64 * 1024]));
    }

    #[test]
    fn what_is_too_heavy_for_a_tree_is_read_alone() {
        let units = |body: Vec<u8>| weighed(received(body)).1 as usize * UNIT;
        assert_eq!(units(b"1,".repeat(2 * Size::SMALL)), memory_estimate::MAX_BYTES);
        let heavy = units(b"1,".repeat(100_000));
        assert!((LIGHT..=memory_estimate::MAX_BYTES).contains(&heavy), "{heavy}");
        assert!(units(vec![b'a'; 1000]) <= 2 * UNIT);
    }

    #[tokio::test]
    async fn after_long_work_all_work_has_threads_of_its_own() {
        let places = Arc::new(Workplaces::new());
        let here = std::thread::current().id();
        let thread = |_: &[u8]| std::thread::current().id();
        assert_eq!(places.work(received("a"), thread).await.ok(), Some(here));
        let long = |_: &[u8]| {
            let start = processor_time::milliseconds();
            while processor_time::milliseconds() <= start + LONG_MILLISECONDS {}
        };
        assert!(places.work(received("a"), long).await.is_ok());
        let all = |trees: &Arc<Semaphore>, bytes: usize| Arc::clone(trees).acquire_many_owned((bytes / UNIT) as u32);
        let large = all(&places.trees, memory_estimate::MAX_BYTES).await;
        let heavier = all(&places.ordinary_trees, ORDINARY_TREES).await;
        assert!(
            places.work(received("a"), thread).await.is_ok_and(|thread| thread != here),
            "and waits for no heavier tree"
        );
        drop((large, heavier));
        places.watchful_until.store(1, Ordering::Relaxed);
        assert_eq!(places.work(received("a"), thread).await.ok(), Some(here));
    }

    /// Two trees that together are too large are not made at the same time, though there are places.
    #[tokio::test]
    async fn trees_wait_for_memory() {
        let places = Arc::new(Workplaces::new());
        let heavy = || received(b"{\"\":1},".repeat(9_500));
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let first = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.work(heavy(), move |_| gate.recv().is_ok()).await }
        });
        while places.trees.available_permits() == memory_estimate::MAX_BYTES / UNIT {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let second = places.work(heavy(), |_| ());
        assert!(tokio::time::timeout(Duration::from_millis(100), second).await.is_err());
        let light = places.work(received(vec![b'a'; 100_000]), |_| ());
        assert!(tokio::time::timeout(Duration::from_secs(10), light).await.is_ok_and(|done| done.is_ok()));
        open.send(()).expect("it waits");
        assert_eq!(first.await.expect("no panic").ok(), Some(true));
        assert!(places.work(heavy(), |_| ()).await.is_ok());
        assert_eq!(places.trees.available_permits(), memory_estimate::MAX_BYTES / UNIT);
    }
}
