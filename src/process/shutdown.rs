//! Signals: SIGTERM and SIGINT shut the process down in phases, SIGHUP reloads files.
//!
//! The server decides what each phase means for connections.
//! Invariant: the phase only ever advances.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use crate::telemetry::logging;

/// The phase of shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Ready, and serving.
    Serving,
    /// No longer ready, but still serving: endpoints and API servers learn of it with a delay.
    Draining,
    /// No new connections; requests in flight are finished.
    Closing,
}

/// Advances the phase.
pub struct Shutdown(watch::Sender<Phase>);

/// Observes the phase.
#[derive(Clone)]
pub struct Lifecycle(watch::Receiver<Phase>);

/// The phase [`Phase::Serving`], with the handle that advances it.
pub fn lifecycle() -> (Shutdown, Lifecycle) {
    let (sender, receiver) = watch::channel(Phase::Serving);
    (Shutdown(sender), Lifecycle(receiver))
}

impl Shutdown {
    /// Advances to `phase`; never goes back.
    pub fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let advances = phase > *current;
            *current = phase.max(*current);
            advances
        });
    }
}

impl Lifecycle {
    /// The current phase.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits for `phase` or a later one; for ever when the [`Shutdown`] is gone.
    pub async fn reached(&mut self, phase: Phase) {
        if self.0.wait_for(|current| *current >= phase).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A signal this soon after the first is a repetition: `timeout(1)`, for example, signals a process
/// and then its group.
const REPETITION: Duration = Duration::from_millis(50);

/// The signals that shut the process down.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    terminal_closed: Arc<Notify>,
}

impl Signals {
    /// Installs the handlers: from here on the signals no longer kill the process by themselves.
    pub fn listen(hangups: &Hangups) -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminal_closed: Arc::clone(&hangups.terminal_closed),
        })
    }

    /// Name and number of the next signal.
    async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", SignalKind::terminate().as_raw_value()),
            _ = self.interrupt.recv() => ("SIGINT", SignalKind::interrupt().as_raw_value()),
            () = self.terminal_closed.notified() => ("SIGHUP", SignalKind::hangup().as_raw_value()),
        }
    }

    /// Drains at the first signal, and closes after `delay`. A second signal ends the process at
    /// once, with the exit code that a shell gives a process killed by that signal.
    pub async fn conduct(mut self, shutdown: Shutdown, delay: Duration) {
        let (name, _) = self.next().await;
        let first = Instant::now();
        tracing::info!(signal = name, delay_ms = delay.as_millis(), "shutting down");
        shutdown.advance(Phase::Draining);
        tokio::select! {
            () = sleep(delay) => shutdown.advance(Phase::Closing),
            (name, number) = self.second(first) => exit_at_once(name, number),
        }
        let (name, number) = self.second(first).await;
        exit_at_once(name, number);
    }

    /// The next signal that is no repetition of the first.
    async fn second(&mut self, first: Instant) -> (&'static str, i32) {
        loop {
            let signal = self.next().await;
            if first.elapsed() > REPETITION {
                return signal;
            }
        }
    }
}

/// SIGHUP reloads files. A closing terminal sends it too; then it shuts down a server that was
/// started in that terminal and would be left behind otherwise.
pub struct Hangups {
    signal: Signal,
    started_in_terminal: bool,
    terminal_closed: Arc<Notify>,
}

impl Hangups {
    /// Installs the handler: from here on the signal no longer kills the process by itself.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            signal: signal(SignalKind::hangup())?,
            started_in_terminal: std::io::stderr().is_terminal(),
            terminal_closed: Arc::default(),
        })
    }

    /// Calls `reload` for each signal.
    pub async fn conduct(mut self, reload: impl Fn()) {
        while self.signal.recv().await.is_some() {
            // After the terminal was closed, stderr is no longer a terminal.
            if self.started_in_terminal && !std::io::stderr().is_terminal() {
                self.terminal_closed.notify_one();
                continue;
            }
            tracing::info!(signal = "SIGHUP", "reloading templates and certificate");
            reload();
        }
    }
}

fn exit_at_once(name: &str, number: i32) -> ! {
    tracing::warn!(signal = name, "second signal, exiting at once");
    logging::flush();
    std::process::exit(128 + number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_advance() {
        let (shutdown, mut lifecycle) = lifecycle();
        assert_eq!(lifecycle.phase(), Phase::Serving);
        shutdown.advance(Phase::Closing);
        shutdown.advance(Phase::Draining);
        assert_eq!(lifecycle.phase(), Phase::Closing);
        lifecycle.reached(Phase::Draining).await;
    }
}
