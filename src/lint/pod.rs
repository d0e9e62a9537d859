//! Rules for the template as a whole: volumes, Automatic injection and plain sidecars.

use super::code::Code;
use super::finding::Finding;
use super::view::{View, at, below};
use serde_json::Value;

/// All warnings about volumes, Automatic injection and plain sidecars.
pub(super) fn findings(view: View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(automatic(view));
    found.extend(job(view));
    found.extend(volumes(view));
    found
}

fn automatic(view: View<'_>) -> Option<Finding> {
    let spec = view.spec();
    let is_everywhere = at(spec, &["injection"]) == "Automatic" && at(spec, &["match", "namespaceSelector"]).is_null();
    // A template of a namespace reaches no other.
    let is_cluster_wide = at(&view.document.value, &["kind"]) == "ClusterInjectionTemplate";
    let message = "every pod of every namespace that takes part gets this template".to_owned();
    let path = View::spec_path().child("injection");
    (is_everywhere && is_cluster_wide).then(|| Finding::new(Code::AutomaticEverywhere, view, &path, message))
}

/// Plain sidecars, unless a condition of `match` asks for what owns the pod: it may leave Jobs out.
fn job(view: View<'_>) -> Option<Finding> {
    let spec = view.spec();
    let conditions = at(spec, &["match", "conditions"]).to_string();
    let is_plain = at(spec, &["placement", "sidecars"]) == "Plain";
    let (_, first) = view.items("sidecars").next()?;
    let name = at(first, &["name"]).as_str().unwrap_or_default();
    let message = format!("a Job whose pod gets the plain sidecar {name:?} never completes");
    let path = below(&View::spec_path(), &["placement", "sidecars"]);
    (is_plain && !conditions.contains("Job")).then(|| Finding::new(Code::JobSidecar, view, &path, message))
}

fn volumes(view: View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, volume) in view.items("volumes") {
        let name = at(volume, &["name"]).as_str().unwrap_or_default();
        let empty_dir = at(volume, &["emptyDir"]);
        let is_disk = empty_dir.is_object() && at(empty_dir, &["medium"]).as_str().is_none_or(str::is_empty);
        if is_disk && at(empty_dir, &["sizeLimit"]) == &Value::Null {
            let message = format!("the emptyDir {name:?} has no sizeLimit");
            found.push(Finding::new(Code::EmptyDirSize, view, &path.child("emptyDir"), message));
        }
    }
    found
}
