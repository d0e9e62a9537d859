//! Runs background tasks for the lifetime of the process and restarts them after a panic.
//!
//! Invariant: a panic ends no more than one run of its task.

use tokio::task::{JoinError, JoinHandle};
use tokio::time::sleep;

use super::jitter::Backoff;

/// Starts `work` and restarts it with backoff after a panic. It ends when `work` ends by itself.
pub(super) fn supervise<F>(what: &'static str, work: impl Fn() -> F + Send + 'static) -> Task
where
    F: Future<Output = ()> + Send + 'static,
{
    Task(tokio::spawn(async move {
        let mut backoff = Backoff::default();
        while let Err(error) = Task(tokio::spawn(work())).ended().await {
            if error.is_cancelled() {
                return;
            }
            // The panic hook has logged where it happened.
            tracing::error!(what, "restarting a background task after a panic");
            sleep(backoff.failed()).await;
        }
    }))
}

/// A running task. Unlike a bare handle, dropping the future of [`Task::ended`] aborts the task.
pub(super) struct Task(JoinHandle<()>);

impl Task {
    /// Waits for the end of the task; dropping this future aborts the task.
    pub(super) async fn ended(self) -> Result<(), JoinError> {
        struct AbortOnDrop(JoinHandle<()>);
        impl Drop for AbortOnDrop {
            fn drop(&mut self) {
                self.0.abort();
            }
        }
        let mut handle = AbortOnDrop(self.0);
        (&mut handle.0).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    struct Counted(Arc<AtomicU32>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn a_task_that_panics_is_restarted() {
        let rounds = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&rounds);
        let task = supervise("test", move || {
            let round = seen.fetch_add(1, Ordering::SeqCst);
            async move { assert!(round == 2, "round {round} goes wrong") }
        });
        task.ended().await.expect("the third round ends");
        assert_eq!(rounds.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_task_is_aborted_when_its_waiter_is_dropped() {
        let ends = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&ends);
        let task = supervise("test", move || {
            let counted = Counted(Arc::clone(&counted));
            async move {
                let _counted = counted;
                std::future::pending::<()>().await;
            }
        });
        assert!(tokio::time::timeout(Duration::from_millis(100), task.ended()).await.is_err());
        for _ in 0..1000 {
            if ends.load(Ordering::SeqCst) == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it goes on");
    }
}
