//! The problems that `/readyz?verbose` lists below its checks.
//!
//! Invariant: every problem listed is current. Each topic replaces its own problems and no others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

const MAX_PER_TOPIC: usize = 100;

/// What the problems concern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Templates,
    Certificate,
    Clients,
}

/// The current problems, shared by the parts that find them and the admin listener that shows them.
#[derive(Clone, Default)]
pub(super) struct ReadinessDetails(Arc<Mutex<BTreeMap<Topic, Vec<String>>>>);

impl ReadinessDetails {
    pub(super) fn replace(&self, topic: Topic, mut problems: Vec<String>) {
        if problems.len() > MAX_PER_TOPIC {
            let more = problems.len() - MAX_PER_TOPIC;
            problems.truncate(MAX_PER_TOPIC);
            problems.push(format!("and {more} more"));
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(topic, problems);
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().flatten().cloned().collect()
    }
}
