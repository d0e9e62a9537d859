//! The decision about one pod or pod template, step by step, and what it carries already.

use serde::Serialize;
use serde_json::Value;

use super::cluster_pod::ClusterPod;
use super::controller::PodView;
use super::difference::{self, Step};
use super::find::PodLocation;
use super::marks::without_marks;
use super::review::{Reviewer, values_that_are_no_text};
use crate::inject::annotations::AnnotationKeys;
use crate::inject::decision_trace::DecisionTrace;
use crate::inject::merge::equal::{is_filled_in, is_token_mount, same_field};
use crate::inject::status::{Status, StatusEntry};
use crate::inject::{InjectError, Request, TemplateScope, trace_of_refusal};

/// Most differences of one object that are listed.
const MAX_DIFFERENCES: usize = 50;

/// A pod as the webhook would see it, and the decision about it.
#[derive(Debug)]
pub struct TracedPod {
    /// The pod, with everything that the cluster fills in.
    pub pod: Value,
    /// The decision.
    pub decision: DecisionTrace,
}

/// A template that an object carries, and what it would get now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CarriedTemplate {
    /// Name of the template.
    pub name: String,
    /// The revision that was injected.
    pub revision: String,
    /// The revision that a new pod gets; absent if there is no such template any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
}

/// What an object carries of an earlier injection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Carried {
    /// The templates in its status.
    pub templates: Vec<CarriedTemplate>,
    /// Whether it has what it would get if it were injected now.
    pub is_current: bool,
    /// What differs, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The changes that lead to what it would get, as operations on the pod.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
}

impl Reviewer<'_> {
    /// The decision about the pod or pod template at this place of the document. `None` if there is no
    /// pod at it.
    pub fn trace(&self, document: &Value, location: &PodLocation) -> Option<TracedPod> {
        let (object, template) = (location.object(document)?, location.template(document)?);
        let problems = values_that_are_no_text(location, template);
        let pod = ClusterPod::new(location, object, template, self.namespace, PodView::Pod(0)).pod;
        if !problems.is_empty() {
            return Some(TracedPod { pod, decision: trace_of_refusal(&InjectError::from(problems)) });
        }
        let text = pod.to_string();
        let request = Request::create_pod(self.namespace, &text);
        let request = Request { namespace_object: self.namespace_object, ..request };
        let (_, decision) = self.injector.trace(&request);
        Some(TracedPod { pod, decision })
    }

    /// What the object carries of an earlier injection. `None` if it has no status of ours.
    pub fn carried(&self, document: &Value, location: &PodLocation) -> Option<Carried> {
        let template = location.template(document)?;
        let keys = AnnotationKeys::new(&self.injector.settings().domain);
        let status = template.pointer("/metadata/annotations")?.get(&keys.status)?.as_str()?;
        let entries = Status::<StatusEntry>::parse(status)?.templates;
        let of = |entry: StatusEntry| CarriedTemplate {
            current: self.current_revision(&entry.name),
            revision: entry.revision.as_str().to_owned(),
            name: entry.name,
        };
        let renewal = self.renewal(document, location);
        let changes = renewal.as_ref().map_or_else(Vec::new, |renewal| {
            let wanted = renewal.review.after.as_ref().unwrap_or(&renewal.bare);
            changes(keys.domain(), template, wanted)
        });
        Some(Carried {
            templates: entries.into_iter().map(of).collect(),
            is_current: renewal.is_none(),
            advice: renewal.as_ref().and_then(|renewal| renewal.advice).map(str::to_owned),
            difference: renewal.map(|renewal| renewal.summary),
            changes,
        })
    }

    /// The revision of the template that a pod of the namespace can name.
    fn current_revision(&self, name: &str) -> Option<String> {
        let templates = self.injector.templates();
        let own = TemplateScope::Namespace(self.namespace.to_owned());
        let is_hidden = templates.hidden_in(self.namespace, name).is_some();
        let own = templates.status_of(&own, name).filter(|_| !is_hidden);
        let found = own.or_else(|| templates.status_of(&TemplateScope::Cluster, name))?;
        found.revision.map(str::to_owned)
    }
}

/// The changes from one pod to the other, without those of the status and of revisions.
pub(super) fn changes(domain: &str, before: &Value, after: &Value) -> Vec<String> {
    let keys = AnnotationKeys::new(domain);
    let [before, after] = [before, after].map(|pod| without_marks(pod, &keys));
    let mut steps = difference::steps(&before, &after);
    steps.retain(|step| !is_of_the_api_server(step, &before));
    let operations = difference::patch(&steps).into_iter().rev();
    let operations = operations.map(|operation| serde_json::to_value(operation).unwrap_or_default());
    operations.take(MAX_DIFFERENCES).map(|one| change(&one)).collect()
}

/// Whether a step only takes out what the API server has filled in, or spells a value in another way.
fn is_of_the_api_server(step: &Step, before: &Value) -> bool {
    let (Step::Remove { at } | Step::Replace { at, .. }) = step else { return false };
    let path = at.to_string();
    if !path.starts_with("/spec/") {
        return false;
    }
    let names: Vec<&str> = path.split('/').filter(|name| name.parse::<usize>().is_err()).collect();
    let (parent, own) = match names.as_slice() {
        [.., parent, own] => (*parent, *own),
        _ => ("", ""),
    };
    let Some(found) = before.pointer(&path) else { return false };
    match step {
        Step::Replace { value, .. } => same_field(parent, own, value, found),
        _ if path.ends_with(|last: char| last.is_ascii_digit()) && own == "volumeMounts" => is_token_mount(found),
        _ => {
            let beside = path.rsplit_once('/').and_then(|(parent, _)| before.pointer(parent)?.as_object());
            beside.is_some_and(|beside| is_filled_in(parent, own, found, beside))
        }
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// `replace /spec/initContainers/0/image "agent:2"`
fn change(operation: &Value) -> String {
    let value = operation.get("value").map(|value| format!(" {value}")).unwrap_or_default();
    format!("{} {}{value}", text(operation, "op"), text(operation, "path"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_parameter_called_revision_is_a_change_and_a_mark_is_none() {
        let before = json!({"metadata": {"labels": {"app": "web", "a.outrigger.dev/revision": "0"}}});
        let annotations = json!({"a.outrigger.dev/revision": "q", "outrigger.dev/status": "{}"});
        let labels = json!({"app": "web", "a.outrigger.dev/revision": "1"});
        let after = json!({"metadata": {"labels": labels, "annotations": annotations}});
        let expected = ["add /metadata/annotations {\"a.outrigger.dev/revision\":\"q\"}"];
        assert_eq!(changes("outrigger.dev", &before, &after), expected);
    }

    #[test]
    fn defaults_of_the_api_server_are_no_changes() {
        let token = json!({"name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"});
        let running = json!({"metadata": {"annotations": {"a": "", "b": "1"}}, "spec": {"initContainers": [{
            "name": "proxy", "image": "proxy:1", "imagePullPolicy": "IfNotPresent",
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "args": ["--old"],
            "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}, token],
            "livenessProbe": {"httpGet": {"port": 1, "scheme": "HTTP"}, "periodSeconds": 10, "timeoutSeconds": 1},
        }, {"name": "bare", "image": "bare:1", "resources": {}, "volumeMounts": [token]}]}});
        let anew = json!({"metadata": {"annotations": {"b": "1"}}, "spec": {"initContainers": [{
            "name": "proxy", "image": "proxy:2", "args": ["--new"], "resources": {"limits": {"cpu": "1000m"}},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            "livenessProbe": {"httpGet": {"port": 1}},
        }, {"name": "bare", "image": "bare:1"}]}});
        let expected = [
            "remove /metadata/annotations/a",
            "replace /spec/initContainers/0/args/0 \"--new\"",
            "replace /spec/initContainers/0/image \"proxy:2\"",
        ];
        let mut found = changes("outrigger.dev", &running, &anew);
        found.sort();
        assert_eq!(found, expected);
    }
}
