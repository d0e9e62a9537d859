//! Checks whether the templates are valid, the same on all replicas, and include all requested
//! ones.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::super::finding::{Code, Finding};
use super::super::observations::{Observations, Requester};
use super::{MAX_NAMES, counted, listed, replicas};
use crate::inject::annotations::{self, AnnotationKeys};
use crate::inject::text::quote;

/// The state of a template whose source has vanished, as `/templates` has it.
const ORPHANED: &str = "orphaned";

pub(super) fn evaluate(observations: &Observations) -> Vec<Finding> {
    if observations.responding().next().is_none() {
        return Vec::new();
    }
    let namespace = &observations.target.namespace;
    let served: BTreeSet<&str> = served(observations);
    let mut findings = invalid(observations);
    findings.extend(orphaned(observations));
    findings.extend(warnings(observations));
    findings.extend(skew(observations));
    findings.extend(missing(observations, &served));
    if served.is_empty() {
        findings.push(Code::NoTemplates.found(
            "no replica has a template: every pod that requests one is refused",
            format!("put templates into the ConfigMap {namespace}/outrigger-templates, or leave `built-in` among the setting `templates`"),
        ));
    }
    if findings.is_empty() {
        let names = listed(served.iter().copied());
        findings.push(Code::Templates.good(format!("{}: {names}", counted(served.len(), "template"))));
    }
    findings
}

/// Names of what can be had from at least one replica.
fn served(observations: &Observations) -> BTreeSet<&str> {
    observations
        .templates()
        .filter(|(_, template)| template.revision.is_some())
        .map(|(_, template)| &*template.name)
        .collect()
}

fn invalid(observations: &Observations) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for (_, template) in observations.templates() {
        let Some(problem) = template.problem.as_ref().filter(|_| template.state != ORPHANED) else { continue };
        if !seen.insert((template.title(), problem)) {
            continue;
        }
        let served = match &template.revision {
            Some(revision) => format!("its last good revision {revision} is served"),
            None => "pods that request it are refused".to_owned(),
        };
        findings.push(Code::TemplateInvalid.found(
            format!("template {:?} is invalid, and {served}: {problem}", template.title()),
            format!("fix it in {}", template.source),
        ));
    }
    findings
}

/// Templates that are served although their source is gone: the next restart loses them.
fn orphaned(observations: &Observations) -> Option<Finding> {
    let names = observations.templates().filter(|(_, template)| template.state == ORPHANED);
    let names: BTreeSet<String> = names.map(|(_, template)| template.title()).collect();
    let namespace = &observations.target.namespace;
    (!names.is_empty()).then(|| {
        Code::TemplateOrphaned.found(
            format!(
                "the source of {} has vanished, and the last good revision is served until a replica restarts: {}",
                counted(names.len(), "template"),
                listed(names.iter().map(String::as_str))
            ),
            format!(
                "restore the ConfigMap {namespace}/outrigger-templates before any restart; to remove the templates on purpose, see \"Templates that vanish\" in docs/operations.md"
            ),
        )
    })
}

/// What is probably not as the author of a served template expects.
fn warnings(observations: &Observations) -> Vec<Finding> {
    let mut seen: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for (_, template) in observations.templates() {
        for warning in &template.warnings {
            seen.entry(warning).or_insert((&template.name, &template.source));
        }
    }
    let finding = |(warning, (name, source)): (&str, (&str, &str))| {
        Code::TemplateWarning.found(format!("template {name:?}: {warning}"), format!("correct it in {source}"))
    };
    seen.into_iter().map(finding).collect()
}

/// What one replica has and another has not.
fn skew(observations: &Observations) -> Vec<Finding> {
    let pods = replicas::names(observations);
    let mut revisions: BTreeMap<String, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for (replica, template) in observations.templates() {
        let revision = template.revision.as_deref().unwrap_or("none");
        revisions.entry(template.title()).or_default().entry(revision).or_default().push(&replica.pod);
    }
    let mut findings = Vec::new();
    for (name, mut by_revision) in revisions {
        let having: BTreeSet<&str> = by_revision.values().flatten().copied().collect();
        let without: Vec<&str> = pods.difference(&having).copied().collect();
        if !without.is_empty() {
            by_revision.insert("none", without);
        }
        if by_revision.len() > 1 {
            let each =
                by_revision.iter().map(|(revision, pods)| format!("{revision} on {}", listed(pods.iter().copied())));
            let each: Vec<String> = each.collect();
            findings.push(Code::TemplateSkew.found(
                format!("template {name:?} differs among the replicas: {}", each.join("; ")),
                "a change of a ConfigMap takes a minute or two to reach all of them; afterwards compare what they mount, and their versions",
            ));
        }
    }
    findings
}

/// Templates that are requested and that no replica has.
fn missing(observations: &Observations, served: &BTreeSet<&str>) -> Vec<Finding> {
    let is_known = |name: &str, namespace: &str| {
        observations.templates().any(|(_, template)| template.name == name && template.is_visible_in(namespace))
    };
    let mut requested: BTreeMap<Cow<'_, str>, Vec<TemplateRequester<'_>>> = BTreeMap::new();
    for requester in observations.requesters.found().into_iter().flatten() {
        for name in requester.templates.iter().filter(|name| !is_known(name, &requester.namespace)) {
            requested.entry(Cow::Borrowed(name)).or_default().push(TemplateRequester::Object(requester));
        }
    }
    let keys = AnnotationKeys::new(&observations.target.domain);
    for namespace in observations.namespaces.found().into_iter().flatten() {
        let list = namespace.annotations.get(&keys.inject);
        let names = list.map(|value| annotations::requested_names(value)).unwrap_or_default();
        for name in names.into_iter().filter(|name| !is_known(name, &namespace.name)) {
            requested.entry(Cow::Owned(name)).or_default().push(TemplateRequester::Namespace(&namespace.name));
        }
    }
    let has = if served.is_empty() { "none".to_owned() } else { listed(served.iter().copied()) };
    let finding = |(name, requesters): (Cow<'_, str>, Vec<TemplateRequester<'_>>)| {
        let shown: Vec<String> = requesters.iter().take(MAX_NAMES).map(TemplateRequester::title).collect();
        let more = requesters.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Code::TemplateMissing.found(
            format!(
                "template {} is requested by {}{more}, and no replica has it (loaded: {has})",
                quote(&name),
                shown.join(", ")
            ),
            format!(
                "add it to the ConfigMap {}/outrigger-templates (it takes a minute or two to arrive), or correct the annotation {:?}",
                observations.target.namespace, keys.inject
            ),
        )
    };
    requested.into_iter().map(finding).collect()
}

/// A requester of a template. Titles are made only for the few that are printed.
enum TemplateRequester<'f> {
    Object(&'f Requester),
    Namespace(&'f str),
}

impl TemplateRequester<'_> {
    fn title(&self) -> String {
        match self {
            Self::Object(requester) => requester.title(),
            Self::Namespace(name) => format!("Namespace {name}"),
        }
    }
}
