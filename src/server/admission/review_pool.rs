//! Runs reviews: inline, or on threads of their own.
//!
//! Most reviews take less time than a hand-over to another thread. A review that takes long must
//! not delay those, so it is handed over: bodies over the ordinary size, bodies whose tree would be
//! large, and, for a while, all reviews after one has taken long for another reason.
//! Invariants: few bodies over the ordinary size are reviewed at a time; trees that are parsed on
//! other threads fit into memory limits by their size, so that lighter trees never wait for heavier
//! ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, spawn_blocking};

use super::body_buffer::ReceivedBody;
use super::budget::Size;
use crate::inject::pod::memory_estimate;
use crate::process::processor_time;

/// Medium bodies that are reviewed at a time, and as many large ones.
pub(super) const MAX_CONCURRENT: usize = 2;
/// A body of at most this size cannot become a large tree.
const SURELY_LIGHT: usize = 8 * 1024;
/// Bodies whose tree is at most this large are reviewed inline.
const LIGHT_TREE: usize = 1024 * 1024;
/// Nearly all reviews become smaller trees than this.
const USUAL_TREE: usize = 128 * 1024;
/// Memory for the trees of ordinary bodies on other threads: for hundreds of usual trees at a time,
/// and the same again for heavier ones.
const ORDINARY_TREES: usize = 16 * 1024 * 1024;
/// The unit in which memory for trees is reserved.
const UNIT: usize = 1024;
/// Processor time of a review that counts as long: hundreds of times that of an ordinary one. The
/// expressions of a template can take up to 100 ms.
const LONG_MILLISECONDS: u64 = 20;
/// After a long review, all reviews are handed over for this time, and the system divides the
/// processor among them.
const CAUTIOUS: Duration = Duration::from_secs(10);

/// How a review is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// On the thread that has read the body.
    Inline,
    /// On a thread of its own, with a usual tree.
    Ordinary,
    /// On a thread of its own, with a heavier tree.
    Heavy,
    /// One of few at a time: a medium body, or an ordinary one that becomes a large tree.
    Medium,
    /// One of few at a time: a large body.
    Large,
}

impl Lane {
    /// The lane of a body. `tree` estimates the size of its tree, and matters for ordinary bodies
    /// alone.
    const fn choose(size: Size, tree: usize, is_cautious: bool) -> Self {
        match size {
            Size::Large => Self::Large,
            Size::Medium => Self::Medium,
            Size::Ordinary if tree > LIGHT_TREE => Self::Medium,
            Size::Ordinary if !is_cautious => Self::Inline,
            Size::Ordinary if tree / UNIT <= USUAL_TREE / UNIT => Self::Ordinary,
            Size::Ordinary => Self::Heavy,
        }
    }
}

/// The limits that the reviews of one server share.
pub(super) struct ReviewPool {
    medium: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// Memory for the trees of medium and large bodies together: a tree can be many times as large
    /// as its body.
    trees: Arc<Semaphore>,
    usual_trees: Arc<Semaphore>,
    heavy_trees: Arc<Semaphore>,
    start: Instant,
    /// Until when all reviews are handed over, in milliseconds from the start.
    cautious_until: AtomicU64,
}

impl ReviewPool {
    pub(super) fn new() -> Self {
        Self {
            medium: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            large: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            trees: Arc::new(Semaphore::new(memory_estimate::MAX_BYTES / UNIT)),
            usual_trees: Arc::new(Semaphore::new(ORDINARY_TREES / UNIT)),
            heavy_trees: Arc::new(Semaphore::new(ORDINARY_TREES / UNIT)),
            start: Instant::now(),
            cautious_until: AtomicU64::new(0),
        }
    }

    /// Runs a review as soon as its lane has room. A review that has begun is finished, and its
    /// body kept until then, even when its client has gone.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        body: Arc<ReceivedBody>,
        review: impl FnOnce(&[u8]) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let is_cautious = self.is_cautious();
        let tree = estimate(&body.bytes, is_cautious);
        let lane = Lane::choose(Size::of(body.bytes.len()), tree, is_cautious);
        let (place, units, trees) = match lane {
            Lane::Inline => return Ok(self.timed(|| review(&body.bytes))),
            Lane::Ordinary => (None, units(tree), &self.usual_trees),
            Lane::Heavy => (None, units(tree), &self.heavy_trees),
            Lane::Medium | Lane::Large => {
                let place = acquire(if lane == Lane::Large { &self.large } else { &self.medium }, 1).await;
                let bytes = body.bytes.clone();
                (place, spawn_blocking(move || units(memory_estimate::of(&bytes))).await?, &self.trees)
            }
        };
        let tree = acquire(trees, units).await;
        let pool = Arc::clone(self);
        spawn_blocking(move || {
            let (_place, _tree, body) = (place, tree, body);
            match lane {
                Lane::Medium | Lane::Large => review(&body.bytes),
                _ => pool.timed(|| review(&body.bytes)),
            }
        })
        .await
    }

    fn is_cautious(&self) -> bool {
        let until = self.cautious_until.load(Ordering::Relaxed);
        until > 0 && self.start.elapsed() < Duration::from_millis(until)
    }

    fn timed<T>(&self, review: impl FnOnce() -> T) -> T {
        let start = processor_time::milliseconds();
        let result = review();
        if processor_time::milliseconds().saturating_sub(start) >= LONG_MILLISECONDS {
            let until = (self.start.elapsed() + CAUTIOUS).as_millis();
            self.cautious_until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        result
    }
}

/// Waits for room. `None` never happens: the semaphores are never closed.
async fn acquire(semaphore: &Arc<Semaphore>, units: u32) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore).acquire_many_owned(units).await.ok()
}

/// An upper bound for the tree of an ordinary body, no more exact than its lane needs; 0 for other
/// bodies, whose lane does not depend on it.
fn estimate(body: &[u8], is_cautious: bool) -> usize {
    match Size::of(body.len()) {
        Size::Medium | Size::Large => 0,
        Size::Ordinary if is_cautious => memory_estimate::of(body),
        Size::Ordinary if body.len() <= SURELY_LIGHT => 0,
        Size::Ordinary => match memory_estimate::upper_bound(body) {
            light if light <= LIGHT_TREE => light,
            _ => memory_estimate::of(body),
        },
    }
}

/// Units of memory for a tree. A pod with too heavy a tree is refused without one, but reading it
/// can take as much.
fn units(tree: usize) -> u32 {
    u32::try_from(tree.min(memory_estimate::MAX_BYTES) / UNIT).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use prometheus::IntGauge;

    use super::*;
    use crate::server::admission::body_buffer::BodyBuffer;
    use crate::server::admission::budget::Budgets;

    fn received(body: impl Into<Bytes>) -> Arc<ReceivedBody> {
        let gauge = IntGauge::new("bytes", "bytes").expect("a gauge");
        let buffer = BodyBuffer::new(Budgets::new(4 * Size::SMALL, 9 * Size::SMALL, gauge));
        Arc::new(buffer.complete(body.into(), tokio::time::Instant::now()).unwrap_or_else(|_| panic!("room")))
    }

    #[test]
    fn the_lane_follows_from_size_tree_and_caution() {
        for (size, tree, is_cautious, expected) in [
            (Size::Ordinary, 0, false, Lane::Inline),
            (Size::Ordinary, LIGHT_TREE, false, Lane::Inline),
            (Size::Ordinary, LIGHT_TREE + 1, false, Lane::Medium),
            (Size::Ordinary, 0, true, Lane::Ordinary),
            (Size::Ordinary, USUAL_TREE, true, Lane::Ordinary),
            (Size::Ordinary, USUAL_TREE + UNIT, true, Lane::Heavy),
            (Size::Ordinary, LIGHT_TREE, true, Lane::Heavy),
            (Size::Ordinary, LIGHT_TREE + 1, true, Lane::Medium),
            (Size::Medium, 0, false, Lane::Medium),
            (Size::Medium, 0, true, Lane::Medium),
            (Size::Large, 0, false, Lane::Large),
            (Size::Large, 0, true, Lane::Large),
        ] {
            assert_eq!(Lane::choose(size, tree, is_cautious), expected, "{size:?} {tree} {is_cautious}");
        }
    }

    /// A body that would become a hundred times as large is not parsed where others wait behind it.
    #[test]
    fn only_light_bodies_are_reviewed_inline() {
        let lane = |body: &[u8]| Lane::choose(Size::of(body.len()), estimate(body, false), false);
        assert_eq!(lane(&b"{\"name\":\"A\",\"value\":\"a\"},".repeat(1_000)), Lane::Inline);
        assert_eq!(lane(&b"{\"\":1},".repeat(9_000)), Lane::Medium);
        assert_eq!(lane(&[b'a'; 65 * 1024]), Lane::Medium);
        assert_eq!(lane(&[b'a'; 64 * 1024]), Lane::Inline);
    }

    #[test]
    fn a_tree_takes_units_up_to_the_largest_that_is_parsed() {
        let bytes = |body: Vec<u8>| units(memory_estimate::of(&body)) as usize * UNIT;
        assert_eq!(bytes(b"1,".repeat(2 * Size::SMALL)), memory_estimate::MAX_BYTES);
        let heavy = bytes(b"1,".repeat(100_000));
        assert!((LIGHT_TREE..=memory_estimate::MAX_BYTES).contains(&heavy), "{heavy}");
        assert!(bytes(vec![b'a'; 1000]) <= 2 * UNIT);
    }

    #[tokio::test]
    async fn after_a_long_review_all_reviews_are_handed_over() {
        let pool = Arc::new(ReviewPool::new());
        let here = std::thread::current().id();
        let thread = |_: &[u8]| std::thread::current().id();
        assert_eq!(pool.run(received("a"), thread).await.ok(), Some(here));
        let long = |_: &[u8]| {
            let start = processor_time::milliseconds();
            while processor_time::milliseconds() <= start + LONG_MILLISECONDS {}
        };
        assert!(pool.run(received("a"), long).await.is_ok());
        let all = |trees: &Arc<Semaphore>, bytes: usize| Arc::clone(trees).acquire_many_owned((bytes / UNIT) as u32);
        let large = all(&pool.trees, memory_estimate::MAX_BYTES).await;
        let heavier = all(&pool.heavy_trees, ORDINARY_TREES).await;
        assert!(
            pool.run(received("a"), thread).await.is_ok_and(|thread| thread != here),
            "and waits for no heavier tree"
        );
        drop((large, heavier));
        pool.cautious_until.store(1, Ordering::Relaxed);
        assert_eq!(pool.run(received("a"), thread).await.ok(), Some(here));
    }

    /// Two trees that together exceed the memory are not parsed at the same time, though both
    /// reviews have a place.
    #[tokio::test]
    async fn heavy_trees_wait_for_memory() {
        let pool = Arc::new(ReviewPool::new());
        let heavy = || received(b"{\"\":1},".repeat(9_500));
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let first = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.run(heavy(), move |_| gate.recv().is_ok()).await }
        });
        while pool.trees.available_permits() == memory_estimate::MAX_BYTES / UNIT {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let second = pool.run(heavy(), |_| ());
        assert!(tokio::time::timeout(Duration::from_millis(100), second).await.is_err());
        let light = pool.run(received(vec![b'a'; 100_000]), |_| ());
        assert!(tokio::time::timeout(Duration::from_secs(10), light).await.is_ok_and(|done| done.is_ok()));
        open.send(()).expect("it waits");
        assert_eq!(first.await.expect("no panic").ok(), Some(true));
        assert!(pool.run(heavy(), |_| ()).await.is_ok());
        assert_eq!(pool.trees.available_permits(), memory_estimate::MAX_BYTES / UNIT);
    }
}
