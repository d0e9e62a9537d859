//! Existing pods of a workload, compared with a new one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::fleet::{Controller, Owner};
use super::ExplainArgs;
use super::explanation::{Effect, Explanation, PodGroup};
use super::kinds;
use super::reader::{PAGE, Reader, items, name_of, percent_encoded};
use crate::inject::annotations::AnnotationKeys;

impl Reader {
    /// Compares the existing pods of a workload with what a new pod would get.
    pub(super) async fn existing_pods(
        &mut self,
        args: &ExplainArgs,
        explanation: &mut Explanation,
        document: &Value,
        namespace: &str,
    ) {
        if explanation.templates_unread {
            explanation.notes.push("existing pods are not compared: the templates could not be read".to_owned());
            return;
        }
        if document.get("kind").is_some_and(|kind| kind == "CronJob") {
            explanation.notes.push("pods of a CronJob are not listed; explain its Jobs: job/NAME".to_owned());
        }
        let is_workload = document.get("kind").is_some_and(|kind| kind != "Pod");
        let Some(selector) = document.pointer("/spec/selector").and_then(selector).filter(|_| is_workload) else {
            return;
        };
        let pods = kinds::find("pods").map(|pods| pods.path(namespace)).unwrap_or_default();
        let path = format!("{pods}?limit={PAGE}&labelSelector={}", percent_encoded(&selector));
        match self.get(&path).await {
            Ok(list) => {
                let rest = list.pointer("/metadata/continue").and_then(Value::as_str);
                if rest.is_some_and(|token| !token.is_empty()) {
                    let note = format!("only the first {PAGE} pods are compared; outrigger get looks at all");
                    explanation.notes.push(note);
                }
                let mut pods = items(&list);
                pods.retain(|pod| is_of(pod, document));
                explanation.pods = groups(&pods, explanation, args.engine.domain());
            }
            Err(why) => self.tell("the list of pods", why, "existing pods are not compared"),
        }
    }
}

/// A selector as the API takes it in a query; `None` if it has no requirement. That of a
/// ReplicationController is a map of labels.
fn selector(selector: &Value) -> Option<String> {
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    let labels = match selector.get("matchLabels") {
        Some(labels) => labels.as_object(),
        None => selector.as_object().filter(|_| expressions.is_none()),
    };
    let equal = labels.into_iter().flatten().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    let requirements: Vec<String> = equal.chain(expressions.into_iter().flatten().filter_map(requirement)).collect();
    (!requirements.is_empty()).then(|| requirements.join(","))
}

/// `tier in (web,api)`
fn requirement(expression: &Value) -> Option<String> {
    let key = expression.get("key")?.as_str()?;
    let values = expression.get("values").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let values = values.collect::<Vec<_>>().join(",");
    match expression.get("operator")?.as_str()? {
        "In" => Some(format!("{key} in ({values})")),
        "NotIn" => Some(format!("{key} notin ({values})")),
        "Exists" => Some(key.to_owned()),
        "DoesNotExist" => Some(format!("!{key}")),
        _ => None,
    }
}

/// Whether the workload has created the pod: the selectors of two workloads may match the same pods.
fn is_of(pod: &Value, document: &Value) -> bool {
    let text = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let owners = pod.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
    let controller = owners.into_iter().find(|owner| owner.get("controller") == Some(&Value::Bool(true)));
    let Some((kind, name)) = controller.and_then(|owner| Some((text(owner, "/kind")?, text(owner, "/name")?))) else {
        return false;
    };
    let labels = pod.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
    let controller = Controller { kind: kind.clone(), name: name.clone(), ..Controller::default() };
    let owner = Owner::of_pod("", Some(&controller), &labels);
    let (own_kind, own_name) = (text(document, "/kind"), text(document, "/metadata/name"));
    [(kind, name), (owner.kind, owner.name)]
        .into_iter()
        .any(|(kind, name)| (Some(kind), Some(name)) == (own_kind.clone(), own_name.clone()))
}

/// Pods that carry the same, with how that differs from a new pod.
fn groups(pods: &[Value], explanation: &Explanation, domain: &str) -> Vec<PodGroup> {
    let keys = AnnotationKeys::new(domain);
    let wanted = wanted(explanation);
    let mut groups: BTreeMap<(bool, String), Vec<String>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !is_ending(pod)) {
        let status = pod.pointer("/metadata/annotations").and_then(|all| all.get(&keys.status)).and_then(Value::as_str);
        let status = status.and_then(crate::inject::status::Status::<crate::inject::status::StatusEntry>::parse);
        let entries = status.map(|status| status.templates).unwrap_or_default();
        let has: BTreeMap<&str, &str> =
            entries.iter().map(|entry| (entry.name.as_str(), entry.revision.as_str())).collect();
        let shown: Vec<String> = has.iter().map(|(name, revision)| format!("{name} at revision {revision}")).collect();
        let carries = if shown.is_empty() { "no template".to_owned() } else { shown.join(", ") };
        let missing: Vec<String> = wanted
            .iter()
            .filter(|(name, revision)| has.get(*name) != Some(*revision))
            .map(|(name, revision)| format!("{name} at revision {revision}"))
            .collect();
        let (is_current, state) = match (explanation.effect, has == wanted, missing.is_empty()) {
            (Effect::Refused, ..) => (false, format!("with {carries}; a new pod would be refused")),
            (Effect::Failed, ..) => (false, format!("with {carries}; a new pod would get no verdict")),
            (Effect::NotKnown, ..) => (false, format!("with {carries}; what a new pod would get is not known")),
            (_, true, _) => (true, format!("with {carries}, as a new pod")),
            (_, false, true) => (false, format!("with {carries}; a new pod would get less")),
            (_, false, false) => (false, format!("with {carries}; a new pod would get {}", missing.join(", "))),
        };
        groups.entry((is_current, state)).or_default().extend(name_of(pod));
    }
    groups.into_iter().map(|((is_current, state), pods)| PodGroup { state, is_current, pods }).collect()
}

/// The templates of a new pod with their revisions: those in the pod template, and those it is injected with.
fn wanted(explanation: &Explanation) -> BTreeMap<&str, &str> {
    let carried = explanation.carried.iter().flat_map(|carried| &carried.templates);
    let carried = carried.map(|template| (template.name.as_str(), template.revision.as_str()));
    let decision = &explanation.decision;
    let injected = decision.templates.iter().filter(|template| decision.injected.contains(&template.name));
    let injected = injected.filter(|_| explanation.effect == Effect::Injected);
    carried.chain(injected.filter_map(|one| Some((one.name.as_str(), one.revision.as_deref()?)))).collect()
}

/// Whether the pod is being deleted or has ended: it is not created anew.
fn is_ending(pod: &Value) -> bool {
    let phase = pod.pointer("/status/phase").and_then(Value::as_str);
    pod.pointer("/metadata/deletionTimestamp").is_some() || matches!(phase, Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::explanation::tests::{TEMPLATE, explained, explained_if_asked, pod};
    use super::*;

    #[test]
    fn selectors_are_those_of_a_query() {
        let found = |text: &str| selector(&serde_json::from_str(text).expect("JSON"));
        let labels = r#"{"matchLabels": {"app": "web", "a/b": ""}, "matchExpressions": []}"#;
        assert_eq!(found(labels).as_deref(), Some("a/b=,app=web"));
        assert_eq!(found(r#"{"app": "rc"}"#).as_deref(), Some("app=rc"));
        let expressions = r#"{"matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["web", "api"]},
            {"key": "track", "operator": "NotIn", "values": ["canary"]},
            {"key": "app", "operator": "Exists"}, {"key": "old", "operator": "DoesNotExist"}]}"#;
        assert_eq!(found(expressions).as_deref(), Some("tier in (web,api),track notin (canary),app,!old"));
        assert_eq!(found("{}"), None);
    }

    #[test]
    fn pods_of_another_workload_with_the_same_labels_are_not_its_own() {
        let pod = |kind: &str, name: &str| {
            let owner = json!([{"kind": kind, "name": name, "controller": true}]);
            json!({"metadata": {"labels": {"app": "web", "pod-template-hash": "5d4f"}, "ownerReferences": owner}})
        };
        let document = |kind: &str, name: &str| json!({"kind": kind, "metadata": {"name": name}});
        for (kind, name, expected) in
            [("Deployment", "web", true), ("Deployment", "web-canary", false), ("ReplicaSet", "web-5d4f", true)]
        {
            assert_eq!(is_of(&pod("ReplicaSet", "web-5d4f"), &document(kind, name)), expected, "{kind} {name}");
        }
        assert!(!is_of(&pod("ReplicaSet", "web-canary-5d4f"), &document("Deployment", "web")));
        assert!(is_of(&pod("StatefulSet", "db"), &document("StatefulSet", "db")));
        assert!(!is_of(&json!({"metadata": {"labels": {"app": "web"}}}), &document("Deployment", "web")));
    }

    #[test]
    fn a_new_pod_that_is_refused_gets_not_less() {
        let state = |explanation: &Explanation, annotations: Value| {
            let found =
                groups(&[json!({"metadata": {"name": "a", "annotations": annotations}})], explanation, "outrigger.dev");
            (found[0].state.clone(), found[0].is_current)
        };
        let none = || json!({});
        let refused = explained(&pod(), &TEMPLATE.replace("proxy}", "other}"));
        assert_eq!(refused.effect, Effect::Refused);
        let status = r#"{"version":1,"templates":[{"name":"proxy","revision":"0123456789"}]}"#;
        let carrying = || json!({"outrigger.dev/status": status});
        let expected = "with proxy at revision 0123456789; a new pod would be refused";
        assert_eq!(state(&refused, carrying()), (expected.to_owned(), false));
        assert_eq!(state(&refused, none()), ("with no template; a new pod would be refused".to_owned(), false));
        let unknown = explained_if_asked(&pod(), TEMPLATE, None);
        let expected = "with no template; what a new pod would get is not known";
        assert_eq!(state(&unknown, none()), (expected.to_owned(), false));
        // A workload whose template was injected in its file: its pods carry what the template does.
        let mut document = pod();
        document["metadata"]["annotations"]["outrigger.dev/status"] = status.into();
        let skipped = explained(&document, TEMPLATE);
        assert_eq!(skipped.effect, Effect::Skipped);
        let expected = "with proxy at revision 0123456789, as a new pod";
        assert_eq!(state(&skipped, carrying()), (expected.to_owned(), true));
    }

    #[test]
    fn pods_that_are_going_or_gone_are_not_compared() {
        for (pod, expected) in [
            (json!({"metadata": {"name": "a"}}), false),
            (json!({"metadata": {}, "status": {"phase": "Running"}}), false),
            (json!({"metadata": {}, "status": {"phase": "Pending"}}), false),
            (json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Running"}}), true),
            (json!({"metadata": {}, "status": {"phase": "Succeeded"}}), true),
            (json!({"metadata": {}, "status": {"phase": "Failed"}}), true),
        ] {
            assert_eq!(is_ending(&pod), expected, "{pod}");
        }
    }
}
