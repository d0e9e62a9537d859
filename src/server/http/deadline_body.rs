//! A body that tells its connection's clock when all of it has come.
//!
//! It changes nothing of what passes through it.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};

use super::deadline::Clock;

/// The body of a request of this clock's connection.
pub fn body(body: Incoming, clock: &Clock) -> Body {
    if body.is_end_stream() {
        clock.whole();
        return Body::empty();
    }
    Body::new(Watched { body, clock: clock.clone() })
}

struct Watched {
    body: Incoming,
    clock: Clock,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let is_last = matches!(frame, Poll::Ready(None)) || frame.is_ready() && self.body.is_end_stream();
        if is_last {
            self.clock.whole();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
