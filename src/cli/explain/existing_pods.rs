//! Existing pods of a workload, compared with a new one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ExplainArgs;
use super::explanation::{Effect, Explanation, PodGroup};
use super::kinds;
use super::reader::{PAGE, Reader, items, name_of};
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
        if document.pointer("/spec/selector/matchExpressions").is_some() {
            let note = "existing pods are not compared: the selector has matchExpressions; explain a pod of it";
            explanation.notes.push(note.to_owned());
            return;
        }
        let labels = document.pointer("/spec/selector").map(|selector| selector.get("matchLabels").unwrap_or(selector));
        let Some(labels) = labels.and_then(Value::as_object).filter(|labels| !labels.is_empty()) else { return };
        let is_workload = document.get("kind").is_some_and(|kind| kind != "Pod");
        if !is_workload {
            return;
        }
        let selector: Vec<String> =
            labels.iter().filter_map(|(key, value)| Some(format!("{key}%3D{}", value.as_str()?))).collect();
        let pods = kinds::find("pods").map(|pods| pods.path(namespace)).unwrap_or_default();
        let path = format!("{pods}?limit={PAGE}&labelSelector={}", selector.join(",").replace('/', "%2F"));
        match self.get(&path).await {
            Ok(list) => {
                let rest = list.pointer("/metadata/continue").and_then(Value::as_str);
                if rest.is_some_and(|token| !token.is_empty()) {
                    let note = format!("only the first {PAGE} pods are compared; outrigger get looks at all");
                    explanation.notes.push(note);
                }
                explanation.pods = groups(&items(&list), explanation, args.engine.domain());
            }
            Err(why) => self.tell("the list of pods", why, "existing pods are not compared"),
        }
    }
}

/// Pods that carry the same, with how that differs from a new pod.
fn groups(pods: &[Value], explanation: &Explanation, domain: &str) -> Vec<PodGroup> {
    let keys = AnnotationKeys::new(domain);
    let wanted: BTreeMap<&str, &str> = explanation
        .decision
        .templates
        .iter()
        .filter(|template| explanation.decision.injected.contains(&template.name))
        .filter(|_| explanation.asked.is_called() != Some(false))
        .filter_map(|template| Some((template.name.as_str(), template.revision.as_deref()?)))
        .collect();
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
        let (is_current, state) = match (has == wanted, missing.is_empty()) {
            (true, _) => (true, format!("with {carries}, as a new pod")),
            (false, true) => (false, format!("with {carries}; a new pod would get less")),
            (false, false) => (false, format!("with {carries}; a new pod would get {}", missing.join(", "))),
        };
        groups.entry((is_current, state)).or_default().extend(name_of(pod));
    }
    groups.into_iter().map(|((is_current, state), pods)| PodGroup { state, is_current, pods }).collect()
}

/// Whether the pod is being deleted or has ended: it is not created anew.
fn is_ending(pod: &Value) -> bool {
    let phase = pod.pointer("/status/phase").and_then(Value::as_str);
    pod.pointer("/metadata/deletionTimestamp").is_some() || matches!(phase, Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::is_ending;

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
