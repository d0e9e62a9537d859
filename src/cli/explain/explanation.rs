//! The explanation of one pod: the webhooks, the decision, what it carries, its existing pods.

use serde::Serialize;
use serde_json::Value;

use super::webhooks::{Asked, WebhookTrace};
use crate::inject::decision_trace::{Check, DecisionTrace, TraceVerdict};
use crate::workload::{Carried, CarriedTemplate, Comparison, PodLocation, Reviewer};

/// Everything that is explained.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ExplainReport {
    /// One for each pod or pod template, in the order of the input.
    pub explanations: Vec<Explanation>,
    /// What could not be read, one sentence each; then the exit code is 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

/// What becomes of the pod in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum Effect {
    /// It gets at least one template.
    Injected,
    /// Outrigger is asked, and gives it nothing.
    Skipped,
    /// Outrigger refuses it.
    Refused,
    /// Outrigger gives no verdict, and the `failurePolicy` decides.
    Failed,
    /// The API server does not ask Outrigger: it is created as it is.
    NotAsked,
    /// It depends on templates that could not be read, or on whether the API server asks, which is not known.
    NotKnown,
}

/// Existing pods of a workload that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct PodGroup {
    /// How they differ from a new pod, or that they do not.
    pub state: String,
    /// Whether they carry what a new pod would get.
    pub is_current: bool,
    /// Their names.
    pub pods: Vec<String>,
}

/// One pod or pod template.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Explanation {
    /// The object, with its file and line if it comes from one.
    pub object: String,
    /// Namespace of the pods.
    pub namespace: String,
    /// What becomes of a pod that is created now.
    pub effect: Effect,
    /// Whether that depends on templates that could not be read.
    #[serde(skip)]
    pub templates_unread: bool,
    /// The same in one sentence, with the first cause.
    pub summary: String,
    /// Whether the API server would ask Outrigger.
    pub asked: Asked,
    /// What Outrigger decides if it is asked, with the templates that could be read.
    pub decision: DecisionTrace,
    /// What the object carries of an earlier injection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried: Option<Carried>,
    /// What it gets with the templates of `--against`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Comparison>,
    /// Existing pods of the workload.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<PodGroup>,
    /// What else is to be said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Explanation {
    /// The explanation of the pod at this place of the document. `None` if there is no pod at it.
    pub(super) fn of(
        object: String,
        reviewer: &Reviewer<'_>,
        document: &Value,
        location: &PodLocation,
        other: Option<&Reviewer<'_>>,
        asked: impl FnOnce(&Value) -> Asked,
    ) -> Option<Self> {
        let traced = reviewer.trace(document, location)?;
        let review = reviewer.review(document, location);
        let asked = asked(&traced.pod);
        let decision = traced.decision;
        let effect = match (asked.is_called(), decision.verdict) {
            (Some(false), _) => Effect::NotAsked,
            // It gets nothing in either case.
            (_, TraceVerdict::Skipped) => Effect::Skipped,
            (None, _) => Effect::NotKnown,
            (Some(true), TraceVerdict::Injected) => Effect::Injected,
            (Some(true), TraceVerdict::Refused) => Effect::Refused,
            (Some(true), TraceVerdict::Failed) => Effect::Failed,
        };
        let mut notes: Vec<String> = review.findings.iter().map(ToString::to_string).collect();
        if reviewer.namespace_object.is_none() {
            notes.push(format!(
                "labels and annotations of namespace {:?} are not known, so default lists and Automatic templates do \
                 not apply here; for files give --namespace-file",
                reviewer.namespace
            ));
        }
        Some(Self {
            summary: summary(effect, &asked, &decision),
            carried: reviewer.carried(document, location),
            object,
            namespace: reviewer.namespace.to_owned(),
            effect,
            templates_unread: false,
            asked,
            decision,
            against: other.and_then(|other| reviewer.compare(other, document, location)),
            pods: Vec::new(),
            notes,
        })
    }
}

/// The verdict about a pod whose templates are not known.
const TEMPLATES_UNREAD: &str = "not known: the templates could not be read";

impl Explanation {
    /// Takes back what would be wrong if there were templates that could not be read.
    pub(super) fn without_templates(&mut self) {
        const DEPENDING: [&str; 3] = ["template_not_found", "default_template_missing", "not_requested"];
        let decision = &self.decision;
        let codes = decision.reasons.iter().chain(&decision.problems).map(|one| one.code.as_str());
        let depends = codes.into_iter().any(|code| DEPENDING.contains(&code));
        if depends && self.effect != Effect::NotAsked {
            self.effect = Effect::NotKnown;
            self.templates_unread = true;
            self.summary = with_condition(TEMPLATES_UNREAD.to_owned(), &self.asked);
        }
        let missing = |carried: &Carried| carried.templates.iter().any(|template| template.current.is_none());
        if let Some(carried) = self.carried.as_mut().filter(|carried| missing(carried)) {
            carried.is_current = false;
            carried.difference = Some(format!("what a new pod would get is {TEMPLATES_UNREAD}"));
            carried.advice = None;
            carried.changes.clear();
        }
    }

    /// Says of a pod of a cluster that carries templates how it differs from a new one.
    pub(super) fn of_running_pod(&mut self) {
        let Some(carried) = &mut self.carried else { return };
        let outdated =
            |template: &&CarriedTemplate| template.current.as_ref().is_some_and(|one| *one != template.revision);
        let names: Vec<&str> = carried.templates.iter().filter(outdated).map(|template| &*template.name).collect();
        let commands = names.iter().map(|name| format!("`outrigger upgrade {name} -n {}`", self.namespace));
        // Without advice for the file, a new pod is refused, or not known.
        let has_successor = carried.is_current || carried.advice.is_some();
        carried.advice = match (carried.is_current, names.is_empty(), &carried.advice) {
            (true, _, _) | (false, _, None) => None,
            (false, false, Some(_)) => {
                Some(format!("{} brings it up to date", commands.collect::<Vec<_>>().join(", ")))
            }
            (false, true, Some(_)) => Some("create the pod anew".to_owned()),
        };
        let reasons = &self.decision.reasons;
        let is_only_carried = !reasons.is_empty() && reasons.iter().all(|reason| reason.code == "already_injected");
        if self.effect == Effect::Skipped && is_only_carried {
            self.summary = with_condition(carries(carried, has_successor), &self.asked);
        }
    }
}

/// What a running pod carries beside what a new one would get, if that gets anything.
fn carries(carried: &Carried, has_successor: bool) -> String {
    let other_values = carried.difference.as_deref().filter(|_| !carried.is_current);
    let one = |template: &CarriedTemplate| {
        let CarriedTemplate { name, revision, current } = template;
        let beside = match (current, other_values) {
            (Some(current), _) if current != revision && has_successor => format!("a new pod would get {current}"),
            (Some(_), None) => "as a new pod would".to_owned(),
            (_, Some(difference)) => difference.to_owned(),
            (None, None) => "there is no such template any more".to_owned(),
        };
        format!("carries {name} at {revision}, {beside}")
    };
    carried.templates.iter().map(one).collect::<Vec<_>>().join("; ")
}

impl ExplainReport {
    pub(super) fn extend(&mut self, other: Self) {
        self.explanations.extend(other.explanations);
        self.unread.extend(other.unread);
    }

    /// What could not be read.
    pub(super) fn unread(&self) -> Vec<String> {
        self.unread.clone()
    }
}

/// The end of the decision in one sentence.
fn summary(effect: Effect, asked: &Asked, decision: &DecisionTrace) -> String {
    let sentences = |list: &[crate::inject::decision_trace::CodedSentence]| {
        list.iter().map(|one| format!("{}: {}", one.code, one.sentence)).collect::<Vec<_>>().join("; ")
    };
    if effect == Effect::NotAsked {
        return format!("gets nothing, the API server does not ask Outrigger: {}", why_not(asked));
    }
    let end = match decision.verdict {
        TraceVerdict::Injected if decision.reasons.is_empty() => format!("gets {}", decision.injected.join(", ")),
        TraceVerdict::Injected => {
            format!("gets {}, not all: {}", decision.injected.join(", "), sentences(&decision.reasons))
        }
        TraceVerdict::Skipped if decision.reasons.is_empty() => {
            format!("gets nothing: {}", decision.warnings.join("; "))
        }
        TraceVerdict::Skipped => format!("gets nothing: {}", sentences(&decision.reasons)),
        TraceVerdict::Refused => format!("is refused: {}", sentences(&decision.problems)),
        TraceVerdict::Failed => format!("gets no verdict, failurePolicy decides: {}", sentences(&decision.problems)),
    };
    with_condition(end, asked)
}

/// The sentence, which holds only if the API server asks.
fn with_condition(end: String, asked: &Asked) -> String {
    match asked.is_called() {
        None => format!("{end} (if the API server asks, which is not known)"),
        Some(_) => end,
    }
}

/// The first failing check of each webhook.
fn why_not(asked: &Asked) -> String {
    let first = |webhook: &WebhookTrace| {
        let check = webhook.checks.iter().find(|check| check.fails())?;
        Some(format!("{}: {}: {}", webhook.name, check.what, check.found))
    };
    let of_webhooks: Vec<String> = asked.webhooks.iter().filter_map(first).collect();
    if of_webhooks.is_empty() { asked.notes.join("; ") } else { of_webhooks.join("; ") }
}

/// The mark of a check.
pub(super) const fn mark(check: &Check) -> &'static str {
    match check.holds {
        Some(true) => "✓",
        Some(false) => "✗",
        None => "–",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn published_schema_is_that_of_the_explanation() {
        super::super::super::schemas::tests::assert_published::<ExplainReport>("explain");
    }

    pub(in crate::cli::explain) const TEMPLATE: &str = "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {name: proxy}\n\
                            spec: {sidecars: [{name: proxy, image: 'proxy:1'}]}";

    pub(in crate::cli::explain) fn explained(document: &Value, template: &str) -> Explanation {
        explained_if_asked(document, template, Some(true))
    }

    pub(in crate::cli::explain) fn explained_if_asked(
        document: &Value,
        template: &str,
        called: Option<bool>,
    ) -> Explanation {
        use crate::inject::{Injector, Settings, SourceText, TemplateSet};
        let text = SourceText { origin: "t.yaml".to_owned(), text: template.to_owned() };
        let injector = Injector::new(TemplateSet::load(&[text]).templates, Settings::default());
        let reviewer = Reviewer { injector: &injector, namespace: "shop", namespace_object: None };
        let location = crate::workload::find(document, "outrigger.dev").pods.remove(0);
        let asked = |_: &Value| Asked {
            webhooks: vec![WebhookTrace {
                configuration: String::new(),
                name: "w".to_owned(),
                called,
                failure_policy: "Fail".to_owned(),
                checks: Vec::new(),
            }],
            ..Asked::default()
        };
        Explanation::of("Pod shop/web".to_owned(), &reviewer, document, &location, None, asked).expect("a pod")
    }

    pub(in crate::cli::explain) fn pod() -> Value {
        serde_json::json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web", "annotations": {"outrigger.dev/inject": "proxy"}},
            "spec": {"containers": [{"name": "web", "image": "web:1"}]}})
    }

    /// The pod as the template makes it.
    fn injected() -> Value {
        use crate::inject::{Injector, Settings, SourceText, TemplateSet};
        let text = SourceText { origin: "t.yaml".to_owned(), text: TEMPLATE.to_owned() };
        let injector = Injector::new(TemplateSet::load(&[text]).templates, Settings::default());
        let reviewer = Reviewer { injector: &injector, namespace: "shop", namespace_object: None };
        let location = crate::workload::find(&pod(), "outrigger.dev").pods.remove(0);
        let after = reviewer.review(&pod(), &location).after.expect("it is injected");
        let mut document = pod();
        location.put(&mut document, after);
        document
    }

    #[test]
    fn a_running_pod_whose_successor_would_be_refused_is_not_advised_to_be_upgraded() {
        let picky = TEMPLATE.replace("spec: {", "spec: {match: {podSelector: {matchLabels: {tier: web}}}, ");
        let mut refused = explained(&injected(), &picky);
        refused.of_running_pod();
        let carried = refused.carried.as_ref().expect("a status");
        assert_ne!(carried.templates[0].current.as_ref(), Some(&carried.templates[0].revision));
        assert!(refused.summary.contains("would be refused now: template_not_allowed"), "{}", refused.summary);
        assert!(!refused.summary.contains("a new pod would get"), "{}", refused.summary);
        assert_eq!((carried.is_current, carried.advice.as_deref()), (false, None));
    }

    #[test]
    fn a_pod_about_which_the_api_server_may_not_ask_is_not_shown_as_injected() {
        let explanation = explained_if_asked(&pod(), TEMPLATE, None);
        assert_eq!(explanation.effect, Effect::NotKnown);
        let report = ExplainReport { explanations: vec![explanation], unread: Vec::new() };
        let text = super::super::text::text(&report, super::super::terminal::Colours::Hidden, None);
        assert!(text.contains("\n? the pod gets proxy (if the API server asks, which is not known)\n"), "{text}");
        let dot = super::super::dot::dot(&report);
        assert!(dot.contains("[label=\"Outrigger may be asked\", color=gray]"), "{dot}");
        assert!(dot.contains("e0_webhook1 -> e0_asked [color=gray]"), "{dot}");
        assert!(dot.contains("which is not known)\", color=gray]"), "{dot}");
        assert!(dot.contains("e0_step8 -> e0_end [color=gray]"), "{dot}");
        // A pod that gets nothing gets nothing.
        let mut silent = pod();
        silent["metadata"]["annotations"] = serde_json::json!({});
        assert_eq!(explained_if_asked(&silent, TEMPLATE, None).effect, Effect::Skipped);
    }

    #[test]
    fn a_running_pod_carries_what_it_has() {
        let mut same = explained(&injected(), TEMPLATE);
        same.of_running_pod();
        let revision = same.carried.as_ref().expect("a status").templates[0].revision.clone();
        assert_eq!(same.summary, format!("carries proxy at {revision}, as a new pod would"));
        let mut other = explained(&injected(), &TEMPLATE.replace("proxy:1", "proxy:2"));
        other.of_running_pod();
        let carried = other.carried.expect("a status");
        let current = carried.templates[0].current.clone().expect("a template");
        assert_eq!(other.summary, format!("carries proxy at {revision}, a new pod would get {current}"));
        assert_eq!(carried.advice.as_deref(), Some("`outrigger upgrade proxy -n shop` brings it up to date"));
        let difference = carried.difference.expect("a difference");
        assert!(!difference.contains("--renew"), "{difference}");
        let of_file = explained(&injected(), &TEMPLATE.replace("proxy:1", "proxy:2"));
        assert!(of_file.carried.and_then(|carried| carried.advice).is_some_and(|advice| advice.contains("--renew")));
    }

    #[test]
    fn a_verdict_that_depends_on_unread_templates_is_not_known() {
        let none = TEMPLATE.replace("proxy}", "other}");
        let mut refused = explained(&pod(), &none);
        assert!(refused.effect == Effect::Refused && refused.summary.contains("template_not_found"));
        refused.without_templates();
        assert_eq!((refused.effect, &*refused.summary), (Effect::NotKnown, TEMPLATES_UNREAD));
        let report = ExplainReport { explanations: vec![refused], unread: Vec::new() };
        let text = super::super::text::text(&report, super::super::terminal::Colours::Hidden, None);
        assert!(text.contains("\n? not known: the templates could not be read\n"), "{text}");
        assert!(super::super::dot::dot(&report).contains("[label=\"not known: the templates could not be read\""));
        assert_eq!(serde_json::to_value(&report).expect("JSON")["explanations"][0]["effect"], "not_known");
        let mut known = explained(&pod(), TEMPLATE);
        known.without_templates();
        assert_eq!(known.effect, Effect::Injected);
        let mut running = explained(&injected(), &none);
        running.without_templates();
        running.of_running_pod();
        assert!(running.summary.ends_with("what a new pod would get is not known: the templates could not be read"));
    }
}
