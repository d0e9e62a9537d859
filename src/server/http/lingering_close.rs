//! The end of a connection whose peer may still be sending: what comes is read and thrown away for a moment.
//!
//! A socket that is closed with unread bytes in it resets the connection, and the reset can overtake the answer: a client that
//! sends a body which is refused would see a broken connection instead of the refusal.
//! Invariant: bounded in time and in bytes, whatever the peer does.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::server::Limits;

/// A peer that has been silent for so long has read its answer, or never will.
const SILENCE: Duration = Duration::from_secs(1);
/// Bytes that are thrown away at a time.
const PIECE: usize = 16 * 1024;

/// What may still be read of a connection.
pub struct Linger {
    end: Instant,
    bytes: usize,
    alarm: Pin<Box<Sleep>>,
    piece: Vec<u8>,
}

impl Linger {
    pub fn new(limits: &Limits) -> Self {
        let end = Instant::now() + limits.linger;
        let alarm = Box::pin(sleep_until(end.min(Instant::now() + SILENCE)));
        Self { end, bytes: limits.linger_bytes, alarm, piece: vec![0; PIECE] }
    }

    /// Reads until the peer closes, or has taken enough.
    pub fn poll<S: AsyncRead + Unpin>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Poll<()> {
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
            // A peer that is never silent is not waited for either.
            if Instant::now() >= self.end {
                break;
            }
        }
        Poll::Ready(())
    }
}

/// Lingers to the end.
pub async fn linger<S: AsyncRead + Unpin>(stream: &mut S, limits: &Limits) {
    let mut linger = Linger::new(limits);
    poll_fn(|context| linger.poll(stream, context)).await;
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
        timeout(PATIENCE, linger(stream, &limits)).await.expect("it ends");
        start.elapsed()
    }

    #[tokio::test]
    async fn all_is_read_until_the_peer_closes() {
        let (mut peer, mut stream) = duplex(1024);
        let sent = tokio::spawn(async move { peer.write_all(&[0; 100_000]).await });
        time(&mut stream, Limits::default()).await;
        assert!(sent.await.expect("no panic").is_ok());
    }

    #[tokio::test]
    async fn a_peer_that_never_ends_is_left() {
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
    async fn a_silent_peer_is_left_before_its_time() {
        let (_peer, mut silent) = duplex(1024);
        let time = time(&mut silent, Limits { linger: 2 * PATIENCE, ..Limits::default() }).await;
        assert!(time >= SILENCE, "{time:?}");
    }
}
