//! Runs one connection to its end, or until its peer exceeds a deadline.
//!
//! The deadlines come from [`super::deadline`].
//! Invariant: an idle connection is closed gracefully, so that the client sees the end and no
//! error; a connection that exceeds any other deadline is cut.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

use tokio::time::{Instant, sleep_until};

use super::deadline::ConnectionState;
use crate::server::Limits;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionOutcome {
    /// By itself, with or without an error of the peer.
    Finished,
    DeadlineExceeded,
}

/// Drives `connection`. `graceful_shutdown` asks hyper to end it after the request in flight.
pub(super) async fn drive<C: Future>(
    mut connection: Pin<&mut C>,
    graceful_shutdown: impl Fn(Pin<&mut C>),
    state: &ConnectionState,
    limits: &Limits,
) -> ConnectionOutcome {
    let mut alarm = pin!(sleep_until(Instant::now() + limits.idle));
    poll_fn(|context| {
        loop {
            if connection.as_mut().poll(context).is_ready() {
                return Poll::Ready(ConnectionOutcome::Finished);
            }
            let Some(deadline) = state.deadline(limits) else { return Poll::Pending };
            if deadline <= Instant::now() {
                if state.begin_graceful_close() {
                    graceful_shutdown(connection.as_mut());
                    continue;
                }
                return Poll::Ready(ConnectionOutcome::DeadlineExceeded);
            }
            // The alarm is moved only when it would come too late, or has come: most requests leave
            // it alone.
            if deadline < alarm.deadline() || alarm.is_elapsed() {
                alarm.as_mut().reset(deadline);
            }
            ready!(alarm.as_mut().poll(context));
        }
    })
    .await
}
