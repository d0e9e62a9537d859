//! Compiles the pieces of a spec independently of each other, so that all problems are found at
//! once.

use super::part_trees::PartTrees;
use crate::inject::expression::{Declarations, Expression, Kind, Reads, Scope};
use crate::inject::pod::OperatingSystem;
use crate::inject::template::item;
use crate::inject::template::parameters::Parameter;
use crate::inject::template::render::{KnownInputs, Renderer, UnmetItems};
use crate::inject::template::selector::LabelSelector;
use crate::inject::template::spec::ParameterSpec;
use crate::inject::text::json::{items, text};
use crate::inject::text::{FieldError, FieldPath, Message, message, quote, value};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The compiled pieces of a spec. Whether they make a template is not known yet.
pub(super) struct Draft {
    pub parameters: Vec<Parameter>,
    pub matching: CompiledMatch,
    pub parts: PartTrees,
}

/// Which pods may have the template.
#[derive(Debug)]
pub(crate) struct CompiledMatch {
    pub os: Vec<OperatingSystem>,
    pub namespace_selector: LabelSelector,
    pub pod_selector: LabelSelector,
    pub conditions: Vec<CompiledCondition>,
}

/// A CEL condition.
#[derive(Debug)]
pub(crate) struct CompiledCondition {
    pub expression: Expression,
    pub message: String,
    /// Whether it holds for every pod that sets no parameter.
    pub holds_by_default: bool,
}

impl Draft {
    /// Compiles a spec, and lists everything that does not compile. `structure` lists errors of its
    /// structure.
    pub(super) fn compile(spec: &Value) -> (Self, Vec<FieldError>) {
        let path = FieldPath::root().child("spec");
        let mut errors = Vec::new();
        let declared = items(spec, "parameters").iter().map(|one| (text(one, "name"), kind_of(text(one, "type"))));
        let declared = Declarations::new(declared);
        let parameters = compile_parameters(spec, &path.child("parameters"), &mut errors);
        errors.extend(check_automatic(spec, &path));
        let matching = CompiledMatch::compile(&spec["match"], &path.child("match"), &declared, &mut errors);
        let parts = PartTrees::compile(spec, &declared, &mut errors);
        (Self { parameters, matching, parts }, errors)
    }

    /// The errors of a spec with a wrong structure, without those of the structure itself.
    pub(super) fn problems(spec: &Value) -> Vec<FieldError> {
        let (draft, mut errors) = Self::compile(spec);
        errors.extend(draft.check_with_samples());
        errors
    }

    /// The errors of names and mounts that do not depend on the result of expressions.
    pub(super) fn check_with_samples(&self) -> Vec<FieldError> {
        let check = |scope: &Scope<'_>| {
            let mut renderer = Renderer::new(scope, KnownInputs::Nothing, UnmetItems::Sampled);
            let overlay = self.parts.render(&mut renderer);
            renderer.found.check(&overlay)
        };
        Scope::with(&BTreeMap::new(), &Reads::default(), None, |_| None, check)
    }
}

impl CompiledMatch {
    fn compile(spec: &Value, path: &FieldPath, parameters: &Declarations<'_>, errors: &mut Vec<FieldError>) -> Self {
        let mut selector = |field: &str| {
            LabelSelector::parse(&spec[field], &path.child(field)).unwrap_or_else(|problems| {
                errors.extend(problems);
                LabelSelector::default()
            })
        };
        let namespace_selector = selector("namespaceSelector");
        let pod_selector = selector("podSelector");
        let os = Vec::<OperatingSystem>::deserialize(&spec["os"]).unwrap_or_else(|_| vec![OperatingSystem::Linux]);
        if os.is_empty() {
            errors.push(FieldError::new(path.child("os"), "expected at least one of \"linux\" and \"windows\""));
        }
        let mut conditions = Vec::new();
        for (index, condition) in items(spec, "conditions").iter().enumerate() {
            let Some(source) = condition.get("expression").and_then(Value::as_str) else { continue };
            let path = path.child("conditions").index(index).child("expression");
            match compile_condition(source, parameters) {
                Ok(expression) => {
                    let message = text(condition, "message").to_owned();
                    conditions.push(CompiledCondition { expression, message, holds_by_default: false });
                }
                Err(message) => errors.push(FieldError::new(path, message)),
            }
        }
        Self { os, namespace_selector, pod_selector, conditions }
    }
}

/// The kind of a parameter's value in expressions.
fn kind_of(parameter_type: &str) -> Kind {
    match parameter_type {
        "string" | "quantity" | "duration" | "enum" => Kind::Text,
        "integer" | "port" => Kind::Integer,
        "number" => Kind::Number,
        "boolean" => Kind::Boolean,
        "list" => Kind::List,
        "map" => Kind::Map,
        _ => Kind::Unknown,
    }
}

/// An Automatic template says which pods it is for, even if it is for all.
fn check_automatic(spec: &Value, path: &FieldPath) -> Option<FieldError> {
    let matching = &spec["match"];
    // A misspelt key has its own error.
    let selects = |(key, value): (&String, &Value)| match key.as_str() {
        "os" => false,
        "conditions" => value.as_array().is_none_or(|conditions| !conditions.is_empty()),
        _ => true,
    };
    if text(spec, "injection") != "Automatic" || matching.as_object().is_some_and(|keys| keys.iter().any(selects)) {
        return None;
    }
    let message = "an Automatic template needs a podSelector, a namespaceSelector or a condition";
    Some(FieldError::new(path.child("match"), message).with_hint("\"podSelector: {}\" selects all pods"))
}

fn compile_condition(source: &str, parameters: &Declarations<'_>) -> Result<Expression, Message> {
    if source.trim_start().starts_with("${") {
        return Err("a condition is an expression as a whole; write it without \"${\" and \"}\"".into());
    }
    item::condition(source, parameters)
}

fn compile_parameters(spec: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) -> Vec<Parameter> {
    let mut seen = BTreeSet::new();
    let mut compiled = Vec::new();
    for (index, parameter) in items(spec, "parameters").iter().enumerate() {
        let path = path.index(index);
        let name = text(parameter, "name");
        if !name.is_empty() && !seen.insert(name) {
            errors.push(FieldError::new(path.child("name"), message!["duplicate name ", value(quote(name))]));
        }
        // The schema check lists declarations with a wrong structure.
        if let Ok(spec) = ParameterSpec::deserialize(parameter) {
            compiled.push(Parameter::compile(&spec, &path, errors));
        }
    }
    compiled
}
