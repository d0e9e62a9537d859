//! Reads the body of a request within its limits: size, time and memory budget.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::body_buffer::{BodyBuffer, IncompleteBody, NoRoom, ReceivedBody};
use super::budget::Size;
use crate::admission::ProtocolError;

/// How long a refused client may go on sending while it reads the response. A client that writes to
/// a closed connection may never see the response.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Reads a whole body. Most bodies arrive in one piece and are not copied.
pub(super) async fn read(
    body: &mut Body,
    limit: usize,
    time: Duration,
    buffer: &BodyBuffer,
) -> Result<ReceivedBody, ProtocolError> {
    let declared = body.size_hint();
    // A body that declares too large a size is refused without reading it.
    if declared.lower() > limit as u64 {
        return Err(ProtocolError::BodyTooLarge);
    }
    let declared = declared.exact().and_then(|length| usize::try_from(length).ok());
    timeout(time, collect(body, limit, declared, buffer)).await.unwrap_or(Err(ProtocolError::BodyTooSlow))
}

async fn collect(
    body: &mut Body,
    limit: usize,
    declared: Option<usize>,
    buffer: &BodyBuffer,
) -> Result<ReceivedBody, ProtocolError> {
    if declared.is_some_and(|length| Size::of(length) == Size::Large) {
        return append(buffer.begin(declared, Instant::now())?, body, limit).await;
    }
    let Some(first) = next(body).await? else { return Ok(buffer.complete(Bytes::new(), Instant::now())?) };
    if first.len() > limit {
        return Err(ProtocolError::BodyTooLarge);
    }
    if body.is_end_stream() || declared == Some(first.len()) {
        return Ok(buffer.complete(first, Instant::now())?);
    }
    let incomplete = buffer.begin(declared, Instant::now())?;
    incomplete.push(&first, limit, Instant::now())?;
    append(incomplete, body, limit).await
}

/// Reads to the end, unless the body is dropped to make room.
async fn append(incomplete: IncompleteBody<'_>, body: &mut Body, limit: usize) -> Result<ReceivedBody, ProtocolError> {
    let mut length = incomplete.received();
    loop {
        let piece = tokio::select! {
            piece = next(body) => piece?,
            () = incomplete.dropped() => return Err(ProtocolError::Overloaded),
        };
        let Some(piece) = piece else { return Ok(incomplete.finish(Instant::now())?) };
        length += piece.len();
        if length > limit {
            return Err(ProtocolError::BodyTooLarge);
        }
        incomplete.push(&piece, limit, Instant::now())?;
    }
}

impl From<NoRoom> for ProtocolError {
    fn from(_: NoRoom) -> Self {
        Self::Overloaded
    }
}

/// The next piece of data; trailers are skipped.
async fn next(body: &mut Body) -> Result<Option<Bytes>, ProtocolError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ProtocolError::BodyIncomplete)?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Reads and discards the rest of a body for a moment, while the client reads the response.
pub(super) fn discard(mut body: Body) {
    if body.is_end_stream() {
        return;
    }
    let end = Instant::now() + DISCARD_TIME;
    tokio::spawn(async move { while let Ok(Ok(Some(_))) = timeout_at(end, next(&mut body)).await {} });
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use prometheus::IntGauge;

    use super::*;
    use crate::server::admission::budget::Budgets;

    const SECOND: Duration = Duration::from_secs(1);
    const MIB: usize = 1024 * 1024;

    fn buffer() -> BodyBuffer {
        BodyBuffer::new(Budgets::new(16 * MIB, 48 * MIB, IntGauge::new("bytes", "bytes").expect("a gauge")))
    }

    fn pieces(pieces: &'static [&'static str]) -> Body {
        Body::from_stream(stream::iter(
            pieces.iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from_static(piece.as_bytes()))),
        ))
    }

    async fn read_all(mut body: Body, limit: usize, time: Duration) -> Result<Bytes, ProtocolError> {
        read(&mut body, limit, time, &buffer()).await.map(|received| received.bytes)
    }

    #[tokio::test]
    async fn the_pieces_of_a_body_are_joined() {
        assert_eq!(read_all(pieces(&["a", "bc", "d"]), 4, SECOND).await, Ok(Bytes::from_static(b"abcd")));
        assert_eq!(read_all(pieces(&["a", "", "b"]), 4, SECOND).await, Ok(Bytes::from_static(b"ab")));
        assert_eq!(read_all(pieces(&[]), 4, SECOND).await, Ok(Bytes::new()));
    }

    #[tokio::test]
    async fn the_limit_holds_for_pieces_and_for_declared_lengths() {
        for body in [pieces(&["abcde"]), pieces(&["abc", "de"]), Body::from("abcde")] {
            assert_eq!(read_all(body, 4, SECOND).await, Err(ProtocolError::BodyTooLarge));
        }
    }

    #[tokio::test]
    async fn a_body_that_never_arrives_is_too_slow() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read_all(never, 4, Duration::from_millis(5)).await, Err(ProtocolError::BodyTooSlow));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_incomplete() {
        let broken = Body::from_stream(stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]));
        assert_eq!(read_all(broken, 4, SECOND).await, Err(ProtocolError::BodyIncomplete));
    }
}
