//! What the status of each template object should say, made of the templates that are served.
//!
//! It writes nothing. Invariant: the same templates give the same reports, and a report that says
//! the same as before is the same value, so that nobody writes it again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::api::template_object::{ObjectKey, ReportedRevision, TemplateReport};
use crate::inject::{LoadProblem, TemplateScope, TemplateSet, TemplateState, TemplateStatus};
use crate::source::custom_resource::{KnownObject, TemplateObjects};

/// The reports by object.
pub(crate) type Reports = Arc<BTreeMap<ObjectKey, Arc<TemplateReport>>>;

/// Reports about all objects that exist. `problems` has those of all sources.
pub(super) fn reports(
    objects: &TemplateObjects,
    templates: &TemplateSet,
    problems: &[LoadProblem],
    before: &Reports,
) -> Reports {
    let problems = by_origin(problems);
    let report = |(key, object): (&ObjectKey, &KnownObject)| {
        let of_object = problems.get(key.to_string().as_str()).map_or(&[][..], Vec::as_slice);
        let report = TemplateReport {
            uid: object.uid.clone(),
            generation: object.generation,
            ..report(key, templates, object, of_object)
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

fn report(key: &ObjectKey, templates: &TemplateSet, object: &KnownObject, problems: &[String]) -> TemplateReport {
    let scope = key.namespace.clone().map_or(TemplateScope::Cluster, TemplateScope::Namespace);
    let served = templates.status_of(&scope, &key.name);
    // Of another source with this name nothing is said here: neither its revision nor its history.
    let own = served.filter(|served| served.origin == key.to_string());
    let interface = own.and_then(|own| own.interface);
    let (is_ready, reason, message) = readiness(key, templates, served, problems);
    let mut warnings: Vec<String> = own.map_or(&[][..], |own| own.warnings).iter().map(of_object).collect();
    if interface.is_some_and(|interface| interface.lacks_stable_revision()) {
        warnings.push("spec.rollout: there is no earlier revision, so all pods get this one".to_owned());
    }
    let kept = match interface {
        Some(interface) => interface.kept_revisions(),
        // What it has kept stays, for the time when it is served again.
        None => object.kept_revisions(),
    };
    TemplateReport {
        key: key.clone(),
        uid: String::new(),
        generation: 0,
        is_ready,
        reason,
        message,
        injection: match interface {
            Some(interface) if interface.is_automatic() => "Automatic",
            Some(_) => "OptIn",
            None => "",
        },
        sidecars: interface.map(|interface| interface.sidecars().join(",")).unwrap_or_default(),
        revision: own.and_then(|own| own.revision).unwrap_or_default().to_owned(),
        stable_revision: interface.map_or("", |interface| interface.stable_revision()).to_owned(),
        warnings,
        revisions: kept.into_iter().map(|kept| ReportedRevision { revision: kept.revision, spec: kept.spec }).collect(),
    }
}

/// Whether pods get what the object says, with a reason for machines and a sentence for people.
fn readiness(
    key: &ObjectKey,
    templates: &TemplateSet,
    served: Option<TemplateStatus<'_>>,
    problems: &[String],
) -> (bool, &'static str, String) {
    let all = || problems.join("; ");
    let not_served = "pods that ask for it get template_broken, and the failurePolicy decides about them";
    let Some(served) = served else { return (false, "Invalid", all()) };
    let origin = key.to_string();
    let reason = if problems.iter().any(|problem| problem.contains(IN_TWO_PLACES)) { "NameTaken" } else { "Invalid" };
    match (served.state, served.revision) {
        (_, Some(revision)) if served.origin != origin => {
            (false, reason, format!("{}; revision {revision} of {} is served", all(), served.origin))
        }
        (TemplateState::Active | TemplateState::Orphaned, Some(revision)) if problems.is_empty() => {
            let hidden = key.namespace.as_ref().and_then(|namespace| templates.hidden_in(namespace, &key.name));
            if let Some(why) = hidden {
                return (false, "NameTaken", format!("{why}; give this template another name"));
            }
            (true, "Loaded", served_as(served, revision))
        }
        (_, Some(revision)) => (false, reason, format!("{}; the last good revision {revision} is served", all())),
        (_, None) => (false, reason, format!("{}; {not_served}", all())),
    }
}

/// Which pods get which revision.
fn served_as(served: TemplateStatus<'_>, revision: &str) -> String {
    let pods = match served.interface {
        Some(interface) if interface.is_automatic() => "pods that match",
        _ => "pods that ask for it",
    };
    let rollout =
        served.interface.and_then(|interface| Some((interface.rollout_percent()?, interface.stable_revision())));
    match rollout {
        Some((percent, stable)) => {
            format!("{percent} % of the {pods} get revision {revision}, the others {stable}")
        }
        None => format!("{pods} get revision {revision}"),
    }
}

/// In every sentence about a name that two sources define.
const IN_TWO_PLACES: &str = "neither of the two is taken";
