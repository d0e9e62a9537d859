//! The marks of an injection: the status annotation and the labels with revisions.
//!
//! Invariant: annotations of the user stay, also a parameter that is called `revision`.

use serde_json::Value;

use crate::inject::annotations::AnnotationKeys;

/// Whether this key of a map of a pod's metadata, `annotations` or `labels`, is a mark.
pub(crate) fn is_mark(map: &str, key: &str, keys: &AnnotationKeys) -> bool {
    match map {
        "annotations" => key == keys.status,
        "labels" => keys.owns(key) && key.ends_with("/revision"),
        _ => false,
    }
}

/// The pod without its marks, and without maps that had nothing else.
pub(crate) fn without_marks(pod: &Value, keys: &AnnotationKeys) -> Value {
    let mut pod = pod.clone();
    let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) else { return pod };
    for map in ["annotations", "labels"] {
        let Some(entries) = metadata.get_mut(map).and_then(Value::as_object_mut) else { continue };
        let before = entries.len();
        entries.retain(|key, _| !is_mark(map, key, keys));
        if entries.is_empty() && before > 0 {
            metadata.remove(map);
        }
    }
    pod
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_parameter_called_revision_is_no_mark() {
        let keys = AnnotationKeys::new("outrigger.dev");
        let pod = json!({"metadata": {
            "annotations": {"outrigger.dev/status": "{}", "a.outrigger.dev/revision": "q"},
            "labels": {"a.outrigger.dev/revision": "0123456789", "team/revision": "7"},
        }});
        let expected = json!({"metadata": {
            "annotations": {"a.outrigger.dev/revision": "q"}, "labels": {"team/revision": "7"},
        }});
        assert_eq!(without_marks(&pod, &keys), expected);
        let only_marks = json!({"metadata": {"labels": {"a.outrigger.dev/revision": "0123456789"}}});
        assert_eq!(without_marks(&only_marks, &keys), json!({"metadata": {}}));
    }
}
