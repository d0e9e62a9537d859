//! The rule for sleeps of lifecycle hooks: none is longer than the grace period of the pod.

use serde_json::Value;

/// The field of the pod's spec.
pub(crate) const FIELD: &str = "terminationGracePeriodSeconds";
/// The grace period of a pod that sets none (`SetDefaults_PodSpec`).
pub(crate) const DEFAULT: i64 = 30;

const HOOKS: [&str; 2] = ["preStop", "postStart"];

/// The grace period that kube-apiserver takes a value for: a negative one is 1.
pub(crate) const fn effective(period: i64) -> i64 {
    if period < 0 { 1 } else { period }
}

/// The hooks of a container that sleep longer than the grace period (`validateSleepAction`).
pub(crate) fn sleeps_longer(container: &Value, period: i64) -> impl Iterator<Item = (&'static str, i64)> {
    let lifecycle = container.get("lifecycle");
    HOOKS.into_iter().filter_map(move |hook| {
        let seconds = lifecycle?.get(hook)?.get("sleep")?.get("seconds")?.as_i64()?;
        (seconds > effective(period)).then_some((hook, seconds))
    })
}
