//! The signals of a process: those that end it in phases, and the one that asks for what has changed.
//!
//! What each phase means for connections is the server's business.
//! Invariant: phases only ever advance.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use crate::telemetry::logging;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Ordinary service.
    Serving,
    /// Not ready any more, but serving: whoever routes to us has not yet heard of it.
    Draining,
    /// Nothing new is taken; what is in flight is finished.
    Closing,
}

/// Starts the phases.
pub struct Shutdown(watch::Sender<Phase>);

/// Tells the phase.
#[derive(Clone)]
pub struct Lifecycle(watch::Receiver<Phase>);

/// A process that serves, and the means to end it.
pub fn lifecycle() -> (Shutdown, Lifecycle) {
    let (sender, receiver) = watch::channel(Phase::Serving);
    (Shutdown(sender), Lifecycle(receiver))
}

impl Shutdown {
    /// Goes on to `phase`, never back.
    pub fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let advances = phase > *current;
            *current = phase.max(*current);
            advances
        });
    }
}

impl Lifecycle {
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits for `phase` or a later one. Once nobody is left who could end the process, it never comes.
    pub async fn reached(&mut self, phase: Phase) {
        if self.0.wait_for(|current| *current >= phase).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Signals that come so soon after the first are the same one: `timeout(1)`, for one, signals a process and then its group.
const SAME_SIGNAL: Duration = Duration::from_millis(50);

/// The signals that end the process.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    terminal_closed: Arc<Notify>,
}

impl Signals {
    /// From here on the signals no longer kill the process by themselves.
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

    /// Turns the first signal into the phases, `delay` apart. A second one ends the process at once, with the exit code
    /// that a shell gives a process killed by it.
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

    /// The next signal that is not the echo of the first.
    async fn second(&mut self, first: Instant) -> (&'static str, i32) {
        loop {
            let signal = self.next().await;
            if first.elapsed() > SAME_SIGNAL {
                return signal;
            }
        }
    }
}

/// SIGHUP, which by custom asks a server to read its files again. A terminal that is closed sends it as well: then it means
/// what it says, or a server that was started by hand would be left behind.
pub struct Hangups {
    signal: Signal,
    started_in_terminal: bool,
    terminal_closed: Arc<Notify>,
}

impl Hangups {
    /// From here on the signal no longer kills the process by itself.
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
            // A terminal that is gone is none any more.
            if self.started_in_terminal && !std::io::stderr().is_terminal() {
                self.terminal_closed.notify_one();
                continue;
            }
            tracing::info!(signal = "SIGHUP", "reading templates and certificate again");
            reload();
        }
    }
}

fn exit_at_once(name: &str, number: i32) -> ! {
    tracing::warn!(signal = name, "second signal, ending at once");
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
