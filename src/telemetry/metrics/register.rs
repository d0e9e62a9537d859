//! Puts metrics under our prefix into a registry.

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result};

/// The API server's own buckets are among these, so that both histograms can be compared.
const BUCKETS: [f64; 15] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Makes metrics that are registered from the start.
pub(super) struct Register(pub Registry);

impl Register {
    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.add(IntCounter::new(prefixed(name), help)?)
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(prefixed(name), help), labels)?)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.add(IntGauge::new(prefixed(name), help)?)
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(prefixed(name), help), labels)?)
    }

    pub(super) fn histogram(&self, name: &str, help: &str) -> Result<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(prefixed(name), help).buckets(BUCKETS.to_vec()))?)
    }

    /// What the system tells of the process.
    pub(super) fn process(&self) -> Result<()> {
        #[cfg(target_os = "linux")]
        self.0.register(Box::new(super::process::ProcessCollector::new()?))?;
        Ok(())
    }
}

fn prefixed(name: &str) -> String {
    format!("outrigger_{name}")
}
