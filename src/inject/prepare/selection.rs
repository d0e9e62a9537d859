//! What `match` of one template says of a pod, condition by condition, whatever the namespace is.

use super::Preparation;
use super::PrepareError;
use super::app_containers::AppContainers;
use super::conditions::{ParameterState, check_condition};
use crate::inject::decision::RequestedTemplate;
use crate::inject::expression::Root;

/// What a condition of `match` says of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConditionVerdict {
    /// Whether it holds; `None` if it cannot be evaluated for this pod.
    pub holds: Option<bool>,
    /// Whether it reads the namespace.
    pub reads_namespace: bool,
}

impl<'t> Preparation<'t, '_> {
    /// The verdicts of all conditions of a template; `None` if there is no such template.
    pub(in crate::inject) fn condition_verdicts(
        &self,
        requested: &RequestedTemplate<'t>,
    ) -> Option<Vec<ConditionVerdict>> {
        let template = requested.found.template()?;
        let app = AppContainers::new(self, std::slice::from_ref(requested), &mut Vec::new());
        let selected = app.selected_by(template);
        let (params, state, _) = self.parameters(template, &selected);
        let context = self.context(&params, &selected);
        let verdict = |condition| {
            let holds = match check_condition(template, condition, &context) {
                Ok(()) => Some(true),
                Err(PrepareError::NotAllowed(_)) => Some(false),
                Err(PrepareError::Problems(_)) => None,
            };
            let reads = condition.expression.reads();
            let is_known = state != ParameterState::Wrong || reads.of(Root::Params).next().is_none();
            let reads_namespace = reads.of(Root::Namespace).next().is_some();
            ConditionVerdict { holds: holds.filter(|_| is_known), reads_namespace }
        };
        Some(template.matching.conditions.iter().map(verdict).collect())
    }
}
