//! The calls that change pods and workloads, and those that see how they are.
//!
//! Invariant: a change names the pod's uid, so that a pod of the same name that was created meanwhile
//! is not touched.

use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::change::{Change, ContainerKey};
use crate::cli::cluster::Caller;
use crate::cli::fleet::Owner;
use crate::cluster::explain;

/// The name under which changes are recorded in managedFields.
const FIELD_MANAGER: &str = "outrigger";
/// The annotation that `kubectl rollout restart` sets.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Between the tries of a call that the API server could not answer.
const BACKOFF: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Why a call gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The caller lacks the right.
    Forbidden,
    /// The API server, or a webhook, does not accept the request.
    Rejected,
    /// The object is gone, or another one has its name.
    Gone,
    /// There was no answer, or one that may be another at the next try.
    Unavailable,
}

/// A call that gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallError {
    pub cause: Cause,
    /// What was tried, and what was answered.
    pub text: String,
}

impl CallError {
    pub(super) fn rejected(text: impl Into<String>) -> Self {
        Self { cause: Cause::Rejected, text: text.into() }
    }

    fn of(what: &str, error: &kube::Error) -> Self {
        let cause = match error {
            kube::Error::Api(status) => cause(status.code, &status.reason, &status.message),
            _ => Cause::Unavailable,
        };
        let answer = explain(error);
        let text = match cause {
            Cause::Forbidden => format!("the right to {what} is missing: {answer}"),
            _ if answer.contains("exceeded quota") => {
                format!("cannot {what}: {answer}; a dry run counts as one more pod: raise the quota by one meanwhile")
            }
            _ => format!("cannot {what}: {answer}"),
        };
        Self { cause, text }
    }
}

fn cause(code: u16, reason: &str, message: &str) -> Cause {
    match code {
        403 if message.contains("is forbidden: User \"") && !message.contains("admission webhook") => Cause::Forbidden,
        // An API server without the subresource.
        404 if message.contains("could not find the requested resource") => Cause::Rejected,
        404 => Cause::Gone,
        409 if reason == "AlreadyExists" => Cause::Rejected,
        409 if message.to_lowercase().contains("uid") => Cause::Gone,
        // The webhook has answered that it gives no verdict on this object, and would again.
        500 if message.contains("failed calling webhook") && message.contains("an error on the server") => {
            Cause::Rejected
        }
        409 | 429 | 500.. => Cause::Unavailable,
        _ => Cause::Rejected,
    }
}

/// Makes one call within the time limit, and again where the API server could not answer. Each call can
/// be repeated: it is a dry run, or sets a value.
pub(super) async fn call<T, F: Future<Output = kube::Result<T>>>(
    caller: &Caller,
    what: &str,
    call: impl Fn() -> F,
) -> Result<T, CallError> {
    let mut delays = BACKOFF.into_iter();
    loop {
        let error = match timeout(caller.limit, call()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => CallError::of(what, &error),
            Err(_) => {
                let text = format!("cannot {what}: {}", caller.timeout_message());
                return Err(CallError { cause: Cause::Unavailable, text });
            }
        };
        match delays.next().filter(|_| error.cause == Cause::Unavailable) {
            Some(delay) => tokio::time::sleep(delay).await,
            None => return Err(error),
        }
    }
}

/// The pods of a namespace, as JSON.
pub(super) fn pods(caller: &Caller, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
    Api::namespaced_with(caller.client.clone(), namespace, &resource)
}

/// The plural of a kind that can be restarted.
pub(super) fn plural(kind: &str) -> Option<&'static str> {
    match kind {
        "Deployment" => Some("deployments"),
        "StatefulSet" => Some("statefulsets"),
        "DaemonSet" => Some("daemonsets"),
        _ => None,
    }
}

/// The workloads of a kind that can be restarted; `None` for all other kinds.
pub(super) fn workloads(caller: &Caller, kind: &str, namespace: &str) -> Option<Api<DynamicObject>> {
    let plural = plural(kind)?;
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("apps", "v1", kind), plural);
    Some(Api::namespaced_with(caller.client.clone(), namespace, &resource))
}

/// The ReplicaSets of a namespace, which stand between Deployments and their pods.
pub(super) fn replica_sets(caller: &Caller, namespace: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("apps", "v1", "ReplicaSet");
    Api::namespaced_with(caller.client.clone(), namespace, &ApiResource::from_gvk_with_plural(&gvk, "replicasets"))
}

/// An object by its name; `None` if it is gone. `kind` is its plural, such as `pods`.
pub(super) async fn get(
    caller: &Caller,
    api: &Api<DynamicObject>,
    kind: &str,
    name: &str,
) -> Result<Option<Value>, CallError> {
    let what = format!("get {kind} {name:?}");
    let found = call(caller, &what, || api.get_opt(name)).await?;
    let read = |object| serde_json::to_value(object);
    found.map(read).transpose().map_err(|error| CallError::rejected(format!("cannot read {kind} {name:?}: {error}")))
}

/// Changes the resources of a running pod by the subresource `resize` (KEP-1287).
pub(super) async fn resize(
    caller: &Caller,
    api: &Api<DynamicObject>,
    pod: &PodName<'_>,
    change: &Change,
    is_dry_run: bool,
) -> Result<(), CallError> {
    let patch = Patch::Strategic(resize_patch(pod.uid, change));
    let params = params(is_dry_run);
    call(caller, "patch pods/resize", || api.patch_subresource("resize", pod.name, &params, &patch)).await.map(|_| ())
}

/// Changes the images of a running pod, and the marks of its revision.
pub(super) async fn patch(
    caller: &Caller,
    api: &Api<DynamicObject>,
    pod: &PodName<'_>,
    change: &Change,
    is_dry_run: bool,
) -> Result<(), CallError> {
    let patch = Patch::Strategic(pod_patch(pod.uid, change));
    let params = params(is_dry_run);
    call(caller, "patch pods", || api.patch(pod.name, &params, &patch)).await.map(|_| ())
}

/// Makes the controller of a workload create its pods anew, as `kubectl rollout restart` does.
pub(super) async fn restart(
    caller: &Caller,
    api: &Api<DynamicObject>,
    owner: &Owner,
    now: &str,
    is_dry_run: bool,
) -> Result<(), CallError> {
    let patch = Patch::Merge(json!({"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: now}}}}}));
    let params = params(is_dry_run);
    let what = format!("patch {} {:?}", plural(&owner.kind).unwrap_or_default(), owner.name);
    call(caller, &what, || api.patch(&owner.name, &params, &patch)).await.map(|_| ())
}

/// The time of the last restart of a workload.
pub(super) fn restarted_at(workload: &Value) -> Option<&str> {
    workload.pointer("/spec/template/metadata/annotations")?.get(RESTARTED_AT)?.as_str()
}

/// The last warning of the kubelet and others about a pod; `None` too if events cannot be read.
pub(super) async fn last_warning(caller: &Caller, namespace: &str, pod: &str) -> Option<String> {
    let api: Api<Event> = Api::namespaced(caller.client.clone(), namespace);
    let fields = format!("involvedObject.kind=Pod,involvedObject.name={pod},type=Warning");
    let params = ListParams::default().fields(&fields);
    let events = call(caller, "list events", || api.list(&params)).await.ok()?;
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
    fn answers_are_told_apart_by_what_helps() {
        let user = "deployments.apps \"web\" is forbidden: User \"eve\" cannot patch resource \"deployments\"";
        for (code, reason, message, expected) in [
            (403, "Forbidden", user, Cause::Forbidden),
            (403, "Forbidden", "admission webhook \"x\" denied the request: image cannot be used", Cause::Rejected),
            (403, "Forbidden", "pods \"web\" is forbidden: exceeded quota: full", Cause::Rejected),
            (404, "NotFound", "pods \"web\" not found", Cause::Gone),
            (404, "NotFound", "the server could not find the requested resource", Cause::Rejected),
            (409, "Conflict", "Precondition failed: UID in precondition: a, UID in object meta: b", Cause::Gone),
            (409, "Conflict", "Operation cannot be fulfilled: the object has been modified", Cause::Unavailable),
            (409, "AlreadyExists", "pods \"web\" already exists", Cause::Rejected),
            (422, "Invalid", "spec: Forbidden: pod updates may not change fields", Cause::Rejected),
            (429, "TooManyRequests", "too many", Cause::Unavailable),
            (503, "", "etcdserver: leader changed", Cause::Unavailable),
            (500, "InternalError", "failed calling webhook \"x\": an error on the server (\"y\")", Cause::Rejected),
            (500, "InternalError", "failed calling webhook \"x\": connect: connection refused", Cause::Unavailable),
        ] {
            assert_eq!(cause(code, reason, message), expected, "{message}");
        }
    }

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
