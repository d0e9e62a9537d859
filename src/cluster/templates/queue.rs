//! Decides which status is written next, and when.
//!
//! Pure: every function is given the time. Each object has at most one write in flight, and what is
//! written is planned when its turn comes, from the newest report. Invariants: an object whose
//! status is as it should be is not written; while its spec stays the same, the pauses between
//! writes of an object grow, whoever undoes them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::plan::{Difference, PlannedStatus, plan};
use super::seen::{Counts, SeenStatus};
use crate::api::template_object::{ObjectKey, TemplateReport};

/// Pause after a write; it doubles with each further one for the same generation.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// After such a time without a write, the pauses start from the first again. Longer than the
/// longest pause, so that nobody who keeps undoing writes ever gets there.
const QUIET_PERIOD: Duration = Duration::from_secs(600);
/// Between two writes of an object that change only the numbers of pods.
const COUNTS_PAUSE: Duration = Duration::from_secs(300);
/// Writes in flight.
const CONCURRENCY: usize = 8;

/// The reports of all template objects.
pub type Reports = BTreeMap<ObjectKey, Arc<TemplateReport>>;

/// A status to write now.
#[derive(Clone, Debug)]
pub(super) struct StatusWrite {
    pub report: Arc<TemplateReport>,
    pub planned: PlannedStatus,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteResult {
    Written,
    /// The API server does not take this status of this object.
    Refused,
    /// No status can be written: the API server is away, or the right is missing.
    Failed,
}

/// The objects whose status may have to be written.
#[derive(Default)]
pub(super) struct StatusQueue {
    objects: HashMap<ObjectKey, Entry>,
    /// When to look at which object.
    due: BTreeSet<(Instant, ObjectKey)>,
    in_flight: usize,
    /// Whether the last write failed: then one at a time is enough.
    is_failing: bool,
    paused_until: Option<Instant>,
}

struct Entry {
    report: Arc<TemplateReport>,
    due: Option<Instant>,
    flight: Flight,
    history: WriteHistory,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flight {
    Idle,
    Writing,
    /// Something has changed since the write began.
    WritingOutdated,
}

/// The earlier writes of one object.
#[derive(Default)]
struct WriteHistory {
    /// UID and generation of the last report that was written.
    of: Option<(String, i64)>,
    last: Option<Instant>,
    /// Writes and refusals for this generation, without a quiet period between them.
    repeated: u32,
    last_counts: Option<Instant>,
}

impl WriteHistory {
    /// The earliest time of this write.
    fn earliest(&self, report: &TemplateReport, difference: Difference) -> Option<Instant> {
        let is_same =
            self.of.as_ref().is_some_and(|(uid, generation)| *uid == report.uid && *generation == report.generation);
        let repeated = if is_same { self.repeated } else { 1 };
        let pause = FIRST_PAUSE * 2_u32.pow(repeated.saturating_sub(1).min(9));
        let after_last = self.last.map(|last| last + pause.min(LONGEST_PAUSE));
        let after_counts = match difference {
            Difference::Counts => self.last_counts.map(|last| last + COUNTS_PAUSE),
            Difference::Content => None,
        };
        after_last.max(after_counts)
    }

    fn record(&mut self, write: &StatusWrite, now: Instant) {
        let of = (write.report.uid.clone(), write.report.generation);
        let is_quiet = self.last.is_none_or(|last| now.saturating_duration_since(last) >= QUIET_PERIOD);
        if is_quiet || self.of.as_ref() != Some(&of) {
            self.repeated = 0;
        }
        self.of = Some(of);
        self.last = Some(now);
        match write.planned.difference {
            Difference::Counts => self.last_counts = Some(now),
            Difference::Content => self.repeated += 1,
        }
    }

    /// The API server refused: the pause grows as if it had been undone.
    fn refused(&mut self) {
        self.repeated += 1;
    }
}

impl StatusQueue {
    /// Takes over the newest reports.
    pub(super) fn replace_reports(&mut self, reports: &Reports, now: Instant) {
        let gone: Vec<ObjectKey> = self.objects.keys().filter(|key| !reports.contains_key(*key)).cloned().collect();
        for key in gone {
            if let Some(Entry { due: Some(due), .. }) = self.objects.remove(&key) {
                self.due.remove(&(due, key));
            }
        }
        for (key, report) in reports {
            match self.objects.get_mut(key) {
                Some(entry) if Arc::ptr_eq(&entry.report, report) => continue,
                Some(entry) => {
                    let is_same = *entry.report == **report;
                    entry.report = Arc::clone(report);
                    if is_same {
                        continue;
                    }
                }
                None => {
                    let entry = Entry {
                        report: Arc::clone(report),
                        due: None,
                        flight: Flight::Idle,
                        history: WriteHistory::default(),
                    };
                    self.objects.insert(key.clone(), entry);
                }
            }
            self.look_at(key, now);
        }
    }

    /// What the API server has, or what was counted, has changed for this object.
    pub(super) fn look_at(&mut self, key: &ObjectKey, now: Instant) {
        let Some(entry) = self.objects.get_mut(key) else { return };
        match entry.flight {
            Flight::Idle => self.schedule(key, now),
            Flight::Writing => entry.flight = Flight::WritingOutdated,
            Flight::WritingOutdated => {}
        }
    }

    fn schedule(&mut self, key: &ObjectKey, at: Instant) {
        let Some(entry) = self.objects.get_mut(key) else { return };
        if let Some(due) = entry.due.replace(at) {
            self.due.remove(&(due, key.clone()));
        }
        self.due.insert((at, key.clone()));
    }

    /// The next status to write, if one is due and there is room for a write.
    pub(super) fn next(
        &mut self,
        now: Instant,
        time: &str,
        seen: impl Fn(&ObjectKey) -> Option<Arc<SeenStatus>>,
        counts: impl Fn(&ObjectKey) -> Option<Counts>,
    ) -> Option<StatusWrite> {
        while self.has_room(now) && self.due.first().is_some_and(|(due, _)| *due <= now) {
            let (_, key) = self.due.pop_first()?;
            let Some(entry) = self.objects.get_mut(&key) else { continue };
            entry.due = None;
            // Without an object there is nothing to write to: this is looked at again when there is one.
            let Some(seen) = seen(&key).filter(|seen| seen.uid == entry.report.uid) else { continue };
            let Some(planned) = plan(&entry.report, &seen, counts(&key).as_ref(), time) else { continue };
            match entry.history.earliest(&entry.report, planned.difference) {
                Some(earliest) if earliest > now => self.schedule(&key, earliest),
                _ => {
                    let write = StatusWrite { report: Arc::clone(&entry.report), planned };
                    entry.history.record(&write, now);
                    entry.flight = Flight::Writing;
                    self.in_flight += 1;
                    return Some(write);
                }
            }
        }
        None
    }

    fn has_room(&self, now: Instant) -> bool {
        let limit = if self.is_failing { 1 } else { CONCURRENCY };
        self.in_flight < limit && self.paused_until.is_none_or(|until| until <= now)
    }

    /// When [`Self::next`] may have something, if nothing else happens.
    pub(super) fn due(&self) -> Option<Instant> {
        let (due, _) = self.due.first()?;
        Some(self.paused_until.map_or(*due, |until| until.max(*due)))
    }

    /// A write has ended. After [`WriteResult::Failed`], the next one begins after `pause`.
    pub(super) fn finished(&mut self, key: &ObjectKey, result: WriteResult, pause: Duration, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.is_failing = result == WriteResult::Failed;
        if self.is_failing {
            self.paused_until = Some(now + pause);
        }
        let Some(entry) = self.objects.get_mut(key) else { return };
        let is_outdated = std::mem::replace(&mut entry.flight, Flight::Idle) == Flight::WritingOutdated;
        if result == WriteResult::Refused {
            entry.history.refused();
        }
        if is_outdated || result != WriteResult::Written {
            self.schedule(key, now);
        }
    }
}

#[cfg(test)]
mod tests;
