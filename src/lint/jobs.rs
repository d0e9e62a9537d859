//! Which pods `match` selects: whether it leaves those of Jobs out, and whether it may choose namespaces.
//!
//! The engine evaluates the conditions for sample pods, as controllers of Kubernetes create them.

use super::view::{View, at};
use crate::inject::text::json::items;
use crate::inject::{ConditionVerdict, Injector, Request};
use serde_json::{Value, json};

/// Labels that the pods of Jobs have.
const JOB_LABELS: [&str; 4] =
    ["batch.kubernetes.io/job-name", "job-name", "batch.kubernetes.io/controller-uid", "controller-uid"];

/// Labels that pods of other controllers have, and those of Jobs do not.
const OTHER_LABELS: [&str; 4] = [
    "pod-template-hash",
    "controller-revision-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
];

/// What a condition that is about Jobs may read.
const OF_JOBS: [&str; 4] = ["restartPolicy", "ownerReferences", "job-name", "Job"];

/// Whether `match` does not select the pods of Jobs.
pub(super) fn are_left_out(view: View<'_>, injector: &Injector) -> bool {
    let matching = at(view.spec(), &["match"]);
    selector_leaves_out(at(matching, &["podSelector"])) || conditions_leave_out(view, injector)
}

/// Whether a condition may hold in some namespaces only: it reads the namespace, or is not known.
pub(super) fn may_select_namespaces(view: View<'_>, injector: &Injector) -> bool {
    let conditions = items(at(view.spec(), &["match"]), "conditions");
    let pod = sample("Job", "Never").to_string();
    let verdicts = || verdicts(view, injector, &pod).is_none_or(|all| all.iter().any(|one| one.reads_namespace));
    !conditions.is_empty() && verdicts()
}

fn selector_leaves_out(selector: &Value) -> bool {
    let labels = at(selector, &["matchLabels"]).as_object().into_iter().flatten();
    let requirements = items(selector, "matchExpressions").iter();
    let is_one_of = |key: &Value, labels: &[&str]| labels.iter().any(|label| key == label);
    labels.into_iter().any(|(key, _)| OTHER_LABELS.contains(&key.as_str()))
        || requirements.into_iter().any(|one| match at(one, &["operator"]).as_str().unwrap_or_default() {
            "DoesNotExist" => is_one_of(at(one, &["key"]), &JOB_LABELS),
            "Exists" | "In" => is_one_of(at(one, &["key"]), &OTHER_LABELS),
            _ => false,
        })
}

/// Whether a condition holds for another pod and for none of a Job, or may do so.
fn conditions_leave_out(view: View<'_>, injector: &Injector) -> bool {
    let conditions = items(at(view.spec(), &["match"]), "conditions");
    if conditions.is_empty() {
        return false;
    }
    let of = |(kind, policy): (&str, &str)| verdicts(view, injector, &sample(kind, policy).to_string());
    let jobs: Vec<_> = [("Job", "Never"), ("Job", "OnFailure")].into_iter().filter_map(of).collect();
    let others: Vec<_> = ["", "ReplicaSet", "StatefulSet", "DaemonSet"]
        .map(|kind| (kind, "Always"))
        .into_iter()
        .filter_map(of)
        .collect();
    let holds = |pods: &[Vec<ConditionVerdict>], index: usize| {
        pods.iter().any(|pod| pod.get(index).is_some_and(|one| one.holds == Some(true)))
    };
    conditions.iter().enumerate().any(|(index, condition)| {
        let expression = at(condition, &["expression"]).as_str().unwrap_or_default();
        // What else it reads decides: it may leave Jobs out.
        let is_of_jobs = || OF_JOBS.iter().any(|name| expression.contains(name));
        !holds(&jobs, index) && (holds(&others, index) || is_of_jobs())
    })
}

fn verdicts(view: View<'_>, injector: &Injector, pod: &str) -> Option<Vec<ConditionVerdict>> {
    let text = |names: &[&str]| at(view.value, names).as_str().unwrap_or_default();
    injector
        .condition_verdicts(&Request::create_pod(text(&["metadata", "namespace"]), pod), text(&["metadata", "name"]))
}

/// A pod as a controller of this kind creates it; of none if the kind is empty.
fn sample(kind: &str, restart_policy: &str) -> Value {
    let uid = "00000000-0000-4000-8000-000000000000";
    let version = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    let owner = json!({
        "apiVersion": version, "kind": kind, "name": "app", "uid": uid, "controller": true, "blockOwnerDeletion": true,
    });
    let labels = match kind {
        "Job" => json!({
            "batch.kubernetes.io/job-name": "app", "job-name": "app",
            "batch.kubernetes.io/controller-uid": uid, "controller-uid": uid,
        }),
        "ReplicaSet" => json!({"app": "app", "pod-template-hash": "5d4f8c7b9"}),
        "StatefulSet" => json!({
            "app": "app", "controller-revision-hash": "app-5d4f8c7b9", "statefulset.kubernetes.io/pod-name": "app-0",
            "apps.kubernetes.io/pod-index": "0",
        }),
        "DaemonSet" => json!({"app": "app", "controller-revision-hash": "5d4f8c7b9"}),
        _ => json!({"app": "app"}),
    };
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "app", "labels": labels, "annotations": {}},
        "spec": {"restartPolicy": restart_policy, "containers": [{"name": "app", "image": "registry.example/app:1"}]},
    });
    if !kind.is_empty() {
        pod["metadata"]["generateName"] = json!("app-");
        pod["metadata"]["ownerReferences"] = json!([owner]);
    }
    pod
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::SourceText;
    use crate::lint::{Code, lint};

    /// The messages of a code about a template with this `match`.
    fn said(code: Code, matching: &Value) -> Vec<String> {
        let template = json!({
            "apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionTemplate", "metadata": {"name": "helper"},
            "spec": {
                "injection": "Automatic", "placement": {"sidecars": "Plain"}, "match": matching,
                "sidecars": [{"name": "helper", "image": "registry.example/helper:1"}],
            },
        });
        let found = lint(&[SourceText { origin: String::new(), text: template.to_string() }], None);
        assert!(found.iter().all(|one| one.code != Code::TemplateInvalid), "{found:?}");
        found.into_iter().filter(|one| one.code == code).map(|one| one.message).collect()
    }

    fn condition(expression: &str) -> Value {
        json!({"conditions": [{"expression": expression, "message": "no"}]})
    }

    #[test]
    fn conditions_and_selectors_that_leave_jobs_out_silence_job_sidecar() {
        for expression in [
            "!has(pod.metadata.ownerReferences) || pod.metadata.ownerReferences.all(o, o.kind != 'Job')",
            "!has(pod.metadata.ownerReferences) || !pod.metadata.ownerReferences.exists(o, o.kind == \"Job\")",
            "!('batch.kubernetes.io/job-name' in pod.metadata.labels)",
            "pod.spec.restartPolicy == 'Always'",
            "has(pod.metadata.ownerReferences) && pod.metadata.ownerReferences.exists(o, o.kind == 'ReplicaSet')",
            "pod.metadata.ownerReferences.exists(o, o.kind in ['ReplicaSet','StatefulSet','DaemonSet'])",
            "pod.metadata.annotations['team'] == 'a' && pod.spec.restartPolicy == 'Always'",
        ] {
            assert_eq!(said(Code::JobSidecar, &condition(expression)), Vec::<String>::new(), "{expression}");
        }
        for selector in [
            json!({"matchExpressions": [{"key": "pod-template-hash", "operator": "Exists"}]}),
            json!({"matchExpressions": [{"key": "job-name", "operator": "DoesNotExist"}]}),
        ] {
            assert_eq!(said(Code::JobSidecar, &json!({"podSelector": selector})), Vec::<String>::new(), "{selector}");
        }
    }

    #[test]
    fn other_conditions_and_selectors_do_not() {
        for expression in [
            "has(pod.metadata.ownerReferences) && pod.metadata.ownerReferences.exists(o, o.kind == 'Job')",
            "!has(pod.metadata.ownerReferences) || pod.metadata.ownerReferences.all(o, o.kind == 'Job')",
            "pod.metadata.name != 'x'",
            "pod.spec.restartPolicy != 'Never'",
            "pod.metadata.annotations['team'] == 'a'",
        ] {
            assert_eq!(said(Code::JobSidecar, &condition(expression)).len(), 1, "{expression}");
        }
        for selector in [json!({}), json!({"matchLabels": {"team": "a"}})] {
            assert_eq!(said(Code::JobSidecar, &json!({"podSelector": selector})).len(), 1, "{selector}");
        }
    }

    #[test]
    fn automatic_everywhere_says_which_pods_get_the_template() {
        let said = |matching: Value| said(Code::AutomaticEverywhere, &matching);
        assert_eq!(
            said(json!({"namespaceSelector": {}})),
            ["every pod of every namespace that takes part gets this template"]
        );
        let some = ["the pods that match selects get this template in every namespace that takes part"];
        assert_eq!(said(json!({"podSelector": {"matchLabels": {"team": "a"}}})), some);
        assert_eq!(said(condition("pod.spec.restartPolicy == 'Always'")), some);
        assert_eq!(said(condition("namespace.name.startsWith('team-')")), Vec::<String>::new());
    }
}
