//! Whether a pod runs as its spec says, from its status alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::change::{Change, ContainerKey};

/// Conditions of a resize that is not done (KEP-1287).
const RESIZE_CONDITIONS: [&str; 2] = ["PodResizePending", "PodResizeInProgress"];

/// How a pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PodState {
    /// It is ready, and what was changed runs.
    Ready,
    /// Not yet, and why as far as its status tells.
    NotYet(String),
    /// It is being deleted, or is deleted.
    Deleted,
    /// All its containers have done their work.
    Succeeded,
    /// It has ended with a failure, and is not started again; why.
    Failed(String),
}

/// What was changed in a running pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    /// Containers with a new image, and the id of the container that ran before.
    images: BTreeMap<ContainerKey, Option<String>>,
    /// Containers with new resources.
    resources: Vec<ContainerKey>,
}

impl Expected {
    /// What a change will lead to, in a pod as it is now.
    pub(super) fn of(change: &Change, live: &Value) -> Self {
        let id = |key: &ContainerKey| {
            let id = container_status(live, key).and_then(|status| status.get("containerID")?.as_str());
            id.map(str::to_owned)
        };
        Self {
            images: change.images.keys().map(|key| (key.clone(), id(key))).collect(),
            resources: change.resources.keys().cloned().collect(),
        }
    }
}

impl PodState {
    pub(super) fn of(pod: &Value, expected: &Expected) -> Self {
        if pod.pointer("/metadata/deletionTimestamp").is_some() {
            return Self::Deleted;
        }
        match pod.pointer("/status/phase").and_then(Value::as_str) {
            Some("Succeeded") => return Self::Succeeded,
            Some("Failed") => return Self::Failed(failure(pod)),
            _ => {}
        }
        let problem = resize_problem(pod)
            .or_else(|| not_applied(pod, expected))
            .or_else(|| waiting(pod))
            .or_else(|| behind(pod))
            .or_else(|| not_ready(pod));
        problem.map_or(Self::Ready, Self::NotYet)
    }

    /// Why a pod that was ready is not any more. A deleted pod, and one that has done its work, is no problem.
    pub(super) fn problem(self) -> Option<String> {
        match self {
            Self::Ready | Self::Deleted | Self::Succeeded => None,
            Self::NotYet(why) | Self::Failed(why) => Some(why),
        }
    }
}

/// Why one of these containers is not ready.
pub(super) fn unready_container(pod: &Value, keys: &BTreeSet<ContainerKey>) -> Option<String> {
    let is_done = |status: &&Value| status.pointer("/state/terminated/exitCode").is_some_and(|code| *code == 0);
    let is_unready = |status: &&Value| status.get("ready") == Some(&Value::Bool(false)) && !is_done(status);
    let status = keys.iter().filter_map(|key| container_status(pod, key)).find(is_unready)?;
    let problem = said(status).or_else(|| ended(status));
    Some(problem.unwrap_or_else(|| format!("container {} is not ready", text(status, "name"))))
}

/// Why a pod has failed.
fn failure(pod: &Value) -> String {
    let status = pod.get("status").unwrap_or(&Value::Null);
    let words = [text(status, "reason"), text(status, "message")];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let code = |status: &&Value| status.pointer("/state/terminated/exitCode").is_some_and(|code| *code != 0);
    let container = statuses(pod).find(code).and_then(ended);
    let why = if words.is_empty() { container } else { Some(words.join(": ")) };
    why.map_or_else(|| "the pod has failed".to_owned(), |why| format!("the pod has failed: {why}"))
}

/// The statuses of all containers.
fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|list| pod.pointer(&format!("/status/{list}")).and_then(Value::as_array).into_iter().flatten())
}

/// How often the containers of a pod have been started, all together, and their ids.
pub(super) fn starts(pod: &Value) -> (i64, Vec<&str>) {
    let mut all = (0, Vec::new());
    for status in statuses(pod) {
        all.0 += status.get("restartCount").and_then(Value::as_i64).unwrap_or_default();
        all.1.push(text(status, "containerID"));
    }
    all
}

/// A condition with the status `True` that keeps a resize from being done.
fn resize_problem(pod: &Value) -> Option<String> {
    let pending = conditions(pod).find(|condition| {
        RESIZE_CONDITIONS.contains(&text(condition, "type")) && text(condition, "status") == "True"
    })?;
    let words = [text(pending, "type"), text(pending, "reason"), text(pending, "message")];
    Some(words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(": "))
}

/// A container that does not yet run as it was changed.
fn not_applied(pod: &Value, expected: &Expected) -> Option<String> {
    for (key, before) in &expected.images {
        let Some(status) = container_status(pod, key) else {
            return Some(format!("container {} has no status", key.name));
        };
        let id = status.get("containerID").and_then(Value::as_str);
        let is_new = id.is_some() && id != before.as_deref();
        if !is_new || status.pointer("/state/running").is_none() {
            let problem = said(status).or_else(|| ended(status));
            return Some(problem.unwrap_or_else(|| format!("container {} runs the old image", key.name)));
        }
    }
    let behind = expected.resources.iter().find(|key| {
        let status = container_status(pod, key).and_then(|status| status.get("resources"));
        status.is_some_and(|found| spec_of(pod, key).and_then(|spec| spec.get("resources")) != Some(found))
    });
    behind.map(|key| format!("container {} has the old resources", key.name))
}

/// Why a container does not run.
fn waiting(pod: &Value) -> Option<String> {
    statuses(pod).find_map(said)
}

/// `container p: ImagePullBackOff: …`
fn said(status: &Value) -> Option<String> {
    let waiting = status.pointer("/state/waiting")?;
    let words = [text(waiting, "reason"), text(waiting, "message")];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    Some(format!("container {}: {}", text(status, "name"), words.join(": ")))
}

/// The kubelet shows a container that it cannot start as the one that has ended before.
fn ended(status: &Value) -> Option<String> {
    let ended = status.pointer("/state/terminated")?;
    let code = ended.get("exitCode").map(ToString::to_string).unwrap_or_default();
    let (name, reason) = (text(status, "name"), text(ended, "reason"));
    Some(format!("container {name} has ended ({reason}, exit code {code}) and was not started again"))
}

/// Whether the kubelet has not seen the last change.
fn behind(pod: &Value) -> Option<String> {
    let generation = pod.pointer("/metadata/generation").and_then(Value::as_i64)?;
    let observed = pod.pointer("/status/observedGeneration").and_then(Value::as_i64)?;
    (observed < generation).then(|| "the kubelet has not seen the change".to_owned())
}

fn not_ready(pod: &Value) -> Option<String> {
    let ready = conditions(pod).find(|condition| text(condition, "type") == "Ready");
    let Some(ready) = ready else { return Some("the pod has not started".to_owned()) };
    (text(ready, "status") != "True").then(|| {
        let words = [text(ready, "reason"), text(ready, "message")];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let words = words.join(": ");
        if words.is_empty() { "its condition Ready is not True".to_owned() } else { format!("not ready: {words}") }
    })
}

fn conditions(pod: &Value) -> impl Iterator<Item = &Value> {
    pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten()
}

fn container_status<'p>(pod: &'p Value, key: &ContainerKey) -> Option<&'p Value> {
    let list = if key.list == "initContainers" { "initContainerStatuses" } else { "containerStatuses" };
    named(pod.pointer(&format!("/status/{list}")), &key.name)
}

fn spec_of<'p>(pod: &'p Value, key: &ContainerKey) -> Option<&'p Value> {
    named(pod.pointer(&format!("/spec/{}", key.list)), &key.name)
}

fn named<'p>(list: Option<&'p Value>, name: &str) -> Option<&'p Value> {
    list?.as_array()?.iter().find(|item| item.get("name").is_some_and(|found| found == name))
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        json!({
            "metadata": {"generation": 2},
            "spec": {"initContainers": [{"name": "p", "image": "p:2", "resources": {"limits": {"cpu": "2"}}}]},
            "status": {
                "phase": "Running", "observedGeneration": 2,
                "conditions": [{"type": "Ready", "status": "True"}],
                "initContainerStatuses": [{"name": "p", "containerID": "new", "state": {"running": {}},
                    "resources": {"limits": {"cpu": "2"}}}],
            },
        })
    }

    fn expected() -> Expected {
        let key = ContainerKey { list: "initContainers", name: "p".to_owned() };
        Expected { images: [(key.clone(), Some("old".to_owned()))].into(), resources: vec![key] }
    }

    #[test]
    fn each_reason_why_a_pod_is_not_ready_is_told() {
        let cases: [(&str, Value, &str); 8] = [
            (
                "/status/initContainerStatuses/0/state",
                json!({"terminated": {"reason": "Completed", "exitCode": 0}}),
                "container p has ended (Completed, exit code 0) and was not started again",
            ),
            ("/status/observedGeneration", json!(1), "the kubelet has not seen the change"),
            ("/status/conditions/0/status", json!("False"), "its condition Ready is not True"),
            ("/status/conditions", json!([]), "the pod has not started"),
            ("/status/initContainerStatuses/0/containerID", json!("old"), "container p runs the old image"),
            (
                "/status/initContainerStatuses/0/state",
                json!({"waiting": {"reason": "ErrImagePull", "message": "not there"}}),
                "container p: ErrImagePull: not there",
            ),
            ("/status/initContainerStatuses/0/resources/limits/cpu", json!("1"), "container p has the old resources"),
            (
                "/status/conditions/0",
                json!({"type": "PodResizePending", "status": "True", "reason": "Infeasible", "message": "too much"}),
                "PodResizePending: Infeasible: too much",
            ),
        ];
        assert_eq!(PodState::of(&pod(), &expected()), PodState::Ready);
        for (pointer, value, reason) in cases {
            let mut pod = pod();
            *pod.pointer_mut(pointer).expect(pointer) = value;
            assert_eq!(PodState::of(&pod, &expected()), PodState::NotYet(reason.to_owned()), "{pointer}");
        }
    }

    #[test]
    fn how_a_pod_ends_is_told_apart() {
        let state = |edit: fn(&mut Value)| {
            let mut pod = pod();
            edit(&mut pod);
            PodState::of(&pod, &Expected::default())
        };
        let deleted = state(|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
        assert_eq!(deleted, PodState::Deleted);
        assert_eq!(state(|pod| pod["status"]["phase"] = json!("Succeeded")), PodState::Succeeded);
        let failed = state(|pod| {
            pod["status"]["phase"] = json!("Failed");
            pod["status"]["initContainerStatuses"][0]["state"] =
                json!({"terminated": {"reason": "Error", "exitCode": 3}});
        });
        let why = "the pod has failed: container p has ended (Error, exit code 3) and was not started again";
        assert_eq!(failed, PodState::Failed(why.to_owned()));
        let evicted = state(|pod| {
            pod["status"] = json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"});
        });
        assert_eq!(evicted.problem().as_deref(), Some("the pod has failed: Evicted: low on memory"));
    }

    #[test]
    fn only_the_named_containers_count_as_unready() {
        let mut pod = pod();
        pod["status"]["containerStatuses"] = json!([{"name": "web", "ready": false}]);
        pod["status"]["initContainerStatuses"][0]["ready"] = json!(true);
        let keys = BTreeSet::from([ContainerKey { list: "initContainers", name: "p".to_owned() }]);
        assert_eq!(unready_container(&pod, &keys), None);
        pod["status"]["initContainerStatuses"][0]["ready"] = json!(false);
        assert_eq!(unready_container(&pod, &keys).as_deref(), Some("container p is not ready"));
        pod["status"]["initContainerStatuses"][0]["state"] = json!({"terminated": {"exitCode": 0}});
        assert_eq!(unready_container(&pod, &keys), None, "it has done its work");
    }

    #[test]
    fn what_ran_before_is_remembered() {
        let mut change = Change::default();
        let key = ContainerKey { list: "initContainers", name: "p".to_owned() };
        change.images.insert(key.clone(), "p:3".to_owned());
        assert_eq!(Expected::of(&change, &pod()).images[&key].as_deref(), Some("new"));
    }
}
