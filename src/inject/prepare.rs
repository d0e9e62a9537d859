//! From a template that is asked for to one that can be merged: its `match`, its parameters, its rendering for this pod.

use super::annotations::{self, Keys};
use super::error::{ErrorCode, Problem};
use super::expression::{EvaluationError, Root, Scope};
use super::merge::{self, RenderedTemplate};
use super::overlay::Overlay;
use super::pod::{ContainerList, PodDocument, PodHead};
use super::schema::merge_keys;
use super::template::spec::{ContainerSelection, SelectionKeyword};
use super::template::tree::{RenderCause, RenderError};
use super::template::{Condition, Template};
use super::text::field::{listed, nearest, quote};
use super::{Request, Settings};
use crate::inject::text::json::{items, text};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

/// One pod, as all templates see it.
pub(super) struct Preparation<'a, 'n> {
    pub settings: &'a Settings,
    pub keys: &'a Keys,
    pub request: &'a Request<'a>,
    pub head: &'a PodHead<'a>,
    pub pod: &'a PodDocument,
    /// Containers that templates have put in earlier, or that override sidecars: none of the app's.
    pub foreign: &'n HashSet<&'a str>,
    /// Containers that the pod narrows `app` to.
    pub narrowed: Option<&'n [String]>,
}

/// Why a template is not put in.
pub(super) enum Refusal {
    /// The template's `match` does not take the pod; the sentence says why.
    NotAllowed(String),
    Problems(Vec<Problem>),
}

/// Most wrong parameters of one template that are said: a pod has room for thousands.
const MAX_PROBLEMS: usize = 100;

/// What the pod does with the parameters.
#[derive(Clone, Copy)]
enum ParameterState {
    /// It sets none.
    Default,
    Set,
    Wrong,
}

type Params = BTreeMap<String, cel::Value>;

impl<'a> Preparation<'a, '_> {
    /// The template rendered for this pod, with warnings.
    pub fn candidate(
        &self,
        template: &'a Template,
        warnings: &mut Vec<String>,
    ) -> Result<RenderedTemplate<'a>, Refusal> {
        self.check_selectors(template).map_err(Refusal::NotAllowed)?;
        let selected = self.select(template);
        let (params, state, problems) = match self.parameters(template) {
            Ok(None) => (Cow::Borrowed(&template.defaults), ParameterState::Default, Vec::new()),
            Ok(Some(params)) => (Cow::Owned(params), ParameterState::Set, Vec::new()),
            Err(problems) => (Cow::Borrowed(&template.defaults), ParameterState::Wrong, problems),
        };
        self.check_conditions(template, &params, state, &selected)?;
        if !problems.is_empty() {
            return Err(Refusal::Problems(problems));
        }
        let mut overlay = match (template.rendered(), &params) {
            (Some(overlay), Cow::Borrowed(_)) => Cow::Borrowed(overlay),
            _ => Cow::Owned(self.render(template, &params, &selected)?),
        };
        if template.take_volume_mounts || !template.take_env.is_empty() {
            self.take_from_app(template, &selected, &mut overlay, warnings);
        }
        Ok(RenderedTemplate { template, overlay, selected })
    }

    fn check_selectors(&self, template: &Template) -> Result<(), String> {
        let os = self.head.operating_system();
        if !template.runs_on(os) {
            let listed: Vec<&str> = template.matching.os.iter().map(|os| os.name()).collect();
            return Err(format!("match.os lists {}, the pod runs on {}", listed.join(", "), os.name()));
        }
        if !template.matching.pod_selector.matches(|key| self.pod.label(key)) {
            return Err("match.podSelector does not select the pod's labels".to_owned());
        }
        let selector = &template.matching.namespace_selector;
        let name = self.request.namespace;
        match self.request.namespace_object {
            _ if selector.is_empty() => Ok(()),
            None => Err(format!(
                "match.namespaceSelector needs the labels of namespace {}, which are not known here",
                quote(name)
            )),
            Some(namespace) => {
                let of_label = |key: &str| namespace.labels.get(key).map(String::as_str);
                let label = |key: &str| of_label(key).or((key == annotations::NAMESPACE_NAME).then_some(name));
                let refused =
                    || format!("match.namespaceSelector does not select the labels of namespace {}", quote(name));
                selector.matches(label).then_some(()).ok_or_else(refused)
            }
        }
    }

    /// The pod's values over the defaults; nothing when the pod sets none and all have defaults.
    fn parameters(&self, template: &Template) -> Result<Option<Params>, Vec<Problem>> {
        let mut values: Option<Params> = None;
        let mut problems = Vec::new();
        for (key, text) in &self.head.annotations {
            let Some(name) = self.keys.parameter_of(&template.name, key) else { continue };
            if problems.len() == MAX_PROBLEMS {
                break;
            }
            match template.parameters.iter().find(|parameter| parameter.name() == name) {
                Some(parameter) => match parameter.parse(text) {
                    Ok(value) => {
                        values.get_or_insert_with(|| template.defaults.clone()).insert(name.to_owned(), value);
                    }
                    Err(message) => {
                        problems.push(self.parameter_problem(ErrorCode::ParameterInvalid, template, name, &message))
                    }
                },
                None => problems.push(self.parameter_problem(
                    ErrorCode::ParameterUnknown,
                    template,
                    name,
                    &unknown(template, name),
                )),
            }
        }
        let set = |name: &str| values.as_ref().is_some_and(|values| values.contains_key(name));
        let tried = |name: &str| {
            problems
                .iter()
                .any(|problem| problem.annotation.as_deref() == Some(&self.keys.parameter(&template.name, name)))
        };
        let missing =
            template.parameters.iter().filter(|one| one.default().is_none() && !set(one.name()) && !tried(one.name()));
        let missing: Vec<Problem> = missing
            .map(|one| {
                self.parameter_problem(
                    ErrorCode::ParameterMissing,
                    template,
                    one.name(),
                    "the parameter is required and has no default",
                )
            })
            .collect();
        problems.extend(missing);
        if problems.is_empty() { Ok(values) } else { Err(problems) }
    }

    fn parameter_problem(&self, code: ErrorCode, template: &Template, name: &str, message: &str) -> Problem {
        let annotation = self.keys.parameter(&template.name, name);
        let shown = quote(&annotation);
        let message = format!("annotation {}: {message}", shown.trim_matches('"'));
        Problem { code, template: Some(template.name.clone()), annotation: Some(annotation), message: message.into() }
    }

    /// A condition that reads a parameter whose value is wrong says nothing: the wrong value is reported instead.
    fn check_conditions(
        &self,
        template: &Template,
        params: &Params,
        state: ParameterState,
        selected: &[(ContainerList, usize)],
    ) -> Result<(), Refusal> {
        let conditions = template.matching.conditions.iter().filter(|condition| match state {
            ParameterState::Default => !condition.holds_by_default,
            ParameterState::Set => true,
            ParameterState::Wrong => condition.expression.reads().of(Root::Params).next().is_none(),
        });
        for condition in conditions {
            let object = |root| self.object(root, selected);
            let check = |scope: &Scope<'_>| check_condition(template, condition, scope);
            Scope::with(params, condition.expression.reads(), self.settings.clock, object, check)?;
        }
        Ok(())
    }

    fn render(
        &self,
        template: &Template,
        params: &Params,
        selected: &[(ContainerList, usize)],
    ) -> Result<Overlay, Refusal> {
        let object = |root| self.object(root, selected);
        let render = |scope: &Scope<'_>| template.render(scope);
        let rendered = Scope::with(params, template.reads(), self.settings.clock, object, render);
        let overlay = rendered.map_err(|errors| Refusal::Problems(render_problems(template, &errors)))?;
        check_overlay(template, overlay)
    }

    /// What the variables of expressions stand for.
    fn object(&self, root: Root, selected: &[(ContainerList, usize)]) -> Option<Cow<'a, Value>> {
        let container = |(list, index): &(ContainerList, usize)| &self.pod.containers(*list)[*index];
        match root {
            Root::Params => None,
            Root::Pod => Some(Cow::Borrowed(self.pod.tree())),
            Root::App => {
                Some(selected.first().map_or_else(|| Cow::Owned(json!({})), |first| Cow::Borrowed(container(first))))
            }
            Root::Apps => Some(Cow::Owned(selected.iter().map(|one| container(one).clone()).collect())),
            Root::Namespace => Some(Cow::Owned(match self.request.namespace_object {
                Some(known) => {
                    json!({"name": self.request.namespace, "labels": known.labels, "annotations": known.annotations})
                }
                None => json!({"name": self.request.namespace}),
            })),
            Root::Cluster => Some(Cow::Owned(json!({"version": self.settings.cluster_version}))),
        }
    }

    /// The app's containers that the template touches.
    fn select(&self, template: &Template) -> Vec<(ContainerList, usize)> {
        let own = |list: ContainerList| {
            let all = self.pod.containers(list).iter().enumerate();
            all.map(|(index, container)| (index, text(container, "name")))
                .filter(|(_, name)| !self.foreign.contains(*name))
        };
        let narrowed = |name: &str| self.narrowed.is_none_or(|names| names.iter().any(|one| one == name));
        let containers = own(ContainerList::Containers);
        let chosen: Vec<usize> = match &template.selection {
            ContainerSelection::Keyword(SelectionKeyword::All) => {
                containers.filter(|(_, name)| narrowed(name)).map(|(index, _)| index).collect()
            }
            ContainerSelection::Keyword(SelectionKeyword::First) => {
                containers.filter(|(_, name)| narrowed(name)).map(|(index, _)| index).take(1).collect()
            }
            ContainerSelection::Names(names) => containers
                .filter(|(_, name)| narrowed(name) && names.iter().any(|one| one == name))
                .map(|(index, _)| index)
                .collect(),
        };
        let mut selected: Vec<_> = chosen.into_iter().map(|index| (ContainerList::Containers, index)).collect();
        if template.select_init_containers {
            selected
                .extend(own(ContainerList::InitContainers).map(|(index, _)| (ContainerList::InitContainers, index)));
        }
        selected
    }

    /// `fromApp`: what a sidecar has itself wins.
    fn take_from_app(
        &self,
        template: &Template,
        selected: &[(ContainerList, usize)],
        overlay: &mut Cow<'a, Overlay>,
        warnings: &mut Vec<String>,
    ) {
        let Some(&(list, index)) = selected.first() else { return };
        let app = &self.pod.containers(list)[index];
        let mounts: Vec<&Value> = match template.take_volume_mounts {
            true => items(app, "volumeMounts").iter().filter(|mount| !merge::equal::is_token_mount(mount)).collect(),
            false => Vec::new(),
        };
        let mut env = Vec::new();
        for name in &template.take_env {
            match items(app, "env").iter().rev().find(|variable| text(variable, "name") == name) {
                Some(variable) => env.push(variable),
                None => warnings.push(format!(
                    "template {}: container {} has no environment variable {}, which fromApp.env names",
                    quote(&template.name),
                    quote(text(app, "name")),
                    quote(name)
                )),
            }
        }
        for sidecar in &mut overlay.to_mut().sidecars {
            add_missing(sidecar, "volumeMounts", &mounts);
            add_missing(sidecar, "env", &env);
        }
    }
}

/// Adds those items that the container does not have by key.
fn add_missing(container: &mut Value, field: &str, wanted: &[&Value]) {
    let (Some(key), Some(container)) = (merge_keys::of(field), container.as_object_mut()) else { return };
    if wanted.is_empty() {
        return;
    }
    let list = container.entry(field).or_insert_with(|| Value::Array(Vec::new()));
    let Some(list) = list.as_array_mut() else { return };
    let mut own: HashSet<String> = list.iter().map(|item| key.value(item).into_owned()).collect();
    list.extend(wanted.iter().filter(|item| own.insert(key.value(item).into_owned())).map(|item| (*item).clone()));
}

fn unknown(template: &Template, name: &str) -> String {
    let known: Vec<&str> = template.parameters.iter().map(super::template::parameters::Parameter::name).collect();
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("; did you mean {}?", quote(near)),
        None if known.is_empty() => "; it has none".to_owned(),
        None => format!("; it has {}", listed(&known)),
    };
    format!("template {} has no parameter {}{hint}", quote(&template.name), quote(name))
}

fn check_condition(template: &Template, condition: &Condition, scope: &Scope<'_>) -> Result<(), Refusal> {
    let evaluated = condition.expression.evaluate(scope);
    if evaluated == Ok(cel::Value::Bool(true)) {
        return Ok(());
    }
    let shown = quote(condition.expression.source());
    let (code, fault) = match evaluated {
        Ok(cel::Value::Bool(_)) if condition.message.is_empty() => {
            return Err(Refusal::NotAllowed(format!("condition {shown} is false")));
        }
        Ok(cel::Value::Bool(_)) => return Err(Refusal::NotAllowed(condition.message.clone())),
        Ok(other) => (ErrorCode::ExpressionFailed, format!("expected true or false, found a {}", other.type_of())),
        Err(EvaluationError::MissingKey { owner, key }) => {
            (ErrorCode::ExpressionMissingKey, format!("{owner} lacks {}", quote(&key)))
        }
        Err(EvaluationError::Failed(cause)) => (ErrorCode::ExpressionFailed, cause),
    };
    let message = format!("template {}: condition {shown}: {fault}", quote(&template.name));
    Err(Refusal::Problems(vec![Problem {
        code,
        template: Some(template.name.clone()),
        annotation: None,
        message: message.into(),
    }]))
}

fn render_problems(template: &Template, errors: &[RenderError]) -> Vec<Problem> {
    let problem = |error: &RenderError| Problem {
        code: match error.cause {
            RenderCause::Evaluation(EvaluationError::MissingKey { .. }) => ErrorCode::ExpressionMissingKey,
            RenderCause::Evaluation(EvaluationError::Failed(_)) | RenderCause::Type(_) | RenderCause::TooLarge => {
                ErrorCode::ExpressionFailed
            }
        },
        template: Some(template.name.clone()),
        annotation: None,
        message: format!("template {}: {}", quote(&template.name), error.sentence()).into(),
    };
    errors.iter().map(problem).collect()
}

/// The template was valid with its defaults, so what is wrong now comes from this pod's values.
fn check_overlay(template: &Template, overlay: Overlay) -> Result<Overlay, Refusal> {
    let errors = overlay.check();
    if errors.is_empty() {
        return Ok(overlay);
    }
    let problem = |error: super::text::field::FieldError| Problem {
        code: ErrorCode::ResultInvalid,
        template: Some(template.name.clone()),
        annotation: None,
        message: format!("template {}: with this pod's values, {error}", quote(&template.name)).into(),
    };
    Err(Refusal::Problems(errors.into_iter().map(problem).collect()))
}
