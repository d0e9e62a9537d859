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
use super::roll::{POLL, Roll, not_any_more};
use super::rollout::{self, RolloutState};
use crate::cli::cluster::{Caller, Lookup};
use crate::cli::fleet::{CarrierSearch, Owner, Scope, TemplatePod};

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
    /// Restarts the workloads that `chosen` takes, one after the other.
    pub(super) async fn restarts(&self, groups: &[Group], chosen: impl Fn(&Group) -> bool) -> Vec<Line> {
        let mut workloads: BTreeMap<(&str, &Owner), Vec<&Group>> = BTreeMap::new();
        for group in groups.iter().filter(|group| matches!(group.way, Way::Restart(_)) && chosen(group)) {
            workloads.entry((&group.namespace, &group.owner)).or_default().push(group);
        }
        let mut lines = Vec::new();
        for ((namespace, owner), of_workload) in workloads {
            if !self.stop.is_set() {
                self.look_at_restarted().await;
            }
            let (outcome, message) = if self.stop.is_set() {
                (Outcome::NotStarted, None)
            } else {
                let all = groups.iter().filter(|group| (group.namespace.as_str(), &group.owner) == (namespace, owner));
                let wanted = all.filter_map(|group| group.to.as_deref()).collect();
                self.restart(&Workload { namespace, owner, groups: &of_workload, wanted, plan: groups }).await
            };
            let line = |group: &&Group| Line::of(group, group.names(), outcome, message.clone());
            lines.extend(of_workload.iter().map(line));
        }
        lines
    }

    /// Stops where a pod of a restarted workload is not ready any more.
    async fn look_at_restarted(&self) {
        let restarted = self.restarted();
        if let Some((pod, why)) = self.lost(restarted.values().flatten().collect()).await.first() {
            self.stop.set(not_any_more(pod, why));
        }
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
        let most = self.limits.max_unavailable;
        if let Some(why) = unfit(caller, workload.groups, &found, most).await.map_err(Failure::of)? {
            return Err(Failure::Alone(why));
        }
        // Its own pods that are not ready are unavailable already.
        let own = workload.plan.iter().filter(|group| workload.is_of(group)).flat_map(|group| &group.pods);
        let unready = self.unready(own.collect()).await.len();
        let needed = rollout::may_be_unavailable(kind, &found).saturating_sub(unready);
        if needed > 0 {
            self.room(workload.plan, needed, |group| !workload.is_of(group)).await.map_err(Failure::Stuck)?;
        }
        if self.brings_the_revision(workload, RolloutState::of(kind, &found)).await? {
            // A rollout that somebody else, or an earlier run, has begun.
            self.wait_for_rollout(workload, &api).await?;
            let pods = self.pods(workload).await?;
            if pods.without.is_empty() {
                self.settle(workload, pods.with).await?;
                return Ok("has new pods by another rollout");
            }
        }
        self.restart_now(workload, &api).await?;
        let replicas = self.wait_for_rollout(workload, &api).await?;
        let pods = self.pods(workload).await?;
        if !pods.without.is_empty() || pods.with.len() < replicas {
            let names: Vec<&str> = pods.without.iter().take(MAX_NAMED).map(|pod| pod.name.as_str()).collect();
            let names = if names.is_empty() { String::new() } else { format!(" (not {})", names.join(", ")) };
            return Err(Failure::Stuck(format!(
                "it is restarted, but only {} of its {replicas} pods have the revision{names}; `outrigger check` tells why",
                pods.with.len(),
            )));
        }
        self.settle(workload, pods.with).await?;
        Ok("restarted")
    }

    /// Whether a rollout is under way whose pods get the revision. One whose new pods have another revision does
    /// not bring it, and may never end: a further restart replaces it.
    async fn brings_the_revision(&self, workload: &Workload<'_>, state: RolloutState) -> Result<bool, Failure> {
        match state {
            RolloutState::Complete => Ok(false),
            RolloutState::Underway { reached: (0, _), .. } => Ok(true),
            RolloutState::Underway { .. } => {
                let Pods { with, without } = self.pods(workload).await?;
                // The old ones may have it too, where a template has its former content again.
                let newest = with.iter().chain(&without).map(|pod| pod.created).max();
                Ok(!without.iter().any(|pod| Some(pod.created) == newest))
            }
        }
    }

    async fn restart_now(&self, workload: &Workload<'_>, api: &Api<DynamicObject>) -> Result<(), Failure> {
        let (caller, now) = (self.planner.caller, now());
        match calls::restart(caller, api, workload.owner, &now, false).await {
            Err(error) if error.cause == Cause::Unavailable => {
                // The answer may have been lost, not the request.
                let found = workload.read(caller, api).await.ok().flatten();
                match found.as_ref().and_then(calls::restarted_at) == Some(now.as_str()) {
                    true => Ok(()),
                    false => Err(Failure::Stuck(format!("{}; whether it is restarted is not known", error.text))),
                }
            }
            result => result.map_err(Failure::of),
        }
    }

    /// Waits until the new pods have stayed ready, and remembers them.
    async fn settle(&self, workload: &Workload<'_>, pods: Vec<TemplatePod>) -> Result<(), Failure> {
        self.wait_for_pods(&pods).await.map_err(|problem| Failure::Stuck(format!("it is restarted, and {problem}")))?;
        self.remember_restarted(workload.namespace, workload.owner, pods);
        Ok(())
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
                Some(revision) if workload.wanted.contains(revision.as_str()) => pods.with.push(pod),
                None if !pod.requested.iter().any(|named| named.name == template) => {}
                Some(_) | None => pods.without.push(pod),
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
                let pod = self.unready_pod(workload).await;
                return Err(Failure::Stuck(format!(
                    "its rollout has made no progress within {limit:?}: {problem}; its controller goes on with it{pod}"
                )));
            }
            self.waits_for(&format!("{} in namespace {}: {problem}", workload.owner, workload.namespace));
            self.stop.sleep_between_looks(POLL).await;
        }
    }

    /// `; pod web-a is not ready: …`, and what to do where its controller does nothing; empty if all are ready.
    async fn unready_pod(&self, workload: &Workload<'_>) -> String {
        let Ok(pods) = self.pods(workload).await else { return String::new() };
        let all = pods.with.iter().chain(&pods.without).collect();
        let Some((pod, why)) = self.unready(all).await.into_iter().next() else { return String::new() };
        let why = self.with_warning(pod, why).await;
        let is_old = workload.owner.kind == "StatefulSet" && !pods.with.contains(pod);
        let hint = if is_old { "; a StatefulSet does not replace it, so delete this pod yourself" } else { "" };
        format!("; pod {} is not ready: {why}{hint}", pod.name)
    }
}

/// The pods of a workload after its rollout.
#[derive(Default)]
struct Pods {
    /// Those that have the revision of new pods.
    with: Vec<TemplatePod>,
    /// Those that have not.
    without: Vec<TemplatePod>,
}

/// A workload that is restarted.
struct Workload<'w> {
    namespace: &'w str,
    owner: &'w Owner,
    /// Its pods with other revisions.
    groups: &'w [&'w Group],
    /// The revisions that new pods get.
    wanted: BTreeSet<&'w str>,
    /// All pods of the run.
    plan: &'w [Group],
}

impl Workload<'_> {
    async fn read(&self, caller: &Caller, api: &Api<DynamicObject>) -> Result<Option<Value>, CallError> {
        calls::get(caller, api, calls::plural(&self.owner.kind).unwrap_or_default(), &self.owner.name).await
    }

    fn is_of(&self, group: &Group) -> bool {
        (group.namespace.as_str(), &group.owner) == (self.namespace, self.owner)
    }
}
