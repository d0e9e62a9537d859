//! Reports workloads whose pods the webhook refuses, and keys that nothing reads.

use std::collections::BTreeMap;

use super::super::finding::{Code, Finding};
use super::super::observations::{LoadedTemplates, Observations, PodState, RefusalEvent, ReplicaTemplate, Requester};
use super::{counted, listed};
use crate::inject::annotations::{self, AnnotationKeys};
use crate::inject::{KeyCheck, KeyPlace, Namespace};

pub(super) fn evaluate(observations: &Observations) -> Vec<Finding> {
    let mut findings = refused(observations);
    findings.extend(unread(observations));
    let tried = observations.trials.tried.len();
    let requesters = observations.requesters.found().into_iter().flatten();
    let mut workloads = requesters.filter(|one| one.pod == PodState::NoPod && !one.templates.is_empty());
    let is_known = observations.requesters.found().is_some() && (tried > 0 || workloads.next().is_none());
    if findings.is_empty() && is_known {
        let tried = counted(tried, "workload");
        findings.push(Code::Workloads.good(format!("{tried} with pods that request templates, and none is refused")));
    }
    findings
}

/// What is refused now, as dry runs show, and what was refused lately of workloads that were not
/// tried: those of other kinds, or of namespaces that ask for their pods.
fn refused(observations: &Observations) -> Vec<Finding> {
    let mut by_sentence: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (title, message) in &observations.trials.denied {
        by_sentence.entry(sentence(message)).or_default().push(title.clone());
    }
    let tried = &observations.trials.tried;
    for event in observations.refusals.found().into_iter().flatten() {
        let titles = titles(event);
        if titles.iter().any(|title| tried.contains(title)) {
            continue;
        }
        let same = by_sentence.entry(sentence(&event.message)).or_default();
        same.extend(titles.into_iter().next().filter(|title| !same.contains(title)));
    }
    let finding = |(sentence, titles): (&str, Vec<String>)| {
        let names = listed(titles.iter().map(String::as_str));
        Code::WorkloadRefused.found(
            format!("the pods of {} are refused ({names}): {sentence}", counted(titles.len(), "workload")),
            "correct the annotations of the pod template, or the template that it requests; its controller then tries again by itself. docs/reference/reasons.md explains the code",
        )
    };
    by_sentence.into_iter().map(finding).collect()
}

/// What the webhook said, without the words of the API server and of the controller around it.
fn sentence(message: &str) -> &str {
    message.split_once("denied the request: ").map_or(message, |(_, sentence)| sentence)
}

/// The object of an event, and before it the workload to which it probably belongs.
fn titles(event: &RefusalEvent) -> Vec<String> {
    let RefusalEvent { kind, namespace, name, .. } = event;
    let owner = match kind.as_str() {
        "ReplicaSet" => Some("Deployment"),
        "Job" => Some("CronJob"),
        _ => None,
    };
    let owner = owner.zip(name.rsplit_once('-')).map(|(kind, (name, _))| format!("{kind} {namespace}/{name}"));
    owner.into_iter().chain([format!("{kind} {namespace}/{name}")]).collect()
}

/// Keys of workloads, pods and namespaces that look like ours and that nothing reads.
fn unread(observations: &Observations) -> Vec<Finding> {
    let keys = AnnotationKeys::new(&observations.target.domain);
    let templates = loaded(observations);
    let namespaces = observations.namespaces.found().map(Vec::as_slice).unwrap_or_default();
    let by_name: BTreeMap<&str, &Namespace> = namespaces.iter().map(|one| (one.name.as_str(), one)).collect();
    let mut objects: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for namespace in namespaces {
        let check = KeyCheck::new(&keys, &templates, &[]);
        let places = [
            (KeyPlace::NamespaceAnnotation, namespace.annotations.keys()),
            (KeyPlace::NamespaceLabel, namespace.labels.keys()),
        ];
        for (place, names) in places {
            for unread in check.unread(place, names.map(String::as_str)) {
                objects.entry(unread.sentence().to_string()).or_default().push(format!("Namespace {}", namespace.name));
            }
        }
    }
    for requester in observations.requesters.found().into_iter().flatten().filter(|one| !one.keys.is_empty()) {
        let requested = requested(observations, &keys, requester, by_name.get(requester.namespace.as_str()).copied());
        let requested: Vec<&str> = requested.iter().map(String::as_str).collect();
        let check = KeyCheck::new(&keys, &templates, &requested);
        for (place, key) in &requester.keys {
            for unread in check.unread(*place, [key.as_str()]) {
                objects.entry(unread.sentence().to_string()).or_default().push(requester.title());
            }
        }
    }
    let finding = |(sentence, titles): (String, Vec<String>)| {
        let names = listed(titles.iter().map(String::as_str));
        Code::KeyUnread.found(
            format!("{sentence} ({}: {names})", counted(titles.len(), "object")),
            "correct or remove the key; pods are asked for in the annotations of the pod template (spec.template.metadata.annotations). docs/reference/annotations.md lists all keys",
        )
    };
    objects.into_iter().map(finding).collect()
}

/// The templates of all replicas.
fn loaded(observations: &Observations) -> LoadedTemplates {
    let mut by_name: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
    for (_, template) in observations.templates() {
        let parameters = template.parameters.as_ref();
        let names = parameters.map(|all| all.iter().map(|parameter| parameter.name.clone()).collect());
        let known = by_name.entry(template.name.clone()).or_default();
        *known = known.take().or(names);
    }
    LoadedTemplates { by_name, is_known: observations.responding().next().is_some() }
}

/// What a pod gets: what it or its namespace asks for, and Automatic templates.
fn requested(
    observations: &Observations,
    keys: &AnnotationKeys,
    requester: &Requester,
    namespace: Option<&Namespace>,
) -> Vec<String> {
    let list = namespace.and_then(|namespace| namespace.annotations.get(&keys.inject));
    let list = list.filter(|_| requester.templates.is_empty());
    let of_namespace = list.map(|list| annotations::requested_names(list)).unwrap_or_default();
    let is_automatic =
        |template: &ReplicaTemplate| template.injection == "Automatic" && template.is_visible_in(&requester.namespace);
    let automatic = observations.templates().filter(|(_, template)| is_automatic(template));
    let automatic = automatic.map(|(_, template)| template.name.clone());
    requester.templates.iter().cloned().chain(of_namespace).chain(automatic).collect()
}
