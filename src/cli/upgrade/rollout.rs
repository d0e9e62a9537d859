//! How far the rollout of a workload has come, and how many pods it may make unavailable.

use serde_json::Value;

/// How a workload stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RolloutState {
    /// All pods are those of its newest template, and available.
    Complete,
    /// Not yet.
    Underway {
        /// How many pods are new, and how many are available.
        reached: (usize, usize),
        /// The same in words, with what its controller says.
        state: String,
    },
}

/// Why a workload is not restarted.
pub(super) fn cannot_restart(kind: &str, workload: &Value, max_unavailable: usize) -> Option<String> {
    if workload.pointer("/spec/paused").is_some_and(|paused| *paused == Value::Bool(true)) {
        return Some("it is paused; resume it, or leave it out with a label selector".to_owned());
    }
    if text(workload, "/spec/updateStrategy/type") == "OnDelete" {
        return Some("its update strategy is OnDelete; delete its pods one after the other".to_owned());
    }
    if number(workload, "/spec/updateStrategy/rollingUpdate/partition") > 0 {
        return Some("its update strategy has a partition, which would leave pods as they are; set it to 0".to_owned());
    }
    let unavailable = may_be_unavailable(kind, workload);
    (unavailable > max_unavailable).then(|| {
        format!(
            "its own strategy lets {unavailable} pods be unavailable at once, more than --max-unavailable \
             {max_unavailable}; raise the flag, or lower maxUnavailable of the workload"
        )
    })
}

/// The pods that the workload's own strategy lets be unavailable at once.
pub(super) fn may_be_unavailable(kind: &str, workload: &Value) -> usize {
    let replicas = replicas(kind, workload);
    match kind {
        "Deployment" if text(workload, "/spec/strategy/type") == "Recreate" => replicas,
        "Deployment" => {
            let share = workload.pointer("/spec/strategy/rollingUpdate/maxUnavailable");
            share.map_or(replicas / 4, |share| amount(share, replicas, Rounding::Down))
        }
        _ => {
            let share = workload.pointer("/spec/updateStrategy/rollingUpdate/maxUnavailable");
            share.map_or(1, |share| amount(share, replicas, Rounding::Up))
        }
    }
}

/// How a share of the pods becomes a number.
#[derive(Clone, Copy)]
pub(super) enum Rounding {
    Down,
    Up,
}

/// A number of pods, or a share of them such as `25%`.
pub(super) fn amount(share: &Value, of: usize, rounding: Rounding) -> usize {
    let percent =
        share.as_str().and_then(|text| text.strip_suffix('%')).and_then(|digits| digits.parse::<usize>().ok());
    match percent {
        Some(percent) => match rounding {
            Rounding::Down => of * percent / 100,
            Rounding::Up => (of * percent).div_ceil(100),
        },
        None => share.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_default(),
    }
}

impl RolloutState {
    pub(super) fn of(kind: &str, workload: &Value) -> Self {
        let generation = number(workload, "/metadata/generation");
        if number(workload, "/status/observedGeneration") < generation {
            let state = "its controller has not seen the change".to_owned();
            return Self::Underway { reached: (0, 0), state };
        }
        let wanted = replicas(kind, workload);
        let (updated, available, present) = if kind == "DaemonSet" {
            ("/status/updatedNumberScheduled", "/status/numberAvailable", "/status/currentNumberScheduled")
        } else {
            ("/status/updatedReplicas", "/status/availableReplicas", "/status/replicas")
        };
        let count = |pointer| usize::try_from(number(workload, pointer)).unwrap_or_default();
        let (updated, available, present) = (count(updated), count(available), count(present));
        if updated >= wanted && available >= wanted && present <= wanted {
            return Self::Complete;
        }
        let told = failure(workload).map(|told| format!("; {told}")).unwrap_or_default();
        let state = format!("{updated} of {wanted} pods are new, and {available} are available{told}");
        Self::Underway { reached: (updated, available), state }
    }
}

/// What the controller says of pods that it cannot create or that do not get ready.
fn failure(workload: &Value) -> Option<String> {
    let conditions = workload.pointer("/status/conditions").and_then(Value::as_array)?;
    let is_failure = |condition: &&Value| {
        let (kind, status) = (text(condition, "/type"), text(condition, "/status"));
        (kind == "ReplicaFailure" && status == "True") || (kind == "Progressing" && status == "False")
    };
    let condition = conditions.iter().find(is_failure)?;
    Some(format!("{}: {}", text(condition, "/reason"), text(condition, "/message")))
}

/// The pods that a workload shall have.
pub(super) fn replicas(kind: &str, workload: &Value) -> usize {
    let pointer = if kind == "DaemonSet" { "/status/desiredNumberScheduled" } else { "/spec/replicas" };
    let default = i64::from(kind != "DaemonSet");
    let replicas = workload.pointer(pointer).and_then(Value::as_i64).unwrap_or(default);
    usize::try_from(replicas).unwrap_or_default()
}

fn number(workload: &Value, pointer: &str) -> i64 {
    workload.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(status: Value) -> Value {
        json!({"metadata": {"generation": 2}, "spec": {"replicas": 4}, "status": status})
    }

    #[test]
    fn a_rollout_is_complete_when_all_pods_are_new_and_available() {
        let done = json!({"observedGeneration": 2, "replicas": 4, "updatedReplicas": 4, "availableReplicas": 4});
        assert_eq!(RolloutState::of("Deployment", &deployment(done.clone())), RolloutState::Complete);
        for (field, value, part) in [
            ("observedGeneration", 1, "has not seen"),
            ("replicas", 5, "4 of 4 pods are new"),
            ("updatedReplicas", 1, "1 of 4 pods are new"),
            ("availableReplicas", 3, "3 are available"),
        ] {
            let mut status = done.clone();
            status[field] = json!(value);
            let state = RolloutState::of("Deployment", &deployment(status));
            assert!(
                matches!(&state, RolloutState::Underway { state, .. } if state.contains(part)),
                "{field}: {state:?}"
            );
        }
        let failed = json!({"observedGeneration": 2, "conditions": [
            {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "denied"}]});
        let state = RolloutState::of("Deployment", &deployment(failed));
        assert!(
            matches!(&state, RolloutState::Underway { state, .. } if state.ends_with("FailedCreate: denied")),
            "{state:?}"
        );
        let daemons = json!({"status": {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2,
            "currentNumberScheduled": 2}});
        assert_eq!(RolloutState::of("DaemonSet", &daemons), RolloutState::Complete);
    }

    #[test]
    fn a_workload_that_would_make_too_many_pods_unavailable_is_not_restarted() {
        let strategy = |strategy: Value| json!({"spec": {"replicas": 10, "strategy": strategy}});
        let rolling = |share: Value| strategy(json!({"rollingUpdate": {"maxUnavailable": share}}));
        for (kind, workload, unavailable) in [
            ("Deployment", json!({"spec": {"replicas": 10}}), 2),
            ("Deployment", rolling(json!("19%")), 1),
            ("Deployment", rolling(json!(3)), 3),
            ("Deployment", strategy(json!({"type": "Recreate"})), 10),
            ("StatefulSet", json!({"spec": {"replicas": 10}}), 1),
            (
                "DaemonSet",
                json!({"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "11%"}}}, "status": {"desiredNumberScheduled": 10}}),
                2,
            ),
        ] {
            assert_eq!(may_be_unavailable(kind, &workload), unavailable, "{workload}");
            assert_eq!(cannot_restart(kind, &workload, unavailable), None);
            assert!(cannot_restart(kind, &workload, unavailable - 1).is_some(), "{workload}");
        }
    }

    #[test]
    fn workloads_that_would_not_follow_are_told() {
        for (spec, part) in [
            (json!({"paused": true}), "paused"),
            (json!({"updateStrategy": {"type": "OnDelete"}}), "OnDelete"),
            (json!({"updateStrategy": {"rollingUpdate": {"partition": 2}}}), "partition"),
        ] {
            let reason = cannot_restart("StatefulSet", &json!({"spec": spec}), 9).expect("a reason");
            assert!(reason.contains(part), "{reason}");
        }
    }
}
