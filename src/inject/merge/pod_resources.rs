//! `podResources: Grow`: raises the resources of the pod as a whole (`spec.resources`) by what a
//! template's containers ask for and may use.
//!
//! The API server adds up as described in `postconditions/pod_resources.rs`. A container counts for
//! the requests with its request, or its limit; for the limits with its limit, or its request.
//! Invariant: beside the new containers the app keeps what it had. A pod that is invalid by itself
//! stays invalid.

use super::{Edit, Location, Planner};
use crate::inject::pod::ContainerList;
use crate::inject::pod::qos_class::RESOURCES;
use crate::inject::schema::merge_path::MergePath;
use crate::inject::status::Raised;
use crate::inject::template::spec::PodResources;
use crate::inject::text::json::text;
use crate::inject::text::pointer::Pointer;
use crate::inject::text::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeSet;

const HUGE_PAGES: &str = "hugepages-";

/// Which of the two amounts of a resource.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Requests,
    Limits,
}

/// A container of the result.
struct Member {
    list: ContainerList,
    /// Whether it runs beside the app.
    runs: bool,
    /// The template that brings or fills it.
    candidate: Option<usize>,
    resources: Value,
    /// The resources that it had in the pod.
    before: Value,
}

/// An amount of the pod and what it becomes, by template.
struct Growth {
    form: Form,
    resource: String,
    /// The amount that holds where the pod names none.
    base: Quantity,
    steps: Vec<(usize, Quantity)>,
}

impl Planner<'_> {
    /// Raises the amounts that the pod has.
    pub(super) fn grow_pod_resources(&mut self) {
        let growths = match self.pod.spec_field("resources") {
            Some(own) if own.is_object() => self.growths(own),
            _ => return,
        };
        for growth in growths.into_iter().filter(|growth| !growth.steps.is_empty()) {
            self.raise(growth);
        }
    }

    fn growths(&self, own: &Value) -> Vec<Growth> {
        let members = self.members();
        let grows = |candidate: &usize| self.candidates[*candidate].template.spec.pod_resources == PodResources::Grow;
        let candidates: BTreeSet<usize> = members.iter().filter_map(|member| member.candidate).filter(grows).collect();
        if candidates.is_empty() {
            return Vec::new();
        }
        let maps = ["requests", "limits"].into_iter().filter_map(|field| own.get(field)?.as_object());
        let names: BTreeSet<&String> = maps.flat_map(|amounts| amounts.keys()).collect();
        let is_equal = |name: &str| {
            let limit = amount(own, Form::Limits, name).filter(|limit| limit.is_positive());
            limit.is_some() && limit == request(own, &members, name)
        };
        // A Guaranteed pod stays one: request and limit stay equal.
        let is_guaranteed = RESOURCES.into_iter().all(is_equal);
        let mut growths = Vec::new();
        for name in names {
            for (form, base) in
                [(Form::Requests, request(own, &members, name)), (Form::Limits, amount(own, Form::Limits, name))]
            {
                let Some(base) = base else { continue };
                let demand = if is_guaranteed && RESOURCES.contains(&name.as_str()) { Form::Limits } else { form };
                let steps = steps(&members, &candidates, demand, name, base);
                growths.push(Growth { form, resource: name.clone(), base, steps });
            }
        }
        growths
    }

    /// All containers in the order in which they will stand.
    fn members(&self) -> Vec<Member> {
        let mut members = Vec::new();
        for list in [ContainerList::InitContainers, ContainerList::Containers] {
            let mut own = self.pod.containers(list).iter().enumerate();
            for placed in self.placement.arranged(list) {
                members.extend(match placed {
                    Some(new) => Some(Member::new(list, &new.container, Some(new.candidate))),
                    None => own.next().map(|(index, container)| self.own_member(list, index, container)),
                });
            }
        }
        members
    }

    fn own_member(&self, list: ContainerList, index: usize, container: &Value) -> Member {
        let member = Member::new(list, container, None);
        match self.filled.iter().find(|filled| (filled.list, filled.index) == (list, index)) {
            Some(filled) => Member {
                runs: filled.runs_alongside,
                candidate: Some(filled.candidate),
                before: member.resources,
                resources: filled.resources.clone(),
                ..member
            },
            None => member,
        }
    }

    fn raise(&mut self, growth: Growth) {
        let Growth { form, resource, base, steps } = growth;
        let field = form.field();
        let map = Location {
            path: MergePath::of(["spec", "resources", field]),
            pointer: Pointer::of(["spec", "resources", field]),
        };
        let found = self.pod.spec_field("resources").and_then(|own| own.get(field));
        let old = found.and_then(|map| map.get(&resource));
        let path = map.path.child(&resource);
        let mut from = old.filter(|old| !old.is_null()).cloned();
        let mut reached = base;
        for (candidate, amount) in steps {
            let to = Value::String(amount.to_string());
            match from.replace(to.clone()) {
                Some(from) => drop(self.entry(candidate).raised.insert(path.clone(), Raised { from, to })),
                // The pod names the limit alone, and the API server would fill in less.
                None => {
                    self.record_empty(candidate, &map.path, found);
                    self.record_value(candidate, path.clone(), old);
                }
            }
            reached = amount;
        }
        self.plan.edits.push(Edit::Set {
            object: map.pointer,
            key: resource,
            value: Value::String(reached.to_string()),
        });
    }
}

impl Form {
    const fn field(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }
}

impl Member {
    fn new(list: ContainerList, container: &Value, candidate: Option<usize>) -> Self {
        let runs = list == ContainerList::Containers || text(container, "restartPolicy") == "Always";
        let resources = container.get("resources").cloned().unwrap_or_default();
        Self { list, runs, candidate, resources, before: Value::Null }
    }
}

/// The amounts after each template that raises one. A container that runs beside the app adds to
/// what the pod has. One that runs once before the app needs only that the pod has enough for it
/// and the native sidecars before it.
fn steps(
    members: &[Member],
    candidates: &BTreeSet<usize>,
    form: Form,
    name: &str,
    base: Quantity,
) -> Vec<(usize, Quantity)> {
    let mut reached = base;
    let mut steps = Vec::new();
    for candidate in candidates {
        let (mut running, mut sidecars, mut starting) = (reached, Quantity::ZERO, Quantity::ZERO);
        for member in members {
            let wanted = demand(&member.resources, form, name);
            let is_its = member.candidate == Some(*candidate);
            if member.runs && is_its {
                running = running.plus(wanted.minus(demand(&member.before, form, name)));
            }
            match (member.list, member.runs) {
                (ContainerList::Containers, _) => {}
                (ContainerList::InitContainers, true) => sidecars = sidecars.plus(wanted),
                (ContainerList::InitContainers, false) if is_its => starting = starting.max(sidecars.plus(wanted)),
                (ContainerList::InitContainers, false) => {}
            }
        }
        let needed = running.max(starting);
        if needed > reached {
            reached = needed;
            steps.push((*candidate, needed));
        }
    }
    steps
}

/// What a container asks for, or may use.
fn demand(resources: &Value, form: Form, name: &str) -> Quantity {
    let other = if form == Form::Requests { Form::Limits } else { Form::Requests };
    amount(resources, form, name).or_else(|| amount(resources, other, name)).unwrap_or(Quantity::ZERO)
}

fn amount(resources: &Value, form: Form, name: &str) -> Option<Quantity> {
    Quantity::from_json(resources.get(form.field())?.get(name)?).ok()
}

/// The pod's request of a resource. The API server takes the limit where neither the pod nor one of
/// its containers asks for any; where a container does, it adds up the containers.
fn request(own: &Value, members: &[Member], name: &str) -> Option<Quantity> {
    let limit = || {
        let is_own = |member: &&Member| member.candidate.is_none() || !member.before.is_null();
        let asks = |member: &Member| {
            let had = if member.candidate.is_none() { &member.resources } else { &member.before };
            [Form::Requests, Form::Limits].into_iter().any(|form| amount(had, form, name).is_some())
        };
        let is_summed_up = members.iter().filter(is_own).any(asks);
        amount(own, Form::Limits, name).filter(|_| !is_summed_up && !name.starts_with(HUGE_PAGES))
    };
    amount(own, Form::Requests, name).or_else(limit)
}
