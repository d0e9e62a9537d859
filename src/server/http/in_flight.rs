//! How many requests are in flight, and the wait for there to be none.
//!
//! What counts as in flight is [`super::deadline`]'s. Invariant: what has entered leaves when it is dropped, however that comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// What all unfinished heads together may take beyond [`FREE_HEAD`] each: they are in no other budget, and four thousand
/// connections could each hold one of 64 KiB.
const HEAD_BYTES: usize = 16 * 1024 * 1024;
/// Many times what the head of an API server takes, with what comes of the body in one piece with it.
const FREE_HEAD: usize = 16 * 1024;

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
    head: usize,
    /// What of the head is taken from the budget.
    taken: usize,
}

impl InFlight {
    pub fn enter(&self) -> Entered {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        Entered { in_flight: self.clone(), head: 0, taken: 0 }
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
        self.head += count;
        let wanted = self.head.saturating_sub(FREE_HEAD) - self.taken;
        if wanted == 0 {
            return true;
        }
        self.taken += wanted;
        self.in_flight.0.head_bytes.fetch_add(wanted, Ordering::SeqCst) + wanted <= HEAD_BYTES
    }

    /// The head is complete, or given up.
    pub fn head_ends(&mut self) {
        self.head = 0;
        let taken = std::mem::take(&mut self.taken);
        if taken > 0 {
            self.in_flight.0.head_bytes.fetch_sub(taken, Ordering::SeqCst);
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
    fn long_unfinished_heads_share_a_budget_and_short_ones_need_none() {
        let in_flight = InFlight::default();
        let (mut first, mut second) = (in_flight.enter(), in_flight.enter());
        assert!(first.head_grows(FREE_HEAD + HEAD_BYTES));
        assert!(second.head_grows(FREE_HEAD - 1) && second.head_grows(1));
        assert!(!second.head_grows(1));
        first.head_ends();
        assert!(second.head_grows(1));
        drop((first, second));
        assert_eq!(in_flight.0.head_bytes.load(Ordering::SeqCst), 0);
    }
}
