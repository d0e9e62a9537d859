//! Tests of the CustomResourceDefinitions as values.

use super::*;

fn schema_of(kind: TemplateKind) -> Value {
    definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Calls `visit` with the path and the schema of each node.
fn walk(path: &str, schema: &Value, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), field, visit);
    }
    for key in ["items", "additionalProperties"] {
        if schema[key].is_object() {
            walk(&format!("{path}[]"), &schema[key], visit);
        }
    }
}

/// A misspelt `matchLabels` that is pruned would select all pods; a default would change the
/// revision.
#[test]
fn nothing_below_the_spec_is_pruned_or_gets_a_default() {
    for kind in TemplateKind::ALL {
        let mut nodes = 0;
        walk("spec", &schema_of(kind)["properties"]["spec"], &mut |path, schema| {
            nodes += 1;
            assert!(schema.get("default").is_none(), "{path}");
            // The API server drops such a field, so applying the definition again would change it.
            assert!(schema.as_object().is_some_and(|schema| schema.values().all(|value| !value.is_null())), "{path}");
            let is_object =
                schema.get("properties").is_some() || schema["type"] == "object" || schema["type"].is_null();
            let keeps =
                schema["x-kubernetes-preserve-unknown-fields"] == true || schema["additionalProperties"].is_object();
            assert!(!is_object || keeps, "{path} is pruned: {schema}");
        });
        assert!(nodes > 100, "{nodes} nodes");
    }
}

#[test]
fn every_field_has_a_description() {
    for kind in TemplateKind::ALL {
        let mut without = Vec::new();
        let schema = schema_of(kind);
        for part in ["spec", "status"] {
            walk(part, &schema["properties"][part], &mut |path, schema| {
                if !path.ends_with(']') && schema["description"].as_str().unwrap_or_default().is_empty() {
                    without.push(path.to_owned());
                }
            });
        }
        assert_eq!(without, [""; 0]);
    }
}

/// An expression may stand for a value of any type.
#[test]
fn values_that_may_be_expressions_have_no_type() {
    let schema = schema_of(TemplateKind::Cluster);
    let spec = &schema["properties"]["spec"]["properties"];
    for path in ["/pod/properties/hostUsers", "/pod/properties/tolerations", "/sidecars/items", "/volumes/items"] {
        assert!(spec.pointer(path).is_some_and(|value| value.get("type").is_none()), "{path}");
    }
    for (path, expected) in [
        ("/app/properties/initContainers", "boolean"),
        ("/rollout/properties/percent", "integer"),
        ("/sidecars/items/properties/image", "string"),
        ("/match/properties/podSelector", "object"),
    ] {
        assert_eq!(spec.pointer(path).map(|value| &value["type"]), Some(&json!(expected)), "{path}");
    }
    let percent = &spec["rollout"]["properties"]["percent"];
    assert_eq!((&percent["minimum"], &percent["maximum"]), (&json!(0), &json!(100)));
}

#[test]
fn the_status_has_the_fields_that_are_written() {
    use crate::api::template_object::{StoredRevision, TemplateCondition, TemplateObjectStatus};
    let status = TemplateObjectStatus {
        conditions: vec![TemplateCondition::default()],
        warnings: vec![String::new()],
        revisions: vec![StoredRevision::default()],
        ..TemplateObjectStatus::default()
    };
    let keys = |value: &Value| value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    let status = serde_json::to_value(status).expect("plain data");
    let schema = schema_of(TemplateKind::Cluster)["properties"]["status"]["properties"].clone();
    assert_eq!(keys(&status), keys(&schema));
    for list in ["conditions", "revisions"] {
        assert_eq!(keys(&status[list][0]), keys(&schema[list]["items"]["properties"]), "{list}");
    }
}

/// `kubectl apply` keeps the whole object in an annotation.
#[test]
fn the_definitions_fit_into_an_annotation() {
    for kind in TemplateKind::ALL {
        let length = definition(kind).to_string().len();
        assert!(length < 100 << 10, "{length} bytes");
    }
}
