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
    use tokio::io::{AsyncWriteExt, duplex, repeat};

    use super::*;

    #[tokio::test]
    async fn all_is_read_until_the_peer_closes() {
        let (mut peer, mut stream) = duplex(1024);
        let sent = tokio::spawn(async move { peer.write_all(&[0; 100_000]).await });
        linger(&mut stream, &Limits::default()).await;
        assert!(sent.await.expect("no panic").is_ok());
    }

    #[tokio::test]
    async fn a_peer_that_never_ends_is_left() {
        linger(&mut repeat(0), &Limits::default()).await;
        linger(&mut repeat(0), &Limits { linger_bytes: usize::MAX, linger: SILENCE / 100, ..Limits::default() }).await;
        let (_peer, mut silent) = duplex(1024);
        linger(&mut silent, &Limits { linger: Duration::from_millis(10), ..Limits::default() }).await;
    }
}
