//! A stream that reports to its connection's state when bytes arrive and when all bytes have left.
//!
//! It passes bytes through unchanged. An evicted connection reads nothing more. A connection is
//! shut down in order: what the peer still sends is discarded for a moment, so that no reset
//! overtakes the last response.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::deadline::ConnectionState;
use super::lingering_close::LingeringClose;
use crate::server::Limits;

/// The stream of one connection.
pub(super) struct DeadlineIo<S> {
    stream: S,
    state: ConnectionState,
    limits: Arc<Limits>,
    /// The first byte, read by [`Self::wait_for_first_byte`] and not yet passed on.
    first: Option<u8>,
    /// Set once everything is written.
    lingering: Option<LingeringClose>,
}

impl<S> DeadlineIo<S> {
    pub(super) fn new(stream: S, state: ConnectionState, limits: Arc<Limits>) -> Self {
        Self { stream, state, limits, first: None, lingering: None }
    }

    /// Waits for the first byte; `false` when the peer closes without sending one.
    pub(super) async fn wait_for_first_byte(&mut self) -> bool
    where
        S: AsyncRead + Unpin,
    {
        self.first = self.read_u8().await.ok();
        self.first.is_some()
    }

    fn report(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.state.bytes_written();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for DeadlineIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0
            && let Some(first) = self.first.take()
        {
            buffer.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let count = buffer.filled().len() - before;
        if count > 0 && !self.state.received(count) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for DeadlineIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.report(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.stream).poll_flush(context);
        if matches!(flush, Poll::Ready(Ok(()))) {
            self.state.flushed();
        }
        flush
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(lingering) = &mut this.lingering {
            return lingering.poll(&mut this.stream, context).map(Ok);
        }
        ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        this.state.lingers();
        let lingering = this.lingering.insert(LingeringClose::new(&this.limits));
        lingering.poll(&mut this.stream, context).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.report(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
