//! Resources of the whole pod (`spec.resources`): what its containers request together fits.
//!
//! As in kube-apiserver: containers and native sidecars count together, an init container that runs
//! once counts beside the sidecars before it, and a limit stands for a request that is absent. A limit
//! of one of the `containers` is at most that of the pod.

use super::result::{ResultContainer, ResultPod, problem};
use crate::inject::error::Problem;
use crate::inject::schema::merge_path::MergePath;
use crate::inject::status::StatusEntry;
use crate::inject::text::json::text;
use crate::inject::text::quantity::Quantity;
use crate::inject::text::{message, quote, value};
use serde_json::Value;
use std::collections::BTreeSet;

const HUGE_PAGES: &str = "hugepages-";

/// Adds a problem for each resource of which the containers want more than the pod has, if they
/// would not without the templates.
pub(super) fn check(pod: &ResultPod<'_>, problems: &mut Vec<Problem>) {
    let Some(resources) = pod.field("resources") else { return };
    if pod.entries.iter().all(|entry| entry.container_names().next().is_none()) {
        return;
    }
    let containers: Vec<ResultContainer<'_>> = pod.containers().collect();
    let fields = ["requests", "limits"].map(|field| resources.get(field).and_then(Value::as_object));
    let names: BTreeSet<&String> = fields.iter().flatten().flat_map(|amounts| amounts.keys()).collect();
    for name in names {
        let amount = |field: &str| quantity(resources, field, name).map(|quantity| (field.to_owned(), quantity));
        let mut caps: Vec<(String, Quantity)> = amount("requests").or_else(|| amount("limits")).into_iter().collect();
        if name.starts_with(HUGE_PAGES) {
            caps = ["requests", "limits"].into_iter().filter_map(amount).collect();
        }
        for (field, cap) in caps {
            problems.extend(exceeded(pod, &containers, &field, name, cap));
        }
        if let Some((_, cap)) = amount("limits") {
            problems.extend(containers.iter().filter_map(|container| above_limit(container, name, cap)));
        }
    }
}

/// A container of a template with a higher limit than the pod.
fn above_limit(container: &ResultContainer<'_>, name: &str, cap: Quantity) -> Option<Problem> {
    let entry = container.entry.filter(|_| container.list == "containers")?;
    let limit = quantity(container.value.get("resources")?, "limits", name).filter(|limit| *limit > cap)?;
    let why = message![
        value(limit),
        " of ",
        value(quote(name)),
        " is more than the limit of the whole pod in spec.resources, ",
        value(cap),
        "; raise that, or leave spec.resources out",
    ];
    Some(container.problem(entry, "resources.limits", why))
}

fn exceeded(
    pod: &ResultPod<'_>,
    containers: &[ResultContainer<'_>],
    field: &str,
    name: &str,
    cap: Quantity,
) -> Option<Problem> {
    let wanted = if name.starts_with(HUGE_PAGES) { field } else { "requests" };
    let of = |container: &ResultContainer<'_>| effective(container.value, wanted, name);
    let sum = aggregate(containers.iter(), &of);
    // Without the containers of templates, and without what templates added to the app's.
    let added = |container: &ResultContainer<'_>| pod.entries.iter().find(|entry| adds(entry, container, name));
    let own_of = |container: &ResultContainer<'_>| of(container).filter(|_| added(container).is_none());
    let own = aggregate(containers.iter().filter(|container| container.entry.is_none()), &own_of);
    if sum <= cap || own > cap {
        return None;
    }
    let asking = containers.iter().rev().filter(|container| of(container).is_some());
    let entry = asking.into_iter().find_map(|container| container.entry.or_else(|| added(container)))?;
    let why = message![
        "spec.resources.",
        value(field),
        " allows ",
        value(cap),
        " of ",
        value(quote(name)),
        " for the whole pod, and its containers want ",
        value(sum),
        " with those of the template; raise it to that, or leave spec.resources out",
    ];
    Some(problem(entry, why))
}

/// Whether the template gave this container of the app a request or limit of the resource.
fn adds(entry: &StatusEntry, container: &ResultContainer<'_>, name: &str) -> bool {
    let resources = MergePath::of([container.list, container.name, "resources"]);
    let maps = ["requests", "limits"].map(|field| resources.child(field));
    let amounts = maps.clone().map(|map| map.child(name));
    std::iter::once(&resources).chain(&maps).chain(&amounts).any(|path| entry.added.contains(path))
}

/// A container's request of a resource, or its limit.
fn effective(container: &Value, field: &str, name: &str) -> Option<Quantity> {
    let resources = container.get("resources")?;
    quantity(resources, field, name).or_else(|| quantity(resources, "limits", name))
}

fn quantity(resources: &Value, field: &str, name: &str) -> Option<Quantity> {
    let amount = resources.get(field)?.get(name).filter(|amount| !amount.is_null())?;
    Quantity::from_json(amount).ok()
}

/// `AggregateContainerRequests`
fn aggregate<'c>(
    containers: impl Iterator<Item = &'c ResultContainer<'c>>,
    of: &dyn Fn(&ResultContainer<'_>) -> Option<Quantity>,
) -> Quantity {
    let (mut running, mut sidecars, mut starting) = (Quantity::ZERO, Quantity::ZERO, Quantity::ZERO);
    for container in containers {
        let amount = of(container).unwrap_or(Quantity::ZERO);
        if container.list == "containers" {
            running = running.plus(amount);
        } else if text(container.value, "restartPolicy") == "Always" {
            sidecars = sidecars.plus(amount);
        } else {
            starting = starting.max(sidecars.plus(amount));
        }
    }
    // Of sidecars alone, no init container has to start beside them.
    running.plus(sidecars).max(starting)
}
