//! The usual pod: the one that sets none of the fields that a template reads, as the API server sends
//! it.
//!
//! A template that reads only single fields of the spec is rendered once for this pod, and most pods
//! are equal to it in these fields.

use super::PodDocument;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The value of a field of the spec in the usual pod: what the API server fills in.
fn value(field: &str) -> Option<Value> {
    Some(match field {
        "terminationGracePeriodSeconds" => json!(30),
        "dnsPolicy" => json!("ClusterFirst"),
        "restartPolicy" => json!("Always"),
        "schedulerName" => json!("default-scheduler"),
        "serviceAccountName" => json!("default"),
        "securityContext" => json!({}),
        "enableServiceLinks" => json!(true),
        _ => return None,
    })
}

/// The usual pod with these fields of the spec.
pub(crate) fn pod(fields: &BTreeSet<String>) -> Value {
    let spec: Map<String, Value> = fields.iter().filter_map(|field| Some((field.clone(), value(field)?))).collect();
    json!({"metadata": {}, "spec": spec})
}

/// Whether a pod is like the usual one in these fields.
pub(crate) fn is(pod: &PodDocument, fields: &BTreeSet<String>) -> bool {
    fields.iter().all(|field| pod.spec_field(field).cloned() == value(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(mut pod: Value) -> PodDocument {
        pod["spec"]["containers"] = json!([{"name": "web", "image": "web:1"}]);
        PodDocument::parse(&pod.to_string()).expect("a pod")
    }

    #[test]
    fn a_pod_is_usual_if_the_fields_are_absent_or_filled_in() {
        let fields: BTreeSet<String> = ["hostNetwork", "terminationGracePeriodSeconds"].map(str::to_owned).into();
        for (spec, expected) in [
            (json!({"terminationGracePeriodSeconds": 30, "dnsPolicy": "Default"}), true),
            (json!({"terminationGracePeriodSeconds": 5}), false),
            (json!({}), false),
            (json!({"terminationGracePeriodSeconds": 30, "hostNetwork": true}), false),
        ] {
            assert_eq!(is(&document(json!({"spec": spec})), &fields), expected, "{spec}");
        }
        let usual = pod(&fields);
        assert_eq!(usual["spec"], json!({"terminationGracePeriodSeconds": 30}));
        assert!(is(&document(usual), &fields));
    }
}
