//! Whether a workload can be restarted: its state, its strategy, and the caller's rights.

use std::collections::BTreeSet;

use serde_json::Value;

use super::calls::{self, CallError, Cause};
use super::group::Group;
use super::rollout;
use crate::cli::cluster::Caller;
use crate::cli::fleet::Controller;

const OTHERS: &str = "its pods belong to another object of its name";

/// Why the workload of these pods would not be restarted. `Err`: the API server does not answer.
pub(super) async fn refused(caller: &Caller, group: &Group, most: usize) -> Result<Option<String>, String> {
    let told = |error: CallError| match error.cause {
        Cause::Unavailable => Err(error.text),
        Cause::Forbidden | Cause::Rejected | Cause::Gone => Ok(Some(error.text)),
    };
    let (owner, kind) = (&group.owner, group.owner.kind.as_str());
    let Some(api) = calls::workloads(caller, kind, &group.namespace) else {
        return Ok(Some(format!("a {kind} is not restarted")));
    };
    let plural = calls::plural(kind).unwrap_or_default();
    match calls::get(caller, &api, plural, &owner.name).await {
        Ok(Some(workload)) => match unfit(caller, &[group], &workload, most).await {
            Ok(None) => {}
            Ok(why) => return Ok(why),
            Err(error) => return told(error),
        },
        Ok(None) => return Ok(Some("its workload is gone".to_owned())),
        Err(error) => return told(error),
    }
    calls::restart(caller, &api, owner, &now(), true).await.map_or_else(told, |()| Ok(None))
}

/// The time of a restart, as `kubectl rollout restart` writes it.
pub(super) fn now() -> String {
    k8s_openapi::jiff::Timestamp::now().to_string()
}

/// Why a workload cannot be restarted as it is.
pub(super) async fn unfit(
    caller: &Caller,
    groups: &[&Group],
    workload: &Value,
    most: usize,
) -> Result<Option<String>, CallError> {
    let Some(first) = groups.first() else { return Ok(Some("it has no pods".to_owned())) };
    if workload.pointer("/metadata/deletionTimestamp").is_some() {
        return Ok(Some("it is being deleted".to_owned()));
    }
    let pods = groups.iter().flat_map(|group| &group.pods);
    let controllers: BTreeSet<&Controller> = pods.filter_map(|pod| pod.controller.as_ref()).collect();
    for controller in controllers {
        if !controls(caller, &first.namespace, workload, controller).await? {
            return Ok(Some(OTHERS.to_owned()));
        }
    }
    Ok(rollout::cannot_restart(&first.owner.kind, workload, most))
}

/// Whether a workload controls what has created a pod: anybody may write a pod's owner, and a workload may have
/// been deleted and created anew. A ReplicaSet stands between a Deployment and its pods.
async fn controls(
    caller: &Caller,
    namespace: &str,
    workload: &Value,
    controller: &Controller,
) -> Result<bool, CallError> {
    let uid = workload.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
    if controller.kind != "ReplicaSet" {
        return Ok(controller.uid == uid);
    }
    let api = calls::replica_sets(caller, namespace);
    let Some(replica_set) = calls::get(caller, &api, "replicasets", &controller.name).await? else {
        return Ok(false);
    };
    Ok(is_between(&replica_set, controller, uid))
}

fn is_between(replica_set: &Value, controller: &Controller, uid: &str) -> bool {
    let owners = replica_set.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let owner = owners.into_iter().flatten().find(|owner| owner.get("controller") == Some(&Value::Bool(true)));
    let is_same = |value: Option<&Value>, uid: &str| value.and_then(Value::as_str) == Some(uid);
    is_same(replica_set.pointer("/metadata/uid"), &controller.uid)
        && owner.is_some_and(|owner| is_same(owner.get("uid"), uid))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_replica_set_stands_between_only_if_both_uids_are_right() {
        let replica_set = json!({"metadata": {"uid": "r", "ownerReferences": [
            {"uid": "x"}, {"uid": "d", "controller": true},
        ]}});
        let of = |uid: &str| Controller { uid: uid.to_owned(), ..Controller::default() };
        assert!(is_between(&replica_set, &of("r"), "d"));
        assert!(!is_between(&replica_set, &of("other"), "d"));
        assert!(!is_between(&replica_set, &of("r"), "x"), "not its controller");
        assert!(!is_between(&json!({"metadata": {"uid": "r"}}), &of("r"), "d"), "orphaned");
    }
}
