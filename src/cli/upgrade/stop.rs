//! Tells everything that runs that no further pod is to be begun.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Set once, from anywhere, with the reason.
#[derive(Clone)]
pub(super) struct StopFlag(Arc<watch::Sender<State>>);

#[derive(Default)]
struct State {
    reason: Option<String>,
    /// Whether what was begun is not waited for either.
    is_at_once: bool,
}

impl Default for StopFlag {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }
}

impl StopFlag {
    /// The first reason counts.
    pub(super) fn set(&self, reason: String) {
        self.0.send_if_modified(|state| {
            let is_first = state.reason.is_none();
            state.reason.get_or_insert(reason);
            is_first
        });
    }

    /// Ends all waits for pods that are being changed.
    pub(super) fn set_at_once(&self) {
        self.0.send_modify(|state| state.is_at_once = true);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.borrow().reason.is_some()
    }

    pub(super) fn is_at_once(&self) -> bool {
        self.0.borrow().is_at_once
    }

    pub(super) fn reason(&self) -> Option<String> {
        self.0.borrow().reason.clone()
    }

    /// Sleeps before something further is begun: until the flag is set at most.
    pub(super) async fn sleep(&self, duration: Duration) {
        self.sleep_until(duration, |state| state.reason.is_some()).await;
    }

    /// Sleeps before another look at what was begun: until it is to end at once at most.
    pub(super) async fn sleep_between_looks(&self, duration: Duration) {
        self.sleep_until(duration, |state| state.is_at_once).await;
    }

    async fn sleep_until(&self, duration: Duration, ends: impl FnMut(&State) -> bool) {
        let mut changes = self.0.subscribe();
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            _ = changes.wait_for(ends) => {}
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

    #[tokio::test(start_paused = true)]
    async fn what_was_begun_is_looked_at_until_it_ends_at_once() {
        let (stop, second) = (StopFlag::default(), Duration::from_secs(1));
        let begin = tokio::time::Instant::now();
        stop.set("interrupted".to_owned());
        stop.sleep_between_looks(second).await;
        assert_eq!((begin.elapsed(), stop.is_at_once()), (second, false));
        stop.set_at_once();
        stop.sleep_between_looks(second).await;
        assert_eq!((begin.elapsed(), stop.is_at_once()), (second, true));
    }
}
