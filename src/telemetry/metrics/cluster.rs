//! Metrics that exist only in a cluster, some of them only where certificates are ours to make.

use prometheus::{IntCounter, IntGauge};

use super::register::Register;

/// Who leads, and how template objects are followed.
#[derive(Clone)]
pub struct ClusterMetrics {
    leader: IntGauge,
    template_watch_healthy: IntGauge,
    status_writes: [IntCounter; StatusWriteResult::ALL.len()],
}

/// What became of writing the status of a template object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusWriteResult {
    /// The API server has it.
    Success,
    /// The API server refused it, or did not respond.
    Error,
}

impl StatusWriteResult {
    const ALL: [Self; 2] = [Self::Success, Self::Error];

    const fn code(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
        }
    }
}

impl ClusterMetrics {
    pub(super) fn register(register: &Register) -> prometheus::Result<Self> {
        let writes = register.counters(
            "template_status_writes_total",
            "Writes of the status of template objects, by result",
            &["result"],
        )?;
        Ok(Self {
            leader: register.gauge(
                "leader",
                "1 if this replica is the leader, which maintains the certificates and the status of templates",
            )?,
            template_watch_healthy: register.gauge(
                "template_watch_healthy",
                "1 if template objects have been read, or their kinds are missing, and changes of them arrive",
            )?,
            status_writes: StatusWriteResult::ALL.map(|result| writes.with_label_values(&[result.code()])),
        })
    }

    /// Sets `outrigger_leader`.
    pub fn leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Sets `outrigger_template_watch_healthy`.
    pub fn template_watch_healthy(&self, is_healthy: bool) {
        self.template_watch_healthy.set(i64::from(is_healthy));
    }

    /// Counts one write of a status.
    pub fn template_status_write(&self, result: StatusWriteResult) {
        self.status_writes[result as usize].inc();
    }
}

/// Whether API servers trust what is served. It exists only where certificates are ours to make.
#[derive(Clone)]
pub struct CaBundleMetrics(IntGauge);

impl CaBundleMetrics {
    pub(super) fn register(register: &Register) -> prometheus::Result<Self> {
        let help = "1 if the webhook configuration's caBundle covers the certificate that this replica serves";
        Ok(Self(register.gauge("ca_bundle_in_sync", help)?))
    }

    /// Sets `outrigger_ca_bundle_in_sync`.
    pub fn in_sync(&self, is_in_sync: bool) {
        self.0.set(i64::from(is_in_sync));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn they_exist_only_in_a_cluster() {
        let metrics = Metrics::new().expect("the names are unique");
        let text = |metrics: &Metrics| String::from_utf8(metrics.render().expect("a text")).expect("UTF-8");
        assert!(!text(&metrics).contains("outrigger_leader") && !text(&metrics).contains("in_sync"));
        let cluster = metrics.in_cluster().expect("the names are unique");
        cluster.leader(true);
        cluster.template_status_write(StatusWriteResult::Error);
        assert!(text(&metrics).contains("\noutrigger_leader 1\n"), "{}", text(&metrics));
        assert!(text(&metrics).contains("\noutrigger_template_watch_healthy 0\n"));
        assert!(text(&metrics).contains("\noutrigger_template_status_writes_total{result=\"error\"} 1\n"));
        assert!(!text(&metrics).contains("in_sync"), "certificates may come from elsewhere");
        metrics.ca_bundle().expect("the names are unique").in_sync(true);
        assert!(text(&metrics).contains("\noutrigger_ca_bundle_in_sync 1\n"));
    }
}
