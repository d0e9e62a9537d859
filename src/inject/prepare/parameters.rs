//! The values of a template's parameters for a pod: its annotations, else the defaults, which may have
//! to be computed for the pod.

use super::Preparation;
use super::conditions::ParameterState;
use super::problems::{code_of, problem};
use crate::inject::annotations;
use crate::inject::error::{ErrorCode, Problem};
use crate::inject::pod::ContainerList;
use crate::inject::template::Template;
use crate::inject::template::parameters::{DefaultFault, Parameter};
use crate::inject::text::{Message, listed, message, nearest, nearest_within, quote, value, words};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Most wrong parameters of one template that are reported: a pod can have thousands.
pub(super) const MAX_PROBLEMS: usize = 100;

/// Names of annotations that belong to no template.
const KEYS_WITHOUT_TEMPLATE: [&str; 2] = ["inject", "containers"];

/// Values of a template's parameters by name.
pub(super) type Params = BTreeMap<String, cel::Value>;

impl<'t> Preparation<'t, '_> {
    /// The values for this pod, how it sets them, and what is wrong with them.
    pub(super) fn parameters(
        &self,
        template: &'t Template,
        selected: &[(ContainerList, usize)],
    ) -> (Cow<'t, Params>, ParameterState, Vec<Problem>) {
        let (own, mut problems) = self.set_by_pod(template);
        let is_wrong = |problems: &[Problem], name: &str| {
            let key = self.keys.parameter(&template.name, name);
            problems.iter().any(|problem| problem.annotation.as_deref() == Some(&key))
        };
        let is_set = |name: &str| own.as_ref().is_some_and(|own| own.contains_key(name));
        for parameter in template.parameters.iter().filter(|one| one.is_required() && !is_set(one.name())) {
            if !is_wrong(&problems, parameter.name()) {
                let message = "the parameter is required and has no default".into();
                let code = ErrorCode::ParameterMissing;
                problems.push(self.parameter_problem(code, template, parameter.name(), message));
            }
        }
        let known = template.known_defaults(self.pod);
        if let (None, true, Some(known)) = (&own, problems.is_empty(), known) {
            return (Cow::Borrowed(known), ParameterState::Default, problems);
        }
        let mut computed = Vec::new();
        for parameter in template.parameters.iter().filter(|one| one.computed().is_some() && !is_set(one.name())) {
            if is_wrong(&problems, parameter.name()) {
                continue;
            }
            match self.compute(template, parameter, selected) {
                Ok(value) => computed.push((parameter.name().to_owned(), value)),
                Err(problem) => problems.push(*problem),
            }
        }
        if !problems.is_empty() {
            return (Cow::Borrowed(&template.defaults), ParameterState::Wrong, problems);
        }
        let mut params = template.defaults.clone();
        params.extend(computed);
        params.extend(own.unwrap_or_default());
        (Cow::Owned(params), ParameterState::Set, problems)
    }

    /// The values that the pod sets, unless it sets none, and those that are wrong.
    fn set_by_pod(&self, template: &Template) -> (Option<Params>, Vec<Problem>) {
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
                    values.get_or_insert_default().insert(name.to_owned(), parsed);
                }
                Some(Err(why)) => add(ErrorCode::ParameterInvalid, why),
                None => add(ErrorCode::ParameterUnknown, self.unknown_parameter(template, name)),
            }
        }
        (values, problems)
    }

    /// The computed default of a parameter that the pod does not set.
    fn compute(
        &self,
        template: &Template,
        parameter: &Parameter,
        selected: &[(ContainerList, usize)],
    ) -> Result<cel::Value, Box<Problem>> {
        let Some((source, reads)) = parameter.computed() else { return Ok(cel::Value::Null) };
        let context = self.context(&template.defaults, selected);
        let fault = match context.with_scope(reads, |scope| parameter.compute(scope)) {
            Ok(value) => return Ok(value),
            Err(fault) => fault,
        };
        let name = parameter.name();
        let source = value(quote(source));
        Err(Box::new(match fault {
            DefaultFault::Nothing => {
                let why = message!["the default ", source, " gives no value for this pod; set the annotation"];
                self.parameter_problem(ErrorCode::ParameterMissing, template, name, why)
            }
            DefaultFault::Invalid(rule) => {
                let advice = "; set the annotation to another value";
                let why = message!["the default ", source, " gives a wrong value for this pod: ", rule, advice];
                self.parameter_problem(ErrorCode::ParameterInvalid, template, name, why)
            }
            DefaultFault::Expression(error) => {
                let annotation = self.keys.parameter(&template.name, name);
                let advice = message!["; set the annotation ", words(&annotation), " instead"];
                let problem = problem(template, code_of(&error), error.sentence().with(advice));
                Problem { annotation: Some(annotation), ..problem }
            }
        }))
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
