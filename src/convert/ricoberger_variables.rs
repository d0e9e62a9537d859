//! Converts `environmentVariables` of ricoberger's sidecar-injector: annotations that set variables of containers.
//!
//! That injector appends the variable, so that it wins over one of the same name that the container has. Here
//! it takes the place of that one, since a template has each name once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::draft::{cel_key, cel_string, constant, label, name_of, with};
use super::ledger::Ledger;

/// A variable that an annotation sets.
struct Variable {
    pointer: String,
    name: String,
    annotation: String,
    /// The parameter that reads the annotation.
    parameter: String,
}

/// The container with the variables that annotations set, and their parameters with those annotations.
pub(super) fn environment(
    ledger: &mut Ledger,
    container: &Value,
    problems: &mut Vec<String>,
) -> (Value, Vec<(Value, String)>) {
    let variables = variables(ledger, name_of(container), problems);
    let converted = constant(container.clone());
    let mut items = match converted.get("env") {
        None => Vec::new(),
        Some(Value::Array(items)) => items.clone(),
        // Loading the template says what is wrong.
        Some(_) => return (converted, Vec::new()),
    };
    let own = container.get("env").and_then(Value::as_array).cloned().unwrap_or_default();
    let own_of = |name: &str| own.iter().find(|item| name_of(item) == name);
    // The value or item so far, and its place.
    let mut so_far: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut parameters = Vec::new();
    for Variable { pointer, name, annotation, parameter } in variables {
        let own = own_of(&name);
        let value = own.map(|item| item.get("value").cloned().unwrap_or_else(|| json!("")));
        if own.is_some_and(|item| item.get("valueFrom").is_some_and(|from| !from.is_null())) {
            let why = "the container sets the variable by valueFrom, which it keeps";
            ledger.lose(&pointer, why, "keep one of the two");
            continue;
        }
        let place = items.iter().position(|item| own.is_some() && name_of(item) == constant_text(&name));
        let (at, before) = so_far.get(&name).cloned().unwrap_or_else(|| match (&value, place) {
            (Some(value), Some(at)) => (at, cel_string(value.as_str().unwrap_or_default())),
            _ => (items.len(), "null".to_owned()),
        });
        let item = format!("{{'name': {}, 'value': params.{parameter}}}", cel_string(&name));
        let now = if own.is_some() { format!("params.{parameter}") } else { item };
        let before = if before.contains('?') { format!("({before})") } else { before };
        // An element that is null is left out.
        let expression = format!("params.{parameter} == '' ? {before} : {now}");
        let written = json!(format!("${{{expression}}}"));
        match items.get_mut(at) {
            // Loading the template says what is wrong with a value that is no text.
            Some(_) if value.is_some_and(|value| !value.is_string()) => {}
            Some(item) if own.is_some() => *item = with(item.take(), "value", written),
            Some(item) => *item = written,
            None => items.push(written),
        }
        so_far.insert(name.clone(), (at, expression));
        let default = format!("${{{}}}", cel_key("annotations", &annotation, ""));
        let without = if own.is_some() { "that of the container" } else { "none" };
        let declared = json!({
            "name": parameter, "type": "string", "default": default,
            "description": format!("The variable {name}; empty for {without}."),
        });
        parameters.push((declared, annotation));
    }
    let converted = if items.is_empty() { converted } else { with(converted, "env", json!(items)) };
    (converted, parameters)
}

fn constant_text(text: &str) -> String {
    constant(json!(text)).as_str().unwrap_or_default().to_owned()
}

/// The variables that name this container.
fn variables(ledger: &mut Ledger, container: &str, problems: &mut Vec<String>) -> Vec<Variable> {
    let mut variables: Vec<Variable> = Vec::new();
    for at in 0..ledger.list("/environmentVariables").len() {
        let pointer = format!("/environmentVariables/{at}");
        if ledger.text(&format!("{pointer}/container")) != Some(container) {
            continue;
        }
        ledger.account(&format!("{pointer}/container"));
        let name = ledger.take_name(&format!("{pointer}/name"), "LOG_LEVEL");
        let annotation = ledger.take_name(&format!("{pointer}/annotation"), "example.com/log-level");
        match (name, annotation) {
            (Ok(name), Ok(annotation)) => {
                let base = format!("env_{}", label(&name).replace('-', "_"));
                let numbered = (2..).map(|number| format!("{base}_{number}"));
                let is_free = |name: &String| !variables.iter().any(|one| one.parameter == *name);
                let parameter = std::iter::once(base.clone()).chain(numbered).find(is_free).unwrap_or_default();
                variables.push(Variable { pointer, name, annotation, parameter });
            }
            (name, annotation) => problems.extend([name.err(), annotation.err()].into_iter().flatten()),
        }
    }
    variables
}

/// Variables that name no container of the configuration are never set.
pub(super) fn variables_of_nobody(ledger: &mut Ledger, containers: &[Value]) {
    for at in 0..ledger.list("/environmentVariables").len() {
        let pointer = format!("/environmentVariables/{at}");
        let container = ledger.text(&format!("{pointer}/container")).unwrap_or_default();
        if !containers.iter().any(|one| name_of(one) == container) {
            ledger.lose(&pointer, "it names no container of this file, so nothing sets it", "name its container");
        }
    }
}
