//! Reads the parameters that a pod's annotations set for a template.

use super::Preparation;
use crate::inject::annotations;
use crate::inject::error::{ErrorCode, Problem};
use crate::inject::template::Template;
use crate::inject::template::parameters::Parameter;
use crate::inject::text::{Message, listed, message, nearest, nearest_within, quote, value, words};
use std::collections::BTreeMap;

/// Most wrong parameters of one template that are reported: a pod can have thousands.
pub(super) const MAX_PROBLEMS: usize = 100;

/// Names of annotations that belong to no template.
const KEYS_WITHOUT_TEMPLATE: [&str; 2] = ["inject", "containers"];

/// Values of a template's parameters by name.
pub(super) type Params = BTreeMap<String, cel::Value>;

impl Preparation<'_, '_> {
    /// The defaults, overridden by the pod's values. `None` if the pod sets no parameter.
    pub(super) fn parameters(&self, template: &Template) -> Result<Option<Params>, Vec<Problem>> {
        let mut values: Option<Params> = None;
        let mut problems = Vec::new();
        for (key, text) in self.pod.annotations() {
            let name = self.keys.parameter_of(&template.name, key).filter(|name| !annotations::is_file(name));
            let Some(name) = name else { continue };
            if problems.len() == MAX_PROBLEMS {
                break;
            }
            let mut add = |code, message| problems.push(self.parameter_problem(code, template, name, message));
            match template.parameters.iter().find(|parameter| parameter.name() == name).map(|one| one.parse(text)) {
                Some(Ok(parsed)) => {
                    values.get_or_insert_with(|| template.defaults.clone()).insert(name.to_owned(), parsed);
                }
                Some(Err(why)) => add(ErrorCode::ParameterInvalid, why),
                None => add(ErrorCode::ParameterUnknown, self.unknown_parameter(template, name)),
            }
        }
        let is_set = |name: &str| values.as_ref().is_some_and(|values| values.contains_key(name));
        let is_wrong = |name: &str| {
            let key = self.keys.parameter(&template.name, name);
            problems.iter().any(|problem| problem.annotation.as_deref() == Some(&key))
        };
        let missing = template.parameters.iter().filter(|one| one.default().is_none());
        let missing = missing.map(Parameter::name).filter(|name| !is_set(name) && !is_wrong(name));
        let missing: Vec<Problem> = missing
            .map(|name| {
                let message = "the parameter is required and has no default".into();
                self.parameter_problem(ErrorCode::ParameterMissing, template, name, message)
            })
            .collect();
        problems.extend(missing);
        if problems.is_empty() { Ok(values) } else { Err(problems) }
    }

    fn parameter_problem(&self, code: ErrorCode, template: &Template, name: &str, why: Message) -> Problem {
        let annotation = self.keys.parameter(&template.name, name);
        let message = message!["annotation ", value(quote(&annotation).trim_matches('"')), ": ", why];
        let template = Some(template.name.clone());
        Problem { template, annotation: Some(annotation), ..Problem::new(code, message) }
    }

    fn unknown_parameter(&self, template: &Template, name: &str) -> Message {
        let known: Vec<&str> = template.parameters.iter().map(Parameter::name).collect();
        let near = nearest(name, known.iter().copied()).map(str::to_owned);
        // `log-collector.outrigger.dev/containers`
        let near = near.or_else(|| nearest_within(name, KEYS_WITHOUT_TEMPLATE, 2).map(|near| self.keys.key(near)));
        let hint = match near {
            Some(near) => format!("; did you mean {}?", quote(&near)),
            None if known.is_empty() => "; it has none".to_owned(),
            None => format!("; it has {}", listed(&known)),
        };
        message!["template ", words(quote(&template.name)), " has no parameter ", value(quote(name)), value(hint)]
    }
}
