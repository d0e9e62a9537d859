//! The API server's own histogram of the time that it waits for a webhook.

use serde_json::Value;

use crate::cluster::Cluster;

const NAME: &str = "apiserver_admission_webhook_admission_duration_seconds";

/// Cumulative durations of the calls to one webhook since the API server started.
pub struct Histogram {
    /// Upper bound in seconds and the calls up to it.
    buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// Reads the histogram from the API server's metrics.
    pub fn read(cluster: &Cluster, webhook: &str) -> Self {
        let text = match cluster.get("/metrics").expect_success() {
            Value::String(text) => text,
            other => panic!("the API server's metrics are no text: {other}"),
        };
        let (prefix, label) = (format!("{NAME}_bucket{{"), format!("name=\"{webhook}\""));
        let mut buckets: Vec<(f64, u64)> = Vec::new();
        for line in text.lines().filter(|line| line.starts_with(&prefix) && line.contains(&label)) {
            let (bound, count) = parse(line).unwrap_or_else(|| panic!("no bucket: {line}"));
            // One line for each operation and each outcome.
            match buckets.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, total)) => *total += count,
                None => buckets.push((bound, count)),
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self { buckets }
    }

    /// The calls since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let before =
            |bound: f64| earlier.buckets.iter().find(|(known, _)| *known == bound).map_or(0, |(_, count)| *count);
        Self { buckets: self.buckets.iter().map(|(bound, count)| (*bound, count - before(*bound))).collect() }
    }

    pub fn count(&self) -> u64 {
        self.buckets.last().map_or(0, |(_, count)| *count)
    }

    /// A line for each bucket.
    pub fn lines(&self) -> Vec<String> {
        let share = |count: u64| 100.0 * count as f64 / self.count().max(1) as f64;
        self.buckets
            .iter()
            .map(|(bound, count)| format!("≤ {bound:>6} s  {count:>7}  {:6.2} %", share(*count)))
            .collect()
    }
}

fn parse(line: &str) -> Option<(f64, u64)> {
    let bound = line.split("le=\"").nth(1)?.split('"').next()?;
    let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
    // Counts are written as 12 or 1.2e+06.
    let count: f64 = line.rsplit(' ').next()?.parse().ok()?;
    Some((bound, count as u64))
}
