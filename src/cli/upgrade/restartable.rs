//! Whether a workload can be restarted: its state, its strategy, and the caller's rights.

use serde_json::Value;

use super::calls::{self, CallError, Cause};
use super::group::Group;
use super::rollout;
use crate::cli::cluster::Caller;

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
        Ok(Some(workload)) => {
            if let Some(why) = unfit(&[group], &workload, most) {
                return Ok(Some(why));
            }
        }
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
pub(super) fn unfit(groups: &[&Group], workload: &Value, most: usize) -> Option<String> {
    let Some(first) = groups.first() else { return Some("it has no pods".to_owned()) };
    if workload.pointer("/metadata/deletionTimestamp").is_some() {
        return Some("it is being deleted".to_owned());
    }
    // Anybody may write a pod's owner; a ReplicaSet stands between a Deployment and its pods.
    let uid = workload.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
    let pods = groups.iter().flat_map(|group| &group.pods);
    let mut controllers = pods.filter_map(|pod| pod.controller.as_ref());
    if first.owner.kind != "Deployment" && controllers.any(|controller| controller.uid != uid) {
        return Some("its pods belong to another object of its name".to_owned());
    }
    rollout::cannot_restart(&first.owner.kind, workload, most)
}
