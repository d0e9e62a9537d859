//! Finds conflicts between the ports of containers that run at the same time.
//!
//! The containers of a pod share one network, so port numbers and names are unique among them.

use super::Planner;
use super::conflicts::{Conflict, Parties, Subject};
use super::placement::NewContainer;
use crate::inject::pod::ContainerList;
use crate::inject::text::json::{items, text};
use crate::inject::text::{Message, message, quote, value, words};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A port as declared by a container.
struct Port<'v> {
    container: &'v str,
    /// The candidate that adds the port; `None` for the pod's own.
    candidate: Option<usize>,
    number: i64,
    protocol: &'v str,
    name: &'v str,
    host: Option<i64>,
    host_ip: &'v str,
}

impl Planner<'_> {
    pub(super) fn check_ports(&mut self) {
        let new = self.placement.new_containers().filter(|(list, new)| runs_alongside(&new.container, *list));
        let new: Vec<&NewContainer> = new.map(|(_, new)| new).collect();
        let adds_none = new.iter().all(|new| items(&new.container, "ports").is_empty())
            && self.filled.iter().all(|filled| filled.ports.is_empty());
        if adds_none {
            return;
        }
        let mut ports: Vec<Port<'_>> = Vec::new();
        let filled = self.filled.iter().filter(|filled| filled.runs_alongside);
        let filled: BTreeSet<_> = filled.map(|filled| (filled.list, filled.index)).collect();
        for list in [ContainerList::Containers, ContainerList::InitContainers] {
            let own = self.pod.containers(list).iter().enumerate();
            let running = own.filter(|(index, own)| runs_alongside(own, list) || filled.contains(&(list, *index)));
            ports.extend(running.flat_map(|(_, own)| Port::all(own, items(own, "ports"), None)));
        }
        for filled in &self.filled {
            let container = &self.pod.containers(filled.list)[filled.index];
            ports.extend(Port::all(container, &filled.ports, Some(filled.candidate)));
        }
        for NewContainer { candidate, container, .. } in new {
            ports.extend(Port::all(container, items(container, "ports"), Some(*candidate)));
        }
        let host_network = self.pod.spec_field("hostNetwork") == Some(&Value::Bool(true));
        let templates: Vec<&str> = self.candidates.iter().map(|candidate| candidate.template.name.as_str()).collect();
        self.plan.conflicts.extend(conflicts(&ports, &templates, host_network));
    }
}

impl<'v> Port<'v> {
    /// These ports of a container.
    fn all(container: &'v Value, ports: &'v [Value], candidate: Option<usize>) -> impl Iterator<Item = Self> {
        let container = text(container, "name");
        ports.iter().map(move |port| Self {
            container,
            candidate,
            number: port.get("containerPort").and_then(Value::as_i64).unwrap_or_default(),
            protocol: port.get("protocol").and_then(Value::as_str).unwrap_or("TCP"),
            name: text(port, "name"),
            host: port.get("hostPort").and_then(Value::as_i64).filter(|port| *port != 0),
            host_ip: text(port, "hostIP"),
        })
    }

    fn describe(&self, templates: &[&str]) -> Message {
        let container = value(quote(self.container));
        match self.candidate.and_then(|candidate| templates.get(candidate)) {
            Some(template) => message!["container ", container, " of template ", words(quote(template))],
            None => message!["the pod's container ", container],
        }
    }
}

/// Whether a container runs at the same time as the app. A run-once init container ends before.
pub(super) fn runs_alongside(container: &Value, list: ContainerList) -> bool {
    list == ContainerList::Containers || text(container, "restartPolicy") == "Always"
}

fn conflicts(ports: &[Port<'_>], templates: &[&str], host_network: bool) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    let mut numbers: BTreeMap<(i64, &str), &Port<'_>> = BTreeMap::new();
    let mut names: BTreeMap<&str, &Port<'_>> = BTreeMap::new();
    let mut hosts: BTreeMap<(i64, &str, &str), &Port<'_>> = BTreeMap::new();
    for port in ports {
        if let Some(host) = port.host {
            let other = *hosts.entry((host, port.protocol, port.host_ip)).or_insert(port);
            if other.container != port.container {
                let what = message!["hostPort ", value(host), "/", value(port.protocol)];
                conflicts.extend(between(what, Subject::Port(host), other, port, templates));
            }
        }
        let other = *numbers.entry((port.number, port.protocol)).or_insert(port);
        if other.container != port.container {
            let what = message!["port ", value(port.number), "/", value(port.protocol)];
            conflicts.extend(between(what, Subject::Port(port.number), other, port, templates));
        }
        if !port.name.is_empty() {
            let other = *names.entry(port.name).or_insert(port);
            if other.container != port.container || other.number != port.number {
                let what = message!["port name ", value(quote(port.name))];
                conflicts.extend(between(what, Subject::Other, other, port, templates));
            }
        }
        if let (true, Some(host), Some(candidate)) = (host_network, port.host, port.candidate)
            && host != port.number
        {
            let message = message![
                port.describe(templates),
                ": hostPort ",
                value(host),
                " must be the containerPort ",
                value(port.number),
                " in a host-network pod",
            ];
            conflicts.push(Conflict { parties: Parties::TemplateAndPod(candidate), message, subject: Subject::Other });
        }
    }
    conflicts
}

/// The conflict of two ports, unless both are the pod's own.
fn between(what: Message, subject: Subject, one: &Port<'_>, other: &Port<'_>, templates: &[&str]) -> Option<Conflict> {
    let parties = match (one.candidate, other.candidate) {
        (None, None) => return None,
        (Some(candidate), None) | (None, Some(candidate)) => Parties::TemplateAndPod(candidate),
        (Some(a), Some(b)) if a == b => Parties::TemplateAndPod(a),
        (Some(a), Some(b)) => Parties::Templates(a, b),
    };
    let message = message![
        what,
        " is declared by ",
        one.describe(templates),
        " and by ",
        other.describe(templates),
        "; the containers of a pod share one network",
    ];
    Some(Conflict { parties, message, subject })
}
