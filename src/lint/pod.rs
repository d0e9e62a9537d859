//! Rules for the template as a whole: volumes, Automatic injection and plain sidecars.

use super::code::Code;
use super::finding::Finding;
use super::view::{View, at, below, known_text};
use super::{images, jobs};
use crate::inject::Injector;
use crate::inject::text::json::items;
use serde_json::Value;

/// All warnings about volumes, Automatic injection and plain sidecars.
pub(super) fn findings(view: View<'_>, injector: &Injector) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(automatic(view, injector));
    found.extend(job(view, injector));
    found.extend(volumes(view));
    found.extend(images::of_volumes(view));
    found
}

fn automatic(view: View<'_>, injector: &Injector) -> Option<Finding> {
    let matching = at(view.spec(), &["match"]);
    let is_everywhere =
        at(view.spec(), &["injection"]) == "Automatic" && selects_all(at(matching, &["namespaceSelector"]));
    // A template of a namespace reaches no other.
    let is_cluster_wide = at(view.value, &["kind"]) == "ClusterInjectionTemplate";
    if !is_everywhere || !is_cluster_wide || jobs::may_select_namespaces(view, injector) {
        return None;
    }
    let selects_some = !selects_all(at(matching, &["podSelector"])) || !items(matching, "conditions").is_empty();
    let message = if selects_some {
        "the pods that match selects get this template in every namespace that takes part"
    } else {
        "every pod of every namespace that takes part gets this template"
    };
    let path = View::spec_path().child("injection");
    Some(Finding::new(Code::AutomaticEverywhere, view, &path, message.to_owned()))
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
fn job(view: View<'_>, injector: &Injector) -> Option<Finding> {
    let is_plain = at(view.spec(), &["placement", "sidecars"]) == "Plain";
    let (_, first) = view.items("sidecars").next()?;
    if !is_plain || jobs::are_left_out(view, injector) {
        return None;
    }
    let name = at(first, &["name"]).as_str().unwrap_or_default();
    let message = format!("a Job whose pod gets the plain sidecar {name:?} never completes");
    let path = below(&View::spec_path(), &["placement", "sidecars"]);
    Some(Finding::new(Code::JobSidecar, view, &path, message))
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
}
