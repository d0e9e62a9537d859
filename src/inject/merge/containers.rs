//! Merges sidecars and init containers into the pod, or finds their conflicts with the pod's own.

use super::placement::NewContainer;
use super::{Controller, Parties, Planner};
use crate::inject::pod::{AUTO, ContainerList};
use crate::inject::schema::merge_path::MergePath;
use crate::inject::settings::NativeSidecars;
use crate::inject::status::StatusEntry;
use crate::inject::template::spec::{Order, SidecarKind};
use crate::inject::text::json::text;
use crate::inject::text::{message, quote, value};
use serde_json::Value;

impl Planner<'_> {
    pub(super) fn containers(&mut self, candidate: usize) {
        let overlay = self.overlay(candidate);
        let placement = &self.candidates[candidate].template.spec.placement;
        let native =
            placement.sidecars == SidecarKind::Native && self.context.native_sidecars == NativeSidecars::Supported;
        let (list, default) = if native {
            (ContainerList::InitContainers, Order::First)
        } else {
            (ContainerList::Containers, Order::Last)
        };
        if !native && !overlay.sidecars().is_empty() && self.context.controller == Controller::Job {
            let why = "a Job owns the pod, and with plain sidecars beside the app it never completes";
            self.warn(candidate, why.into());
        }
        for sidecar in overlay.sidecars() {
            let sidecar = with_restart_policy(sidecar, native);
            self.container(candidate, sidecar, list, placement.order.as_ref().unwrap_or(&default));
        }
        for container in overlay.init_containers() {
            let order = placement.init_container_order.as_ref().unwrap_or(&Order::First);
            self.container(candidate, container.clone(), ContainerList::InitContainers, order);
        }
    }

    fn container(&mut self, candidate: usize, wanted: Value, list: ContainerList, order: &Order) {
        let wanted = self.with_class(candidate, wanted, None);
        let name = text(&wanted, "name").to_owned();
        // Container names are unique across all lists, so this path does not contain the list.
        let path = MergePath::of([format!("container {name}")]);
        match self.placement.find(&name) {
            None => {
                let wanted = self.hardened(candidate, wanted);
                if let Some((first, other)) = self.added_container(&name).filter(|(_, other)| *other != list) {
                    self.conflict_of_lists((first, other), (candidate, list), &name);
                } else if self.must_add(candidate, &path, &wanted, None) {
                    self.record_container(candidate, list, name);
                    self.warn_of_root(candidate, &wanted);
                    self.place(candidate, wanted, list, order);
                }
            }
            Some(Some((found_list, index))) => {
                let existing = &self.pod.containers(found_list)[index];
                if text(existing, "image") == AUTO {
                    if self.must_add(candidate, &path, &wanted, None) {
                        self.record_container(candidate, found_list, name);
                        self.fill(candidate, &wanted, existing, found_list, index);
                    }
                } else if found_list == list {
                    let wanted = self.hardened(candidate, wanted);
                    self.must_add(candidate, &path, &wanted, Some(existing));
                } else {
                    let path = MergePath::of([found_list.field(), &name]);
                    self.conflict_with_list_of_pod(candidate, &path, list);
                }
            }
            Some(None) => {
                let message = message![
                    "ephemeralContainers[",
                    value(&name),
                    "]: the pod has an ephemeral container of this name, template ",
                    self.template_name(candidate),
                    " wants one in ",
                    list.field(),
                ];
                self.conflict(Parties::TemplateAndPod(candidate), message);
            }
        }
    }

    /// The pod has a container of this name in another list, where the template's container would
    /// not work.
    fn conflict_with_list_of_pod(&mut self, candidate: usize, path: &MergePath, list: ContainerList) {
        if self.keeps_pod(candidate) {
            let other = ": the pod keeps its own container, the template wants it in ";
            self.warn(candidate, message![value(path), other, list.field()]);
            return;
        }
        let message = message![
            value(path),
            ": the pod has a container of this name, template ",
            self.template_name(candidate),
            " wants one in ",
            list.field(),
        ];
        self.conflict(Parties::TemplateAndPod(candidate), message);
    }

    /// The candidate that adds a container of this name, and the container's list.
    fn added_container(&self, name: &str) -> Option<(usize, ContainerList)> {
        let list_of = |(candidate, entry): (usize, &StatusEntry)| {
            let has = |names: &[String]| names.iter().any(|one| one == name);
            let list = match (has(&entry.containers), has(&entry.init_containers)) {
                (true, _) => ContainerList::Containers,
                (false, true) => ContainerList::InitContainers,
                (false, false) => return None,
            };
            Some((candidate, list))
        };
        self.plan.entries.iter().enumerate().find_map(list_of)
    }

    /// Two templates want a container of this name in two lists. Even equal containers conflict,
    /// because they would run at different times.
    fn conflict_of_lists(&mut self, first: (usize, ContainerList), second: (usize, ContainerList), name: &str) {
        let message = message![
            "container ",
            value(name),
            ": template ",
            self.template_name(first.0),
            " wants it in ",
            first.1.field(),
            ", template ",
            self.template_name(second.0),
            " in ",
            second.1.field(),
        ];
        self.conflict(Parties::Templates(first.0, second.0), message);
    }

    fn record_container(&mut self, candidate: usize, list: ContainerList, name: String) {
        let entry = self.entry(candidate);
        match list {
            ContainerList::Containers => entry.containers.push(name),
            ContainerList::InitContainers => entry.init_containers.push(name),
        }
    }

    fn place(&mut self, candidate: usize, container: Value, list: ContainerList, order: &Order) {
        let found = self.pod.spec_field(list.field());
        self.record_empty(candidate, &MergePath::of([list.field()]), found);
        let texts = self.texts(candidate, text(&container, "name"));
        let new = NewContainer { candidate, container, texts };
        let Some(absent) = self.placement.add(list, order, new) else { return };
        let absent = message!["placement names ", value(quote(absent)), ", which is not among the pod's "];
        self.warn(candidate, message![absent, list.field(), "; placed as if no order were set"]);
    }
}

/// The sidecar with `restartPolicy: Always` if it is native; a plain container has no such field.
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
