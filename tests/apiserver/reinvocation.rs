use serde_json::{Value, json};
use crate::cluster::{in_namespace, names, pod};
use crate::test_webhook::TestWebhook;

fn add_container(pod: &Value) -> Vec<Value> {
    if names(pod, "/spec/containers").contains(&"other") { return Vec::new(); }
    vec![json!({"op": "add", "path": "/spec/containers/-", "value": {"name": "other", "image": "registry.example/other:1"}})]
}

#[test]
fn stand_in() {
    in_namespace("stand-in", "none", |namespace| {
        let webhook = TestWebhook::start(namespace.cluster, add_container);
        webhook.register("zz-stand-in", namespace);
        let stored = namespace.accepts(&pod("web", &json!({})));
        assert_eq!(names(&stored, "/spec/containers"), ["web", "other"]);
        let (ok, text) = namespace.kubectl(&["create", "-f", "-"], &pod("web", &json!({})));
        assert!(!ok); eprintln!("{text}");
    });
}
