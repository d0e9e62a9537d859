//! The QoS class Guaranteed: what it demands of the resources of a container.
//!
//! Rules: `GetPodQOS` in `pkg/apis/core/v1/helper/qos` of Kubernetes.

use crate::inject::text::quantity::{self, Quantity};
use serde_json::Value;

/// The resources that decide the class.
pub(crate) const RESOURCES: [&str; 2] = ["cpu", "memory"];

/// Whether a container with these resources leaves its pod Guaranteed.
pub(crate) fn is_guaranteed(resources: Option<&Value>) -> bool {
    let of = |field: &str, resource: &str| resources?.get(field)?.get(resource);
    RESOURCES.into_iter().all(|resource| {
        let is_equal = |request| of("limits", resource).is_some_and(|limit| quantity::same(limit, request));
        has_limit(resources, resource) && of("requests", resource).is_none_or(is_equal)
    })
}

/// Whether the resources have a limit of more than nothing.
pub(crate) fn has_limit(resources: Option<&Value>, resource: &str) -> bool {
    let limit = resources.and_then(|resources| resources.get("limits")?.get(resource));
    limit.and_then(|limit| Quantity::from_json(limit).ok()).is_some_and(Quantity::is_positive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_of_cpu_and_memory_that_equal_the_requests_are_guaranteed() {
        for (resources, expected) in [
            (json!({"limits": {"cpu": "1", "memory": "1Gi"}}), true),
            (json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}}), true),
            (json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1G"}}), false),
            (json!({"limits": {"cpu": "1"}}), false),
            (json!({"limits": {"cpu": "0", "memory": "1Gi"}}), false),
            (json!({"requests": {"cpu": "1", "memory": "1Gi"}}), false),
            (json!({"limits": null}), false),
            (json!(null), false),
        ] {
            assert_eq!(is_guaranteed(Some(&resources)), expected, "{resources}");
        }
        assert!(!is_guaranteed(None));
    }
}
