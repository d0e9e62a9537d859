//! How each pod that carries a template gets the current revision: in place, by a restart, or not at
//! all.
//!
//! Invariant: pods of one controller with one revision are planned by one of them; a pod that is changed
//! in place is compared again just before.

use std::collections::BTreeMap;

use kube::Api;
use kube::api::DynamicObject;
use serde_json::Value;

use super::calls::{self, PodName};
use super::change::Change;
use super::trial::Trial;
use crate::cli::cluster::Caller;
use crate::cli::fleet::{Owner, TemplatePod};
use crate::cli::progress::Progress;
use crate::inject::annotations::AnnotationKeys;

/// Most paths of differences that are shown.
const MAX_REASONS: usize = 4;

/// Compares pods with those that would be created now.
pub(super) struct Planner<'p> {
    pub caller: &'p Caller,
    pub keys: &'p AnnotationKeys,
    pub template: &'p str,
}

/// A running pod beside the pod that would be created now.
pub(super) struct Comparison {
    pub live: Value,
    /// The revision that a new pod gets.
    pub revision: String,
    pub change: Change,
}

/// How pods of one controller get the current revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// They have it.
    Current,
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

impl Planner<'_> {
    /// A plan for all pods that carry the template.
    pub(super) async fn plan(&self, pods: Vec<TemplatePod>) -> Vec<Group> {
        let mut groups: BTreeMap<(String, Owner, String, String), Vec<TemplatePod>> = BTreeMap::new();
        for pod in pods {
            let Some(carried) = pod.carried.get(self.template).cloned() else { continue };
            let controller =
                pod.controller.as_ref().map_or_else(|| pod.name.clone(), |controller| controller.uid.clone());
            groups.entry((pod.namespace.clone(), pod.owner.clone(), controller, carried)).or_default().push(pod);
        }
        let mut progress = Progress::of(groups.len(), "workloads compared");
        let mut plan = Vec::new();
        for ((namespace, owner, _, from), pods) in groups {
            let (to, way) = self.way(&owner, &pods).await;
            progress.advance(1);
            plan.push(Group { namespace, owner, pods, from, to, way });
        }
        plan
    }

    /// The way of a group: that of its first pod that is still there.
    async fn way(&self, owner: &Owner, pods: &[TemplatePod]) -> (Option<String>, Way) {
        for pod in pods {
            match self.compare(pod).await {
                Ok(Some(comparison)) => {
                    let way = self.way_of(owner, pod, &comparison).await;
                    return (Some(comparison.revision), way);
                }
                Ok(None) => {}
                Err(problem) => return (None, Way::Impossible(problem)),
            }
        }
        (None, Way::Impossible("the pods are gone; run the command again".to_owned()))
    }

    /// Compares a pod with the one that would be created now; `None` if it is gone.
    pub(super) async fn compare(&self, pod: &TemplatePod) -> Result<Option<Comparison>, String> {
        let api = calls::pods(self.caller, &pod.namespace);
        let Some(live) = calls::get(self.caller, &api, &pod.name).await? else { return Ok(None) };
        let trial = Trial::of(&live, self.keys.domain(), self.template)?;
        let desired = trial.run(self.caller, &api).await?;
        let label = self.keys.revision(self.template);
        let revision = desired.pointer("/metadata/labels").and_then(|labels| labels.get(&label)?.as_str());
        let Some(revision) = revision.map(str::to_owned) else {
            return Err("a pod that is created now does not get the template: is it still requested, and is the \
                        webhook called (`outrigger check`, `outrigger explain`)?"
                .to_owned());
        };
        let change = Change::between(&live, &desired, self.keys);
        Ok(Some(Comparison { live, revision, change }))
    }

    async fn way_of(&self, owner: &Owner, pod: &TemplatePod, comparison: &Comparison) -> Way {
        let change = &comparison.change;
        if change.is_nothing() {
            return Way::Current;
        }
        if !change.is_in_place() {
            return restart(owner, reasons(&change.other));
        }
        let api = calls::pods(self.caller, &pod.namespace);
        match self.try_in_place(&api, pod, comparison).await {
            Ok(()) => Way::InPlace(what(change)),
            Err(problem) if problem.starts_with("the right to") => Way::Impossible(problem),
            Err(problem) => restart(owner, format!("the API server takes no change of the running pod: {problem}")),
        }
    }

    /// Whether the API server would take the changes, by dry runs.
    async fn try_in_place(
        &self,
        api: &Api<DynamicObject>,
        pod: &TemplatePod,
        comparison: &Comparison,
    ) -> Result<(), String> {
        let change = &comparison.change;
        let name = PodName { name: &pod.name, uid: uid(&comparison.live) };
        if !change.resources.is_empty() {
            calls::resize(self.caller, api, &name, change, true).await?;
        }
        calls::patch(self.caller, api, &name, change, true).await
    }
}

pub(super) fn uid(pod: &Value) -> &str {
    pod.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default()
}

/// What a change that is made in place consists of.
fn what(change: &Change) -> &'static str {
    match (change.images.is_empty(), change.resources.is_empty()) {
        (false, true) => "image",
        (true, false) => "resize",
        (false, false) => "image and resize",
        (true, true) => "revision only",
    }
}

/// A restart, where the kind has one.
fn restart(owner: &Owner, reason: String) -> Way {
    match owner.kind.as_str() {
        "Deployment" | "StatefulSet" | "DaemonSet" => Way::Restart(reason),
        "Job" | "CronJob" => {
            Way::Impossible(format!("{reason}: a Job is not restarted; its next run has the current revision"))
        }
        "Pod" => Way::Impossible(format!("{reason}: nothing creates this pod anew; delete and create it yourself")),
        kind => Way::Impossible(format!("{reason}: a {kind} has no rollout; delete its pods one after the other")),
    }
}

fn reasons(paths: &[String]) -> String {
    let shown = paths.iter().take(MAX_REASONS).cloned().collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(MAX_REASONS) {
        0 => format!("{shown} differs"),
        more => format!("{shown} and {more} more differ"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kinds_with_a_rollout_are_restarted() {
        let way = |kind: &str| restart(&Owner { kind: kind.to_owned(), name: "x".to_owned() }, "y differs".to_owned());
        for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
            assert_eq!(way(kind), Way::Restart("y differs".to_owned()));
        }
        for (kind, part) in [("Job", "next run"), ("Pod", "yourself"), ("ReplicaSet", "no rollout")] {
            assert!(matches!(way(kind), Way::Impossible(why) if why.contains(part)), "{kind}");
        }
    }

    #[test]
    fn long_lists_of_differences_are_cut() {
        let paths: Vec<String> = (0..6).map(|index| format!("spec.f{index}")).collect();
        assert_eq!(reasons(&paths[..1]), "spec.f0 differs");
        assert!(reasons(&paths).ends_with("spec.f3 and 2 more differ"));
    }
}
