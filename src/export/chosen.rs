//! Writes which pods must carry a template: by selectors of the policy, or by an expression.
//!
//! Invariant: a pod that the webhook injects on request is chosen; a pod is never left out for a label
//! of its own where the operator chose it.

use serde_json::{Value, json};

use super::{Installation, cel, match_condition};

/// Which pods must carry the template.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// Those that request it by annotation, their own or that of their namespace; with an Automatic
    /// template also those that it selects.
    Requested,
    /// Those that these LabelSelectors select, whatever they request and whatever other labels they
    /// have.
    Selected {
        /// LabelSelector of pods.
        pods: Value,
        /// LabelSelector of namespaces.
        namespaces: Value,
        /// Whether namespaces count whose label disables injection.
        includes_disabled: bool,
    },
}

/// The pods that a policy checks.
pub(super) struct Chosen {
    /// LabelSelector of namespaces.
    pub namespaces: Value,
    /// LabelSelector of pods.
    pub pods: Value,
    /// Whether one of these pods is chosen; `None` if all are.
    pub expression: Option<String>,
}

/// The pods that must carry the template.
pub(super) fn of(
    template: &str,
    spec: &Value,
    selection: &Selection,
    installation: &Installation<'_>,
    notes: &mut Vec<String>,
) -> Chosen {
    match selection {
        Selection::Selected { pods, namespaces, includes_disabled } => Chosen {
            namespaces: match includes_disabled {
                true => super::not_excluded(namespaces, installation),
                false => super::namespaces(namespaces, installation),
            },
            pods: pods.clone(),
            expression: None,
        },
        Selection::Requested => Chosen {
            namespaces: super::namespaces(&Value::Null, installation),
            pods: super::pods(&Value::Null),
            expression: Some(requested(template, spec, installation.domain, notes)),
        },
    }
}

/// Whether the pod or its namespace requests the template, or the template chooses the pod itself.
fn requested(template: &str, spec: &Value, domain: &str, notes: &mut Vec<String>) -> String {
    let key = cel::string(&format!("{domain}/inject"));
    let of_namespace = "namespaceObject.metadata.annotations";
    let own = cel::has_annotation(&format!("{domain}/inject"));
    let lists = |annotations: &str| cel::lists(annotations, &key, template);
    let opts_out =
        |annotations: &str| format!("{annotations}[{key}].split(',').exists(name, name.trim() == \"false\")");
    let enabled = format!(
        "has(namespaceObject.metadata.labels) && \
         {label} in namespaceObject.metadata.labels && namespaceObject.metadata.labels[{label}] == \"enabled\"",
        label = cel::string(&format!("{domain}/injection"))
    );
    let mut ways = vec![
        format!("({own} && {})", lists("object.metadata.annotations")),
        format!(
            "(!({own}) && {enabled} && has({of_namespace}) && {key} in {of_namespace} && !{} && {})",
            opts_out(of_namespace),
            lists(of_namespace)
        ),
    ];
    if spec["injection"] == "Automatic" {
        let matching = &spec["match"];
        if matching["conditions"].as_array().is_some_and(|conditions| !conditions.is_empty()) {
            notes.push(
                "spec.match.conditions cannot be expressed: only pods that request the template by annotation are \
                 checked; choose others with --selector or --namespace-selector"
                    .to_owned(),
            );
        } else {
            let parts = [
                enabled,
                format!("!({own} && {})", opts_out("object.metadata.annotations")),
                cel::selects("namespaceObject.metadata.labels", &matching["namespaceSelector"]),
                cel::selects("object.metadata.labels", &matching["podSelector"]),
            ];
            ways.push(format!("({})", parts.join(" && ")));
        }
    }
    ways.join(" || ")
}

/// Leaves out the pods that the kubelet mirrors, and Windows pods if the template is not for them.
/// Neither can evade: the kubelet runs no mirror pod of others, and on Linux no Windows pod.
pub(super) fn conditions(spec: &Value) -> Vec<Value> {
    let mut conditions = vec![super::not_a_mirror()];
    let is_for_windows = spec["match"]["os"].as_array().is_some_and(|systems| systems.contains(&json!("windows")));
    if !is_for_windows {
        let label = cel::string("kubernetes.io/os");
        let windows = format!(
            "has(object.spec.os) ? object.spec.os.name == \"windows\" : (has(object.spec.nodeSelector) && \
             {label} in object.spec.nodeSelector && object.spec.nodeSelector[{label}] == \"windows\")"
        );
        conditions.push(match_condition("not-a-windows-pod", format!("!({windows})")));
    }
    conditions
}
