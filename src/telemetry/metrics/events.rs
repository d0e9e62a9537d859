//! `events_total{result}`: the Events for owners of pods and on templates. It exists only in a
//! cluster.

use prometheus::IntCounter;

use super::register::Register;

/// What becomes of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventResult {
    /// The API server has it.
    Sent,
    /// The object had one with the code a short time ago.
    Throttled,
    /// The queue was full.
    Dropped,
    /// The API server refused it, or did not respond.
    Failed,
}

impl EventResult {
    const ALL: [Self; 4] = [Self::Sent, Self::Throttled, Self::Dropped, Self::Failed];

    const fn code(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Throttled => "throttled",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}

/// Counts Events.
#[derive(Clone)]
pub struct EventMetrics([IntCounter; EventResult::ALL.len()]);

impl EventMetrics {
    pub(super) fn register(register: &Register) -> prometheus::Result<Self> {
        let help = "Events about pods that were refused or left without what they ask for, and about broken templates, by result";
        let events = register.counters("events_total", help, &["result"])?;
        Ok(Self(EventResult::ALL.map(|result| events.with_label_values(&[result.code()]))))
    }

    /// Counts one Event.
    pub fn count(&self, result: EventResult) {
        self.0[result as usize].inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn each_result_has_its_counter() {
        assert!(EventResult::ALL.iter().enumerate().all(|(index, result)| *result as usize == index));
        let metrics = Metrics::new().expect("the names are unique");
        let events = metrics.events().expect("the names are unique");
        events.count(EventResult::Throttled);
        let text = String::from_utf8(metrics.render().expect("a text")).expect("UTF-8");
        assert!(text.contains("outrigger_events_total{result=\"throttled\"} 1\n"), "{text}");
        assert!(text.contains("outrigger_events_total{result=\"sent\"} 0\n"), "{text}");
    }
}
