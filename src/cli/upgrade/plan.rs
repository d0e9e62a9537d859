//! How each pod that carries a template gets the current revision: in place, by a restart, or not at
//! all.
//!
//! Invariant: pods of one controller with one revision are planned by one of them; a pod that is changed
//! in place is compared again just before.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use kube::Api;
use kube::api::DynamicObject;
use serde_json::Value;

use super::calls::{self, CallError, Cause, PodName};
use super::change::Change;
use super::group::{Group, Way};
use super::others;
use super::restartable;
use super::trial::Trial;
use crate::cli::cluster::{Caller, Lookup};
use crate::cli::fleet::{CarrierSearch, Owner, Scope, TemplatePod};
use crate::cli::progress::Progress;
use crate::inject::annotations::AnnotationKeys;

/// Pods that are looked at concurrently.
pub(super) const LOOKS: usize = 8;
/// Most paths of differences that are shown.
const MAX_REASONS: usize = 4;

/// Compares pods with those that would be created now.
pub(super) struct Planner<'p> {
    pub caller: &'p Caller,
    pub keys: &'p AnnotationKeys,
    pub template: &'p str,
    /// Most pods that a workload's own strategy may make unavailable.
    pub max_unavailable: usize,
    /// Namespace and name of each pod that labels chose; `None` where none were given.
    pub selected: Option<&'p BTreeSet<(String, String)>>,
    /// Whether workloads are restarted.
    pub restarts: bool,
}

/// A running pod beside the pod that would be created now.
pub(super) struct Comparison {
    pub live: Value,
    /// The revision that a new pod gets.
    pub revision: String,
    pub change: Change,
}

impl Planner<'_> {
    /// A plan for all pods that carry the template. An error means that the API server does not answer.
    pub(super) async fn plan(&self, pods: Vec<TemplatePod>) -> Result<Vec<Group>, String> {
        let mut groups: BTreeMap<(String, Owner, String, String), Vec<TemplatePod>> = BTreeMap::new();
        for pod in pods {
            let Some(carried) = pod.carried.get(self.template).cloned() else { continue };
            // Pods with names of their own may differ: a rollout takes some of them.
            let controller = pod.controller.as_ref().filter(|_| !pod.has_own_name);
            let one = controller.map_or_else(|| pod.name.clone(), |controller| controller.uid.clone());
            groups.entry((pod.namespace.clone(), pod.owner.clone(), one, carried)).or_default().push(pod);
        }
        let progress = Progress::of(groups.len(), "workloads and pods compared");
        let progress = &progress;
        let plans = groups.into_iter().map(|((namespace, owner, _, from), pods)| async move {
            let (to, way) = self.way(&owner, &pods).await?;
            progress.advance(1);
            Ok::<_, String>(Group { namespace, owner, pods, from, to, way })
        });
        let plan: Vec<Group> = futures::stream::iter(plans).buffered(LOOKS).try_collect().await?;
        if self.restarts { self.with_restarts(plan).await } else { Ok(without_restarts(plan)) }
    }

    /// The plan without the restarts that would be refused.
    async fn with_restarts(&self, mut plan: Vec<Group>) -> Result<Vec<Group>, String> {
        let mut refused: BTreeMap<(String, Owner), Option<String>> = BTreeMap::new();
        for group in plan.iter_mut().filter(|group| matches!(group.way, Way::Restart(_))) {
            let key = (group.namespace.clone(), group.owner.clone());
            if !refused.contains_key(&key) {
                let why = match self.not_chosen(group).await? {
                    None => restartable::refused(self.caller, group, self.max_unavailable).await?,
                    why => why,
                };
                refused.insert(key.clone(), why);
            }
            if let (Some(Some(why)), Way::Restart(reason)) = (refused.get(&key), &group.way) {
                group.way = Way::Impossible(format!("{reason}: {why}"));
            }
        }
        Ok(plan)
    }

    /// Why a workload is not restarted of whose pods labels chose only some: a restart replaces all.
    async fn not_chosen(&self, group: &Group) -> Result<Option<String>, String> {
        let Some(selected) = self.selected else { return Ok(None) };
        let scope = Scope { namespace: Some(group.namespace.clone()), selector: None };
        let search = CarrierSearch { keys: self.keys, scope: &scope };
        let Lookup::Found(pods) = search.pods(self.caller).await else {
            return Err(format!("the pods of {} in namespace {} cannot be listed", group.owner, group.namespace));
        };
        let of_workload: Vec<TemplatePod> = pods.into_iter().filter(|pod| pod.owner == group.owner).collect();
        let is_chosen = |pod: &&TemplatePod| selected.contains(&(pod.namespace.clone(), pod.name.clone()));
        let (all, some) = (of_workload.len(), of_workload.iter().filter(is_chosen).count());
        Ok((some < all).then(|| {
            format!(
                "a restart replaces all {all} pods of the workload, and --selector chooses {some} of them; name {} \
                 instead of labels",
                group.owner
            )
        }))
    }

    /// The way of a group: that of its first pod that is still there.
    async fn way(&self, owner: &Owner, pods: &[TemplatePod]) -> Result<(Option<String>, Way), String> {
        for pod in pods {
            match self.compare(pod).await {
                Ok(Some(comparison)) => match self.way_of(owner, pod, &comparison).await {
                    Ok(way) => return Ok((Some(comparison.revision), way)),
                    Err(CallError { cause: Cause::Gone, .. }) => {}
                    Err(error) => return Err(error.text),
                },
                Ok(None) | Err(CallError { cause: Cause::Gone, .. }) => {}
                Err(CallError { cause: Cause::Unavailable, text }) => return Err(text),
                Err(CallError { cause: Cause::Forbidden | Cause::Rejected, text }) => {
                    return Ok((None, Way::Impossible(text)));
                }
            }
        }
        Ok((None, Way::Impossible("the pods are gone; run the command again".to_owned())))
    }

    /// Compares a pod with the one that would be created now; `None` if it is gone.
    pub(super) async fn compare(&self, pod: &TemplatePod) -> Result<Option<Comparison>, CallError> {
        let api = calls::pods(self.caller, &pod.namespace);
        let Some(live) = calls::get(self.caller, &api, "pods", &pod.name).await? else { return Ok(None) };
        let trial = Trial::of(&live, self.keys.domain(), self.template).map_err(CallError::rejected)?;
        let desired = trial.run(self.caller, &api).await?;
        let label = self.keys.revision(self.template);
        let revision = desired.pointer("/metadata/labels").and_then(|labels| labels.get(&label)?.as_str());
        let Some(revision) = revision.map(str::to_owned) else {
            return Err(CallError::rejected(
                "a pod that is created now does not get the template: is it still requested, and is the webhook \
                 called (`outrigger check`, `outrigger explain`)?",
            ));
        };
        let mut change = Change::between(&live, &desired, self.keys, self.template);
        if others::is_reordered(&live, &desired) && self.is_reordered_anew(&live, &api).await? {
            change.add_order();
        }
        Ok(Some(Comparison { live, revision, change }))
    }

    /// Whether a pod into which all templates are injected now has its init containers in another order than
    /// the live pod: a template that is injected anew behind the others does not tell.
    async fn is_reordered_anew(&self, live: &Value, api: &Api<DynamicObject>) -> Result<bool, CallError> {
        let trial = Trial::of_all(live, self.keys.domain(), self.template).map_err(CallError::rejected)?;
        match trial.run(self.caller, api).await {
            Ok(anew) => Ok(others::is_reordered(live, &anew)),
            // Another template cannot be injected now, so nothing is known of the order.
            Err(CallError { cause: Cause::Rejected, .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn way_of(&self, owner: &Owner, pod: &TemplatePod, comparison: &Comparison) -> Result<Way, CallError> {
        let change = &comparison.change;
        if change.is_nothing() {
            return Ok(Way::Current(None));
        }
        if pod.carried.get(self.template) == Some(&comparison.revision) {
            let paths = change.paths();
            let why = (!paths.is_empty()).then(|| format!("{}, but not because of the template", reasons(&paths)));
            return Ok(Way::Current(why));
        }
        if !change.is_in_place() {
            return Ok(restart(owner, pod, reasons(&change.other)));
        }
        let api = calls::pods(self.caller, &pod.namespace);
        match self.try_in_place(&api, pod, comparison).await {
            Ok(()) => Ok(Way::InPlace(what(change))),
            Err(CallError { cause: Cause::Forbidden, text }) => Ok(Way::Impossible(text)),
            Err(CallError { cause: Cause::Rejected, text }) => {
                Ok(restart(owner, pod, format!("the API server takes no change of the running pod: {text}")))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the API server would take the changes, by dry runs.
    async fn try_in_place(
        &self,
        api: &Api<DynamicObject>,
        pod: &TemplatePod,
        comparison: &Comparison,
    ) -> Result<(), CallError> {
        let change = &comparison.change;
        let name = PodName { name: &pod.name, uid: uid(&comparison.live) };
        if !change.resources.is_empty() {
            calls::resize(self.caller, api, &name, change, true).await?;
        }
        calls::patch(self.caller, api, &name, change, true).await
    }
}

fn without_restarts(mut plan: Vec<Group>) -> Vec<Group> {
    for group in &mut plan {
        if let Way::Restart(reason) = &group.way {
            group.way = Way::Impossible(format!("{reason}: needs a restart, which --no-restart leaves out"));
        }
    }
    plan
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
fn restart(owner: &Owner, pod: &TemplatePod, reason: String) -> Way {
    let group = pod.controller.as_ref().map(|controller| controller.group.as_str()).unwrap_or_default();
    match owner.kind.as_str() {
        "Deployment" | "StatefulSet" | "DaemonSet" if group == "apps" => Way::Restart(reason),
        "CronJob" if group == "batch" => {
            Way::Impossible(format!("{reason}: a CronJob is not restarted; its next run has the current revision"))
        }
        "Job" if group == "batch" => {
            Way::Impossible(format!("{reason}: a Job is not restarted; let it end, or delete it and create it anew"))
        }
        "Pod" => Way::Impossible(format!("{reason}: nothing creates this pod anew; delete and create it yourself")),
        kind => {
            let of = if matches!(group, "" | "apps") { String::new() } else { format!(" of {group}") };
            Way::Impossible(format!(
                "{reason}: this command cannot restart a {kind}{of}; delete its pods one after the other"
            ))
        }
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
    use crate::cli::fleet::Controller;

    #[test]
    fn only_kinds_with_a_rollout_are_restarted() {
        let way = |kind: &str, group: &str| {
            let owner = Owner { kind: kind.to_owned(), name: "x".to_owned() };
            let controller = Controller { group: group.to_owned(), ..Controller::default() };
            let pod = TemplatePod { owner: owner.clone(), controller: Some(controller), ..TemplatePod::default() };
            super::restart(&owner, &pod, "y differs".to_owned())
        };
        for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
            assert_eq!(way(kind, "apps"), Way::Restart("y differs".to_owned()));
        }
        for (kind, group, part) in [
            ("Job", "batch", "let it end, or delete it"),
            ("CronJob", "batch", "a CronJob is not restarted; its next run"),
            ("Pod", "", "yourself"),
            ("ReplicaSet", "apps", "cannot restart a ReplicaSet;"),
            ("StatefulSet", "apps.kruise.io", "cannot restart a StatefulSet of apps.kruise.io"),
        ] {
            assert!(matches!(way(kind, group), Way::Impossible(why) if why.contains(part)), "{kind}");
        }
    }

    #[test]
    fn long_lists_of_differences_are_cut() {
        let paths: Vec<String> = (0..6).map(|index| format!("spec.f{index}")).collect();
        assert_eq!(reasons(&paths[..1]), "spec.f0 differs");
        assert!(reasons(&paths).ends_with("spec.f3 and 2 more differ"));
    }
}
