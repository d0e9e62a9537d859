//! Checks whether a template's `match` selects the pod: operating system, labels, conditions.

use super::{Preparation, PrepareError};
use crate::inject::annotations::NAMESPACE_NAME;
use crate::inject::error::{ErrorCode, Problem};
use crate::inject::expression::{EvaluationError, Root, convert};
use crate::inject::request::Namespace;
use crate::inject::template::{CompiledCondition, RenderContext, Template};
use crate::inject::text::{Message, message, quote, value, words};

/// How the pod sets the template's parameters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ParameterState {
    /// The pod sets no parameter.
    Default,
    Set,
    /// It sets a parameter to a wrong value, or does not set one that has no default.
    Wrong,
}

impl Preparation<'_, '_> {
    /// Checks everything but the conditions. The error says why the pod is not selected.
    pub(super) fn check_selectors(&self, template: &Template) -> Result<(), Message> {
        let os = self.pod.operating_system();
        if !template.runs_on(os) {
            let listed: Vec<&str> = template.matching.os.iter().map(|os| os.name()).collect();
            return Err(words(format_args!("match.os lists {}, the pod runs on {}", listed.join(", "), os.name())));
        }
        if !template.matching.pod_selector.matches(|key| self.pod.label(key)) {
            return Err("match.podSelector does not select the pod's labels".into());
        }
        let selector = &template.matching.namespace_selector;
        let name = self.request.namespace;
        match self.request.namespace_object {
            _ if selector.is_empty() => Ok(()),
            None => Err(message![
                "match.namespaceSelector needs the labels of namespace ",
                value(quote(name)),
                ", which are not known here",
            ]),
            Some(namespace) => {
                let is_selected = selector.matches(|key| namespace_label(namespace, name, key));
                let unselected = "match.namespaceSelector does not select the labels of namespace ";
                if is_selected { Ok(()) } else { Err(message![unselected, value(quote(name))]) }
            }
        }
    }
}

/// A label of the namespace; every namespace has the one with its name.
pub(super) fn namespace_label<'n>(namespace: &'n Namespace, name: &'n str, key: &str) -> Option<&'n str> {
    namespace.labels.get(key).map(String::as_str).or((key == NAMESPACE_NAME).then_some(name))
}

/// Checks the conditions. If a parameter is wrong, that is reported instead, and conditions that
/// read parameters are not checked.
pub(super) fn check_conditions(
    template: &Template,
    context: &RenderContext<'_>,
    state: ParameterState,
) -> Result<(), PrepareError> {
    let mut conditions = template.matching.conditions.iter().filter(|condition| match state {
        ParameterState::Default => !condition.holds_by_default,
        ParameterState::Set => true,
        ParameterState::Wrong => condition.expression.reads().of(Root::Params).next().is_none(),
    });
    conditions.try_for_each(|condition| check_condition(template, condition, context))
}

pub(super) fn check_condition(
    template: &Template,
    condition: &CompiledCondition,
    context: &RenderContext<'_>,
) -> Result<(), PrepareError> {
    let expression = &condition.expression;
    let shown = || value(quote(expression.source()));
    let (code, fault) = match context.with_scope(expression.reads(), |scope| expression.evaluate(scope)) {
        Ok(cel::Value::Bool(true)) => return Ok(()),
        Ok(cel::Value::Bool(false)) if condition.message.is_empty() => {
            return Err(PrepareError::NotAllowed(message!["condition ", shown(), " is false"]));
        }
        Ok(cel::Value::Bool(false)) => return Err(PrepareError::NotAllowed(value(&condition.message))),
        Ok(other) => {
            (ErrorCode::ExpressionFailed, message!["expected true or false, found ", convert::kind_name(&other)])
        }
        Err(EvaluationError::MissingKey { owner, key }) => {
            (ErrorCode::ExpressionMissingKey, message![words(owner), " lacks ", value(quote(&key))])
        }
        Err(EvaluationError::Failed(cause)) => (ErrorCode::ExpressionFailed, cause),
    };
    let message = message!["template ", words(quote(&template.name)), ": condition ", shown(), ": ", fault];
    let template = Some(template.name.clone());
    Err(PrepareError::Problems(vec![Problem { template, ..Problem::new(code, message) }]))
}
