//! The trace of a decision: each step in its order, with what was looked at and what was found.
//!
//! Only `explain` builds it. Invariant: every text may quote the pod, whose author reads it.

use serde::Serialize;

/// A step of the decision, in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Whether the request creates a pod.
    Request,
    /// Whether such a pod can be injected at all.
    Pod,
    /// Whether the namespace rules injection out.
    Namespace,
    /// Whether the pod opts out.
    OptOut,
    /// Which templates are requested, and by whom.
    Requested,
    /// Which of them an earlier pass has injected.
    AlreadyInjected,
    /// Whether each of the others can be had: it exists, its `match`, its parameters.
    Templates,
    /// Whether they fit into the pod.
    Merge,
}

impl StepKind {
    /// All steps, in their order.
    pub const ALL: [Self; 8] = [
        Self::Request,
        Self::Pod,
        Self::Namespace,
        Self::OptOut,
        Self::Requested,
        Self::AlreadyInjected,
        Self::Templates,
        Self::Merge,
    ];

    /// The question that the step puts, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Request => "Request creates a pod",
            Self::Pod => "Pod can be injected",
            Self::Namespace => "Namespace allows injection",
            Self::OptOut => "Pod does not opt out",
            Self::Requested => "Templates are requested",
            Self::AlreadyInjected => "Not injected before",
            Self::Templates => "Templates can be had",
            Self::Merge => "Templates fit the pod",
        }
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StepVerdict {
    /// The decision goes on.
    Passed,
    /// It goes on with fewer templates.
    Partly,
    /// The pod gets nothing, or is refused, because of this step.
    Stopped,
    /// An earlier step has stopped the decision.
    NotReached,
}

/// One thing that a step looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Check {
    /// What has to hold, or what is looked at.
    pub what: String,
    /// The actual value.
    pub found: String,
    /// Whether it holds; absent for what is only told, or cannot be known here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<bool>,
}

impl Check {
    /// Something that has to hold.
    pub fn of(what: impl Into<String>, found: impl Into<String>, holds: bool) -> Self {
        Self { what: what.into(), found: found.into(), holds: Some(holds) }
    }

    /// Something that is only told.
    pub fn told(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { what: what.into(), found: found.into(), holds: None }
    }

    /// Whether it does not hold.
    pub fn fails(&self) -> bool {
        self.holds == Some(false)
    }
}

/// A reason, an error or a finding: its stable code and one sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CodedSentence {
    /// The stable code.
    pub code: String,
    /// One line without the code.
    pub sentence: String,
}

/// One step and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TraceStep {
    /// Which step.
    pub step: StepKind,
    /// How it ended.
    pub verdict: StepVerdict,
    /// What it looked at; empty if it was not reached.
    pub checks: Vec<Check>,
    /// Why it stopped, or goes on with fewer templates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<CodedSentence>,
}

/// Who asks for a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TraceRequester {
    /// The pod's annotation.
    Pod,
    /// The default list of the namespace.
    Namespace,
    /// The template itself: its injection is Automatic.
    Template,
}

/// What becomes of a requested template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TemplateVerdict {
    /// The pod gets it.
    Injected,
    /// The pod has it already.
    AlreadyInjected,
    /// An Automatic template whose `match` does not select the pod.
    NotChosen,
    /// It is left out, with a warning.
    LeftOut,
    /// Because of it the pod is refused.
    Refused,
    /// It brings nothing for this pod.
    NothingToAdd,
    /// It could be had, but the pod is refused because of something else.
    NotInjected,
}

/// One requested template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TemplateTrace {
    /// Its name.
    pub name: String,
    /// Who asks for it.
    pub requested_by: TraceRequester,
    /// What becomes of it.
    pub verdict: TemplateVerdict,
    /// The revision that the pod would get, if it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Whether it exists, and its `match`.
    pub checks: Vec<Check>,
    /// Values of its parameters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<ParameterTrace>,
    /// Items that its `when` or `forEach` leaves out of this pod.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out_items: Vec<LeftOutItem>,
    /// What it would bring, as far as it can be rendered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub brings: Vec<Brought>,
    /// What is wrong with it for this pod.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<CodedSentence>,
}

/// Where the value of a parameter comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ParameterSource {
    /// The pod's annotation.
    Annotation,
    /// The template's default.
    Default,
    /// A default that is computed for this pod.
    Computed,
    /// Nothing gives it a value.
    Missing,
}

/// One parameter of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ParameterTrace {
    /// Its name.
    pub name: String,
    /// Its value; absent if there is none, or it is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ParameterSource,
    /// The annotation that sets it.
    pub annotation: String,
}

/// An item of a template that this pod does not get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LeftOutItem {
    /// Its path in the template.
    pub path: String,
    /// The clause and its expression, such as `when: params.debug`.
    pub clause: String,
    /// The container of the app for which it is left out, if it depends on the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// Something that a template brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Brought {
    /// The kind, such as `sidecar`, `volume`, `env`.
    pub kind: String,
    /// Its name, key or path.
    pub name: String,
    /// The image, the value, the source.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The container that gets it; absent if the pod does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// How the decision ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TraceVerdict {
    /// The pod gets at least one template.
    Injected,
    /// The pod is created as it is.
    Skipped,
    /// The pod is refused; its author must act.
    Refused,
    /// There is no verdict, and the webhook's `failurePolicy` decides; the template's author must act.
    Failed,
}

/// The decision about one pod, step by step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DecisionTrace {
    /// All steps in their order.
    pub steps: Vec<TraceStep>,
    /// The requested templates, in their order; empty if the decision does not get to them.
    pub templates: Vec<TemplateTrace>,
    /// How it ends.
    pub verdict: TraceVerdict,
    /// Names of the templates that are injected.
    pub injected: Vec<String>,
    /// Why the pod does not get every template.
    pub reasons: Vec<CodedSentence>,
    /// Because of which the pod is refused, or gets no verdict.
    pub problems: Vec<CodedSentence>,
    /// Sentences for the pod's author.
    pub warnings: Vec<String>,
}

impl DecisionTrace {
    /// The step of this kind.
    pub fn step(&self, kind: StepKind) -> Option<&TraceStep> {
        self.steps.iter().find(|step| step.step == kind)
    }
}
