//! The decision about one pod or pod template, step by step, and what it carries already.

use serde::Serialize;
use serde_json::Value;

use super::cluster_pod::ClusterPod;
use super::difference;
use super::find::PodLocation;
use super::review::{Review, Reviewer, values_that_are_no_text};
use crate::inject::annotations::AnnotationKeys;
use crate::inject::decision_trace::DecisionTrace;
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
        let pod = ClusterPod::new(location, object, template, self.namespace).pod;
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
    pub fn carried(&self, document: &Value, location: &PodLocation, review: &Review) -> Option<Carried> {
        let template = location.template(document)?;
        let keys = AnnotationKeys::new(&self.injector.settings().domain);
        let status = template.pointer("/metadata/annotations")?.get(&keys.status)?.as_str()?;
        let entries = Status::<StatusEntry>::parse(status)?.templates;
        let of = |entry: StatusEntry| CarriedTemplate {
            current: self.current_revision(&entry.name),
            revision: entry.revision.as_str().to_owned(),
            name: entry.name,
        };
        let renewal = self.renewal(document, location, review);
        let changes = renewal.as_ref().map_or_else(Vec::new, |renewal| {
            let wanted = renewal.review.after.as_ref().unwrap_or(&renewal.bare);
            changes(keys.domain(), template, wanted)
        });
        Some(Carried {
            templates: entries.into_iter().map(of).collect(),
            is_current: renewal.is_none(),
            difference: renewal.map(|renewal| renewal.difference.message.to_string()),
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
    let marks = [AnnotationKeys::new(domain).status, "/revision".to_owned()].map(|mark| mark.replace('/', "~1"));
    let steps = difference::steps(before, after);
    let operations = difference::patch(&steps).into_iter().rev();
    let operations = operations.map(|operation| serde_json::to_value(operation).unwrap_or_default());
    let shown = operations.filter(|one| !marks.iter().any(|mark| text(one, "path").ends_with(mark.as_str())));
    shown.take(MAX_DIFFERENCES).map(|one| change(&one)).collect()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// `replace /spec/initContainers/0/image "agent:2"`
fn change(operation: &Value) -> String {
    let value = operation.get("value").map(|value| format!(" {value}")).unwrap_or_default();
    format!("{} {}{value}", text(operation, "op"), text(operation, "path"))
}
