//! The results of the pods under each fault, as a table and as a verdict.
//!
//! Invariant: every created pod is counted in exactly one column.

use std::fmt;
use std::time::Duration;

use super::Excuse;
use crate::load::{Outcome, Sample};

#[derive(Default)]
pub struct Table(Vec<Row>);

pub struct Row {
    fault: &'static str,
    pods: usize,
    /// Refusals that the design does not allow, with their messages, including an unexpectedly
    /// unreachable API server.
    refused: Vec<String>,
    refused_as_designed: Vec<String>,
    without_sidecar: usize,
    no_api_server: usize,
    longest: Duration,
    /// The fault itself failed.
    is_broken: bool,
}

impl Row {
    pub fn new(fault: &'static str, samples: Vec<Sample>, excuses: &[Excuse]) -> Self {
        let mut row = Self { fault, pods: samples.len(), ..Self::empty(fault) };
        for sample in samples {
            let is_excused = excuses.iter().any(|excuse| excuse.covers(&sample));
            if !matches!(sample.outcome, Outcome::Unreachable(_)) {
                row.longest = row.longest.max(sample.took);
            }
            match sample.outcome {
                Outcome::Injected => {}
                Outcome::WithoutSidecar => row.without_sidecar += 1,
                Outcome::Refused(message) if is_excused => row.refused_as_designed.push(message),
                Outcome::Unreachable(_) if is_excused => row.no_api_server += 1,
                Outcome::Refused(message) | Outcome::Unreachable(message) => row.refused.push(message),
            }
        }
        row
    }

    pub fn broken(fault: &'static str) -> Self {
        Self { is_broken: true, ..Self::empty(fault) }
    }

    fn empty(fault: &'static str) -> Self {
        Self {
            fault,
            pods: 0,
            refused: Vec::new(),
            refused_as_designed: Vec::new(),
            without_sidecar: 0,
            no_api_server: 0,
            longest: Duration::ZERO,
            is_broken: false,
        }
    }

    /// The failures of the row.
    fn failure(&self) -> Option<String> {
        if self.is_broken {
            return Some(format!("{}: it did not go as it should, see above", self.fault));
        }
        if self.pods == 0 || self.without_sidecar > 0 || !self.refused.is_empty() {
            let (refused, pods, without) = (self.refused.len(), self.pods, self.without_sidecar);
            let shown = &self.refused[..refused.min(3)];
            return Some(format!(
                "{}: of {pods} pods {refused} were refused, {without} without sidecar: {shown:?}",
                self.fault
            ));
        }
        None
    }
}

impl Table {
    pub fn push(&mut self, row: Row) {
        self.0.push(row);
    }

    #[track_caller]
    pub fn assert_no_pod_failed(&self) {
        let failures: Vec<String> = self.0.iter().filter_map(Row::failure).collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| fault | pods | refused | without sidecar | refused as designed | no API server | longest answer |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for row in &self.0 {
            if row.is_broken {
                writeln!(f, "| {} | did not go as it should | | | | | |", row.fault)?;
                continue;
            }
            let (refused, designed) = (row.refused.len(), row.refused_as_designed.len());
            let (without, away, longest) = (row.without_sidecar, row.no_api_server, row.longest.as_millis());
            writeln!(
                f,
                "| {} | {} | {refused} | {without} | {designed} | {away} | {longest} ms |",
                row.fault, row.pods
            )?;
        }
        let mut texts: Vec<&str> =
            self.0.iter().flat_map(|row| &row.refused_as_designed).map(|text| ending(text)).collect();
        texts.sort_unstable();
        texts.dedup();
        texts.iter().try_for_each(|text| writeln!(f, "as designed: … {text}"))
    }
}

/// The last part of a message, which is the reason.
fn ending(message: &str) -> &str {
    message.rsplit_once("\": ").map_or(message, |(_, why)| why)
}
