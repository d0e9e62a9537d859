//! Runs one connection to its end, or until its peer takes too long.
//!
//! What counts as too long is [`super::deadline`]'s. Invariant: an idle connection is closed with a word, so that a client sees an
//! end and no fault; everything else that takes too long is cut.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

use tokio::time::{Instant, sleep_until};

use super::deadline::Clock;
use crate::server::Limits;

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself. Whether well or badly is the peer's business.
    Finished,
    TookTooLong,
}

/// `part` asks hyper to bring the connection to a good end; that happens too when `leave` is ready.
pub async fn drive<C: Future>(
    mut connection: Pin<&mut C>,
    part: impl Fn(Pin<&mut C>),
    leave: impl Future<Output = ()>,
    clock: &Clock,
    limits: &Limits,
) -> End {
    let mut leave = pin!(leave);
    let mut is_leaving = false;
    let mut alarm = pin!(sleep_until(Instant::now() + limits.idle));
    poll_fn(|context| {
        loop {
            let is_over = clock.is_over(context.waker());
            if connection.as_mut().poll(context).is_ready() {
                return Poll::Ready(End::Finished);
            }
            if is_over {
                clock.settle();
            }
            if clock.is_leaving_now() || (!is_leaving && leave.as_mut().poll(context).is_ready()) {
                is_leaving = true;
                part(connection.as_mut());
                continue;
            }
            let Some(deadline) = clock.deadline(limits) else { return Poll::Pending };
            if deadline <= Instant::now() {
                if clock.takes_leave() {
                    part(connection.as_mut());
                    continue;
                }
                return Poll::Ready(End::TookTooLong);
            }
            // The alarm is moved only when it would come too late, or has come: most requests leave it alone.
            if deadline < alarm.deadline() || alarm.is_elapsed() {
                alarm.as_mut().reset(deadline);
            }
            ready!(alarm.as_mut().poll(context));
        }
    })
    .await
}
