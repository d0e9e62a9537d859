//! Metrics that exist only in a cluster, where certificates are ours to make.

use prometheus::IntGauge;

use super::register::Register;

/// Who leads, and whether API servers trust what is served.
#[derive(Clone)]
pub struct ClusterMetrics {
    leader: IntGauge,
    ca_bundle_in_sync: IntGauge,
}

impl ClusterMetrics {
    pub(super) fn register(register: &Register) -> prometheus::Result<Self> {
        Ok(Self {
            leader: register.gauge("leader", "1 if this replica is the leader, which maintains the certificates")?,
            ca_bundle_in_sync: register.gauge(
                "ca_bundle_in_sync",
                "1 if the webhook configuration's caBundle covers the certificate that this replica serves",
            )?,
        })
    }

    /// Sets `outrigger_leader`.
    pub fn leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Sets `outrigger_ca_bundle_in_sync`.
    pub fn ca_bundle_in_sync(&self, is_in_sync: bool) {
        self.ca_bundle_in_sync.set(i64::from(is_in_sync));
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn they_exist_only_in_a_cluster() {
        let metrics = Metrics::new().expect("the names are unique");
        let text = |metrics: &Metrics| String::from_utf8(metrics.render().expect("a text")).expect("UTF-8");
        assert!(!text(&metrics).contains("outrigger_leader") && !text(&metrics).contains("in_sync"));
        let cluster = metrics.in_cluster().expect("the names are unique");
        cluster.leader(true);
        assert!(text(&metrics).contains("\noutrigger_leader 1\n"), "{}", text(&metrics));
        assert!(text(&metrics).contains("\noutrigger_ca_bundle_in_sync 0\n"));
    }
}
