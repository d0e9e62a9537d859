//! Restarts workloads, as `kubectl rollout restart` does, and waits for their pods.
//!
//! Invariant: a workload is restarted once at most, and only while some of its pods have another revision
//! than new ones get.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use kube::Api;
use kube::api::DynamicObject;
use serde_json::Value;

use super::calls::{self, CallError, Cause};
use super::group::{Group, Way};
use super::report::{Line, Outcome};
use super::restartable::{now, unfit};
use super::roll::{POLL, Roll};
use super::rollout::{self, RolloutState};
use crate::cli::cluster::{Caller, Lookup};
use crate::cli::fleet::{CarrierSearch, Owner, Scope};

/// Pods that are named where several lack the revision.
const MAX_NAMED: usize = 3;

/// Why a workload has no new pods.
enum Failure {
    /// It concerns this workload alone, so others can follow.
    Alone(String),
    /// Pods do not get ready, or what they are is not known.
    Stuck(String),
}

impl Failure {
    /// The failure of a call that changed nothing.
    fn of(error: CallError) -> Self {
        match error.cause {
            Cause::Unavailable => Self::Stuck(error.text),
            Cause::Forbidden | Cause::Rejected | Cause::Gone => Self::Alone(error.text),
        }
    }
}

impl Roll<'_> {
    /// Restarts one workload after the other.
    pub(super) async fn restarts(&self, groups: &[Group]) -> Vec<Line> {
        let mut workloads: BTreeMap<(&str, &Owner), Vec<&Group>> = BTreeMap::new();
        for group in groups.iter().filter(|group| matches!(group.way, Way::Restart(_))) {
            workloads.entry((&group.namespace, &group.owner)).or_default().push(group);
        }
        let mut lines = Vec::new();
        for ((namespace, owner), of_workload) in workloads {
            let is_other = |group: &Group| (group.namespace.as_str(), &group.owner) != (namespace, owner);
            if !self.stop.is_set()
                && let Err(problem) = self.room(groups, is_other).await
            {
                self.stop.set(problem);
            }
            let (outcome, message) = if self.stop.is_set() {
                (Outcome::NotStarted, None)
            } else {
                let all = groups.iter().filter(|group| !is_other(group));
                let wanted = all.filter_map(|group| group.to.as_deref()).collect();
                self.restart(&Workload { namespace, owner, groups: &of_workload, wanted }).await
            };
            let line = |group: &&Group| Line::of(group, group.names(), outcome, message.clone());
            lines.extend(of_workload.iter().map(line));
        }
        lines
    }

    async fn restart(&self, workload: &Workload<'_>) -> (Outcome, Option<String>) {
        let begin = Instant::now();
        let result = self.restart_and_wait(workload).await;
        self.advance(workload.groups.iter().map(|group| group.pods.len()).sum());
        match result {
            Ok(said) => {
                let (owner, seconds) = (workload.owner, begin.elapsed().as_secs_f32());
                self.say(&format!("{owner} in namespace {}: {said} after {seconds:.1} s", workload.namespace));
                self.stop.sleep(self.limits.pause).await;
                (Outcome::Done, None)
            }
            Err(Failure::Alone(problem)) => (Outcome::Failed, Some(problem)),
            Err(Failure::Stuck(problem)) => {
                let problem = format!("{} in namespace {}: {problem}", workload.owner, workload.namespace);
                self.stop.set(problem.clone());
                (Outcome::Failed, Some(problem))
            }
        }
    }

    async fn restart_and_wait(&self, workload: &Workload<'_>) -> Result<&'static str, Failure> {
        let caller = self.planner.caller;
        let kind = workload.owner.kind.as_str();
        let Some(api) = calls::workloads(caller, kind, workload.namespace) else {
            return Err(Failure::Alone(format!("a {kind} is not restarted")));
        };
        let Some(found) = workload.read(caller, &api).await.map_err(Failure::of)? else {
            return Err(Failure::Alone("it is gone".to_owned()));
        };
        if let Some(why) = unfit(workload.groups, &found, self.limits.max_unavailable) {
            return Err(Failure::Alone(why));
        }
        if matches!(RolloutState::of(kind, &found), RolloutState::Underway { .. }) {
            // A rollout that somebody else, or an earlier run, has begun.
            self.wait_for_rollout(workload, &api).await?;
            if self.pods(workload).await?.without.is_empty() {
                return Ok("has new pods by another rollout");
            }
        }
        let now = now();
        match calls::restart(caller, &api, workload.owner, &now, false).await {
            Ok(()) => {}
            Err(error) if error.cause == Cause::Unavailable => {
                // The answer may have been lost, not the request.
                let found = workload.read(caller, &api).await.ok().flatten();
                if found.as_ref().and_then(calls::restarted_at) != Some(now.as_str()) {
                    return Err(Failure::Stuck(format!("{}; whether it is restarted is not known", error.text)));
                }
            }
            Err(error) => return Err(Failure::of(error)),
        }
        let replicas = self.wait_for_rollout(workload, &api).await?;
        let pods = self.pods(workload).await?;
        if !pods.without.is_empty() || pods.with < replicas {
            let names: Vec<&str> = pods.without.iter().take(MAX_NAMED).map(String::as_str).collect();
            let names = if names.is_empty() { String::new() } else { format!(" (not {})", names.join(", ")) };
            return Err(Failure::Stuck(format!(
                "it is restarted, but only {} of its {replicas} pods have the revision{names}; `outrigger check` tells why",
                pods.with,
            )));
        }
        Ok("restarted")
    }

    /// The pods of a workload that have the revision of new pods, and those that have another one, or none
    /// although they request it.
    async fn pods(&self, workload: &Workload<'_>) -> Result<Pods, Failure> {
        let scope = Scope { namespace: Some(workload.namespace.to_owned()), selector: None };
        let search = CarrierSearch { keys: self.planner.keys, scope: &scope };
        let Lookup::Found(found) = search.pods(self.planner.caller).await else {
            let problem = "its pods cannot be listed, so whether they have the revision is not known";
            return Err(Failure::Stuck(problem.to_owned()));
        };
        let template = self.planner.template;
        let mut pods = Pods::default();
        for pod in found.into_iter().filter(|pod| pod.owner == *workload.owner) {
            match pod.carried.get(template) {
                Some(revision) if workload.wanted.contains(revision.as_str()) => pods.with += 1,
                None if !pod.requested.iter().any(|named| named.name == template) => {}
                Some(_) | None => pods.without.push(pod.name),
            }
        }
        Ok(pods)
    }

    /// Waits until all pods of a workload are new and available; each further pod has the whole time.
    async fn wait_for_rollout(&self, workload: &Workload<'_>, api: &Api<DynamicObject>) -> Result<usize, Failure> {
        let (caller, kind) = (self.planner.caller, workload.owner.kind.as_str());
        let mut best = (0, 0);
        let mut end = Instant::now() + self.limits.ready_timeout;
        loop {
            let problem = match workload.read(caller, api).await {
                Ok(None) => return Err(Failure::Alone("it was deleted meanwhile".to_owned())),
                Ok(Some(found)) if found.pointer("/metadata/deletionTimestamp").is_some() => {
                    return Err(Failure::Alone("it is being deleted".to_owned()));
                }
                Ok(Some(found)) => match RolloutState::of(kind, &found) {
                    RolloutState::Complete => return Ok(rollout::replicas(kind, &found)),
                    RolloutState::Underway { reached, state } => {
                        if reached.0 > best.0 || reached.1 > best.1 {
                            best = (best.0.max(reached.0), best.1.max(reached.1));
                            end = Instant::now() + self.limits.ready_timeout;
                        }
                        state
                    }
                },
                Err(error) => error.text,
            };
            if self.stop.is_at_once() {
                return Err(Failure::Stuck(format!(
                    "the command ended before its rollout was complete: {problem}; its controller goes on with it"
                )));
            }
            if Instant::now() >= end {
                let limit = self.limits.ready_timeout;
                return Err(Failure::Stuck(format!(
                    "its rollout has made no progress within {limit:?}: {problem}; its controller goes on with it"
                )));
            }
            self.waits_for(&format!("{} in namespace {}: {problem}", workload.owner, workload.namespace));
            self.stop.sleep_between_looks(POLL).await;
        }
    }
}

/// The pods of a workload after its rollout.
#[derive(Default)]
struct Pods {
    /// How many have the revision of new pods.
    with: usize,
    /// The names of those that have not.
    without: Vec<String>,
}

/// A workload that is restarted.
struct Workload<'w> {
    namespace: &'w str,
    owner: &'w Owner,
    /// Its pods with other revisions.
    groups: &'w [&'w Group],
    /// The revisions that new pods get.
    wanted: BTreeSet<&'w str>,
}

impl Workload<'_> {
    async fn read(&self, caller: &Caller, api: &Api<DynamicObject>) -> Result<Option<Value>, CallError> {
        calls::get(caller, api, calls::plural(&self.owner.kind).unwrap_or_default(), &self.owner.name).await
    }
}
