//! What becomes of the resources and of the QoS class of a pod that gets a sidecar, with LimitRanges
//! and quotas beside it.

use std::time::Duration;

use outrigger::inject::uninject;
use serde_json::{Value, json};

use crate::cluster::{Namespace, pod};
use crate::outrigger::with_custom;
use crate::process::eventually;

tests! {
    the_resources_of_a_pod_grow_and_shrink_again,
    a_pod_that_may_not_grow_is_refused_if_it_must,
    the_class_of_a_pod_is_kept_or_lost_with_a_warning,
    a_limit_range_for_containers_counts_beside_the_resources_of_the_pod,
    a_limit_range_for_pods_counts_what_has_grown,
    a_quota_counts_what_has_grown,
}

const LIMIT: Duration = Duration::from_secs(20);

/// The pod that asks for the template, with these fields of the spec.
fn asking(template: &str, spec: &Value) -> Value {
    let mut asking = pod("web", &json!({"outrigger.dev/inject": template}));
    for (field, value) in spec.as_object().expect("fields") {
        match field.as_str() {
            "web" => asking["spec"]["containers"][0]["resources"] = value.clone(),
            _ => asking["spec"][field] = value.clone(),
        }
    }
    asking
}

/// Requests and limits of the pod.
fn amounts(stored: &Value) -> (Value, Value) {
    (stored["spec"]["resources"]["requests"].clone(), stored["spec"]["resources"]["limits"].clone())
}

fn the_resources_of_a_pod_grow_and_shrink_again() {
    let once = json!([{"name": "own", "image": "own:1", "resources": {"requests": {"cpu": "300m"}}}]);
    let rows = [
        (
            "requests",
            json!({"resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}, "web": {"requests": {"cpu": "100m"}}}),
            (json!({"cpu": "110m", "memory": "96Mi"}), Value::Null, "Burstable"),
        ),
        (
            "limits, of which the API server makes requests",
            json!({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, "web": {"requests": {"cpu": "100m"}}}),
            (json!({"cpu": "110m", "memory": "1056Mi"}), json!({"cpu": "1200m", "memory": "1152Mi"}), "Burstable"),
        ),
        (
            "both",
            json!({"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}}}),
            (json!({"cpu": "1010m", "memory": "1056Mi"}), json!({"cpu": "2200m", "memory": "1152Mi"}), "Burstable"),
        ),
        (
            "requests equal to limits",
            json!({"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}}),
            (json!({"cpu": "1200m", "memory": "1152Mi"}), json!({"cpu": "1200m", "memory": "1152Mi"}), "Guaranteed"),
        ),
        (
            "an init container that needs more than the app",
            json!({"resources": {"requests": {"cpu": "300m"}}, "initContainers": once}),
            (json!({"cpu": "310m"}), Value::Null, "Burstable"),
        ),
    ];
    with_custom("pod-resources", |namespace, _| {
        for (what, spec, (requests, limits, class)) in rows {
            let stored = namespace.would_accept(&asking("grow", &spec));
            let (mut found, limits_found) = amounts(&stored);
            // What the pod does not name the API server adds up itself.
            if let (Some(found), Some(named)) = (found.as_object_mut(), requests.as_object()) {
                found.retain(|resource, _| named.contains_key(resource));
            }
            assert_eq!((found, limits_found), (requests, limits), "{what}");
            assert_eq!(stored["status"]["qosClass"], class, "{what}");
            let without = uninject(&stored, "outrigger.dev").expect("a status").expect("something to take out");
            let mut plain = asking("grow", &spec);
            plain["metadata"]["annotations"] = json!({});
            let (mut left, expected) = (amounts(&without), amounts(&namespace.would_accept(&plain)));
            if let (Some(left), Some(expected)) = (left.0.as_object_mut(), expected.0.as_object()) {
                left.retain(|resource, _| expected.contains_key(resource));
            }
            assert_eq!(left, expected, "{what}");
        }
        // The API server adds nothing up where the pod has no limits.
        let only = json!({"resources": {"requests": {"memory": "64Mi"}}});
        let stored = namespace.would_accept(&asking("grow", &only));
        assert_eq!(amounts(&stored), (json!({"memory": "96Mi"}), Value::Null));
        let empty = namespace.would_accept(&asking("grow", &json!({"resources": {}})));
        assert_eq!((amounts(&empty), &empty["status"]["qosClass"]), ((Value::Null, Value::Null), &json!("BestEffort")));
    });
}

fn a_pod_that_may_not_grow_is_refused_if_it_must() {
    with_custom("pod-resources-stay", |namespace, _| {
        let roomy =
            json!({"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}, "web": {"requests": {"cpu": "100m"}}});
        let stored = namespace.would_accept(&asking("stay", &roomy));
        assert_eq!(amounts(&stored), (json!({"cpu": "1", "memory": "1Gi"}), Value::Null));
        let tight = json!({"resources": {"requests": {"cpu": "100m"}}, "web": {"requests": {"cpu": "100m"}}});
        let message = namespace.rejects(&asking("stay", &tight));
        assert!(message.contains("spec.resources.requests allows 100m of \"cpu\""), "{message}");
    });
}

fn the_class_of_a_pod_is_kept_or_lost_with_a_warning() {
    let whole = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
    let pods = [
        ("Guaranteed", json!({"web": whole})),
        ("Burstable", json!({"web": {"limits": {"cpu": "1"}}})),
        ("BestEffort", json!({})),
        ("Guaranteed", json!({"resources": whole})),
    ];
    with_custom("qos", |namespace, _| {
        for (before, spec) in pods {
            let mut plain = asking("grow", &spec);
            plain["metadata"]["annotations"] = json!({});
            assert_eq!(namespace.would_accept(&plain)["status"]["qosClass"], before, "{spec}");
            for template in ["grow", "class", "bare"] {
                let answer = namespace.create_pod(&asking(template, &spec), "&dryRun=All");
                let warns =
                    answer.warnings.iter().any(|warning| warning.contains("was Guaranteed and becomes Burstable"));
                let stored = answer.expect_success();
                let after = match (before, template) {
                    ("Guaranteed", _) if spec["resources"].is_object() => "Guaranteed",
                    ("Guaranteed", "class") => "Guaranteed",
                    ("BestEffort", "bare") => "BestEffort",
                    _ => "Burstable",
                };
                assert_eq!(stored["status"]["qosClass"], after, "{template}: {spec}");
                assert_eq!(warns, before == "Guaranteed" && after == "Burstable", "{template}: {spec}");
            }
        }
    });
}

/// Creates a LimitRange and waits until admission uses it.
fn limit_range(namespace: &Namespace, limits: &Value, is_known: impl Fn() -> bool) {
    let object = json!({"metadata": {"name": "limits"}, "spec": {"limits": [limits]}});
    namespace.cluster.send_object("POST", &namespace.path("limitranges"), &object).expect_success();
    eventually("LimitRanger knows the LimitRange", LIMIT, || is_known().then_some(()));
}

fn a_limit_range_for_containers_counts_beside_the_resources_of_the_pod() {
    with_custom("pod-resources-defaults", |namespace, _| {
        let defaults = json!({
            "type": "Container", "max": {"memory": "1Gi"},
            "default": {"cpu": "1", "memory": "512Mi"}, "defaultRequest": {"cpu": "100m", "memory": "128Mi"},
        });
        limit_range(namespace, &defaults, || {
            let stored = namespace.would_accept(&pod("probe", &json!({})));
            stored.pointer("/spec/containers/0/resources/limits/cpu").is_some()
        });
        // A template with resources of its own: the defaults are those of the app alone.
        let named = json!({"resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}});
        let stored = namespace.would_accept(&asking("grow", &named));
        assert_eq!(amounts(&stored).0, json!({"cpu": "110m", "memory": "160Mi"}));
        // LimitRanger gives its defaults to a bare sidecar after the webhook, which the pod has no room for.
        let message = namespace.rejects(&asking("bare", &named));
        assert!(message.contains("must be greater than or equal to aggregate container requests of"), "{message}");
        let roomy = json!({"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}});
        assert_eq!(amounts(&namespace.would_accept(&asking("bare", &roomy))).0, roomy["resources"]["requests"]);
        let message = namespace.rejects(&asking("grow", &json!({"web": {"limits": {"memory": "2Gi"}}})));
        assert!(message.contains("maximum memory usage per Container is 1Gi"), "{message}");
        // Requests and limits that LimitRanger fills in alike make a pod Guaranteed, as the webhook sees it.
        let equal = json!({"web": {"requests": {"cpu": "1", "memory": "512Mi"}}});
        let stored = namespace.would_accept(&asking("class", &equal));
        assert_eq!(stored["status"]["qosClass"], "Guaranteed", "{stored}");
    });
}

fn a_limit_range_for_pods_counts_what_has_grown() {
    with_custom("pod-resources-maximum", |namespace, _| {
        let maximum = json!({"type": "Pod", "max": {"memory": "1Gi"}, "maxLimitRequestRatio": {"memory": "2"}});
        let of = |request: &str, limit: &str| json!({"resources": {"requests": {"memory": request}, "limits": {"memory": limit}}});
        let large = {
            let mut large = asking("grow", &of("2Gi", "2Gi"));
            large["metadata"]["annotations"] = json!({});
            large
        };
        limit_range(namespace, &maximum, || !namespace.create_pod(&large, "&dryRun=All").is_success());
        let stored = namespace.would_accept(&asking("grow", &of("512Mi", "768Mi")));
        assert_eq!(amounts(&stored), (json!({"cpu": "10m", "memory": "544Mi"}), json!({"memory": "896Mi"})));
        let message = namespace.rejects(&asking("grow", &of("1Gi", "1Gi")));
        assert!(message.contains("maximum memory usage per Pod is 1Gi, but limit is 1152Mi"), "{message}");
        // What the sidecar may use counts for the ratio.
        let message = namespace.rejects(&asking("grow", &of("64Mi", "128Mi")));
        assert!(message.contains("memory max limit to request ratio per Pod is 2"), "{message}");
        assert_eq!(
            amounts(&namespace.would_accept(&asking("stay", &of("64Mi", "128Mi")))).1,
            json!({"memory": "128Mi"})
        );
    });
}

fn a_quota_counts_what_has_grown() {
    with_custom("pod-resources-quota", |namespace, _| {
        let hard = json!({"requests.memory": "150Mi"});
        let quota = json!({"metadata": {"name": "quota"}, "spec": {"hard": hard}});
        let path = namespace.path("resourcequotas");
        let mut stored = namespace.cluster.send_object("POST", &path, &quota).expect_success();
        // No controller of the tests counts what is used.
        stored["status"] = json!({"hard": hard, "used": {"requests.memory": "0"}});
        namespace.cluster.send_object("PUT", &format!("{path}/quota/status"), &stored).expect_success();
        let of = |name: &str, memory: &str| {
            let mut pod = asking("grow", &json!({"resources": {"requests": {"memory": memory}}}));
            pod["metadata"]["name"] = json!(name);
            pod
        };
        eventually("admission knows the quota", LIMIT, || {
            let refused = !namespace.create_pod(&of("probe", "1Gi"), "&dryRun=All").is_success();
            refused.then_some(())
        });
        let message = namespace.rejects(&of("large", "128Mi"));
        assert!(message.contains("exceeded quota: quota, requested: requests.memory=160Mi"), "{message}");
        let stored = namespace.accepts(&of("small", "100Mi"));
        assert_eq!(stored["spec"]["resources"]["requests"]["memory"], "132Mi");
        let used = eventually("the quota counts", LIMIT, || {
            let quota = namespace.cluster.get(&format!("{path}/quota")).expect_success();
            let used = quota["status"]["used"]["requests.memory"].clone();
            (used != "0").then_some(used)
        });
        assert_eq!(used, "132Mi");
    });
}
