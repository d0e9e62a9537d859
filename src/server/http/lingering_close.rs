//! Lingering close: reads and discards what a peer still sends after the last response (RFC 9112,
//! section 9.6).
//!
//! Closing a socket with unread bytes resets the connection, and the reset can overtake the
//! response: a client whose body is refused would see a broken connection instead of the refusal.
//! Invariant: it is bounded in time and in bytes, whatever the peer does.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::server::Limits;

/// A peer that sends nothing for this long has read the response, or never will.
const SILENCE: Duration = Duration::from_secs(1);
/// Bytes that are discarded at a time.
const PIECE: usize = 16 * 1024;

/// The state of one lingering close.
pub(super) struct LingeringClose {
    end: Instant,
    bytes: usize,
    alarm: Pin<Box<Sleep>>,
    piece: Vec<u8>,
}

impl LingeringClose {
    pub(super) fn new(limits: &Limits) -> Self {
        let end = Instant::now() + limits.linger;
        let alarm = Box::pin(sleep_until(end.min(Instant::now() + SILENCE)));
        Self { end, bytes: limits.linger_bytes, alarm, piece: vec![0; PIECE] }
    }

    /// Reads until the peer closes, is silent, or has used up its time or bytes.
    pub(super) fn poll<S: AsyncRead + Unpin>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Poll<()> {
        while self.bytes > 0 {
            let mut piece = ReadBuf::new(&mut self.piece);
            match Pin::new(&mut *stream).poll_read(context, &mut piece) {
                Poll::Ready(Ok(())) if !piece.filled().is_empty() => {
                    self.bytes = self.bytes.saturating_sub(piece.filled().len());
                    self.alarm.as_mut().reset(self.end.min(Instant::now() + SILENCE));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.alarm.as_mut().poll(context),
            }
            // A peer that is never silent gets no more time either.
            if Instant::now() >= self.end {
                break;
            }
        }
        Poll::Ready(())
    }
}

/// Runs a lingering close to its end.
pub(super) async fn lingering_close<S: AsyncRead + Unpin>(stream: &mut S, limits: &Limits) {
    let mut lingering = LingeringClose::new(limits);
    poll_fn(|context| lingering.poll(stream, context)).await;
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::io::{AsyncWriteExt, duplex};
    use tokio::time::timeout;

    use super::*;

    /// Longer than any of the limits here, on a slow machine too.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A peer that is never silent, and how many bytes were read of it.
    struct Endless {
        since: Instant,
        bytes: usize,
    }

    impl AsyncRead for Endless {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            // A timer could not end a future that always finds something to read.
            assert!(self.since.elapsed() < PATIENCE, "{} bytes were read", self.bytes);
            self.bytes += buffer.remaining();
            buffer.initialize_unfilled();
            buffer.set_filled(buffer.capacity());
            Poll::Ready(Ok(()))
        }
    }

    /// How long it lingers.
    async fn time<S: AsyncRead + Unpin>(stream: &mut S, limits: Limits) -> Duration {
        let start = Instant::now();
        timeout(PATIENCE, lingering_close(stream, &limits)).await.expect("it ends");
        start.elapsed()
    }

    #[tokio::test]
    async fn everything_is_read_until_the_peer_closes() {
        let (mut peer, mut stream) = duplex(1024);
        let sent = tokio::spawn(async move { peer.write_all(&[0; 100_000]).await });
        time(&mut stream, Limits::default()).await;
        assert!(sent.await.expect("no panic").is_ok());
    }

    #[tokio::test]
    async fn a_peer_that_sends_without_end_is_cut_off() {
        let mut endless = Endless { since: Instant::now(), bytes: 0 };
        let limits = Limits { linger_bytes: 10 * PIECE + 1, linger: 2 * PATIENCE, ..Limits::default() };
        time(&mut endless, limits).await;
        assert_eq!(endless.bytes, 11 * PIECE, "what is begun is read");

        let limit = SILENCE / 100;
        let time_of_endless =
            time(&mut endless, Limits { linger_bytes: usize::MAX, linger: limit, ..Limits::default() }).await;
        let (_peer, mut silent) = duplex(1024);
        let time_of_silent = time(&mut silent, Limits { linger: limit, ..Limits::default() }).await;
        for time in [time_of_endless, time_of_silent] {
            assert!(time >= limit && time < PATIENCE, "{time:?}");
        }
    }

    #[tokio::test]
    async fn a_silent_peer_is_cut_off_early() {
        let (_peer, mut silent) = duplex(1024);
        let time = time(&mut silent, Limits { linger: 2 * PATIENCE, ..Limits::default() }).await;
        assert!(time >= SILENCE, "{time:?}");
    }
}
