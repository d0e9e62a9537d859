//! Pods of one controller with one revision, and how they get the current one.

use crate::cli::fleet::{Owner, TemplatePod};

/// How pods of one controller get the current revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// They have it; what differs for other reasons.
    Current(Option<String>),
    /// Each pod is changed while it runs: what changes.
    InPlace(&'static str),
    /// Their workload is restarted: what differs.
    Restart(String),
    /// Not by this command, and why.
    Impossible(String),
}

/// Pods of one controller with one revision.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub namespace: String,
    pub owner: Owner,
    pub pods: Vec<TemplatePod>,
    /// The revision that they carry.
    pub from: String,
    /// The revision that new pods get, if it is known.
    pub to: Option<String>,
    pub way: Way,
}

impl Group {
    /// The names of its pods.
    pub(super) fn names(&self) -> Vec<String> {
        self.pods.iter().map(|pod| pod.name.clone()).collect()
    }
}
