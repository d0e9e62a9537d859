//! Warns if the injection takes the QoS class Guaranteed away from a pod.
//!
//! Rules of the class: `GetPodQOS` in `pkg/apis/core/v1/helper/qos` of Kubernetes.

use super::Planner;
use crate::inject::pod::{AUTO, ContainerList};
use crate::inject::text::json::text;
use crate::inject::text::{message, quantity, quote, value};
use serde_json::Value;

/// The resources that decide the class.
const RESOURCES: [&str; 2] = ["cpu", "memory"];

impl Planner<'_> {
    pub(super) fn warn_of_qos(&mut self) {
        // The resources of the pod as a whole decide alone.
        if self.pod.spec_field("resources").and_then(Value::as_object).is_some_and(|own| !own.is_empty()) {
            return;
        }
        let lists = [ContainerList::Containers, ContainerList::InitContainers];
        let mut own = lists.into_iter().flat_map(|list| self.pod.containers(list));
        let is_guaranteed =
            |container: &Value| text(container, "image") == AUTO || guaranteed(container.get("resources"));
        if !own.all(is_guaranteed) {
            return;
        }
        let new = self.placement.new_containers().map(|(_, new)| {
            (new.candidate, text(&new.container, "name").to_owned(), guaranteed(new.container.get("resources")))
        });
        let filled = self.filled.iter().map(|filled| {
            let name = text(&self.pod.containers(filled.list)[filled.index], "name").to_owned();
            (filled.candidate, name, guaranteed(Some(&filled.resources)))
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

/// Whether a container with these resources leaves its pod Guaranteed.
fn guaranteed(resources: Option<&Value>) -> bool {
    let Some(resources) = resources else { return false };
    let of = |field: &str, resource: &str| resources.get(field)?.get(resource);
    RESOURCES.iter().all(|resource| {
        let limit = of("limits", resource).filter(|limit| !quantity::same(limit, &Value::from(0)));
        limit.is_some_and(|limit| of("requests", resource).is_none_or(|request| quantity::same(limit, request)))
    })
}
