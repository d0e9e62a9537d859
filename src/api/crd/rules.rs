//! The validation rules (CEL) of the CustomResourceDefinitions.
//!
//! Invariant: each rule refuses what the loader refuses too, so that a bad template does not get in
//! while no replica responds to the validating webhook.

use serde_json::{Value, json};

use crate::api::template_object::TemplateKind;

/// The API server estimates what a rule costs, so the lists that rules read are bounded.
const MAX_ITEMS: u64 = 1024;
/// The longest name of a template.
const MAX_NAME: u64 = 63;

/// The rules that read the name. Only rules at the root can.
pub(super) fn of_the_document() -> Value {
    let mut rules = vec![
        rule(
            "self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",
            "metadata.name: expected a DNS label of at most 63 characters: a-z, 0-9 and -, with a letter or digit at both ends",
        ),
        rule(
            "self.metadata.name != 'false'",
            "metadata.name: \"false\" in the annotation of a pod means no injection; choose another name",
        ),
    ];
    for field in ["requires", "excludes"] {
        let mut own_name = rule(
            &format!("!has(self.spec.{field}) || !(self.metadata.name in self.spec.{field})"),
            &format!("spec.{field} names this template itself; expected the names of other templates"),
        );
        own_name["fieldPath"] = json!(format!(".spec.{field}"));
        rules.push(own_name);
    }
    rules.into()
}

/// Adds the rules about fields of the spec, and the bounds that they need.
pub(super) fn add_to_spec(kind: TemplateKind, spec: &mut Value) {
    let mut rules = vec![automatic()];
    if kind == TemplateKind::Namespaced {
        rules.extend(namespaced());
    }
    spec["x-kubernetes-validations"] = rules.into();
    let properties = &mut spec["properties"];
    properties["parameters"]["maxItems"] = MAX_ITEMS.into();
    properties["parameters"]["items"]["x-kubernetes-validations"] = json!([rule(
        "self.type != 'enum' || has(self.values) && self.values.size() > 0",
        "a parameter of the type enum needs values; list them in values",
    )]);
    properties["match"]["properties"]["os"]["maxItems"] = MAX_ITEMS.into();
    for field in ["requires", "excludes"] {
        properties[field]["maxItems"] = MAX_ITEMS.into();
        properties[field]["items"]["maxLength"] = MAX_NAME.into();
    }
}

fn automatic() -> Value {
    let mut rule = rule(
        "!has(self.injection) || self.injection != 'Automatic' || has(self.match) && (has(self.match.podSelector) \
         || has(self.match.namespaceSelector) || has(self.match.conditions) && self.match.conditions.size() > 0)",
        "an Automatic template needs a podSelector, a namespaceSelector or a condition in spec.match; \"podSelector: {}\" selects all pods",
    );
    rule["fieldPath"] = json!(".match");
    rule
}

/// What tenants may not do, as far as it is a field of its own.
fn namespaced() -> [Value; 2] {
    let forbidden = |field: &str, why: &str| {
        let message = format!("spec.{field}: {why}; remove it or write a ClusterInjectionTemplate");
        let mut rule = rule(&format!("!has(self.{field})"), &message);
        rule["fieldPath"] = json!(format!(".{field}"));
        rule
    };
    [
        forbidden("pod", "an InjectionTemplate may not change fields of the pod, such as its serviceAccountName"),
        forbidden("shadowable", "only a ClusterInjectionTemplate can be replaced in a namespace"),
    ]
}

fn rule(expression: &str, message: &str) -> Value {
    json!({"rule": expression, "message": message})
}
