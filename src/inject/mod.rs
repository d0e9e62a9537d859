//! The injection engine: computes the JSON Patch that injects templates into a pod.
//!
//! It is pure and synchronous: no I/O, clock, environment or randomness. The webhook and all
//! commands call [`Injector::inject`].

pub(crate) mod annotations;
pub(crate) mod error;
pub(crate) mod expression;
pub(crate) mod merge;
pub(crate) mod overlay;
pub(crate) mod pod;
pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod template;
pub(crate) mod text;

mod commit;
mod decision;
mod outcome;
mod pipeline;
mod prepare;
mod request;
mod settings;
mod trace;
mod uninject;

#[cfg(feature = "runtime")]
pub(crate) use decision::keys::KnownTemplates;
pub(crate) use decision::keys::{KeyCheck, KeyPlace, KeyUse};
#[cfg(feature = "runtime")]
pub(crate) use decision::rollout::slot as rollout_slot;
pub use error::{Blame, ErrorCode, InjectError, Problem};
pub use outcome::trace as decision_trace;
pub use outcome::{Explanation, Injection, LeftOut, Outcome, Skip, SkipReason};
#[cfg(feature = "runtime")]
pub(crate) use pipeline::MAX_OVERLAPPING;
pub(crate) use pod::ScannedPod;
pub use pod::find::find;
#[cfg(feature = "runtime")]
pub(crate) use prepare::selection::ConditionVerdict;
pub use request::{Namespace, Request};
pub use schema::merge_keys::TABLE as MERGE_KEYS;
pub use settings::{MissingDefaults, NativeSidecars, Settings};
pub(crate) use template::VisibleTemplates;
#[cfg(feature = "runtime")]
pub(crate) use template::locate;
pub use template::{
    CompiledSource, KeptRevision, LoadProblem, Loaded, ObjectText, SourceText, TemplateInterface, TemplateScope,
    TemplateSet, TemplateState, TemplateStatus, WarningKind, editor_schema,
};
pub(crate) use trace::refused as trace_of_refusal;
pub use uninject::{uninject, uninject_template};

/// What was found when Automatic templates were compared.
pub struct AutomaticConflicts {
    /// The templates that were compared, with their revisions.
    of: Vec<(TemplateScope, String, String)>,
    found: Vec<(TemplateScope, LoadProblem)>,
}

impl AutomaticConflicts {
    /// The conflicts, each with the scope of its template.
    #[cfg(feature = "runtime")]
    pub(crate) fn found(&self) -> &[(TemplateScope, LoadProblem)] {
        &self.found
    }
}

/// An immutable snapshot of templates and settings. One request uses one snapshot.
pub struct Injector {
    templates: TemplateSet,
    settings: Settings,
    keys: annotations::AnnotationKeys,
}

impl Injector {
    /// An injector of these templates and settings.
    pub fn new(templates: TemplateSet, settings: Settings) -> Self {
        let keys = annotations::AnnotationKeys::new(&settings.domain);
        Self { templates, settings, keys }
    }

    /// The templates of this snapshot.
    pub fn templates(&self) -> &TemplateSet {
        &self.templates
    }

    /// The settings of this snapshot.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Explains the reasons for which a pod was skipped, except those that a warning tells. This
    /// takes more time than the decision.
    pub fn explain(&self, request: &Request<'_>, reasons: &[SkipReason]) -> Vec<Explanation> {
        pipeline::explain(&self.templates, &self.settings, &self.keys, request, reasons)
    }

    /// The decision step by step, beside its outcome. This takes more time than the decision, which
    /// builds no trace.
    pub fn trace(&self, request: &Request<'_>) -> (Result<Outcome, InjectError>, decision_trace::DecisionTrace) {
        let outcome = self.inject(request);
        let reasons = match &outcome {
            Ok(Outcome::Injected(injection)) => injection.reasons.as_slice(),
            Ok(Outcome::Skipped(skip)) => skip.reasons.as_slice(),
            Err(_) => &[],
        };
        let explanations = self.explain(request, reasons);
        let verdict = trace::Verdict { outcome: &outcome, explanations: &explanations };
        let of = || trace::of(&self.templates, &self.settings, &self.keys, request, &verdict);
        let traced = expression::limits::together(self.settings.clock, of);
        (outcome, traced)
    }

    /// What each condition of this template's `match` says of a pod that asks for it; `None` if the template
    /// does not work.
    #[cfg(feature = "runtime")]
    pub(crate) fn condition_verdicts(&self, request: &Request<'_>, template: &str) -> Option<Vec<ConditionVerdict>> {
        let run = || pipeline::condition_verdicts(&self.templates, &self.settings, &self.keys, request, template);
        expression::limits::together(self.settings.clock, run)
    }

    /// Whether the default list of a namespace names this template.
    pub(crate) fn default_list_names(&self, namespace: &Namespace, template: &str) -> bool {
        let list = namespace.annotations.get(&self.keys.inject);
        list.is_some_and(|list| annotations::requested_names(list).iter().any(|name| name == template))
    }

    /// The injector with warnings about Automatic templates that conflict with each other, for each of
    /// the two; and these warnings. While the Automatic templates stay the same, those found `before`
    /// are taken.
    #[must_use]
    pub fn with_conflicts(self, before: &mut Option<AutomaticConflicts>) -> (Self, Vec<LoadProblem>) {
        let of = |namespace: &str| {
            let overlaps = || pipeline::overlaps(&self.templates, &self.settings, &self.keys, namespace);
            // Each namespace has a budget of its own, so that none takes that of another.
            expression::limits::together(None, overlaps)
        };
        let of_automatic = self.templates.automatic_revisions();
        let mut found = match before.take() {
            Some(before) if before.of == of_automatic => before.found,
            _ => std::iter::once("").chain(self.templates.namespaces_with_automatic()).flat_map(of).collect(),
        };
        found.sort_by(|(_, one), (_, other)| one.origin.cmp(&other.origin));
        found.dedup();
        *before = Some(AutomaticConflicts { of: of_automatic, found: found.clone() });
        let warnings = found.iter().map(|(_, warning)| warning.clone()).collect();
        let Self { templates, settings, keys } = self;
        (Self { templates: templates.with_warnings(found), settings, keys }, warnings)
    }

    /// Says of keys of annotations and labels whether anything reads them where they are, in an
    /// object for which no template is requested.
    pub(crate) fn key_check<'a>(&'a self, templates: &'a VisibleTemplates<'a>) -> KeyCheck<'a> {
        KeyCheck::new(&self.keys, templates, &[])
    }

    /// Decides which templates the pod gets, and computes the patch that injects them.
    pub fn inject(&self, request: &Request<'_>) -> Result<Outcome, InjectError> {
        self.inject_scanned(request, None)
    }

    /// The same for an object that was scanned while the request was read.
    pub(crate) fn inject_scanned(
        &self,
        request: &Request<'_>,
        scanned: Option<ScannedPod<'_>>,
    ) -> Result<Outcome, InjectError> {
        let run = || pipeline::run(&self.templates, &self.settings, &self.keys, request, scanned);
        expression::limits::together(self.settings.clock, run)
    }
}

#[cfg(test)]
mod tests;
