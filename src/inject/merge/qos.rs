//! The QoS class Guaranteed: keeps it, where a template says `qos: Keep`, or warns if the injection
//! takes it away from a pod.
//!
//! Rules of the class: `GetPodQOS` in `pkg/apis/core/v1/helper/qos` of Kubernetes.

use super::{Planner, RenderedTemplate};
use crate::inject::overlay::Overlay;
use crate::inject::pod::qos_class::{self, RESOURCES};
use crate::inject::pod::{AUTO, ContainerList, PodDocument};
use crate::inject::status::StatusEntry;
use crate::inject::template::spec::Qos;
use crate::inject::text::json::{at, text};
use crate::inject::text::{message, quote, value};
use serde_json::{Map, Value};

impl Planner<'_> {
    /// The container with requests equal to its limits, if its template keeps the pod Guaranteed.
    /// Requests of `own` stay.
    pub(super) fn with_class(&self, candidate: usize, mut container: Value, own: Option<&Value>) -> Value {
        if self.is_guaranteed && keeps_class(&self.candidates[candidate]) {
            for resource in RESOURCES {
                let is_own = own.and_then(|own| own.get("resources")?.get("requests")?.get(resource));
                let limit = at(&container, &["resources", "limits", resource]).cloned();
                if let (None, Some(limit), Some(Value::Object(resources))) =
                    (is_own, limit, container.get_mut("resources"))
                {
                    let requests = resources.entry("requests").or_insert_with(|| Value::Object(Map::new()));
                    if let Value::Object(requests) = requests {
                        requests.insert(resource.to_owned(), limit);
                    }
                }
            }
        }
        container
    }

    pub(super) fn warn_of_qos(&mut self) {
        // The resources of the pod as a whole decide alone.
        if has_resources(self.pod) {
            return;
        }
        let lists = [ContainerList::Containers, ContainerList::InitContainers];
        let mut own = lists.into_iter().flat_map(|list| self.pod.containers(list));
        let is_guaranteed = |container: &Value| {
            text(container, "image") == AUTO || qos_class::is_guaranteed(container.get("resources"))
        };
        if !own.all(is_guaranteed) {
            return;
        }
        let new = self.placement.new_containers().map(|(_, new)| {
            (
                new.candidate,
                text(&new.container, "name").to_owned(),
                qos_class::is_guaranteed(new.container.get("resources")),
            )
        });
        let filled = self.filled.iter().map(|filled| {
            let name = text(&self.pod.containers(filled.list)[filled.index], "name").to_owned();
            (filled.candidate, name, qos_class::is_guaranteed(Some(&filled.resources)))
        });
        let burstable: Vec<_> = new.chain(filled).filter(|(.., guaranteed)| !guaranteed).collect();
        for (candidate, name, _) in burstable {
            let name = value(quote(&name));
            let message = message![
                "the pod was Guaranteed and becomes Burstable, because container ",
                name,
                " has no limits for cpu and memory that are equal to its requests",
            ];
            self.warn(candidate, message);
        }
    }
}

/// Whether the template keeps the class of a Guaranteed pod.
fn keeps_class(candidate: &RenderedTemplate<'_>) -> bool {
    candidate.template.spec.qos == Qos::Keep
}

/// Whether containers must be Guaranteed because of one of these templates: the app's own are. What
/// templates brought in an earlier pass does not count.
pub(super) fn must_keep_class(pod: &PodDocument, status: &[StatusEntry], candidates: &[RenderedTemplate<'_>]) -> bool {
    let overlays = || candidates.iter().map(|candidate| &*candidate.overlay);
    candidates.iter().any(keeps_class) && is_app_guaranteed(pod, status, overlays)
}

fn is_app_guaranteed<'o, O: Iterator<Item = &'o Overlay>>(
    pod: &PodDocument,
    status: &[StatusEntry],
    overlays: impl Fn() -> O,
) -> bool {
    if has_resources(pod) {
        return false;
    }
    let is_brought = |name: &str| {
        overlays().any(|overlay| overlay.container_names().any(|brought| brought == name))
            || status.iter().any(|entry| entry.container_names().any(|brought| brought == name))
    };
    let lists = [ContainerList::Containers, ContainerList::InitContainers];
    let own = lists.into_iter().flat_map(|list| pod.containers(list));
    let mut own = own.filter(|container| !is_brought(text(container, "name"))).peekable();
    own.peek().is_some() && own.all(|container| qos_class::is_guaranteed(container.get("resources")))
}

/// Whether the pod has resources of its own, which then decide its class, even if they are empty.
fn has_resources(pod: &PodDocument) -> bool {
    pod.spec_field("resources").is_some_and(Value::is_object)
}

/// The containers of a template with `qos: Keep` that would take the class away from a Guaranteed
/// pod, and the resource of which they have no limit.
pub(in crate::inject) fn without_limit<'o>(
    pod: &PodDocument,
    status: &[StatusEntry],
    overlay: &'o Overlay,
) -> Vec<(&'o str, &'static str)> {
    if !is_app_guaranteed(pod, status, || std::iter::once(overlay)) {
        return Vec::new();
    }
    let lists = [ContainerList::Containers, ContainerList::InitContainers];
    let mut found = Vec::new();
    for container in overlay.sidecars().iter().chain(overlay.init_containers()) {
        let name = text(container, "name");
        let mut own = lists.into_iter().flat_map(|list| pod.containers(list));
        let own = own.find(|own| text(own, "name") == name && text(own, "image") == AUTO);
        let lacks = |resource: &&'static str| {
            let has_limit = |container: &Value| qos_class::has_limit(container.get("resources"), resource);
            !has_limit(container) && !own.is_some_and(has_limit)
        };
        found.extend(RESOURCES.into_iter().filter(lacks).map(|resource| (name, resource)));
    }
    found
}
