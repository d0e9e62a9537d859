//! Rules of the names and numbers that templates share in a pod.

use std::collections::{BTreeMap, BTreeSet};

use outrigger::inject::Injector;
use serde_json::Value;

use super::companions::unless;
use super::{Sample, Subject};
use crate::catalog::files::{Catalog, Entry, plain_pod};

/// Numbers and protocols of ports, by the name of the template.
pub type Ports = BTreeMap<String, BTreeSet<(i64, String)>>;

/// Parameters of the template's own ports.
const OWN_PORTS: [&str; 4] = ["port", "healthPort", "adminPort", "metricsPort"];
/// Names that every other program could have as well.
const GENERAL: [&str; 9] = ["http", "https", "grpc", "tcp", "udp", "web", "metrics", "admin", "health"];

pub fn containers(subject: &Subject<'_>) -> Vec<String> {
    let name = &subject.entry.name;
    let wrong = subject.samples.iter().flat_map(Sample::containers).filter_map(|(container, _)| {
        let own = container["name"].as_str().unwrap_or_default();
        let holds = own == name || own.starts_with(&format!("{name}-"));
        unless(holds, format!("container {own:?}; expected {name:?} or \"{name}-…\""))
    });
    wrong.collect()
}

pub fn volumes(subject: &Subject<'_>) -> Vec<String> {
    let name = &subject.entry.name;
    let wrong = subject.samples.iter().flat_map(|sample| sample.added("volumes")).filter_map(|volume| {
        let own = volume["name"].as_str().unwrap_or_default();
        unless(own.starts_with(&format!("{name}-")), format!("volume {own:?}; expected \"{name}-…\""))
    });
    wrong.collect()
}

fn ports(sample: &Sample) -> Vec<&Value> {
    let containers = sample.containers().into_iter();
    containers.flat_map(|(container, _)| container["ports"].as_array().into_iter().flatten()).collect()
}

pub fn port_names(subject: &Subject<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    let own: BTreeSet<&str> =
        subject.samples.iter().flat_map(ports).map(|port| port["name"].as_str().unwrap_or_default()).collect();
    for name in own {
        faults.extend(unless(!name.is_empty(), "a port has no name"));
        faults.extend(unless(!GENERAL.contains(&name), format!("port {name:?} says nothing of the template")));
        let others = others(subject).filter(|other| other.text.contains(&format!("name: {name},")));
        faults.extend(others.map(|other| format!("port {name:?} is one of template {} as well", other.name)));
    }
    faults
}

fn others<'s>(subject: &'s Subject<'_>) -> impl Iterator<Item = &'s Entry> {
    subject.catalog.entries.iter().filter(|other| other.name != subject.entry.name)
}

/// The ports that every template opens with its defaults: those of its parameters, and those that its
/// containers have in a plain pod.
pub fn ports_of(catalog: &Catalog, injector: &Injector) -> Ports {
    let of_entry = |entry: &Entry| {
        let parameters = entry.list("parameters").iter();
        let parameters =
            parameters.filter(|parameter| parameter["name"].as_str().is_some_and(|name| OWN_PORTS.contains(&name)));
        let mut numbers: BTreeSet<(i64, String)> =
            parameters.filter_map(|parameter| Some((parameter["default"].as_i64()?, "TCP".to_owned()))).collect();
        let sample = Sample::new(injector, catalog.ask(&plain_pod(), &[&entry.name]));
        numbers.extend(sample.iter().flat_map(ports).filter_map(|port| {
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            Some((port["containerPort"].as_i64()?, protocol.to_owned()))
        }));
        (entry.name.clone(), numbers)
    };
    catalog.entries.iter().map(of_entry).collect()
}

pub fn port_numbers(subject: &Subject<'_>) -> Vec<String> {
    let own = &subject.ports[&subject.entry.name];
    let others = subject.ports.iter().filter(|(name, _)| **name != subject.entry.name);
    let shared = others.flat_map(|(name, ports)| ports.intersection(own).map(move |port| (name, port)));
    shared
        .map(|(name, (number, protocol))| format!("port {number}/{protocol} is one of template {name} as well"))
        .collect()
}
