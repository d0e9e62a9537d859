//! A stream that tells its clock when bytes come in, and when they all have gone out.
//!
//! It changes nothing of what passes through it, but lets a connection that was dismissed read nothing any more, and ends one in
//! order: what the peer still sends is thrown away for a moment, so that no reset overtakes the last answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::deadline::Clock;
use super::lingering_close::Linger;
use crate::server::Limits;

/// See the module.
pub struct Clocked<S> {
    stream: S,
    clock: Clock,
    limits: Arc<Limits>,
    /// Read to see whether the peer speaks, and not yet handed on.
    first: Option<u8>,
    /// Once everything is said.
    linger: Option<Linger>,
}

impl<S> Clocked<S> {
    pub fn new(stream: S, clock: Clock, limits: Arc<Limits>) -> Self {
        Self { stream, clock, limits, first: None, linger: None }
    }

    /// Waits for the first byte; `false` where the peer ends without one.
    pub async fn speaks(&mut self) -> bool
    where
        S: AsyncRead + Unpin,
    {
        self.first = self.read_u8().await.ok();
        self.first.is_some()
    }

    fn count(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.clock.wrote();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Clocked<S> {
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
        if count > 0 && !self.clock.received(count) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Clocked<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.count(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.stream).poll_flush(context);
        if matches!(flush, Poll::Ready(Ok(()))) {
            self.clock.flushed();
        }
        flush
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(linger) = &mut this.linger {
            return linger.poll(&mut this.stream, context).map(Ok);
        }
        ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        this.clock.linger();
        let linger = this.linger.insert(Linger::new(&this.limits));
        linger.poll(&mut this.stream, context).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.count(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
