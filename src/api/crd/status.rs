//! The schema of the status of a template object.
//!
//! Invariant: every field of `TemplateObjectStatus` is in it; the API server would prune any other.

use serde_json::{Value, json};

use crate::api::template_object::MAX_REVISIONS;

/// The schema of `status`.
pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "description": "What Outrigger says about the template. Only its leading replica writes it.",
        "properties": {
            "observedGeneration": integer("The generation that the rest of the status is about."),
            "conditions": {
                "type": "array",
                "description": "One condition of the type `Ready`.",
                "items": condition(),
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
            "injection": string("`OptIn` or `Automatic`."),
            "sidecars": string("Names of the sidecars, separated by commas."),
            "revision": string("The revision that pods get; empty if none is served. During a rollout, that of the chosen part of the pods."),
            "stableRevision": string("The revision that pods outside of a rollout get; equal to `revision` without one."),
            "warnings": {
                "type": "array",
                "description": "What is probably not as its author expects, a line each.",
                "items": {"type": "string"},
            },
            "revisions": {
                "type": "array",
                "description": format!("The last {MAX_REVISIONS} revisions, the newest first. A pod may ask for one of them by `name@revision`."),
                "items": revision(),
            },
            "pods": integer("How many pods carry the template, of whatever revision."),
            "namespaces": integer("In how many namespaces these pods are."),
        },
    })
}

fn condition() -> Value {
    json!({
        "type": "object",
        "required": ["type", "status"],
        "properties": {
            "type": string("`Ready`: pods get what the template says now."),
            "status": string("`True` or `False`."),
            "reason": string("Why, as a word for machines."),
            "message": string("Why, as a sentence for people."),
            "lastTransitionTime": {
                "type": "string",
                "format": "date-time",
                "description": "When `status` changed last.",
            },
            "observedGeneration": integer("The generation that the condition is about."),
        },
    })
}

fn revision() -> Value {
    json!({
        "type": "object",
        "properties": {
            "revision": string("The revision: 10 hex digits."),
            "spec": string("The spec of this revision, compressed."),
            "pods": integer("How many pods carry this revision."),
        },
    })
}

fn string(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn integer(description: &str) -> Value {
    json!({"type": "integer", "format": "int64", "description": description})
}
