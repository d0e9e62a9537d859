//! How many requests are in flight, and the wait for there to be none.
//!
//! What counts as in flight is [`super::clock`]'s. Invariant: what has entered leaves when it is dropped, however that comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// What all unfinished heads together may take beyond their first bytes: they are in no other budget, and four thousand
/// connections could each hold one of 64 KiB.
const HEAD_BYTES: usize = 16 * 1024 * 1024;

/// The number of requests in flight, and who waits for there to be none.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Inner>);

#[derive(Default)]
struct Inner {
    count: AtomicUsize,
    left: Notify,
    head_bytes: AtomicUsize,
}

/// One request in flight.
pub struct Entered {
    in_flight: InFlight,
    head_bytes: usize,
}

impl InFlight {
    pub fn enter(&self) -> Entered {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        Entered { in_flight: self.clone(), head_bytes: 0 }
    }

    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::SeqCst)
    }

    /// Waits until nothing is in flight.
    pub async fn none(&self) {
        loop {
            let left = self.0.left.notified();
            tokio::pin!(left);
            // From here on no notification is missed, so the count may be looked at.
            left.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Entered {
    /// More of an unfinished head has come; whether there is room for it.
    pub fn head_grows(&mut self, count: usize) -> bool {
        self.head_bytes += count;
        self.in_flight.0.head_bytes.fetch_add(count, Ordering::SeqCst) + count <= HEAD_BYTES
    }

    /// The head is complete, or given up.
    pub fn head_ends(&mut self) {
        let count = std::mem::take(&mut self.head_bytes);
        if count > 0 {
            self.in_flight.0.head_bytes.fetch_sub(count, Ordering::SeqCst);
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.head_ends();
        if self.in_flight.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.in_flight.0.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_wait_ends_when_the_last_one_leaves() {
        let in_flight = InFlight::default();
        let (first, second) = (in_flight.enter(), in_flight.enter());
        let waiting = tokio::spawn({
            let in_flight = in_flight.clone();
            async move { in_flight.none().await }
        });
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.expect("the wait ends");
    }

    #[test]
    fn unfinished_heads_share_a_budget() {
        let in_flight = InFlight::default();
        let (mut first, mut second) = (in_flight.enter(), in_flight.enter());
        assert!(first.head_grows(HEAD_BYTES) && !second.head_grows(1));
        first.head_ends();
        assert!(second.head_grows(1));
        drop((first, second));
        assert_eq!(in_flight.0.head_bytes.load(Ordering::SeqCst), 0);
    }
}
