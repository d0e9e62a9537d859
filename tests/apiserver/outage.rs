//! While the webhook is down, only pods that request injection are refused.

use serde_json::json;

use crate::cluster::{Namespace, WEBHOOK_LABEL, in_namespace, names, pod};
use crate::outrigger::Outrigger;

tests! { during_an_outage_pods_that_request_nothing_are_still_created }

fn during_an_outage_pods_that_request_nothing_are_still_created() {
    in_namespace("outage", "outage", |namespace| {
        let outrigger = Outrigger::start(namespace.cluster, "outage", &[]);
        outrigger.register(namespace, "outage", "log-collector", |_| {});
        let asking = json!({"outrigger.dev/inject": "log-collector"});
        assert!(!names(&namespace.accepts(&pod("before", &asking)), "/spec/initContainers").is_empty());

        outrigger.kill();
        namespace.accepts(&pod("silent", &json!({})));
        namespace.accepts(&pod("other-annotations", &json!({"example.com/team": "a"})));
        namespace_that_takes_part(namespace).accepts(&pod("silent", &json!({})));
        let message = namespace.rejects(&pod("asking", &asking));
        assert!(message.contains("failed calling webhook \"pods.inject.outrigger.dev\""), "{message}");
    });
}

/// Pods in this namespace are also sent without an annotation; its failure policy lets them pass.
fn namespace_that_takes_part(of: &Namespace) -> Namespace {
    let namespace = of.cluster.namespace("outage-takes-part", "outage");
    let labels = json!({"metadata": {"labels": {"outrigger.dev/injection": "enabled", WEBHOOK_LABEL: "outage"}}});
    let path = format!("/api/v1/namespaces/{}", namespace.name);
    let answer = of.cluster.send("PATCH", &path, "application/merge-patch+json", labels.to_string().into_bytes());
    answer.expect_success();
    namespace
}
