//! Writes the status of template objects, and tells of broken ones by Events, while this replica
//! leads.
//!
//! What to write and when is decided in [`super::queue`]. Invariant: a write is for the object that
//! was reported, and not for one that was made anew under its name.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::object::{self, ObjectMetadata};
use super::pods::PodCounts;
use super::queue::{Reports, StatusQueue, StatusWrite, WriteResult};
use super::seen::{Counts, SeenStatus, SeenStatuses};
use crate::api::template_object::ObjectKey;
use crate::cluster::EventQueue;
use crate::cluster::explain;
use crate::cluster::jitter::Backoff;
use crate::telemetry::metrics::{ClusterMetrics, StatusWriteResult};
use crate::telemetry::throttle::{ProblemThrottle, Urgency};

/// The owner of the fields of a status, in `managedFields`.
const FIELD_MANAGER: &str = "outrigger-status";
/// Only the metadata of the written object is of use, and its status may be large.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Writes statuses.
pub(super) struct StatusWriter {
    pub client: Client,
    pub reports: watch::Receiver<Arc<Reports>>,
    pub counts: watch::Receiver<PodCounts>,
    pub seen: SeenStatuses,
    pub events: EventQueue,
    pub metrics: ClusterMetrics,
}

/// What came back for a write.
struct Finished {
    write: StatusWrite,
    answer: Result<ObjectMetadata, Failure>,
}

/// Why a status was not written.
#[derive(Debug)]
struct Failure {
    problem: String,
    result: WriteResult,
}

#[derive(Deserialize)]
struct WrittenObject {
    metadata: ObjectMetadata,
}

impl StatusWriter {
    /// Writes until the future is dropped; never ends.
    pub(super) async fn run(&self) {
        let (mut reports, mut counts) = (self.reports.clone(), self.counts.clone());
        let collecting = self.seen.collect();
        let mut queue = StatusQueue::default();
        let (mut writes, mut backoff) = (JoinSet::new(), Backoff::default());
        let mut problems = ProblemThrottle::default();
        queue.replace_reports(&reports.borrow_and_update(), Instant::now());
        loop {
            let last_counts = counts.borrow_and_update().clone();
            self.begin(&mut queue, last_counts.as_ref(), &mut writes);
            let due = queue.due().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                Some(finished) = writes.join_next() => {
                    if let Ok(finished) = finished {
                        self.finish(finished, &mut queue, &mut backoff, &mut problems);
                    }
                }
                Ok(()) = reports.changed() => queue.replace_reports(&reports.borrow_and_update(), Instant::now()),
                changed = collecting.changed() => changed.iter().for_each(|key| queue.look_at(key, Instant::now())),
                Ok(()) = counts.changed() => {
                    for key in changed_counts(last_counts.as_ref(), counts.borrow_and_update().as_ref()) {
                        queue.look_at(&key, Instant::now());
                    }
                }
                () = sleep_until(due.into()), if writes.is_empty() || due > Instant::now() => {}
            }
        }
    }

    /// Starts the writes that are due, as far as there is room.
    fn begin(
        &self,
        queue: &mut StatusQueue,
        counts: Option<&Arc<std::collections::HashMap<ObjectKey, Counts>>>,
        writes: &mut JoinSet<Finished>,
    ) {
        let time = now();
        let counts_of = |key: &ObjectKey| counts.and_then(|counts| counts.get(key).cloned());
        while let Some(write) = queue.next(Instant::now(), &time, |key| self.seen.get(key), counts_of) {
            let client = self.client.clone();
            writes.spawn(async move {
                let answer = send(&client, &write).await;
                Finished { write, answer }
            });
        }
    }

    fn finish(
        &self,
        finished: Finished,
        queue: &mut StatusQueue,
        backoff: &mut Backoff,
        problems: &mut ProblemThrottle,
    ) {
        let Finished { write, answer } = finished;
        let key = &write.report.key;
        let result = match answer {
            Ok(metadata) => {
                self.written(&write, &metadata);
                backoff.succeeded();
                problems.clear(|| tracing::info!("the status of templates is written again"));
                WriteResult::Written
            }
            Err(Failure { problem, result }) => {
                self.metrics.template_status_write(StatusWriteResult::Error);
                problems.report(&problem, Urgency::Immediate, || {
                    tracing::warn!(template = %key, problem, "the status of a template cannot be written");
                });
                result
            }
        };
        let pause = if result == WriteResult::Failed { backoff.failed() } else { Duration::ZERO };
        queue.finished(key, result, pause, Instant::now());
    }

    fn written(&self, write: &StatusWrite, metadata: &ObjectMetadata) {
        self.metrics.template_status_write(StatusWriteResult::Success);
        let report = &write.report;
        // As it was sent: what the API server makes of it comes by the watch.
        let seen = SeenStatus::new(&report.uid, &metadata.resource_version, &write.planned.status);
        self.seen.written(&report.key, seen);
        if write.planned.is_new_problem {
            self.events.push_template(&report.key, &report.uid, report.reason, &report.message);
        }
    }
}

/// Replaces the whole status, if the object still is the one that was reported.
async fn send(client: &Client, write: &StatusWrite) -> Result<ObjectMetadata, Failure> {
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": write.report.uid},
        {"op": "add", "path": "/status", "value": write.planned.status},
    ]);
    let path = format!("{}?fieldManager={FIELD_MANAGER}", object::status_path(&write.report.key));
    let request = Request::patch(path).header(CONTENT_TYPE, "application/json-patch+json").header(ACCEPT, METADATA);
    let failed = |problem: String, result| Failure { problem, result };
    let request = request
        .body(patch.to_string().into_bytes())
        .map_err(|error| failed(error.to_string(), WriteResult::Refused))?;
    match timeout(CALL_TIMEOUT, client.request::<WrittenObject>(request)).await {
        Ok(Ok(object)) => Ok(object.metadata),
        Ok(Err(error)) => Err(failed(explain(&error), result_of(&error))),
        Err(_) => Err(failed("the API server did not respond in time".to_owned(), WriteResult::Failed)),
    }
}

/// Whether an error is about this object, or about all.
fn result_of(error: &kube::Error) -> WriteResult {
    match error {
        // 404: it is gone. 409 and 422: it was made anew, or its CRD does not take the status.
        kube::Error::Api(status) if matches!(status.code, 400 | 404 | 409 | 413 | 422) => WriteResult::Refused,
        // What etcd does not take is an internal error of the API server.
        kube::Error::Api(status) if status.message.contains("too large") => WriteResult::Refused,
        _ => WriteResult::Failed,
    }
}

/// The objects whose counts differ.
fn changed_counts(
    before: Option<&Arc<std::collections::HashMap<ObjectKey, Counts>>>,
    after: Option<&Arc<std::collections::HashMap<ObjectKey, Counts>>>,
) -> BTreeSet<ObjectKey> {
    let Some(after) = after else { return BTreeSet::new() };
    let is_new = |(key, counts): &(&ObjectKey, &Counts)| before.is_none_or(|before| before.get(*key) != Some(*counts));
    after.iter().filter(is_new).map(|(key, _)| key.clone()).collect()
}

/// The time in the form of the API, to the second.
fn now() -> String {
    Timestamp::from_second(Timestamp::now().as_second()).map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_has_the_form_of_the_api() {
        let text = now();
        assert!(text.len() == 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T', "{text}");
    }

    #[test]
    fn errors_of_one_object_do_not_stop_the_others() {
        let of = |code| result_of(&kube::Error::Api(kube::core::Status::failure("no", "No").with_code(code).boxed()));
        assert!([404, 409, 413, 422].into_iter().all(|code| of(code) == WriteResult::Refused));
        assert!([401, 403, 429, 500, 503].into_iter().all(|code| of(code) == WriteResult::Failed));
    }

    #[test]
    fn an_object_that_is_too_large_for_etcd_does_not_stop_the_others() {
        let status = kube::core::Status::failure("etcdserver: request is too large", "InternalError").with_code(500);
        assert_eq!(result_of(&kube::Error::Api(status.boxed())), WriteResult::Refused);
    }

    #[test]
    fn only_changed_counts_are_looked_at() {
        let counts = |pods: &[(&str, i64)]| {
            let of = |(name, pods): &(&str, i64)| {
                let key = ObjectKey { namespace: None, name: (*name).to_owned() };
                (key, Counts { pods: *pods, ..Counts::default() })
            };
            Arc::new(pods.iter().map(of).collect())
        };
        let (first, second) = (counts(&[("a", 1), ("b", 2)]), counts(&[("a", 1), ("b", 3)]));
        let names = |keys: BTreeSet<ObjectKey>| keys.into_iter().map(|key| key.name).collect::<Vec<_>>().join(" ");
        assert_eq!(names(changed_counts(None, Some(&first))), "a b");
        assert_eq!(names(changed_counts(Some(&first), Some(&second))), "b");
    }
}
