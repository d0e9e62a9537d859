//! Rules for the template as a whole: volumes, Automatic injection and plain sidecars.

use super::code::Code;
use super::finding::Finding;
use super::images;
use super::view::{View, at, below, known_text};
use crate::inject::text::json::items;
use serde_json::Value;

/// All warnings about volumes, Automatic injection and plain sidecars.
pub(super) fn findings(view: View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(automatic(view));
    found.extend(job(view));
    found.extend(volumes(view));
    found.extend(images::of_volumes(view));
    found
}

fn automatic(view: View<'_>) -> Option<Finding> {
    let spec = view.spec();
    let selector = at(spec, &["match", "namespaceSelector"]);
    let is_everywhere = at(spec, &["injection"]) == "Automatic" && selects_all(selector);
    // A template of a namespace reaches no other.
    let is_cluster_wide = at(view.value, &["kind"]) == "ClusterInjectionTemplate";
    let message = "every pod of every namespace that takes part gets this template".to_owned();
    let path = View::spec_path().child("injection");
    (is_everywhere && is_cluster_wide).then(|| Finding::new(Code::AutomaticEverywhere, view, &path, message))
}

/// Whether a label selector has no requirement.
fn selects_all(selector: &Value) -> bool {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    is_empty(selector) || selector.as_object().is_some_and(|members| members.values().all(is_empty))
}

/// Plain sidecars, unless `match` leaves the pods of Jobs out.
fn job(view: View<'_>) -> Option<Finding> {
    let spec = view.spec();
    let conditions = items(at(spec, &["match"]), "conditions").iter();
    let mut expressions = conditions.filter_map(|condition| at(condition, &["expression"]).as_str());
    let leaves_out = expressions.any(leaves_jobs_out) || {
        let requirements = items(at(spec, &["match", "podSelector"]), "matchExpressions");
        requirements.iter().any(|one| {
            let is_of_job = JOB_LABELS.iter().any(|label| at(one, &["key"]) == label);
            is_of_job && at(one, &["operator"]) == "DoesNotExist"
        })
    };
    let is_plain = at(spec, &["placement", "sidecars"]) == "Plain";
    let (_, first) = view.items("sidecars").next()?;
    let name = at(first, &["name"]).as_str().unwrap_or_default();
    let message = format!("a Job whose pod gets the plain sidecar {name:?} never completes");
    let path = below(&View::spec_path(), &["placement", "sidecars"]);
    (is_plain && !leaves_out).then(|| Finding::new(Code::JobSidecar, view, &path, message))
}

/// Labels that the pods of Jobs have.
const JOB_LABELS: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];

/// Whether an expression names Jobs and has a negation other than that of `has(...)`, which says nothing
/// about Jobs.
fn leaves_jobs_out(expression: &str) -> bool {
    let names_jobs = ["'Job'", "\"Job\"", "job-name"].iter().any(|name| expression.contains(name));
    names_jobs && expression.replace("!has(", "(").contains('!')
}

fn volumes(view: View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, volume) in view.items("volumes") {
        let Some(members) = volume.as_object() else { continue };
        let name = at(volume, &["name"]).as_str().unwrap_or_default();
        let of_item = ["name", "share", "when", "forEach", "emptyDir"];
        // The API server makes an emptyDir of a volume without a source.
        let is_empty_dir = members.iter().all(|(field, value)| of_item.contains(&field.as_str()) || value.is_null());
        let empty_dir = at(volume, &["emptyDir"]);
        let medium = at(empty_dir, &["medium"]);
        // A medium that depends on the pod is unknown.
        let is_disk = medium.is_null() || known_text(medium) == Some("");
        if is_empty_dir && is_disk && !empty_dir.is_string() && at(empty_dir, &["sizeLimit"]).is_null() {
            let message = format!("the emptyDir {name:?} has no sizeLimit");
            found.push(Finding::new(Code::EmptyDirSize, view, &path.child("emptyDir"), message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_without_requirements_select_all() {
        for selector in [json!(null), json!({}), json!({"matchLabels": {}}), json!({"matchExpressions": []})] {
            assert!(selects_all(&selector), "{selector}");
        }
        assert!(!selects_all(&json!({"matchLabels": {"a": "b"}})));
    }

    #[test]
    fn conditions_that_leave_jobs_out_negate() {
        for expression in [
            "!has(pod.metadata.ownerReferences) || pod.metadata.ownerReferences.all(o, o.kind != 'Job')",
            "!pod.metadata.ownerReferences.exists(o, o.kind == \"Job\")",
            "!('batch.kubernetes.io/job-name' in pod.metadata.labels)",
        ] {
            assert!(leaves_jobs_out(expression), "{expression}");
        }
        for expression in [
            "has(pod.metadata.ownerReferences) && pod.metadata.ownerReferences.exists(o, o.kind == 'Job')",
            "!has(pod.metadata.ownerReferences) || pod.metadata.ownerReferences.all(o, o.kind == 'Job')",
            "pod.metadata.name != 'x'",
        ] {
            assert!(!leaves_jobs_out(expression), "{expression}");
        }
    }
}
