//! What the status of each template object should say, made of the templates that are served.
//!
//! It writes nothing. Invariant: the same templates give the same reports, and a report that says
//! the same as before is the same value, so that nobody writes it again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::api::template_object::{ObjectKey, ReportedRevision, TemplateReport};
use crate::inject::{LoadProblem, TemplateScope, TemplateSet, TemplateState, TemplateStatus};
use crate::source::custom_resource::TemplateObjects;

/// Longest message of a condition, in bytes: Kubernetes takes 32 KiB.
const MAX_MESSAGE: usize = 8 * 1024;
/// Most warnings of one template.
const MAX_WARNINGS: usize = 32;

/// The reports by object.
pub(crate) type Reports = Arc<BTreeMap<ObjectKey, Arc<TemplateReport>>>;

/// Reports about all objects that exist. `problems` has those of all sources; `conflicts` what to
/// warn of besides.
pub(super) fn reports(
    objects: &TemplateObjects,
    templates: &TemplateSet,
    problems: &[LoadProblem],
    conflicts: &[LoadProblem],
    before: &Reports,
) -> Reports {
    let problems = by_origin(problems);
    let conflicts = by_origin(conflicts);
    let report = |(key, object): (&ObjectKey, &crate::source::custom_resource::KnownObject)| {
        let origin = key.to_string();
        let of = |map: &HashMap<&str, Vec<String>>| map.get(origin.as_str()).cloned().unwrap_or_default();
        let report = TemplateReport {
            uid: object.uid.clone(),
            generation: object.generation,
            ..report(key, templates, &of(&problems), of(&conflicts))
        };
        let same = before.get(key).filter(|before| ***before == report);
        (key.clone(), same.map_or_else(|| Arc::new(report), Arc::clone))
    };
    Arc::new(objects.existing().map(report).collect())
}

fn by_origin(problems: &[LoadProblem]) -> HashMap<&str, Vec<String>> {
    let mut by_origin: HashMap<&str, Vec<String>> = HashMap::new();
    for problem in problems {
        by_origin.entry(&problem.origin).or_default().push(of_object(problem));
    }
    by_origin
}

/// The sentence without its origin, which is the object itself.
fn of_object(problem: &LoadProblem) -> String {
    let sentence = problem.to_string();
    sentence.strip_prefix(&format!("{}: ", problem.origin)).map(str::to_owned).unwrap_or(sentence)
}

fn report(key: &ObjectKey, templates: &TemplateSet, problems: &[String], conflicts: Vec<String>) -> TemplateReport {
    let scope = key.namespace.clone().map_or(TemplateScope::Cluster, TemplateScope::Namespace);
    let status = templates.status_of(&scope, &key.name);
    let interface = status.and_then(|status| status.interface);
    let revision = status.and_then(|status| status.revision).unwrap_or_default();
    let stable = interface.map_or("", |interface| interface.stable_revision());
    let (is_ready, reason, message) = readiness(key, templates, status, problems, stable);
    let mut warnings: Vec<String> =
        status.map_or(&[][..], |status| status.warnings).iter().map(of_object).chain(conflicts).collect();
    if interface.is_some_and(|interface| interface.lacks_stable_revision()) {
        warnings.push("spec.rollout: there is no earlier revision, so all pods get this one".to_owned());
    }
    warnings.truncate(MAX_WARNINGS);
    let kept = interface.map(|interface| interface.kept_revisions()).unwrap_or_default();
    TemplateReport {
        key: key.clone(),
        uid: String::new(),
        generation: 0,
        is_ready,
        reason,
        message: shortened(message),
        injection: match interface {
            Some(interface) if interface.is_automatic() => "Automatic",
            _ => "OptIn",
        },
        sidecars: interface.map(|interface| interface.sidecars().join(",")).unwrap_or_default(),
        revision: revision.to_owned(),
        stable_revision: stable.to_owned(),
        warnings,
        revisions: kept.into_iter().map(|kept| ReportedRevision { revision: kept.revision, spec: kept.spec }).collect(),
    }
}

/// Whether pods get what the object says, with a reason for machines and a sentence for people.
fn readiness(
    key: &ObjectKey,
    templates: &TemplateSet,
    status: Option<TemplateStatus<'_>>,
    problems: &[String],
    stable: &str,
) -> (bool, &'static str, String) {
    let all = || problems.join("; ");
    let Some(status) = status else { return (false, "Invalid", all()) };
    match (status.state, status.revision) {
        (TemplateState::Active | TemplateState::Orphaned, Some(revision)) if problems.is_empty() => {
            if let Some(namespace) = &key.namespace
                && let Some(why) = templates.hidden_in(namespace, &key.name)
            {
                return (false, "NameTaken", format!("{why}; give this template another name"));
            }
            let message = match stable == revision {
                true => format!("pods that ask for it get revision {revision}"),
                false => format!("a part of the pods gets revision {revision}, the others {stable}"),
            };
            (true, "Loaded", message)
        }
        (_, Some(revision)) => (false, "Invalid", format!("{}; the last good revision {revision} is served", all())),
        (_, None) => (false, "Invalid", format!("{}; pods that ask for it get no answer but an error", all())),
    }
}

fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or_default();
        message.truncate(end);
        message.push('…');
    }
    message
}
