//! The functions that expressions may call: Kubernetes' CEL libraries, and arithmetic on quantities.
//!
//! No environment, file, clock, random number or network.

use super::{bound, rewrite};
use crate::inject::quantity;
use cel::extractors::{Arguments, This};
use cel::{Context, ExecutionError, ResolveResult, Value};
use kube_cel::KubeCelExt;
use std::sync::Arc;

/// A context with every function; without variables.
pub fn library() -> Context<'static> {
    let mut context = Context::default();
    context.register_all();
    context.add_function("mul", mul);
    context.add_function("min", |this: This<Value>, arguments: Arguments| extreme(this, arguments, Extreme::Least));
    context.add_function("max", |this: This<Value>, arguments: Arguments| extreme(this, arguments, Extreme::Greatest));
    context.add_function(rewrite::RANGE, bound::range);
    context.add_function(rewrite::STEP, bound::step);
    context
}

/// Whether an expression may call this function (operators included).
pub fn is_known(name: &str) -> bool {
    name.starts_with('@') || name.contains('_') && OPERATORS.contains(&name) || NAMES.contains(&name)
}

/// Names of all functions, for hints.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().copied()
}

/// `mul(quantity, number)`: canonical text, rounded up.
fn mul(quantity: Arc<String>, factor: Value) -> ResolveResult {
    let factor = match factor {
        Value::Int(value) => value.to_string(),
        Value::UInt(value) => value.to_string(),
        Value::Float(value) if value.is_finite() => format!("{value}"),
        Value::String(text) => text.as_ref().clone(),
        _ => return Err(ExecutionError::function_error("mul", "expected a quantity and a number")),
    };
    quantity::mul(&quantity, &factor)
        .map(|text| Value::String(Arc::new(text)))
        .map_err(|error| ExecutionError::function_error("mul", error))
}

#[derive(Clone, Copy)]
enum Extreme {
    Least,
    Greatest,
}

/// `min(a, b)` and `max(a, b)`: of quantities as text, else as CEL has them for numbers and lists.
fn extreme(This(first): This<Value>, Arguments(rest): Arguments, which: Extreme) -> ResolveResult {
    let values: Vec<Value> = match (&first, rest.is_empty()) {
        (Value::List(items), true) => items.as_ref().clone(),
        _ => std::iter::once(first).chain(rest.iter().cloned()).collect(),
    };
    if values.iter().all(|value| matches!(value, Value::String(_))) && !values.is_empty() {
        return extreme_quantity(&values, which);
    }
    let arguments = Arguments(Arc::new(values));
    match which {
        Extreme::Least => cel::functions::min(arguments),
        Extreme::Greatest => cel::functions::max(arguments),
    }
}

fn extreme_quantity(values: &[Value], which: Extreme) -> ResolveResult {
    let texts = values.iter().filter_map(|value| match value {
        Value::String(text) => Some(text.as_str()),
        _ => None,
    });
    let name = match which {
        Extreme::Least => "min",
        Extreme::Greatest => "max",
    };
    let mut best: Option<String> = None;
    for text in texts {
        let next = match (&best, which) {
            (None, _) => quantity::canonical(text),
            (Some(best), Extreme::Least) => quantity::min(best, text),
            (Some(best), Extreme::Greatest) => quantity::max(best, text),
        };
        best = Some(next.map_err(|error| ExecutionError::function_error(name, error))?);
    }
    best.map(|text| Value::String(Arc::new(text))).ok_or_else(|| ExecutionError::function_error(name, "no values"))
}

const OPERATORS: [&str; 20] = [
    "_?_:_", "_&&_", "_||_", "!_", "_-_", "_+_", "_*_", "_/_", "_%_", "_==_", "_!=_", "_>=_", "_<=_", "_>_", "_<_", "-_", "_[_]",
    "_[?_]", "_?._", "_in_",
];

/// The registry of the interpreter cannot be listed, so this table repeats it; a test calls every name.
const NAMES: [&str; 123] = [
    "asApproximateFloat", "asInteger", "base64.decode", "base64.encode", "bytes", "charAt", "cidr", "compareTo", "contains",
    "containsCIDR", "containsIP", "distinct", "double", "duration", "endsWith", "family", "find", "findAll", "first", "flatten",
    "format", "format.dns1035Label", "format.dns1123Label", "format.dns1123Subdomain", "format.labelValue", "format.named",
    "format.qualifiedName", "format.uri", "format.uuid", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear",
    "getEscapedPath", "getFullYear", "getHost", "getHostname", "getHours", "getMilliseconds", "getMinutes", "getMonth", "getPort",
    "getQuery", "getScheme", "getSeconds", "hasValue", "indexOf", "int", "ip", "ip.isCanonical", "isCIDR", "isGlobalUnicast",
    "isGreaterThan", "isIP", "isInteger", "isLessThan", "isLinkLocalMulticast", "isLinkLocalUnicast", "isLoopback", "isQuantity",
    "isSemver", "isSorted", "isURL", "isUnspecified", "join", "jsonpatch.escapeKey", "last", "lastIndexOf", "lists.range",
    "lowerAscii", "major", "masked", "matches", "math.abs", "math.bitAnd", "math.bitNot", "math.bitOr", "math.bitShiftLeft",
    "math.bitShiftRight", "math.bitXor", "math.ceil", "math.floor", "math.greatest", "math.isFinite", "math.isInf", "math.isNaN",
    "math.least", "math.round", "math.sign", "math.sqrt", "math.trunc", "max", "min", "minor", "mul", "optional.none",
    "optional.of", "optional.ofNonZeroValue", "or", "orValue", "patch", "prefixLength", "quantity", "replace", "reverse",
    "semver", "sets.contains", "sets.equivalent", "sets.intersects", "sign", "size", "slice", "sort", "split", "startsWith",
    "string", "strings.quote", "sub", "substring", "sum", "timestamp", "trim", "uint",
];
