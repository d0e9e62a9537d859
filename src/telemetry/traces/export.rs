//! Spans on their way to the collector, sent in batches by a thread of their own.
//!
//! Invariants: at most [`MAX_WAITING`] wait, and one beyond them is lost and counted; nobody waits
//! for the collector, but the end of the process for at most [`LAST_WAIT`]; a collector that is
//! away is told of at most once a minute.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::Context;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter as _, SpanProcessor};
use prometheus::IntCounter;
use tokio::sync::{Notify, mpsc as queue};

use crate::telemetry::throttle::EventThrottle;

const MAX_WAITING: usize = 2048;
const MAX_BATCH: usize = 512;
/// After the first span of a batch, others get so long to come along.
const LINGER: Duration = Duration::from_secs(1);
/// How long the end of the process waits for the last batches.
const LAST_WAIT: Duration = Duration::from_millis(1500);

/// Takes the spans that have ended.
#[derive(Debug)]
pub(super) struct SpanQueue {
    spans: queue::Sender<SpanData>,
    lost: IntCounter,
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.spans.try_send(span).is_err() {
            self.lost.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The thread that sends; dropping it sends what is left.
pub(super) struct Exporting {
    closing: Arc<Notify>,
    /// Ends with the thread.
    ended: mpsc::Receiver<()>,
}

impl Exporting {
    /// Starts the thread; `exporter` is made on it, since it belongs to its runtime.
    pub(super) fn start(
        exporter: impl Fn() -> Result<SpanExporter, ExporterBuildError>,
        resource: &Resource,
        endpoint: &str,
        lost: IntCounter,
    ) -> anyhow::Result<(SpanQueue, Self)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let mut exporter = exporter()?;
        drop(entered);
        exporter.set_resource(resource);
        let (spans, waiting) = queue::channel(MAX_WAITING);
        let closing = Arc::new(Notify::new());
        let sender = Sender {
            exporter,
            waiting,
            endpoint: endpoint.to_owned(),
            lost: lost.clone(),
            failures: EventThrottle::new(),
        };
        let (alive, ended) = mpsc::channel::<()>();
        let closed = Arc::clone(&closing);
        let work = move || {
            runtime.block_on(sender.send_until(&closed));
            drop(alive);
        };
        thread::Builder::new().name("traces".to_owned()).spawn(work).context("cannot start a thread")?;
        Ok((SpanQueue { spans, lost }, Self { closing, ended }))
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        self.closing.notify_one();
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(LAST_WAIT) {
            tracing::warn!("the last traces could not be sent in time");
        }
    }
}

/// What the thread works with.
struct Sender {
    exporter: SpanExporter,
    waiting: queue::Receiver<SpanData>,
    endpoint: String,
    lost: IntCounter,
    failures: EventThrottle,
}

impl Sender {
    /// Sends batches until it is closed, and then what is left.
    async fn send_until(mut self, closed: &Notify) {
        let mut batch = Vec::new();
        loop {
            let is_closed = tokio::select! {
                biased;
                () = closed.notified() => true,
                is_closed = self.fill(&mut batch) => is_closed,
            };
            if is_closed {
                break;
            }
            // The end does not wait for a batch that hangs.
            tokio::select! {
                () = closed.notified() => break,
                () = self.send(std::mem::take(&mut batch)) => {}
            }
        }
        while let Ok(span) = self.waiting.try_recv() {
            batch.push(span);
        }
        if !batch.is_empty() {
            self.send(batch).await;
        }
    }

    /// Waits for a span and those that follow it closely; returns whether none will ever come.
    async fn fill(&mut self, batch: &mut Vec<SpanData>) -> bool {
        if batch.is_empty() && self.waiting.recv_many(batch, MAX_BATCH).await == 0 {
            return true;
        }
        let more = async { while batch.len() < MAX_BATCH && self.waiting.recv_many(batch, MAX_BATCH).await > 0 {} };
        _ = tokio::time::timeout(LINGER, more).await;
        false
    }

    async fn send(&self, batch: Vec<SpanData>) {
        let count = batch.len();
        if let Err(error) = self.exporter.export(batch).await {
            self.lost.inc_by(count as u64);
            if let Some(failures) = self.failures.due() {
                tracing::warn!(endpoint = self.endpoint, %error, failures, "traces cannot be sent, and are lost");
            }
        }
    }
}
