//! Evaluates a `matchCondition` of a webhook about the creation of a pod, as the API server does.
//!
//! Invariant: a condition that reads what is not known here, or that gives an error, has no value.

use super::{MAX_COMPREHENSIONS, MAX_DEPTH, Parsed, analysis, convert, limits, parse_once, rewrite, scope};
use super::{Type, with_large_stack};
use crate::inject::text::Message;
use cel::Value;
use serde_json::{Value as Json, json};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Longest condition that is evaluated, in bytes.
const MAX_BYTES: usize = 4096;

/// What only the API server knows of a request.
const UNKNOWN: [&str; 4] = ["userInfo", "uid", "options", "authorizer"];

/// Whether the condition holds for a request that creates this pod; `None` if that is not known.
pub(crate) fn holds_for_new_pod(source: &str, pod: &Json, namespace: &str) -> Option<bool> {
    if source.len() > MAX_BYTES || UNKNOWN.iter().any(|word| source.contains(word)) {
        return None;
    }
    // A panic of the parser fails only this condition.
    let parse = || catch_unwind(AssertUnwindSafe(|| parse(source)));
    let Parsed { tree, .. } = with_large_stack(parse).ok()?.ok()?.ok()?;
    let variables = [
        ("object", convert::object_to_cel(pod)),
        ("oldObject", Value::Null),
        ("request", convert::object_to_cel(&request(pod, namespace))),
    ];
    let value = scope::with_values(variables, |context| {
        limits::guarded(None, || Value::resolve(&tree, context)).map(convert::without_optional)
    });
    match value {
        Ok(Value::Bool(holds)) => Some(holds),
        _ => None,
    }
}

fn parse(source: &str) -> Result<Parsed, Message> {
    let mut tree = parse_once(source)?;
    rewrite::rewrite(&mut tree);
    let is_small = analysis::depth(&tree) <= MAX_DEPTH && analysis::comprehension_depth(&tree) <= MAX_COMPREHENSIONS;
    if is_small { Ok(Parsed { tree, found: Type::Any, errors: Vec::new() }) } else { Err(Message::default()) }
}

/// What is known of the request.
fn request(pod: &Json, namespace: &str) -> Json {
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    let name = pod.pointer("/metadata/name").and_then(Json::as_str).unwrap_or_default();
    json!({
        "kind": kind, "requestKind": kind, "resource": resource, "requestResource": resource, "subResource": "",
        "requestSubResource": "", "name": name, "namespace": namespace, "operation": "CREATE", "dryRun": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_about_a_new_pod_has_a_value_or_is_not_known() {
        let pod = json!({"metadata": {"namespace": "shop", "labels": {"app": "web"}}, "spec": {"containers": [{"name": "a"}]}});
        for (source, expected) in [
            ("object.metadata.namespace == \"other\"", Some(false)),
            ("request.namespace == 'shop' && request.operation == 'CREATE'", Some(true)),
            ("oldObject == null", Some(true)),
            ("has(object.metadata.labels) && object.metadata.labels['app'] == 'web'", Some(true)),
            ("!has(object.metadata.annotations)", Some(true)),
            ("object.spec.containers.all(c, c.name != 'b')", Some(true)),
            ("object.spec.containers.exists(c, c.name.startsWith('b'))", Some(false)),
            // The API server gives an error.
            ("object.metadata.annotations['x'] == 'y'", None),
            ("object.metadata.namespace", None),
            ("request.userInfo.username == 'admin'", None),
            ("!has(request.userInfo)", None),
            ("authorizer.group('').resource('pods').check('get').allowed()", None),
            ("object.metadata.", None),
            ("variables.x", None),
        ] {
            assert_eq!(holds_for_new_pod(source, &pod, "shop"), expected, "{source}");
        }
    }
}
