//! The review of one pod or pod template: the engine's outcome, and what else its author should know.

use serde_json::Value;

use super::cluster_pod::ClusterPod;
use super::controller::PodView;
use super::find::PodLocation;
use super::finding::{Finding, FindingCode};
use super::marks::without_marks;
use super::unread_keys;
use crate::inject::annotations::AnnotationKeys;
use crate::inject::merge::equal::same;
use crate::inject::status::{Status, StatusEntry};
use crate::inject::text::json::json_type;
use crate::inject::text::{Message, message, quote, value, words};
use crate::inject::{
    ErrorCode, Explanation, InjectError, Injector, Namespace, Outcome, Problem, Request, Skip, SkipReason, uninject,
};

/// What a review found.
#[derive(Debug)]
pub struct Review {
    /// What the webhook would decide about the pods of this template. The patch of an injection is
    /// for the pod as the cluster creates it; the template's own change is in `after`.
    pub outcome: Result<Outcome, InjectError>,
    /// Why the template gets nothing, or not everything: the reasons that no warning of the outcome
    /// tells.
    pub explanations: Vec<Explanation>,
    /// The template with everything that is injected, if something is.
    pub after: Option<Value>,
    /// What the engine does not say: it sees a pod alone.
    pub findings: Vec<Finding>,
}

/// What was injected before, compared with what would be injected now.
#[derive(Debug)]
pub struct Renewal {
    /// The template without what was injected before.
    pub bare: Value,
    /// The review of that template.
    pub review: Review,
    /// How the two differ, and what to do about it in a file.
    pub difference: Finding,
    /// How the two differ.
    pub summary: String,
    /// What to do about it in a file.
    pub advice: Option<&'static str>,
}

/// The outcome, what else explains it, and the template afterwards if something is injected.
type Injected = Result<(Outcome, Vec<Explanation>, Option<Value>), InjectError>;

/// Reviews templates of one namespace.
#[derive(Clone, Copy)]
pub struct Reviewer<'a> {
    /// The templates and settings.
    pub injector: &'a Injector,
    /// The namespace of the pods.
    pub namespace: &'a str,
    /// Its labels and annotations, if known.
    pub namespace_object: Option<&'a Namespace>,
}

impl Reviewer<'_> {
    /// Reviews the first pod that the cluster creates of the pod or pod template at this place of the
    /// document. `after` may have values of this pod alone, such as its name.
    pub fn review(&self, document: &Value, location: &PodLocation) -> Review {
        self.reviewed(document, location, &|keys, object, template| {
            self.inject(keys, location, object, template, PodView::Pod(0))
        })
    }

    /// The same for the template itself: `after` has nothing that belongs to one of its pods.
    pub fn review_template(&self, document: &Value, location: &PodLocation) -> Review {
        self.reviewed(document, location, &|keys, object, template| {
            self.inject_into_template(keys, location, object, template)
        })
    }

    fn reviewed(
        &self,
        document: &Value,
        location: &PodLocation,
        inject: &dyn Fn(&AnnotationKeys, &Value, &Value) -> Injected,
    ) -> Review {
        let (Some(object), Some(template)) = (location.object(document), location.template(document)) else {
            let (outcome, explanations) = not_requested();
            return Review { outcome: Ok(outcome), explanations, after: None, findings: Vec::new() };
        };
        let keys = AnnotationKeys::new(&self.injector.settings().domain);
        let mut findings = unread_keys::of_workload(self.injector, self.namespace, location, object, template);
        let reviewed = match values_that_are_no_text(location, template) {
            none if none.is_empty() => inject(&keys, object, template),
            problems => Err(InjectError::from(problems)),
        };
        let asks = annotations(template).any(|key| keys.owns(key));
        let (outcome, explanations, after) = match reviewed {
            Ok((outcome, explanations, after)) => (Ok(outcome), explanations, after),
            // The API server refuses this pod; it is not ours to say more than that.
            Err(error) if !asks && error.codes() == [ErrorCode::PodInvalid] => {
                let why = Message::join(error.problems().iter().map(|problem| problem.message.clone()), "; ");
                findings.push(Finding::note(FindingCode::ObjectIncomplete, why.with("; it is left as it is")));
                let (outcome, explanations) = not_requested();
                (Ok(outcome), explanations, None)
            }
            Err(error) => (Err(located(error, location)), Vec::new(), None),
        };
        if !location.is_known && (asks || after.is_some() || outcome.is_err()) {
            let kind = value(quote(&location.object.kind));
            let message = message!["kind ", kind, " is not known; its pod template is treated by its shape"];
            findings.push(Finding::warning(FindingCode::KindUnknown, message));
        }
        Review { outcome, explanations, after, findings }
    }

    /// Compares what was injected into the template before with what would be injected now. `None` if
    /// nothing was injected, or both are the same.
    pub fn renewal(&self, document: &Value, location: &PodLocation) -> Option<Renewal> {
        let template = location.template(document)?;
        let keys = AnnotationKeys::new(&self.injector.settings().domain);
        let status = template.pointer("/metadata/annotations")?.get(&keys.status)?.as_str()?;
        let before = Status::<StatusEntry>::parse(status)?.templates.into_iter().map(|entry| entry.name);
        let bare = uninject(template, &self.injector.settings().domain).ok()??;
        let review = self.review_template(document, location);
        let mut document = document.clone();
        location.put(&mut document, bare.clone());
        let anew = self.review_template(&document, location);
        let wanted = without_marks(anew.after.as_ref().unwrap_or(&bare), &keys);
        let found = without_marks(review.after.as_ref().unwrap_or(template), &keys);
        if anew.outcome.is_ok() && same(&wanted, &found) {
            return None;
        }
        let before: Vec<String> = before.map(|name| quote(&name)).collect();
        let carries = message!["what was injected before (", value(before.join(", ")), ")"];
        let (summary, advice) = match (&anew.outcome, &anew.after) {
            (Err(error), _) => (message![carries, " would be refused now: ", value(error)], None),
            (Ok(_), None) => {
                (message![carries, " is not requested any more"], Some("`--renew` or `outrigger uninject` removes it"))
            }
            (Ok(_), Some(_)) => {
                (message![carries, " has other values than it would get now"], Some("`--renew` injects it anew"))
            }
        };
        let message = match advice {
            Some(advice) => message![summary.clone(), "; ", advice],
            None => summary.clone(),
        };
        let difference = Finding::warning(FindingCode::InjectionOutdated, message);
        Some(Renewal { bare, review: anew, difference, summary: summary.to_string(), advice })
    }

    /// What all pods of the template share decides, so nothing of one pod is written into it. Where the
    /// template gets nothing and its pods get something, that is told.
    fn inject_into_template(
        &self,
        keys: &AnnotationKeys,
        location: &PodLocation,
        object: &Value,
        template: &Value,
    ) -> Injected {
        let inject = |view| self.inject(keys, location, object, template, view);
        let shared = inject(PodView::Shared);
        if location.path.is_empty() || matches!(shared, Ok((Outcome::Injected(_), ..))) {
            return shared;
        }
        let Ok((Outcome::Injected(injection), ..)) = inject(PodView::Pod(0)) else { return shared };
        match shared {
            Ok((Outcome::Skipped(mut skip), explanations, after)) => {
                let names: Vec<String> = injection.templates.iter().map(|name| quote(name)).collect();
                skip.warnings.push(format!("template {} is left out{ONLY_PODS}", names.join(", ")));
                Ok((Outcome::Skipped(skip), explanations, after))
            }
            shared => shared.map_err(of_template),
        }
    }

    fn inject(
        &self,
        keys: &AnnotationKeys,
        location: &PodLocation,
        object: &Value,
        template: &Value,
        view: PodView,
    ) -> Injected {
        let filled = ClusterPod::new(location, object, template, self.namespace, view);
        let text = filled.pod.to_string();
        let request = Request::create_pod(self.namespace, &text);
        let request = Request { namespace_object: self.namespace_object, ..request };
        let outcome = self.injector.inject(&request)?;
        let reasons = match &outcome {
            Outcome::Injected(injection) => &injection.reasons,
            Outcome::Skipped(skip) => &skip.reasons,
        };
        let explanations = self.injector.explain(&request, reasons);
        let Outcome::Injected(injection) = &outcome else { return Ok((outcome, explanations, None)) };
        let patch = injection.patch().map_err(|error| internal(&error))?;
        let mut pod = filled.pod.clone();
        json_patch::patch(&mut pod, &patch).map_err(|error| internal(&error))?;
        let after = filled.take_out(pod, keys);
        Ok((outcome, explanations, Some(after)))
    }
}

/// What follows where the pods get what their template does not.
const ONLY_PODS: &str =
    "; its pods get it in the cluster, since it depends on what their controller sets, which their template lacks";

/// The error of a template whose pods have none.
fn of_template(error: InjectError) -> InjectError {
    let problems = error.problems().iter().cloned();
    let with_hint = problems.map(|problem| Problem { message: problem.message.with(ONLY_PODS), ..problem });
    InjectError::from(with_hint.collect::<Vec<_>>())
}

/// The engine names the fields of an invalid pod by their paths in the pod.
fn located(error: InjectError, location: &PodLocation) -> InjectError {
    if location.pointer == location.object.pointer {
        return error;
    }
    let place = location.field(&[]);
    let problems = error.problems().iter().cloned().map(|problem| match problem.code {
        ErrorCode::PodInvalid if !problem.message.to_string().starts_with(&place) => {
            let message = message!["in ", words(&place), ": ", problem.message];
            Problem { message, ..problem }
        }
        _ => problem,
    });
    InjectError::from(problems.collect::<Vec<_>>())
}

fn internal(error: &dyn std::fmt::Display) -> InjectError {
    let message = message!["the patch does not apply: ", value(error)];
    InjectError::from(vec![Problem { code: ErrorCode::Internal, template: None, annotation: None, message }])
}

fn not_requested() -> (Outcome, Vec<Explanation>) {
    let reason = SkipReason::NotRequested;
    let outcome = Outcome::Skipped(Skip { reasons: vec![reason], ..Skip::default() });
    (outcome, vec![Explanation::general(reason)])
}

fn annotations(template: &Value) -> impl Iterator<Item = &str> {
    let annotations = template.pointer("/metadata/annotations").and_then(Value::as_object);
    annotations.into_iter().flat_map(|annotations| annotations.keys()).map(String::as_str)
}

/// Annotations and labels of the pod that are no text, by their path in the object.
pub(super) fn values_that_are_no_text(location: &PodLocation, template: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (kind, map) in [("annotation", "annotations"), ("label", "labels")] {
        let entries = template.pointer(&format!("/metadata/{map}")).and_then(Value::as_object);
        for (key, found) in entries.into_iter().flatten() {
            if found.is_string() || found.is_null() {
                continue;
            }
            let path = words(location.field(&["metadata", map]));
            let hint = if found.is_boolean() || found.is_number() { "; put it in quotes" } else { "" };
            let message =
                message![path, "[", value(quote(key)), "]: expected a string, found ", json_type(found), hint,];
            let annotation = (kind == "annotation").then(|| key.clone());
            problems.push(Problem { code: ErrorCode::PodInvalid, template: None, annotation, message });
        }
    }
    problems
}

#[cfg(test)]
mod tests;
