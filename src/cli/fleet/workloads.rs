//! Lists the workloads whose pod templates request templates: those of refused pods have no pods.
//!
//! Invariant: with a label selector, a workload is listed only if its pods would be selected.

use std::collections::{BTreeMap, BTreeSet};

use kube::Api;
use kube::api::{ApiResource, ListParams};
use kube::core::{GroupVersionKind, Object};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::selector::{PodSelector, Selected};
use super::{Controller, Owner, Scope, requested};
use crate::cli::cluster::{ApiRequest, Caller, Failure, Lookup, filter_page};
use crate::inject::annotations::{AnnotationKeys, NamedTemplate};

/// Kind, API group and plural.
type Kind = (&'static str, &'static str, &'static str);

const KINDS: [Kind; 7] = [
    ("Deployment", "apps", "deployments"),
    ("StatefulSet", "apps", "statefulsets"),
    ("DaemonSet", "apps", "daemonsets"),
    ("ReplicaSet", "apps", "replicasets"),
    ("ReplicationController", "", "replicationcontrollers"),
    ("Job", "batch", "jobs"),
    ("CronJob", "batch", "cronjobs"),
];

/// A workload whose pods request templates, or say nothing and so have the default list of their namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct RequestingWorkload {
    pub namespace: String,
    pub owner: Owner,
    pub requested: Vec<NamedTemplate>,
    /// Whether its pod template has no list of its own.
    pub is_silent: bool,
    /// Names of templates of which labels alone do not tell whether its pods would be given them.
    pub uncertain: BTreeSet<String>,
    /// Labels of its pods.
    pub labels: BTreeMap<String, String>,
}

/// What is read of any kind: whole objects are many times as large.
type Workload = Object<WorkloadSpec, WorkloadStatus>;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct WorkloadSpec {
    replicas: Option<i64>,
    template: Option<PodTemplate>,
    /// Of a CronJob.
    job_template: Option<JobTemplate>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct JobTemplate {
    spec: Option<JobSpec>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct JobSpec {
    template: Option<PodTemplate>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct PodTemplate {
    metadata: Option<PodMetadata>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct PodMetadata {
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct WorkloadStatus {
    /// Of all kinds but the next ones.
    replicas: Option<i64>,
    /// Of a DaemonSet.
    current_number_scheduled: Option<i64>,
    /// The number of pods of a Job, or the Jobs of a CronJob.
    active: Value,
    conditions: Option<Vec<Condition>>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
}

impl WorkloadSpec {
    fn pod_metadata(self) -> PodMetadata {
        let of_cron_job = self.job_template.and_then(|job| job.spec?.template);
        self.template.or(of_cron_job).and_then(|template| template.metadata).unwrap_or_default()
    }
}

impl WorkloadStatus {
    fn has_pods(&self) -> bool {
        let is_active = match &self.active {
            Value::Array(jobs) => !jobs.is_empty(),
            count => count.as_i64().is_some_and(|count| count > 0),
        };
        is_active || [self.replicas, self.current_number_scheduled].into_iter().flatten().any(|count| count > 0)
    }

    /// Whether it is a Job that creates no more pods.
    fn is_finished(&self) -> bool {
        let is_end = |one: &Condition| matches!(one.type_.as_str(), "Complete" | "Failed") && one.status == "True";
        self.conditions.iter().flatten().any(is_end)
    }
}

impl RequestingWorkload {
    /// All of the known kinds. Kinds that cannot be listed are left out; the caller has recorded why.
    pub(in crate::cli) async fn all(caller: &Caller, keys: &AnnotationKeys, scope: &Scope) -> Vec<Self> {
        let selector = match PodSelector::parse(scope.selector.as_deref().unwrap_or_default()) {
            Ok(selector) => selector,
            Err(problem) => {
                let what = "find workloads without pods".to_owned();
                caller.fail(Failure::Other { what, problem: format!("the label selector cannot be read: {problem}") });
                return Vec::new();
            }
        };
        let lists = KINDS.map(|kind| Self::of_kind(caller, keys, (scope, &selector), kind));
        futures::future::join_all(lists).await.into_iter().flatten().collect()
    }

    async fn of_kind(
        caller: &Caller,
        keys: &AnnotationKeys,
        (scope, selector): (&Scope, &PodSelector),
        (kind, group, plural): Kind,
    ) -> Vec<Self> {
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural);
        let api: Api<Workload> = match &scope.namespace {
            Some(namespace) => Api::namespaced_with(caller.client.clone(), namespace, &resource),
            None => Api::all_with(caller.client.clone(), &resource),
        };
        let request = ApiRequest { verb: "list", resource: plural, namespace: scope.namespace.as_deref() };
        let api = &api;
        let page = |params: ListParams| async move {
            Ok(filter_page(api.list(&params).await?, |object| Self::of(object, kind, keys, selector)))
        };
        match caller.pages(&request, ListParams::default(), page).await {
            Lookup::Found(found) => found,
            Lookup::Absent | Lookup::Unknown => Vec::new(),
        }
    }

    /// `None` for what another workload of the list has created, for what its controller has scaled to zero,
    /// such as earlier ReplicaSets, for what has finished, and for what the selector leaves out.
    fn of(object: Workload, kind: &str, keys: &AnnotationKeys, selector: &PodSelector) -> Option<Self> {
        let metadata = object.metadata;
        let status = object.status.unwrap_or_default();
        let is_of_other = Controller::of(metadata.owner_references)
            .is_some_and(|controller| has_row_of_its_own(&controller, kind) || object.spec.replicas == Some(0));
        if is_of_other || metadata.deletion_timestamp.is_some() || (kind == "Job" && status.is_finished()) {
            return None;
        }
        let pods = object.spec.pod_metadata();
        let labels = pods.labels.unwrap_or_default();
        match selector.selects(&labels) {
            Selected::Yes => {}
            Selected::UnlessLabelled if !status.has_pods() => {}
            Selected::UnlessLabelled | Selected::No => return None,
        }
        let annotations = pods.annotations.unwrap_or_default();
        let is_silent = !annotations.contains_key(&keys.inject);
        let requested = requested(&annotations, &keys.inject);
        let creator =
            Controller { kind: kind.to_owned(), name: metadata.name.unwrap_or_default(), ..Controller::default() };
        let owner = Owner::of_pod("", Some(&creator), &labels);
        let namespace = metadata.namespace.unwrap_or_default();
        let uncertain = BTreeSet::new();
        let found = || Self { namespace, owner, is_silent, uncertain, labels, requested: requested.clone() };
        (is_silent || !requested.is_empty()).then(found)
    }
}

/// Whether the controller of a workload is in the list itself.
fn has_row_of_its_own(controller: &Controller, of: &str) -> bool {
    matches!((of, controller.kind.as_str()), ("ReplicaSet", "Deployment") | ("Job", "CronJob"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The workload as `namespace kind/name`, if it is listed.
    fn listed(kind: &str, selector: &str, change: &Value) -> Option<String> {
        let mut object = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"template": {"metadata":
            {"labels": {"app": "web"}, "annotations": {"outrigger.dev/inject": "proxy"}}}}});
        json_patch::merge(&mut object, change);
        let object = serde_json::from_value(object).expect("a workload");
        let selector = PodSelector::parse(selector).expect("a selector");
        let found = RequestingWorkload::of(object, kind, &AnnotationKeys::new("outrigger.dev"), &selector)?;
        Some(format!("{} {}", found.namespace, found.owner))
    }

    #[test]
    fn workloads_outside_the_selector_are_not_listed() {
        let none = json!({});
        for (selector, is_listed) in
            [("", true), ("app=web", true), ("app in (web,db)", true), ("app=db", false), ("tier", false)]
        {
            assert_eq!(listed("Deployment", selector, &none).is_some(), is_listed, "{selector}");
        }
        let of_cron_job = json!({"spec": {"template": null, "jobTemplate": {"spec": {"template": {"metadata":
            {"labels": {"app": "night"}, "annotations": {"outrigger.dev/inject": "proxy"}}}}}}});
        assert_eq!(listed("CronJob", "app=night", &of_cron_job).as_deref(), Some("shop cronjob/web"));
        assert_eq!(listed("CronJob", "app=web", &of_cron_job), None);
    }

    #[test]
    fn labels_that_only_pods_have_do_not_make_a_workload_look_empty() {
        for status in [
            json!({"replicas": 2}),
            json!({"currentNumberScheduled": 1}),
            json!({"active": 1}),
            json!({"active": [{}]}),
        ] {
            let change = json!({"status": status});
            assert_eq!(listed("Deployment", "proxy.outrigger.dev/revision!=0123456789", &change), None, "{status}");
            assert!(listed("Deployment", "app!=db", &change).is_some(), "{status}");
        }
        for status in [json!({}), json!({"replicas": 0, "active": 0}), json!({"active": []})] {
            assert!(listed("Deployment", "!pod-template-hash", &json!({"status": status})).is_some(), "{status}");
        }
    }

    #[test]
    fn a_workload_is_listed_once_and_only_while_it_should_have_pods() {
        let owned = |kind: &str, owner: &str, replicas: Option<u32>| {
            let owner = json!([{"apiVersion": "x/v1", "kind": owner, "name": "web", "uid": "u", "controller": true}]);
            listed(kind, "", &json!({"metadata": {"ownerReferences": owner}, "spec": {"replicas": replicas}}))
        };
        for (kind, owner, replicas, expected) in [
            ("ReplicaSet", "Deployment", Some(1), None),
            ("Job", "CronJob", None, None),
            ("ReplicaSet", "Rollout", Some(0), None),
            ("ReplicationController", "DeploymentConfig", Some(0), None),
            // What an operator creates is refused like any other.
            ("StatefulSet", "Prometheus", Some(1), Some("shop sts/web")),
            ("Job", "JobSet", None, Some("shop job/web")),
            ("DaemonSet", "Agent", None, Some("shop ds/web")),
        ] {
            assert_eq!(owned(kind, owner, replicas).as_deref(), expected, "{kind} of {owner}");
        }
        let of_rollout = json!({"metadata": {"name": "web-5d4f"}, "spec": {"replicas": 1, "template": {"metadata":
            {"labels": {"rollouts-pod-template-hash": "5d4f"}}}}});
        assert_eq!(listed("ReplicaSet", "", &of_rollout).as_deref(), Some("shop rollout/web"));
        assert_eq!(listed("Deployment", "", &json!({"spec": {"replicas": 0}})).as_deref(), Some("shop deploy/web"));
        for (condition, status, is_listed) in [
            ("Complete", "True", false),
            ("Failed", "True", false),
            ("Failed", "False", true),
            ("Suspended", "True", true),
        ] {
            let change = json!({"status": {"conditions": [{"type": condition, "status": status}]}});
            assert_eq!(listed("Job", "", &change).is_some(), is_listed, "{condition} {status}");
        }
        // A Deployment has conditions of its own.
        let failed = json!({"status": {"conditions": [{"type": "Failed", "status": "True"}]}});
        assert!(listed("Deployment", "", &failed).is_some());
    }
}
