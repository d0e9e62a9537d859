//! Ports: the containers of a pod share one network, so numbers and names are unique among those that run at the same time.

use super::conflicts::Parties;
use super::{Edit, Planner};
use crate::inject::pod::ContainerList;
use crate::inject::text::field::quote;
use crate::inject::text::json::{items, text};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// A port as declared by a container.
struct Port<'v> {
    container: &'v str,
    /// The candidate that brings it; none for the pod's own.
    owner: Option<usize>,
    number: i64,
    protocol: &'v str,
    name: &'v str,
    host: Option<i64>,
    host_ip: &'v str,
}

impl Planner<'_> {
    pub(super) fn check_ports(&mut self) {
        let brought = self.placement.new_containers().filter(|(list, container)| runs_along(container, *list));
        let brought: Vec<&Value> = brought.map(|(_, container)| container).collect();
        let filled = self.filled_ports();
        if brought.iter().all(|container| items(container, "ports").is_empty()) && filled.is_empty() {
            return;
        }
        let mut ports: Vec<Port<'_>> = Vec::new();
        let native = self.made_native();
        for list in [ContainerList::Containers, ContainerList::InitContainers] {
            let own = self.pod.containers(list).iter().enumerate();
            let running = own.filter(|(index, one)| runs_along(one, list) || native.contains(&pointer(list, *index)));
            for (_, container) in running {
                ports.extend(
                    items(container, "ports").iter().map(|port| Port::new(text(container, "name"), port, None)),
                );
            }
        }
        for (container, owner, port) in &filled {
            ports.push(Port::new(container, port, Some(*owner)));
        }
        for container in brought {
            let owner = self.owner_of(text(container, "name"));
            ports.extend(items(container, "ports").iter().map(|port| Port::new(text(container, "name"), port, owner)));
        }
        let host_network = self.pod.spec_field("hostNetwork") == Some(&Value::Bool(true));
        let templates: Vec<&str> = self.candidates.iter().map(|candidate| candidate.template.name.as_str()).collect();
        for (parties, message) in find(&ports, &templates, host_network) {
            self.conflict(parties, message.into());
        }
    }

    /// Pointers of the pod's init containers that a template makes native sidecars.
    fn made_native(&self) -> HashSet<String> {
        let native = |edit: &Edit| match edit {
            Edit::Set { object, key, value } if key == "restartPolicy" && value == "Always" => Some(object.clone()),
            _ => None,
        };
        self.plan.edits.iter().filter_map(native).collect()
    }

    /// Ports that `image: auto` containers take from their templates: container, owner, port.
    fn filled_ports(&self) -> Vec<(String, usize, Value)> {
        let mut filled = Vec::new();
        let native = self.made_native();
        for edit in &self.plan.edits {
            let (pointer, ports): (&str, &[Value]) = match edit {
                Edit::Append { list, items } => match list.strip_suffix("/ports") {
                    Some(container) => (container, items),
                    None => continue,
                },
                Edit::Set { object, key, value } if key == "ports" => {
                    (object, value.as_array().map_or(&[], Vec::as_slice))
                }
                _ => continue,
            };
            let Some(container) = self.pod.tree().pointer(pointer) else { continue };
            let list = match pointer.starts_with("/spec/containers/") {
                true => ContainerList::Containers,
                false => ContainerList::InitContainers,
            };
            if !runs_along(container, list) && !native.contains(pointer) {
                continue;
            }
            let name = text(container, "name").to_owned();
            let Some(owner) = self.owner_of(&name) else { continue };
            filled.extend(ports.iter().map(|port| (name.clone(), owner, port.clone())));
        }
        filled
    }

    fn owner_of(&self, container: &str) -> Option<usize> {
        self.plan
            .records
            .iter()
            .position(|record| record.containers.iter().chain(&record.init_containers).any(|name| name == container))
    }
}

impl<'v> Port<'v> {
    fn new(container: &'v str, port: &'v Value, owner: Option<usize>) -> Self {
        Self {
            container,
            owner,
            number: port.get("containerPort").and_then(Value::as_i64).unwrap_or_default(),
            protocol: port.get("protocol").and_then(Value::as_str).unwrap_or("TCP"),
            name: text(port, "name"),
            host: port.get("hostPort").and_then(Value::as_i64).filter(|port| *port != 0),
            host_ip: text(port, "hostIP"),
        }
    }
}

impl Port<'_> {
    fn described(&self, templates: &[&str]) -> String {
        match self.owner.and_then(|owner| templates.get(owner)) {
            Some(template) => format!("container {} of template {}", quote(self.container), quote(template)),
            None => format!("the pod's container {}", quote(self.container)),
        }
    }
}

fn pointer(list: ContainerList, index: usize) -> String {
    format!("/spec/{}/{index}", list.field())
}

/// Run-once init containers are gone when the others run.
fn runs_along(container: &Value, list: ContainerList) -> bool {
    list == ContainerList::Containers || text(container, "restartPolicy") == "Always"
}

fn find(ports: &[Port<'_>], templates: &[&str], host_network: bool) -> Vec<(Parties, String)> {
    let mut conflicts = Vec::new();
    let mut numbers: HashMap<(i64, &str), &Port<'_>> = HashMap::new();
    let mut names: HashMap<&str, &Port<'_>> = HashMap::new();
    let mut hosts: HashMap<(i64, &str, &str), &Port<'_>> = HashMap::new();
    for port in ports {
        if let Some(host) = port.host {
            match hosts.get(&(host, port.protocol, port.host_ip)) {
                Some(other) if other.container != port.container => {
                    let what = format!("hostPort {host}/{}", port.protocol);
                    conflicts.extend(between(&what, other, port, templates));
                }
                Some(_) => {}
                None => drop(hosts.insert((host, port.protocol, port.host_ip), port)),
            }
        }
        match numbers.get(&(port.number, port.protocol)) {
            Some(other) if other.container != port.container => {
                let what = format!("port {}/{}", port.number, port.protocol);
                conflicts.extend(between(&what, other, port, templates));
            }
            Some(_) => {}
            None => drop(numbers.insert((port.number, port.protocol), port)),
        }
        match names.get(port.name) {
            Some(other) if other.container != port.container || other.number != port.number => {
                conflicts.extend(between(&format!("port name {}", quote(port.name)), other, port, templates));
            }
            Some(_) => {}
            None if port.name.is_empty() => {}
            None => drop(names.insert(port.name, port)),
        }
        if let (true, Some(host), Some(owner)) = (host_network, port.host, port.owner)
            && host != port.number
        {
            let who = port.described(templates);
            let message =
                format!("{who}: hostPort {host} must be the containerPort {} in a host-network pod", port.number);
            conflicts.push((Parties::TemplateAndPod(owner), message));
        }
    }
    conflicts
}

fn between(what: &str, one: &Port<'_>, other: &Port<'_>, templates: &[&str]) -> Option<(Parties, String)> {
    let parties = match (one.owner, other.owner) {
        (None, None) => return None,
        (Some(owner), None) | (None, Some(owner)) => Parties::TemplateAndPod(owner),
        (Some(a), Some(b)) if a == b => Parties::TemplateAndPod(a),
        (Some(a), Some(b)) => Parties::Templates(a, b),
    };
    let (one, other) = (one.described(templates), other.described(templates));
    Some((parties, format!("{what} is declared by {one} and by {other}; the containers of a pod share one network")))
}
