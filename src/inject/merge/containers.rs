//! Sidecars and init containers: whether the pod has them, where they go, and `image: auto` overrides.

use super::conflicts::shown_place;
use super::{Edit, Owner, Parties, Planner, Record, harden};
use crate::inject::NativeSidecars;
use crate::inject::pod::AUTO;
use crate::inject::pod::{ContainerList, PodDocument};
use crate::inject::schema::merge_keys;
use crate::inject::template::spec::{OnConflict, Order, SidecarKind};
use crate::inject::text::field::quote;
use crate::inject::text::json::text;
use crate::inject::text::pointer::escape;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashSet;

/// Where each container of the pod stands, and where new ones go.
pub(super) struct Placement<'a> {
    /// Name, list and position; ephemeral containers have none. Searched once for each container that a template brings.
    names: Vec<(&'a str, Option<(ContainerList, usize)>)>,
    init_containers: Arrangement<'a>,
    containers: Arrangement<'a>,
}

/// One list under construction.
struct Arrangement<'a> {
    list: ContainerList,
    first: Vec<Value>,
    /// The pod's own by name, and new ones before and after them.
    middle: Vec<Slot<'a>>,
    last: Vec<Value>,
}

enum Slot<'a> {
    Own(&'a str),
    New { after: Option<&'a str>, container: Value },
}

impl<'a> Placement<'a> {
    pub fn new(pod: &'a PodDocument) -> Self {
        let mut names = Vec::new();
        for list in [ContainerList::Containers, ContainerList::InitContainers] {
            let of_list = pod.containers(list).iter().enumerate();
            names.extend(of_list.map(|(index, container)| (text(container, "name"), Some((list, index)))));
        }
        names.extend(pod.spec_items("ephemeralContainers").iter().map(|container| (text(container, "name"), None)));
        let arrangement = |list| Arrangement::new(list, pod);
        Self {
            names,
            init_containers: arrangement(ContainerList::InitContainers),
            containers: arrangement(ContainerList::Containers),
        }
    }

    fn list(&mut self, list: ContainerList) -> &mut Arrangement<'a> {
        match list {
            ContainerList::Containers => &mut self.containers,
            ContainerList::InitContainers => &mut self.init_containers,
        }
    }

    fn find(&self, name: &str) -> Option<Option<(ContainerList, usize)>> {
        self.names.iter().rev().find(|(own, _)| *own == name).map(|(_, place)| *place)
    }

    /// Everything that is to be inserted.
    pub fn new_containers(&self) -> impl Iterator<Item = (ContainerList, &Value)> {
        let lists = [&self.init_containers, &self.containers].into_iter();
        lists.flat_map(|arrangement| arrangement.new_containers().map(|container| (arrangement.list, container)))
    }

    pub fn new_containers_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        let lists = [&mut self.init_containers, &mut self.containers].into_iter();
        lists.flat_map(Arrangement::new_containers_mut)
    }

    /// Insertions in the order in which they are to be carried out.
    pub fn arrange(&mut self) -> Vec<Edit> {
        let mut edits = self.init_containers.arrange();
        edits.extend(self.containers.arrange());
        edits
    }
}

impl<'a> Arrangement<'a> {
    fn new(list: ContainerList, pod: &'a PodDocument) -> Self {
        let middle = pod.containers(list).iter().map(|container| Slot::Own(text(container, "name"))).collect();
        Self { list, first: Vec::new(), middle, last: Vec::new() }
    }

    fn new_containers(&self) -> impl Iterator<Item = &Value> {
        let middle = self.middle.iter().filter_map(|slot| match slot {
            Slot::Own(_) => None,
            Slot::New { container, .. } => Some(container),
        });
        self.first.iter().chain(middle).chain(&self.last)
    }

    fn new_containers_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        let middle = self.middle.iter_mut().filter_map(|slot| match slot {
            Slot::Own(_) => None,
            Slot::New { container, .. } => Some(container),
        });
        self.first.iter_mut().chain(middle).chain(&mut self.last)
    }

    fn own(&self, name: &str) -> Option<usize> {
        self.middle.iter().position(|slot| matches!(slot, Slot::Own(own) if *own == name))
    }

    fn before(&mut self, position: usize, container: Value) {
        self.middle.insert(position, Slot::New { after: None, container });
    }

    /// Right after the named container and what earlier templates put there.
    fn after(&mut self, position: usize, container: Value) {
        let Slot::Own(anchor) = self.middle[position] else { return };
        let follows = |slot: &&Slot<'_>| matches!(slot, Slot::New { after: Some(name), .. } if *name == anchor);
        let position = position + 1 + self.middle[position + 1..].iter().take_while(follows).count();
        self.middle.insert(position, Slot::New { after: Some(anchor), container });
    }

    fn arrange(&mut self) -> Vec<Edit> {
        let pointer = format!("/spec/{}", self.list.field());
        let own = self.middle.iter().any(|slot| matches!(slot, Slot::Own(_)));
        let first = std::mem::take(&mut self.first).into_iter().map(Some);
        let middle = std::mem::take(&mut self.middle).into_iter().map(|slot| match slot {
            Slot::Own(_) => None,
            Slot::New { container, .. } => Some(container),
        });
        let last = std::mem::take(&mut self.last).into_iter().map(Some);
        let all: Vec<Option<Value>> = first.chain(middle).chain(last).collect();
        if !own {
            let items: Vec<Value> = all.into_iter().flatten().collect();
            return if items.is_empty() { Vec::new() } else { vec![Edit::Append { list: pointer, items }] };
        }
        let placed = all.into_iter().enumerate().filter_map(|(index, container)| Some((index, container?)));
        placed.map(|(index, item)| Edit::Insert { list: pointer.clone(), index, item }).collect()
    }
}

impl<'a> Planner<'a> {
    pub(super) fn containers(&mut self, owner: usize) {
        let candidate = &self.candidates[owner];
        let placement = &candidate.template.placement;
        let native =
            placement.sidecars == SidecarKind::Native && self.surroundings.native_sidecars == NativeSidecars::Supported;
        let (list, default) = if native {
            (ContainerList::InitContainers, Order::First)
        } else {
            (ContainerList::Containers, Order::Last)
        };
        if !native && !candidate.overlay.sidecars.is_empty() && self.surroundings.owner == Owner::Job {
            let name = quote(&candidate.template.name);
            self.plan.warnings.push(format!(
                "a Job owns the pod, and beside the plain sidecars of template {name} it never completes"
            ));
        }
        for sidecar in &candidate.overlay.sidecars {
            let sidecar = with_restart_policy(sidecar, native);
            self.container(owner, sidecar, list, placement.order.as_ref().unwrap_or(&default));
        }
        for container in &candidate.overlay.init_containers {
            let order = placement.init_container_order.as_ref().unwrap_or(&Order::First);
            self.container(owner, container.clone(), ContainerList::InitContainers, order);
        }
    }

    fn container(&mut self, owner: usize, wanted: Value, list: ContainerList, order: &Order) {
        let name = text(&wanted, "name").to_owned();
        // Names of all lists form one set, so the claim is to the name alone.
        let claimed = format!("container {}", escape(&name));
        let found = self.placement.find(&name);
        match found {
            None => {
                let wanted = self.hardened(owner, wanted);
                if let Some((first, other)) = self.brought(&name).filter(|(_, other)| *other != list) {
                    self.conflict_of_places(first, other, owner, list, &name);
                } else if self.claim(owner, &claimed, &wanted, None) {
                    self.record(owner, list, name);
                    self.place(owner, wanted, list, order);
                }
            }
            Some(Some((found_list, index))) => {
                let existing = &self.pod.containers(found_list)[index];
                if text(existing, "image") == AUTO {
                    if self.claim(owner, &claimed, &wanted, None) {
                        self.record(owner, found_list, name);
                        self.fill(owner, &wanted, existing, found_list, index);
                    }
                } else if found_list == list {
                    let wanted = self.hardened(owner, wanted);
                    self.claim(owner, &claimed, &wanted, Some(existing));
                } else {
                    let place = shown_place(&format!("{}/{}", found_list.field(), escape(&name)));
                    self.conflict_of_lists(owner, &place, list);
                }
            }
            Some(None) => {
                let message = format!(
                    "ephemeralContainers[{name}]: the pod has an ephemeral container of this name, template {} wants one in {}",
                    quote(&self.candidates[owner].template.name),
                    list.field()
                );
                self.conflict(Parties::TemplateAndPod(owner), message.into());
            }
        }
    }

    fn hardened(&self, owner: usize, mut container: Value) -> Value {
        if self.candidates[owner].template.hardened {
            harden::harden(&mut container, self.surroundings.os);
        }
        container
    }

    /// The name is taken in another list, where the template's container would not do its work.
    fn conflict_of_lists(&mut self, owner: usize, place: &str, list: ContainerList) {
        let template = self.candidates[owner].template;
        let name = quote(&template.name);
        if template.on_conflict == OnConflict::KeepPod {
            self.plan
                .warnings
                .push(format!("{place}: the pod's own container stays, template {name} wants it in {}", list.field()));
        } else {
            let message =
                format!("{place}: the pod has a container of this name, template {name} wants one in {}", list.field());
            self.conflict(Parties::TemplateAndPod(owner), message.into());
        }
    }

    /// The template that brings a container of this name, and where.
    fn brought(&self, name: &str) -> Option<(usize, ContainerList)> {
        let lists = |(owner, record): (usize, &Record)| {
            let has = |names: &[String]| names.iter().any(|one| one == name);
            let list = match (has(&record.containers), has(&record.init_containers)) {
                (true, _) => ContainerList::Containers,
                (false, true) => ContainerList::InitContainers,
                (false, false) => return None,
            };
            Some((owner, list))
        };
        self.plan.records.iter().enumerate().find_map(lists)
    }

    /// Equal containers in two lists do different work.
    fn conflict_of_places(
        &mut self,
        first: usize,
        first_list: ContainerList,
        second: usize,
        second_list: ContainerList,
        name: &str,
    ) {
        let template = |owner: usize| quote(&self.candidates[owner].template.name);
        let message = format!(
            "container {name}: template {} wants it in {}, template {} in {}",
            template(first),
            first_list.field(),
            template(second),
            second_list.field()
        );
        self.conflict(Parties::Templates(first, second), message.into());
    }

    fn record(&mut self, owner: usize, list: ContainerList, name: String) {
        let record = &mut self.plan.records[owner];
        match list {
            ContainerList::Containers => record.containers.push(name),
            ContainerList::InitContainers => record.init_containers.push(name),
        }
    }

    fn place(&mut self, owner: usize, container: Value, list: ContainerList, order: &Order) {
        let found = self.pod.spec_field(list.field());
        self.touch(owner, list.field(), found);
        let arrangement = self.placement.list(list);
        let absent = match order {
            Order::First => return arrangement.first.push(container),
            Order::Last => return arrangement.last.push(container),
            Order::Before(name) => match arrangement.own(name) {
                Some(position) => return arrangement.before(position, container),
                None => name,
            },
            Order::After(name) => match arrangement.own(name) {
                Some(position) => return arrangement.after(position, container),
                None => name,
            },
        };
        let warning = format!(
            "template {}: placement names {}, which is not among the pod's {}; placed as if it said nothing",
            quote(&self.candidates[owner].template.name),
            quote(absent),
            list.field()
        );
        if !self.plan.warnings.contains(&warning) {
            self.plan.warnings.push(warning);
        }
        match list {
            ContainerList::Containers => self.placement.list(list).last.push(container),
            ContainerList::InitContainers => self.placement.list(list).first.push(container),
        }
    }

    /// The pod's fields and place win; the rest comes from the template.
    fn fill(&mut self, owner: usize, wanted: &Value, existing: &'a Value, list: ContainerList, index: usize) {
        let Some(found) = existing.as_object() else { return };
        let place = format!("{}/{}", list.field(), escape(text(existing, "name")));
        let pointer = format!("/spec/{}/{index}", list.field());
        // What hardening may fill in depends on the whole container.
        let mut whole = wanted.clone();
        overridden(&mut whole, existing);
        let whole = self.hardened(owner, whole);
        let mut rest = whole.as_object().cloned().unwrap_or_default();
        if list == ContainerList::Containers {
            // The place wins: among the containers it is no native sidecar.
            rest.remove("restartPolicy");
        }
        rest.remove("image");
        self.plan.records[owner].replaced.insert(format!("{place}/image"), Value::from(AUTO));
        self.plan.edits.push(Edit::Set {
            object: pointer.clone(),
            key: "image".to_owned(),
            value: wanted["image"].clone(),
        });
        self.fill_object(owner, &place, &pointer, &rest, found);
    }

    fn fill_object(
        &mut self,
        owner: usize,
        place: &str,
        pointer: &str,
        wanted: &Map<String, Value>,
        found: &'a Map<String, Value>,
    ) {
        for (key, value) in wanted {
            let (place, pointer_of_key) = (format!("{place}/{}", escape(key)), format!("{pointer}/{}", escape(key)));
            match (found.get(key), value) {
                (Some(own), value) if own == value => {}
                (None | Some(Value::Null | Value::Array(_)), Value::Array(items)) if merge_keys::of(key).is_some() => {
                    let new = missing(key, items, found.get(key));
                    if !new.is_empty() {
                        self.touch(owner, &place, found.get(key));
                        self.add_keys(owner, &place, key, &new);
                        self.append(&pointer_of_key, new);
                    }
                }
                (None | Some(Value::Null), _) => {
                    self.record_set(owner, place, found.get(key));
                    self.plan.edits.push(Edit::Set {
                        object: pointer.to_owned(),
                        key: key.clone(),
                        value: value.clone(),
                    });
                }
                (Some(Value::Object(inner)), Value::Object(value)) if !merge_keys::is_atomic(key) => {
                    self.touching(owner, &place, found.get(key), |planner| {
                        planner.fill_object(owner, &place, &pointer_of_key, value, inner);
                    });
                }
                _ => {}
            }
        }
    }
}

/// The items that a list lacks.
fn missing(list: &str, wanted: &[Value], found: Option<&Value>) -> Vec<Value> {
    let Some(key) = merge_keys::of(list) else { return Vec::new() };
    let own: HashSet<Cow<'_, str>> =
        found.and_then(Value::as_array).into_iter().flatten().map(|item| key.value(item)).collect();
    wanted.iter().filter(|item| !own.contains(&key.value(item))).cloned().collect()
}

/// A native sidecar restarts always; a plain container has no restart policy of its own.
fn with_restart_policy(sidecar: &Value, native: bool) -> Value {
    let mut sidecar = sidecar.clone();
    if let Some(fields) = sidecar.as_object_mut() {
        if native {
            fields.insert("restartPolicy".to_owned(), Value::from("Always"));
        } else {
            fields.remove("restartPolicy");
        }
    }
    sidecar
}

/// Lays the pod's fields over the template's container; lists keep the template's items too.
fn overridden(wanted: &mut Value, found: &Value) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            if merge_keys::HANDLERS.iter().any(|handler| found.contains_key(*handler)) {
                wanted.retain(|key, _| !merge_keys::HANDLERS.contains(&key.as_str()));
            }
            for (key, value) in found.iter().filter(|(_, value)| !value.is_null()) {
                match wanted.get_mut(key) {
                    Some(own) if !merge_keys::is_atomic(key) => overridden(own, value),
                    _ => drop(wanted.insert(key.clone(), value.clone())),
                }
            }
        }
        (Value::Array(_), Value::Array(_)) => {}
        (wanted, found) => *wanted = found.clone(),
    }
}
