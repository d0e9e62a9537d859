//! Reads the body of a request, within a size and a time.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use bytes::BytesMut;
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::admission::ProtocolError;

/// The whole body. Most arrive in one piece and are not copied.
pub async fn read(body: Body, limit: usize, time: Duration) -> Result<Bytes, ProtocolError> {
    let declared = body.size_hint();
    // A body that says that it is too large is refused without reading it.
    if declared.lower() > limit as u64 {
        return Err(ProtocolError::BodyTooLarge);
    }
    let expected = usize::try_from(declared.lower()).unwrap_or(limit);
    timeout(time, collect(body, limit, expected)).await.unwrap_or(Err(ProtocolError::BodyTooSlow))
}

async fn collect(mut body: Body, limit: usize, expected: usize) -> Result<Bytes, ProtocolError> {
    let first = next(&mut body).await?.unwrap_or_default();
    if first.len() > limit {
        return Err(ProtocolError::BodyTooLarge);
    }
    let Some(second) = next(&mut body).await? else { return Ok(first) };
    let mut whole = BytesMut::with_capacity(expected.max(first.len() + second.len()).min(limit));
    whole.extend_from_slice(&first);
    let mut piece = Some(second);
    while let Some(bytes) = piece {
        if whole.len() + bytes.len() > limit {
            return Err(ProtocolError::BodyTooLarge);
        }
        whole.extend_from_slice(&bytes);
        piece = next(&mut body).await?;
    }
    Ok(whole.freeze())
}

/// The next piece of data; trailers are passed over.
async fn next(body: &mut Body) -> Result<Option<Bytes>, ProtocolError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ProtocolError::BodyIncomplete)?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pieces(pieces: &'static [&'static str]) -> Body {
        Body::from_stream(stream::iter(
            pieces.iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from_static(piece.as_bytes()))),
        ))
    }

    #[tokio::test]
    async fn pieces_are_put_together() {
        assert_eq!(read(pieces(&["a", "bc", "d"]), 4, SECOND).await, Ok(Bytes::from_static(b"abcd")));
        assert_eq!(read(pieces(&[]), 4, SECOND).await, Ok(Bytes::new()));
    }

    #[tokio::test]
    async fn the_limit_holds_for_pieces_and_for_what_is_declared() {
        for body in [pieces(&["abcde"]), pieces(&["abc", "de"]), Body::from("abcde")] {
            assert_eq!(read(body, 4, SECOND).await, Err(ProtocolError::BodyTooLarge));
        }
    }

    #[tokio::test]
    async fn a_body_that_never_comes_is_too_slow() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(never, 4, Duration::from_millis(5)).await, Err(ProtocolError::BodyTooSlow));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_incomplete() {
        let broken = Body::from_stream(stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]));
        assert_eq!(read(broken, 4, SECOND).await, Err(ProtocolError::BodyIncomplete));
    }
}
