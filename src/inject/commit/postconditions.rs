//! Checks the changed pod: whether the API server will accept what was added.
//!
//! Overlays are checked before the merge, and the merge finds conflicts. What depends on the pod is
//! checked here: the rules of kube-apiserver between what a template brought and what the pod has.
//!
//! Invariant: a problem names the template that brought its cause. A pod that is invalid by itself is
//! the business of the API server.

mod app_defaults;
mod containers;
mod pod_fields;
mod pod_resources;
mod result;

use self::result::ResultPod;

use crate::inject::error::{ErrorCode, Problem};
use crate::inject::schema::merge_path::MergePath;
use crate::inject::status::StatusEntry;
use crate::inject::text::json::{at, items, text};
use crate::inject::text::{Message, message, quote, value};
use serde_json::Value;
use std::collections::BTreeSet;

/// Most bytes of all annotations, keys and values (`TotalAnnotationSizeLimitB` of Kubernetes).
const MAX_ANNOTATION_BYTES: usize = 256 << 10;

/// The problems of the changed pod; `entries` are those of the injected templates.
pub(super) fn check(tree: &Value, entries: &[StatusEntry]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let bytes = annotation_bytes(tree);
    if bytes > MAX_ANNOTATION_BYTES {
        problems.push(too_many_bytes(tree, entries, bytes));
    }
    let Some(spec) = tree.get("spec") else { return problems };
    let result = ResultPod::new(spec, entries);
    containers::check(&result, &mut problems);
    app_defaults::check(&result, &mut problems);
    pod_fields::check(&result, &mut problems);
    pod_resources::check(&result, &mut problems);
    let volumes: BTreeSet<&str> = items(spec, "volumes").iter().map(|volume| text(volume, "name")).collect();
    let ours: BTreeSet<&str> = entries.iter().flat_map(StatusEntry::container_names).collect();
    let mut add = |code, message: Message| problems.push(Problem::new(code, message));
    let mut seen = BTreeSet::new();
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in items(spec, list) {
            let name = text(container, "name");
            if !seen.insert(name) && ours.contains(name) {
                // A filled container's name occurred twice in the pod already.
                let filled = entries.iter().any(|entry| entry.has_filled(list, name));
                let code = if filled { ErrorCode::ResultInvalid } else { ErrorCode::Internal };
                add(code, message!["spec.", list, ": the name ", value(quote(name)), " occurs twice"]);
            }
            let loose = |mount: &&Value| !volumes.contains(text(mount, "name"));
            if ours.contains(name)
                && let Some(mount) = items(container, "volumeMounts").iter().find(loose)
            {
                let message = message![
                    "spec.",
                    list,
                    ": container ",
                    value(quote(name)),
                    " mounts ",
                    value(quote(text(mount, "name"))),
                    ", a volume that the pod does not have",
                ];
                add(ErrorCode::ResultInvalid, message);
            }
        }
    }
    problems
}

/// The problem names the template with the largest annotations if the pod would be valid without it.
fn too_many_bytes(tree: &Value, entries: &[StatusEntry], bytes: usize) -> Problem {
    let message = message![
        "metadata.annotations: with the status the annotations have ",
        bytes,
        " bytes; at most ",
        MAX_ANNOTATION_BYTES,
        " are allowed",
    ];
    let largest = entries.iter().map(|entry| (added_bytes(tree, entry), entry)).max_by_key(|(added, _)| *added);
    match largest {
        Some((added, entry)) if bytes - added <= MAX_ANNOTATION_BYTES => {
            result::problem(entry, message![message, "; ", added, " of them are those of the template"])
        }
        _ => Problem::new(ErrorCode::ResultInvalid, message),
    }
}

/// The bytes of the annotations that a template has added.
fn added_bytes(tree: &Value, entry: &StatusEntry) -> usize {
    let Some(annotations) = at(tree, &["metadata", "annotations"]) else { return 0 };
    let bytes = |path: &MergePath| {
        let segments: Vec<_> = path.segments().collect();
        let [map, key] = segments.as_slice() else { return 0 };
        let text = annotations.get(key.as_ref()).and_then(Value::as_str).filter(|_| map == "annotations");
        text.map_or(0, |text| key.len() + text.len())
    };
    entry.added.iter().map(bytes).sum()
}

fn annotation_bytes(tree: &Value) -> usize {
    let annotations = at(tree, &["metadata", "annotations"]).and_then(Value::as_object);
    annotations.into_iter().flatten().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum()
}
