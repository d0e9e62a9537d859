//! Asks the API server, by a dry run, what it would make of a pod that is created now.
//!
//! The webhook answers as for any new pod, so the templates need not be read. Invariant: nothing is
//! created.

use kube::Api;
use kube::api::{DynamicObject, PostParams};
use serde_json::{Map, Value, json};

use super::calls::{self, CallError};
use crate::cli::cluster::Caller;
use crate::inject::{Request, rollout_slot, uninject, uninject_template};
use crate::workload::find;

/// Fields of the metadata that only the API server may set.
const SERVER_FIELDS: [&str; 7] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];
/// Added to the name of a pod that has one: two pods cannot have the same, not even in a dry run.
const SUFFIX: &str = "-outrigger-trial";
/// Most names that are tried; one of a hundred fits.
const MAX_NAMES: usize = 2_000;

/// A pod as it would be created now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trial {
    /// The object to create.
    pub pod: Value,
    /// The name that it has instead of its own.
    renamed: Option<(String, String)>,
}

impl Trial {
    /// The pod without what the template has added. `Err` says why there is none.
    pub(super) fn of(live: &Value, domain: &str, template: &str) -> Result<Self, String> {
        let bare = uninject_template(live, domain, template).map_err(|error| error.to_string())?;
        let Some(pod) = bare else { return Err("its status annotation does not list the template".to_owned()) };
        Self::from_bare(pod, domain, template)
    }

    /// The pod without what any template has added.
    pub(super) fn of_all(live: &Value, domain: &str, template: &str) -> Result<Self, String> {
        let bare = uninject(live, domain).map_err(|error| error.to_string())?;
        let Some(pod) = bare else { return Err("its status annotation does not list the template".to_owned()) };
        Self::from_bare(pod, domain, template)
    }

    fn from_bare(mut pod: Value, domain: &str, template: &str) -> Result<Self, String> {
        let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) else {
            return Err("it has no metadata".to_owned());
        };
        metadata.retain(|key, _| !SERVER_FIELDS.contains(&key.as_str()));
        // Some clusters let only those who may change the owner set it, and it changes nothing here.
        let owners = metadata.get_mut("ownerReferences").and_then(Value::as_array_mut);
        for owner in owners.into_iter().flatten().filter_map(Value::as_object_mut) {
            owner.remove("blockOwnerDeletion");
        }
        let renamed = rename(metadata, template);
        let fields = pod.as_object_mut().into_iter();
        fields.for_each(|fields| fields.retain(|key, _| key != "status"));
        if let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) {
            spec.retain(|key, _| key != "nodeName" && key != "ephemeralContainers");
        }
        debug_assert!(!find(&pod, domain).pods.is_empty());
        Ok(Self { pod, renamed })
    }

    /// The result with the pod's own name.
    fn read(&self, created: Value) -> Value {
        match &self.renamed {
            Some((own, renamed)) => replaced(created, renamed, own),
            None => created,
        }
    }

    /// Sends the dry run.
    pub(super) async fn run(&self, caller: &Caller, api: &Api<DynamicObject>) -> Result<Value, CallError> {
        let object: DynamicObject = serde_json::from_value(self.pod.clone())
            .map_err(|error| CallError::rejected(format!("it cannot be sent: {error}")))?;
        let options = PostParams { dry_run: true, field_manager: Some("outrigger".to_owned()) };
        let created = calls::call(caller, "create pods (a dry run)", || api.create(&options, &object)).await?;
        let created = serde_json::to_value(created)
            .map_err(|error| CallError::rejected(format!("it cannot be read: {error}")))?;
        Ok(self.read(created))
    }
}

/// A pod of a Deployment gets a new name; any other one a name that no pod has, and that belongs to the
/// same part of the template's rollout.
fn rename(metadata: &mut Map<String, Value>, template: &str) -> Option<(String, String)> {
    if metadata.get("generateName").and_then(Value::as_str).is_some_and(|prefix| !prefix.is_empty()) {
        metadata.remove("name");
        return None;
    }
    let own = metadata.get("name")?.as_str()?.to_owned();
    let namespace = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default().to_owned();
    let fields = ["generateName", "labels", "ownerReferences"];
    let identity: Map<String, Value> =
        fields.into_iter().filter_map(|field| Some((field.to_owned(), metadata.get(field)?.clone()))).collect();
    let slot = |name: &str| {
        let mut identity = identity.clone();
        identity.insert("name".to_owned(), json!(name));
        let object = json!({"metadata": identity}).to_string();
        rollout_slot(template, &Request::create_pod(&namespace, &object))
    };
    let wanted = slot(&own);
    let names = std::iter::once(format!("{own}{SUFFIX}")).chain((0..MAX_NAMES).map(|n| format!("{own}{SUFFIX}-{n}")));
    let renamed = names.clone().find(|name| slot(name) == wanted).or_else(|| names.into_iter().next())?;
    metadata.insert("name".to_owned(), json!(renamed));
    Some((own, renamed))
}

/// The value with one text in the place of another, wherever it stands.
fn replaced(value: Value, from: &str, to: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(from, to)),
        Value::Array(items) => items.into_iter().map(|item| replaced(item, from, to)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key, replaced(value, from, to))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(metadata: Value) -> Value {
        let status =
            json!({"version": 1, "templates": [{"name": "p", "revision": "0123456789", "initContainers": ["p"]}]});
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "status": {"phase": "Running"},
            "metadata": {"uid": "u", "resourceVersion": "7", "annotations": {"outrigger.dev/inject": "p", "outrigger.dev/status": status.to_string()}},
            "spec": {"nodeName": "n", "initContainers": [{"name": "p"}], "containers": [{"name": "web"}]},
        });
        for (key, value) in metadata.as_object().expect("a map") {
            pod["metadata"][key] = value.clone();
        }
        pod
    }

    #[test]
    fn the_pod_is_sent_as_its_controller_would() {
        let trial = Trial::of(&live(json!({"name": "web-a", "generateName": "web-"})), "outrigger.dev", "p");
        let expected = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"generateName": "web-", "annotations": {"outrigger.dev/inject": "p"}},
            "spec": {"containers": [{"name": "web"}]},
        });
        assert_eq!(trial.expect("a trial").pod, expected);
    }

    #[test]
    fn a_pod_with_a_name_of_its_own_has_it_in_the_result() {
        let trial = Trial::of(&live(json!({"name": "db-0"})), "outrigger.dev", "p").expect("a trial");
        let name = trial.pod["metadata"]["name"].as_str().expect("a name").to_owned();
        assert!(name.starts_with("db-0-outrigger-trial"), "{name}");
        let created = json!({"metadata": {"name": name}, "spec": {"args": [format!("--id={name}")]}});
        assert_eq!(trial.read(created), json!({"metadata": {"name": "db-0"}, "spec": {"args": ["--id=db-0"]}}));
    }

    #[test]
    fn the_other_name_belongs_to_the_same_part_of_a_rollout() {
        for index in 0..20 {
            let owner = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u",
                "controller": true, "blockOwnerDeletion": true}]);
            let metadata = json!({"name": format!("db-{index}"), "namespace": "shop", "ownerReferences": owner});
            let live = live(metadata);
            let trial = Trial::of(&live, "outrigger.dev", "p").expect("a trial");
            let slot = |pod: &Value| rollout_slot("p", &Request::create_pod("shop", &pod.to_string()));
            assert_eq!(slot(&trial.pod), slot(&live), "{}", trial.pod["metadata"]["name"]);
            assert_eq!(trial.pod["metadata"]["ownerReferences"][0].get("blockOwnerDeletion"), None);
        }
    }

    #[test]
    fn a_pod_that_does_not_carry_the_template_has_no_trial() {
        let problem = Trial::of(&live(json!({"name": "x"})), "outrigger.dev", "other").expect_err("not listed");
        assert!(problem.contains("does not list"), "{problem}");
    }
}
