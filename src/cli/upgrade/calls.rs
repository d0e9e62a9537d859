//! The calls that change pods and workloads, and those that see how they are.
//!
//! Invariant: a change names the pod's uid, so that a pod of the same name that was created meanwhile
//! is not touched.

use std::future::Future;

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::change::{Change, ContainerKey};
use crate::cli::cluster::Caller;
use crate::cluster::explain;

/// The name under which changes are recorded in managedFields.
const FIELD_MANAGER: &str = "outrigger";
/// The annotation that `kubectl rollout restart` sets.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Makes one call within the time limit; the error says what was tried.
pub(super) async fn call<T>(
    caller: &Caller,
    what: &str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, String> {
    match timeout(caller.limit, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 && status.message.contains("cannot") => {
            Err(format!("the right to {what} is missing: {}", status.message))
        }
        Ok(Err(error)) => Err(format!("cannot {what}: {}", explain(&error))),
        Err(_) => Err(format!("cannot {what}: {}", caller.timeout_message())),
    }
}

/// The pods of a namespace, as JSON.
pub(super) fn pods(caller: &Caller, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
    Api::namespaced_with(caller.client.clone(), namespace, &resource)
}

/// The workloads of a kind that can be restarted; `None` for all other kinds.
pub(super) fn workloads(caller: &Caller, kind: &str, namespace: &str) -> Option<Api<DynamicObject>> {
    let plural = match kind {
        "Deployment" => "deployments",
        "StatefulSet" => "statefulsets",
        "DaemonSet" => "daemonsets",
        _ => return None,
    };
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("apps", "v1", kind), plural);
    Some(Api::namespaced_with(caller.client.clone(), namespace, &resource))
}

/// An object by its name; `None` if it is gone.
pub(super) async fn get(caller: &Caller, api: &Api<DynamicObject>, name: &str) -> Result<Option<Value>, String> {
    let what = format!("get {name:?}");
    let found = call(caller, &what, api.get_opt(name)).await?;
    found
        .map(|object| serde_json::to_value(object).map_err(|error| format!("cannot read {name:?}: {error}")))
        .transpose()
}

/// Changes the resources of a running pod by the subresource `resize` (KEP-1287).
pub(super) async fn resize(
    caller: &Caller,
    api: &Api<DynamicObject>,
    pod: &PodName<'_>,
    change: &Change,
    is_dry_run: bool,
) -> Result<(), String> {
    let patch = Patch::Strategic(resize_patch(pod.uid, change));
    let params = params(is_dry_run);
    call(caller, "patch pods/resize", api.patch_subresource("resize", pod.name, &params, &patch)).await.map(|_| ())
}

/// Changes the images of a running pod, and the marks of its revision.
pub(super) async fn patch(
    caller: &Caller,
    api: &Api<DynamicObject>,
    pod: &PodName<'_>,
    change: &Change,
    is_dry_run: bool,
) -> Result<(), String> {
    let patch = Patch::Strategic(pod_patch(pod.uid, change));
    call(caller, "patch pods", api.patch(pod.name, &params(is_dry_run), &patch)).await.map(|_| ())
}

/// Makes the controller of a workload create its pods anew, as `kubectl rollout restart` does.
pub(super) async fn restart(
    caller: &Caller,
    api: &Api<DynamicObject>,
    name: &str,
    now: &str,
    is_dry_run: bool,
) -> Result<(), String> {
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: now}}}}});
    call(caller, "patch the workload", api.patch(name, &params(is_dry_run), &Patch::Merge(patch))).await.map(|_| ())
}

/// The last warning of the kubelet and others about a pod; `None` too if events cannot be read.
pub(super) async fn last_warning(caller: &Caller, namespace: &str, pod: &str) -> Option<String> {
    let api: Api<Event> = Api::namespaced(caller.client.clone(), namespace);
    let fields = format!("involvedObject.kind=Pod,involvedObject.name={pod},type=Warning");
    let events = call(caller, "list events", api.list(&ListParams::default().fields(&fields))).await.ok()?;
    let last = events.items.into_iter().max_by_key(|event| {
        let of_series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
        of_series.or(event.last_timestamp.as_ref().map(|time| time.0)).or(event.event_time.as_ref().map(|time| time.0))
    })?;
    Some(format!("{}: {}", last.reason.unwrap_or_default(), last.message.unwrap_or_default()))
}

/// A pod that is to be changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct PodName<'p> {
    pub name: &'p str,
    pub uid: &'p str,
}

fn params(is_dry_run: bool) -> PatchParams {
    PatchParams { dry_run: is_dry_run, field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

fn resize_patch(uid: &str, change: &Change) -> Value {
    let containers = change.resources.iter().map(|(key, resources)| (key, ("resources", resources.clone())));
    json!({"metadata": {"uid": uid}, "spec": by_list(containers)})
}

fn pod_patch(uid: &str, change: &Change) -> Value {
    let containers = change.images.iter().map(|(key, image)| (key, ("image", json!(image))));
    let metadata = json!({"uid": uid, "labels": change.marks.labels, "annotations": change.marks.annotations});
    json!({"metadata": metadata, "spec": by_list(containers)})
}

/// The lists of containers of a patch, each with one field.
fn by_list<'c>(containers: impl Iterator<Item = (&'c ContainerKey, (&'static str, Value))>) -> Value {
    let mut spec = json!({});
    for (key, (field, value)) in containers {
        let mut container = json!({"name": key.name});
        container[field] = value;
        match spec[key.list].as_array_mut() {
            Some(list) => list.push(container),
            None => spec[key.list] = json!([container]),
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_names_the_containers_and_the_uid() {
        let key = |list, name: &str| ContainerKey { list, name: name.to_owned() };
        let mut change = Change::default();
        change.images.insert(key("initContainers", "p"), "p:2".to_owned());
        change.images.insert(key("containers", "q"), "q:2".to_owned());
        change.resources.insert(key("containers", "q"), json!({"limits": {"cpu": "1"}}));
        change.marks.labels.insert("p.outrigger.dev/revision".to_owned(), json!("b"));
        let expected = json!({
            "metadata": {"uid": "u", "labels": {"p.outrigger.dev/revision": "b"}, "annotations": {}},
            "spec": {
                "initContainers": [{"name": "p", "image": "p:2"}],
                "containers": [{"name": "q", "image": "q:2"}],
            },
        });
        assert_eq!(pod_patch("u", &change), expected);
        let expected = json!({"metadata": {"uid": "u"},
            "spec": {"containers": [{"name": "q", "resources": {"limits": {"cpu": "1"}}}]}});
        assert_eq!(resize_patch("u", &change), expected);
    }
}
