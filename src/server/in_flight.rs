//! How many requests are in flight, and the wait for there to be none.
//!
//! What counts as in flight is [`super::clock`]'s. Invariant: what has entered leaves when it is dropped, however that comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The number of requests in flight, and who waits for there to be none.
#[derive(Clone, Default)]
pub struct InFlight(Arc<(AtomicUsize, Notify)>);

/// One request in flight.
pub struct Entered(InFlight);

impl InFlight {
    pub fn enter(&self) -> Entered {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        Entered(self.clone())
    }

    pub fn count(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }

    /// Waits until nothing is in flight.
    pub async fn none(&self) {
        loop {
            let left = self.0.1.notified();
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

impl Drop for Entered {
    fn drop(&mut self) {
        if self.0.0.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.0.1.notify_waiters();
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
}
