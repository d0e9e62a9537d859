//! What the controller of a workload sets in a pod that it creates of the template.
//!
//! Values that are not known before the object exists, such as hashes and UIDs, are placeholders: the
//! key is there, and the value is assumed. Invariant: two pods of one template differ in every value
//! that belongs to one pod or is assumed, so that [`PodView::Pod`] 0 and 1 show which values those are.

use serde_json::{Map, Value, json};

use super::find::PodLocation;

/// The pod that stands for a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PodView {
    /// What all pods of the template share: nothing that belongs to one of them.
    Shared,
    /// The pod of this index.
    Pod(u8),
}

/// A change to the template, as the controller makes it.
#[derive(Debug)]
pub(super) enum Change {
    /// The field has this value, or is absent, whatever the template has.
    Set(&'static [&'static str], String, Option<Value>),
    /// The field has this value if the template leaves it out.
    Fill(&'static [&'static str], String, Value),
    /// The list has this item at its end, unless it has it already.
    Append(&'static [&'static str], &'static str, Value),
    /// Each container has this variable, unless it has one of this name.
    Env(Value),
}

const METADATA: &[&str] = &["metadata"];
const LABELS: &[&str] = &["metadata", "labels"];
const ANNOTATIONS: &[&str] = &["metadata", "annotations"];
const SPEC: &[&str] = &["spec"];
const AFFINITY: &[&str] = &["spec", "affinity"];
const NODE_AFFINITY: &[&str] = &["spec", "affinity", "nodeAffinity"];
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const NODE_SELECTOR: &[&str] = &["spec", "affinity", "nodeAffinity", REQUIRED];

/// What a controller takes of the metadata of a template.
const KEPT_METADATA: [&str; 3] = ["labels", "annotations", "finalizers"];

const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Longest prefix to which the API server adds five characters.
const MAX_GENERATED_PREFIX: usize = 58;

/// A kind whose controller is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Workload {
    /// Its pods belong to a ReplicaSet; the label has the hash of the template.
    Deployment(&'static str),
    /// A ReplicaSet or a ReplicationController.
    Replicas,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
}

impl Workload {
    fn of(location: &PodLocation) -> Option<Self> {
        location.controller.as_ref()?;
        let object = &location.object;
        let group = object.api_version.split_once('/').map_or("", |(group, _)| group);
        let of_kubernetes = matches!(group, "" | "apps" | "batch" | "extensions");
        match object.kind.to_lowercase().as_str() {
            "deployment" if of_kubernetes => Some(Self::Deployment("pod-template-hash")),
            "rollout" if group == "argoproj.io" => Some(Self::Deployment("rollouts-pod-template-hash")),
            "replicaset" | "replicationcontroller" if of_kubernetes => Some(Self::Replicas),
            // The controllers of OpenKruise are made of those of Kubernetes.
            "statefulset" if of_kubernetes || group == "apps.kruise.io" => Some(Self::StatefulSet),
            "daemonset" if of_kubernetes || group == "apps.kruise.io" => Some(Self::DaemonSet),
            "job" if of_kubernetes => Some(Self::Job),
            "cronjob" if of_kubernetes => Some(Self::CronJob),
            _ => None,
        }
    }
}

/// Name of the object; one that the API server makes up ends in a placeholder.
pub(super) fn object_name(location: &PodLocation, index: u8) -> String {
    match location.object.name.strip_suffix('*') {
        None if location.object.name.is_empty() => "unnamed".to_owned(),
        None => location.object.name.clone(),
        Some(prefix) => format!("{prefix}{}", placeholder(index, 5)),
    }
}

/// The ordinal of the first pod of a StatefulSet.
pub(super) fn first_ordinal(object: &Value) -> u64 {
    object.pointer("/spec/ordinals/start").and_then(Value::as_u64).unwrap_or_default()
}

/// The UID of an object that does not exist yet.
fn no_uid(index: u8) -> String {
    [8, 4, 4, 4, 12].map(|length| placeholder(index, length)).join("-")
}

/// Stands for a hash or a number that is not known.
fn placeholder(index: u8, length: usize) -> String {
    index.to_string().repeat(length)
}

/// What the controller of this template sets in the pod of this index. `None` for a kind whose
/// controller is not known.
pub(super) fn changes(location: &PodLocation, object: &Value, template: &Value, index: u8) -> Option<Vec<Change>> {
    let workload = Workload::of(location)?;
    let controller = Controller { location, object, template, index, name: object_name(location, index) };
    let mut changes = controller.dropped();
    changes.push(Change::Fill(METADATA, "labels".to_owned(), json!({})));
    changes.extend(match workload {
        Workload::Deployment(label) => controller.deployment(label),
        Workload::Replicas => controller.generated(&controller.name, controller.uid()),
        Workload::StatefulSet => controller.stateful_set(),
        Workload::DaemonSet => controller.daemon_set(),
        Workload::Job => controller.job(&controller.name, "/spec", controller.uid()),
        Workload::CronJob => {
            // A Job is named by the minute for which it is scheduled.
            let job = format!("{}-{}", controller.name, placeholder(index, 8));
            controller.job(&job, "/spec/jobTemplate/spec", no_uid(index))
        }
    });
    Some(changes)
}

struct Controller<'c> {
    location: &'c PodLocation,
    object: &'c Value,
    template: &'c Value,
    index: u8,
    name: String,
}

impl Controller<'_> {
    /// What the controller does not take of the template.
    fn dropped(&self) -> Vec<Change> {
        let metadata = self.template.get("metadata").and_then(Value::as_object);
        let keys = metadata.into_iter().flat_map(Map::keys).filter(|key| !KEPT_METADATA.contains(&key.as_str()));
        // The namespace is that of the object.
        let keys = keys.filter(|key| *key != "namespace");
        keys.map(|key| Change::Set(METADATA, key.clone(), None)).collect()
    }

    /// The UID of the object, if it has one.
    fn uid(&self) -> String {
        let uid = self.object.pointer("/metadata/uid").and_then(Value::as_str);
        uid.map_or_else(|| no_uid(self.index), str::to_owned)
    }

    /// The prefix of the pod's name, and the owner.
    fn generated(&self, owner: &str, uid: String) -> Vec<Change> {
        let mut changes = vec![set(METADATA, "generateName", format!("{owner}-"))];
        changes.extend(self.location.controller.as_ref().map(|(api_version, kind)| {
            let owner = json!([{"apiVersion": api_version, "kind": kind, "name": owner, "uid": uid,
                "controller": true, "blockOwnerDeletion": true}]);
            set(METADATA, "ownerReferences", owner)
        }));
        changes
    }

    fn deployment(&self, label: &str) -> Vec<Change> {
        let hash = placeholder(self.index, 10);
        let mut changes = self.generated(&format!("{}-{hash}", self.name), no_uid(self.index));
        changes.push(set(LABELS, label, hash));
        changes
    }

    fn stateful_set(&self) -> Vec<Change> {
        let Self { object, name, index, .. } = self;
        let ordinal = first_ordinal(object).saturating_add(u64::from(*index));
        let pod = format!("{name}-{ordinal}");
        let service = object.pointer("/spec/serviceName").and_then(Value::as_str).filter(|name| !name.is_empty());
        // New pods have the revision of the template, if that is known.
        let known = object.pointer("/status/updateRevision").and_then(Value::as_str).filter(|_| *index == 0);
        let revision = known.map_or_else(|| format!("{name}-{}", placeholder(*index, 10)), str::to_owned);
        let mut changes = self.generated(name, self.uid());
        changes.extend([
            set(METADATA, "name", pod.clone()),
            set(SPEC, "hostname", pod.clone()),
            Change::Set(SPEC, "subdomain".to_owned(), service.map(Value::from)),
            set(LABELS, "statefulset.kubernetes.io/pod-name", pod),
            set(LABELS, "apps.kubernetes.io/pod-index", ordinal.to_string()),
            set(LABELS, "controller-revision-hash", revision),
        ]);
        changes
    }

    fn daemon_set(&self) -> Vec<Change> {
        let generation = self.object.pointer("/metadata/annotations");
        let generation = generation.and_then(|all| all.get("deprecated.daemonset.template.generation"));
        let generation = generation.and_then(Value::as_str).unwrap_or("1").to_owned();
        let node = format!("node-{}", self.index);
        let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
        let mut changes = self.generated(&self.name, self.uid());
        changes.extend([
            set(LABELS, "controller-revision-hash", placeholder(self.index, 10)),
            set(LABELS, "pod-template-generation", generation),
            Change::Fill(SPEC, "affinity".to_owned(), json!({})),
            Change::Fill(AFFINITY, "nodeAffinity".to_owned(), json!({})),
            Change::Fill(NODE_AFFINITY, REQUIRED.to_owned(), json!({})),
            set(NODE_SELECTOR, "nodeSelectorTerms", json!([term])),
        ]);
        let is_host = self.template.pointer("/spec/hostNetwork") == Some(&Value::Bool(true));
        let tolerations = [
            ("not-ready", "NoExecute"),
            ("unreachable", "NoExecute"),
            ("disk-pressure", "NoSchedule"),
            ("memory-pressure", "NoSchedule"),
            ("pid-pressure", "NoSchedule"),
            ("unschedulable", "NoSchedule"),
        ];
        let of_network = is_host.then_some(("network-unavailable", "NoSchedule"));
        changes.extend(tolerations.into_iter().chain(of_network).map(|(state, effect)| {
            let key = format!("node.kubernetes.io/{state}");
            Change::Append(SPEC, "tolerations", json!({"key": key, "operator": "Exists", "effect": effect}))
        }));
        changes
    }

    /// `spec` is the path of the Job's spec in the object.
    fn job(&self, job: &str, spec: &str, uid: String) -> Vec<Change> {
        let of_spec = |field: &str| self.object.pointer(&format!("{spec}/{field}"));
        let mut changes = self.generated(job, uid.clone());
        if of_spec("manualSelector") != Some(&Value::Bool(true)) {
            for label in ["batch.kubernetes.io/job-name", "job-name"] {
                changes.push(set(LABELS, label, job));
            }
            for label in ["batch.kubernetes.io/controller-uid", "controller-uid"] {
                changes.push(set(LABELS, label, uid.clone()));
            }
        }
        changes.push(Change::Append(METADATA, "finalizers", "batch.kubernetes.io/job-tracking".into()));
        if of_spec("completionMode").is_some_and(|mode| mode == "Indexed") {
            let has_limit = of_spec("backoffLimitPerIndex").is_some_and(|limit| !limit.is_null());
            changes.extend(self.indexed(job, has_limit));
        }
        changes
    }

    fn indexed(&self, job: &str, has_limit: bool) -> Vec<Change> {
        let index = self.index.to_string();
        let end = format!("-{index}-");
        let prefix: String = job.chars().take(MAX_GENERATED_PREFIX - end.len()).collect();
        let variable = json!({"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {
            "apiVersion": "v1", "fieldPath": format!("metadata.labels['{INDEX}']")}}});
        let mut changes = vec![
            set(METADATA, "generateName", format!("{prefix}{end}")),
            Change::Fill(METADATA, "annotations".to_owned(), json!({})),
            set(ANNOTATIONS, INDEX, index.clone()),
            set(LABELS, INDEX, index.clone()),
            set(SPEC, "hostname", format!("{job}-{index}")),
            Change::Env(variable),
        ];
        if has_limit {
            changes.push(set(ANNOTATIONS, "batch.kubernetes.io/job-index-failure-count", "0"));
        }
        changes
    }
}

fn set(object: &'static [&'static str], key: &str, value: impl Into<Value>) -> Change {
    Change::Set(object, key.to_owned(), Some(value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::annotations::AnnotationKeys;
    use crate::workload::cluster_pod::ClusterPod;
    use crate::workload::find;

    fn object(api_version: &str, kind: &str, spec: &Value) -> Value {
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}});
        let mut spec = spec.clone();
        spec["template"] = template;
        let spec = if kind == "CronJob" { json!({"jobTemplate": {"spec": spec}}) } else { spec };
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "web"}, "spec": spec})
    }

    /// The pod of this index, which gives the template back when it is taken out of the cluster.
    fn pod(object: &Value, index: u8) -> Value {
        let location = find(object, "outrigger.dev").pods.remove(0);
        let template = location.template(object).expect("a template");
        let made = ClusterPod::new(&location, object, template, "shop", PodView::Pod(index));
        let back = made.take_out(made.pod.clone(), &AnnotationKeys::new("outrigger.dev"));
        assert_eq!(back, *template);
        made.pod
    }

    fn labels(pod: &Value) -> Vec<String> {
        let labels = pod["metadata"]["labels"].as_object().expect("labels");
        labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("?"))).collect()
    }

    #[test]
    fn a_pod_of_a_deployment_has_the_hash_of_its_template() {
        let pod = pod(&object("apps/v1", "Deployment", &json!({})), 0);
        assert_eq!(labels(&pod), ["app=web", "pod-template-hash=0000000000"]);
        assert_eq!(pod["metadata"]["generateName"], "web-0000000000-");
        assert_eq!(pod["metadata"]["ownerReferences"][0]["name"], "web-0000000000");
        let rollout = self::pod(&object("argoproj.io/v1alpha1", "Rollout", &json!({})), 0);
        assert_eq!(labels(&rollout), ["app=web", "rollouts-pod-template-hash=0000000000"]);
        assert_eq!(labels(&self::pod(&object("apps/v1", "ReplicaSet", &json!({})), 0)), ["app=web"]);
    }

    #[test]
    fn a_pod_of_a_stateful_set_has_a_name_and_an_ordinal() {
        let spec = json!({"serviceName": "db", "ordinals": {"start": 3},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}]});
        let mut set = object("apps/v1", "StatefulSet", &spec);
        set["spec"]["template"]["metadata"]["name"] = "of-the-template".into();
        set["spec"]["template"]["spec"]["hostname"] = "of-the-template".into();
        let expected = |pod: &Value, ordinal: u64| {
            let name = format!("web-{ordinal}");
            assert_eq!((&pod["metadata"]["name"], &pod["metadata"]["generateName"]), (&json!(name), &json!("web-")));
            assert_eq!((&pod["spec"]["hostname"], &pod["spec"]["subdomain"]), (&json!(name), &json!("db")));
            assert_eq!(pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], format!("data-{name}"));
            let index = format!("apps.kubernetes.io/pod-index={ordinal}");
            assert!(labels(pod).contains(&index), "{pod}");
            assert!(labels(pod).contains(&format!("statefulset.kubernetes.io/pod-name={name}")), "{pod}");
        };
        expected(&pod(&set, 0), 3);
        expected(&pod(&set, 1), 4);
        set["spec"]["serviceName"] = Value::Null;
        set["spec"]["template"]["spec"]["subdomain"] = "gone".into();
        set["status"] = json!({"updateRevision": "web-5c7f"});
        let pod = pod(&set, 0);
        assert_eq!(pod["spec"].get("subdomain"), None);
        assert!(labels(&pod).contains(&"controller-revision-hash=web-5c7f".to_owned()), "{pod}");
    }

    #[test]
    fn a_pod_of_a_daemon_set_is_for_one_node() {
        let mut set = object("apps/v1", "DaemonSet", &json!({}));
        let preferred = json!([{"weight": 1, "preference": {}}]);
        let own = json!({"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"});
        set["spec"]["template"]["spec"]["tolerations"] = json!([own]);
        set["spec"]["template"]["spec"]["affinity"] = json!({"nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": preferred,
            REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": []}]}}});
        let pod = pod(&set, 0);
        let expected = ["app=web", "controller-revision-hash=0000000000", "pod-template-generation=1"];
        assert_eq!(labels(&pod), expected);
        let affinity = &pod["spec"]["affinity"]["nodeAffinity"];
        assert_eq!(affinity["preferredDuringSchedulingIgnoredDuringExecution"], preferred);
        assert_eq!(affinity[REQUIRED]["nodeSelectorTerms"][0]["matchFields"][0]["values"][0], "node-0");
        assert_eq!(affinity[REQUIRED]["nodeSelectorTerms"].as_array().map(Vec::len), Some(1));
        assert_eq!(pod["spec"]["tolerations"].as_array().map(Vec::len), Some(6));
        self::pod(&object("apps/v1", "DaemonSet", &json!({})), 0);
    }

    #[test]
    fn a_pod_of_a_job_is_labelled_with_its_job_and_its_index() {
        let job = pod(&object("batch/v1", "Job", &json!({})), 0);
        let uid = no_uid(0);
        let by_name = "batch.kubernetes.io/job-name=web";
        let by_uid = format!("batch.kubernetes.io/controller-uid={uid}");
        let expected = ["app=web", &by_uid, by_name, &format!("controller-uid={uid}"), "job-name=web"];
        assert_eq!(labels(&job), expected);
        assert_eq!(job["metadata"]["finalizers"], json!(["batch.kubernetes.io/job-tracking"]));
        let manual = pod(&object("batch/v1", "Job", &json!({"manualSelector": true})), 0);
        assert_eq!(labels(&manual), ["app=web"]);
        let indexed =
            pod(&object("batch/v1", "Job", &json!({"completionMode": "Indexed", "backoffLimitPerIndex": 1})), 0);
        assert_eq!(
            (&indexed["metadata"]["generateName"], &indexed["spec"]["hostname"]),
            (&json!("web-0-"), &json!("web-0"))
        );
        assert_eq!(indexed["metadata"]["annotations"][INDEX], "0");
        assert_eq!(indexed["metadata"]["labels"][INDEX], "0");
        assert_eq!(indexed["spec"]["containers"][0]["env"][0]["name"], "JOB_COMPLETION_INDEX");
        let of_cron_job = pod(&object("batch/v1", "CronJob", &json!({})), 0);
        assert_eq!(of_cron_job["metadata"]["generateName"], "web-00000000-");
        assert!(labels(&of_cron_job).contains(&"job-name=web-00000000".to_owned()), "{of_cron_job}");
    }

    #[test]
    fn every_assumed_value_differs_between_two_pods() {
        for (api_version, kind) in [
            ("apps/v1", "Deployment"),
            ("apps/v1", "StatefulSet"),
            ("apps/v1", "DaemonSet"),
            ("apps/v1", "ReplicaSet"),
            ("batch/v1", "Job"),
            ("batch/v1", "CronJob"),
        ] {
            let object = object(api_version, kind, &json!({"completionMode": "Indexed"}));
            let [first, second] = [0, 1].map(|index| pod(&object, index).to_string());
            for assumed in ["00000", "web-0", "node-0"] {
                assert!(!second.contains(assumed), "{kind}: {second}");
            }
            assert!(first.contains("00000"), "{kind}: {first}");
        }
    }
}
