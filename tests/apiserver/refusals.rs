//! The message that the author of a pod reads in the terminal when the pod is refused.

use serde_json::{Value, json};

use crate::cluster::{Namespace, pod};
use crate::outrigger::{with_built_in, with_custom};

tests! {
    a_misspelt_template_is_refused_in_one_line,
    a_bad_parameter_is_refused_in_one_line,
    a_long_value_is_shortened_in_the_message,
    all_problems_of_a_pod_are_reported_together,
    a_conflict_with_the_pod_changes_nothing,
}

const DENIED: &str = "admission webhook \"pods.inject.outrigger.dev\" denied the request: ";

fn a_misspelt_template_is_refused_in_one_line() {
    with_built_in("refused-template", |namespace, _| {
        let line = refusal(namespace, &json!({"outrigger.dev/inject": "log-colector"}));
        assert!(line.contains("\"log-colector\"") && line.contains("log-collector"), "{line}");
    });
}

fn a_bad_parameter_is_refused_in_one_line() {
    with_custom("refused-parameter", |namespace, _| {
        let annotations =
            json!({"outrigger.dev/inject": "agent", "agent.outrigger.dev/dataDir": "a \"quoted\"\nline\u{7}"});
        let line = refusal(namespace, &annotations);
        assert!(line.contains("agent.outrigger.dev/dataDir"), "{line}");
        assert!(!line.contains('\u{7}'), "{line:?}");
    });
}

fn a_long_value_is_shortened_in_the_message() {
    with_custom("refused-length", |namespace, _| {
        let annotations =
            json!({"outrigger.dev/inject": "agent", "agent.outrigger.dev/dataDir": "x".repeat(200 * 1024)});
        let line = refusal(namespace, &annotations);
        assert!(line.len() < 600, "{} bytes: {line}", line.len());
    });
}

fn all_problems_of_a_pod_are_reported_together() {
    with_custom("refused-twice", |namespace, _| {
        let annotations = json!({
            "outrigger.dev/inject": "agent", "agent.outrigger.dev/datadir": "/x", "outrigger.dev/containers": "wep",
        });
        let line = refusal(namespace, &annotations);
        assert!(line.contains("agent.outrigger.dev/datadir") && line.contains("\"wep\""), "{line}");
    });
}

fn a_conflict_with_the_pod_changes_nothing() {
    with_custom("refused-conflict", |namespace, _| {
        let mut asking = pod("web", &json!({"outrigger.dev/inject": "agent"}));
        asking["spec"]["containers"][0]["env"] = json!([{"name": "AGENT_DIR", "value": "/elsewhere"}]);
        let message = namespace.rejects(&asking);
        assert!(message.contains("AGENT_DIR"), "{message}");
        assert_eq!(namespace.cluster.get(&namespace.path("pods/web")).status, 404);
    });
}

/// The line that kubectl prints for a pod with these annotations, from the webhook's message on.
fn refusal(namespace: &Namespace, annotations: &Value) -> String {
    let (succeeded, text) = namespace.kubectl(&["create", "-f", "-"], &pod("web", annotations));
    assert!(!succeeded, "kubectl created the pod: {text}");
    let line = text.trim_end_matches('\n');
    assert!(!line.contains('\n'), "more than one line: {text}");
    let (_, message) = line.split_once(DENIED).unwrap_or_else(|| panic!("not refused by the webhook: {line}"));
    message.to_owned()
}
