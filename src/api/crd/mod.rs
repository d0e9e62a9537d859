//! Builds the CustomResourceDefinitions of both kinds of templates.
//!
//! What a schema cannot say is left to the validating webhook and the loader.
//! Invariant: a template that loads from a file is accepted as an object, and stored as it was
//! sent: nothing below `spec` is pruned or gets a default.

mod rules;
mod schema;
mod status;

use serde_json::{Value, json};

use super::template_object::{GROUP, READY, TemplateKind, VERSION};

/// The label with which a removal of the installation leaves the definitions out.
const COMPONENT: &str = "crds";

impl TemplateKind {
    /// The short name that `kubectl get` takes.
    pub const fn short_name(self) -> &'static str {
        match self {
            Self::Cluster => "citmpl",
            Self::Namespaced => "itmpl",
        }
    }

    const fn singular(self) -> &'static str {
        match self {
            Self::Cluster => "clusterinjectiontemplate",
            Self::Namespaced => "injectiontemplate",
        }
    }

    const fn scope(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Namespaced => "Namespaced",
        }
    }

    /// What `kubectl explain` says about the kind.
    const fn description(self) -> &'static str {
        match self {
            Self::Cluster => "A template of sidecars for the pods of all namespaces. Admins of the cluster write it.",
            Self::Namespaced => {
                "A template of sidecars for the pods of its own namespace. It may only do what Pod Security \"restricted\" allows."
            }
        }
    }
}

/// The CustomResourceDefinition of a kind of templates, as JSON.
pub fn definition(kind: TemplateKind) -> Value {
    let plural = kind.plural();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{GROUP}"),
            "labels": {"app.kubernetes.io/name": "outrigger", "app.kubernetes.io/component": COMPONENT},
        },
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.kind(),
                "listKind": format!("{}List", kind.kind()),
                "plural": plural,
                "singular": kind.singular(),
                "shortNames": [kind.short_name()],
                "categories": ["outrigger"],
            },
            "scope": kind.scope(),
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns(),
                "schema": {"openAPIV3Schema": document(kind)},
            }],
        },
    })
}

/// The schema of an object. That of `metadata` is the API server's own.
fn document(kind: TemplateKind) -> Value {
    let mut spec = schema::spec();
    rules::add_to_spec(kind, &mut spec);
    json!({
        "type": "object",
        "description": kind.description(),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": format!("Always `{GROUP}/{VERSION}`.")},
            "kind": {"type": "string", "description": format!("Always `{}`.", kind.kind())},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status::schema(),
        },
        "x-kubernetes-validations": rules::of_the_document(),
    })
}

/// The columns of `kubectl get`; those of a priority above 0 only with `-o wide`.
fn columns() -> Value {
    let condition = |field: &str| format!(".status.conditions[?(@.type==\"{READY}\")].{field}");
    json!([
        {"name": "Injection", "type": "string", "jsonPath": ".status.injection"},
        {"name": "Sidecars", "type": "string", "jsonPath": ".status.sidecars"},
        {"name": "Ready", "type": "string", "jsonPath": condition("status")},
        {"name": "Revision", "type": "string", "jsonPath": ".status.revision"},
        {"name": "Pods", "type": "integer", "jsonPath": ".status.pods"},
        {"name": "Namespaces", "type": "integer", "jsonPath": ".status.namespaces"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Reason", "type": "string", "jsonPath": condition("reason"), "priority": 1},
    ])
}

#[cfg(test)]
mod tests;
