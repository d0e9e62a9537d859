//! The end of a connection whose peer may still be sending: what comes is read and thrown away for a moment.
//!
//! A socket that is closed with unread bytes in it resets the connection, and the reset can overtake the answer: a client that
//! sends a body which is refused would see a broken connection instead of the refusal.
//! Invariant: bounded in time and in bytes, whatever the peer does.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::Limits;

/// A peer that has been silent for so long has read its answer, or never will.
const SILENCE: Duration = Duration::from_secs(1);
/// Bytes that are thrown away at a time.
const PIECE: usize = 16 * 1024;

/// Reads until the peer closes, or has taken enough.
pub async fn linger<S: AsyncRead + Unpin>(stream: &mut S, limits: &Limits) {
    let mut left = limits.linger_bytes;
    let mut piece = Vec::with_capacity(PIECE);
    let discard = async {
        while left > 0 {
            piece.clear();
            match timeout(SILENCE, stream.read_buf(&mut piece)).await {
                Ok(Ok(count @ 1..)) => left = left.saturating_sub(count),
                _ => return,
            }
        }
    };
    _ = timeout(limits.linger, discard).await;
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
        let (_peer, mut silent) = duplex(1024);
        linger(&mut silent, &Limits { linger: Duration::from_millis(10), ..Limits::default() }).await;
    }
}
