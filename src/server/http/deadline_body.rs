//! A request body that reports to its connection's state when it is complete. It passes the body
//! through unchanged.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};

use super::deadline::ConnectionState;

/// The body of a request on the connection of `state`.
pub(super) fn body(body: Incoming, state: &ConnectionState) -> Body {
    if body.is_end_stream() {
        state.body_received();
        return Body::empty();
    }
    Body::new(DeadlineBody { body, state: state.clone() })
}

struct DeadlineBody {
    body: Incoming,
    state: ConnectionState,
}

impl HttpBody for DeadlineBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let is_last = matches!(frame, Poll::Ready(None)) || frame.is_ready() && self.body.is_end_stream();
        if is_last {
            self.state.body_received();
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
