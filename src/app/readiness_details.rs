//! What `/readyz?verbose` says besides its checks: the problems that whoever looks has found last.
//!
//! Invariant: a note is true now. Each topic replaces its own notes and no others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// So many notes of one topic are shown.
const MAX_NOTES: usize = 100;

/// Whose notes they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Templates,
    Certificate,
    Clients,
}

/// Shared by those who find problems and the one who shows them.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<BTreeMap<Topic, Vec<String>>>>);

impl Notes {
    pub fn replace(&self, topic: Topic, mut notes: Vec<String>) {
        if notes.len() > MAX_NOTES {
            let more = notes.len() - MAX_NOTES;
            notes.truncate(MAX_NOTES);
            notes.push(format!("and {more} more"));
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(topic, notes);
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().flatten().cloned().collect()
    }
}
