//! Tells everything that runs that no further pod is to be begun.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Set once, from anywhere, with the reason.
#[derive(Clone)]
pub(super) struct StopFlag(Arc<watch::Sender<Option<String>>>);

impl Default for StopFlag {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl StopFlag {
    /// The first reason counts.
    pub(super) fn set(&self, reason: String) {
        self.0.send_if_modified(|current| {
            let is_first = current.is_none();
            current.get_or_insert(reason);
            is_first
        });
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.borrow().is_some()
    }

    pub(super) fn reason(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Sleeps, until the flag is set at most.
    pub(super) async fn sleep(&self, duration: Duration) {
        let mut changes = self.0.subscribe();
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            _ = changes.wait_for(Option::is_some) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_reason_counts_and_ends_each_sleep() {
        let (stop, hour) = (StopFlag::default(), Duration::from_secs(3600));
        let begin = tokio::time::Instant::now();
        stop.sleep(Duration::from_secs(1)).await;
        assert_eq!(begin.elapsed(), Duration::from_secs(1));
        let other = stop.clone();
        let asleep = tokio::spawn(async move { other.sleep(hour).await });
        tokio::task::yield_now().await;
        stop.set("first".to_owned());
        stop.set("second".to_owned());
        asleep.await.expect("it ends");
        stop.sleep(hour).await;
        assert_eq!((begin.elapsed(), stop.reason().as_deref()), (Duration::from_secs(1), Some("first")));
    }
}
