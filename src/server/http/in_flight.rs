//! Counts the requests in flight, and waits until there are none.
//!
//! [`super::deadline`] says when a request is in flight.
//! Invariant: a request is no longer in flight once its [`RequestInFlight`] is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Memory for all unfinished heads together, beyond [`FREE_HEAD`] each: no other budget counts
/// them, and four thousand connections could each hold one of 64 KiB.
const HEAD_BYTES: usize = 16 * 1024 * 1024;
/// Many times the head of an API server's request, with the part of the body that arrives with it.
const FREE_HEAD: usize = 16 * 1024;

/// The requests in flight of one listener.
#[derive(Clone, Default)]
pub(in crate::server) struct InFlight(Arc<Counters>);

#[derive(Default)]
struct Counters {
    requests: AtomicUsize,
    none_left: Notify,
    head_bytes: AtomicUsize,
}

/// One request in flight.
pub(super) struct RequestInFlight {
    in_flight: InFlight,
    head: usize,
    /// Bytes of the head that are reserved from the budget.
    reserved: usize,
}

impl InFlight {
    pub(super) fn enter(&self) -> RequestInFlight {
        self.0.requests.fetch_add(1, Ordering::SeqCst);
        RequestInFlight { in_flight: self.clone(), head: 0, reserved: 0 }
    }

    pub(super) fn count(&self) -> usize {
        self.0.requests.load(Ordering::SeqCst)
    }

    /// Waits until no request is in flight.
    pub(crate) async fn wait_until_none(&self) {
        loop {
            let none_left = self.0.none_left.notified();
            tokio::pin!(none_left);
            // From here on no notification is missed, so the count may be read.
            none_left.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            none_left.await;
        }
    }
}

impl RequestInFlight {
    /// Reserves memory for more of an unfinished head; `false` when the budget is exhausted.
    pub(super) fn head_grows(&mut self, count: usize) -> bool {
        self.head += count;
        let wanted = self.head.saturating_sub(FREE_HEAD) - self.reserved;
        if wanted == 0 {
            return true;
        }
        self.reserved += wanted;
        self.in_flight.0.head_bytes.fetch_add(wanted, Ordering::SeqCst) + wanted <= HEAD_BYTES
    }

    /// The head is complete, or given up: its memory is released.
    pub(super) fn head_ends(&mut self) {
        self.head = 0;
        let reserved = std::mem::take(&mut self.reserved);
        if reserved > 0 {
            self.in_flight.0.head_bytes.fetch_sub(reserved, Ordering::SeqCst);
        }
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        self.head_ends();
        if self.in_flight.0.requests.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.in_flight.0.none_left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_wait_ends_with_the_last_request() {
        let in_flight = InFlight::default();
        let (first, second) = (in_flight.enter(), in_flight.enter());
        let waiting = tokio::spawn({
            let in_flight = in_flight.clone();
            async move { in_flight.wait_until_none().await }
        });
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.expect("the wait ends");
    }

    #[test]
    fn long_unfinished_heads_share_a_budget_and_short_heads_need_none() {
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
