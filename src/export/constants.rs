//! Evaluates the conditions of a template that read no pod: a policy has none of them.
//!
//! Invariant: a template with a condition that no pod meets does not become a policy.

use serde_json::{Value, json};

use super::condition::{self, Condition};
use super::restrictions::condition_path;
use super::{Restriction, pieces};
use crate::inject::{Injector, TemplateScope};

/// The conditions that do not hold with the parameters' defaults.
pub(super) fn failing(injector: &Injector, template: &str, spec: &Value, domain: &str) -> Vec<Restriction> {
    let conditions = spec["match"]["conditions"].as_array().into_iter().flatten().enumerate();
    let is_constant = |one: &Value| one["expression"].as_str().and_then(condition::of) == Some(Condition::Constant);
    let failing =
        conditions.filter(|(_, one)| is_constant(one) && holds(injector, template, spec, one, domain) == Some(false));
    let restriction = |(index, _)| {
        let why = "the condition does not hold with the defaults of the parameters, so that no pod would match";
        Restriction { code: "condition", field: condition_path(index), why: why.to_owned() }
    };
    failing.map(restriction).collect()
}

/// What the engine says of a template that has nothing but this condition; `None` if it reads a
/// parameter without a default.
fn holds(injector: &Injector, template: &str, spec: &Value, condition: &Value, domain: &str) -> Option<bool> {
    let parameters = spec["parameters"].as_array().into_iter().flatten();
    let optional: Vec<&Value> = parameters.filter(|one| one.get("default").is_some_and(|it| !it.is_null())).collect();
    let spec = json!({
        "parameters": optional, "match": {"conditions": [condition]}, "app": {"env": [{"name": "A", "value": "b"}]},
    });
    let of_condition = pieces::alone(injector, template, &spec);
    of_condition.templates().status_of(&TemplateScope::Cluster, template)?.interface?;
    Some(pieces::injected(&of_condition, &pieces::sample(domain, template)).is_ok())
}
