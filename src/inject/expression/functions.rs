//! The functions that expressions may call: Kubernetes' CEL libraries, and arithmetic on
//! quantities.
//!
//! No function reads the environment, a file, a clock, a random number or the network.

use super::{fault, limits, overrides, rewrite};
use crate::inject::text::quantity::Quantity;
use cel::common::types::{CelOptional, MAP_TYPE, NULL_TYPE};
use cel::extractors::Arguments;
use cel::{Context, ExecutionError, FunctionContext, ResolveResult, Value};
use kube_cel::KubeCelExt;
use std::sync::Arc;

/// A context with all functions and no variables.
pub(crate) fn library() -> Context<'static> {
    let mut context = Context::default();
    context.register_all();
    overrides::register(&mut context);
    context.add_function("mul", mul);
    context.add_function("min", min);
    context.add_function("max", max);
    context.add_function(rewrite::RANGE, limits::range);
    context.add_function(rewrite::STEP, limits::step);
    context.add_function(rewrite::HAS, has);
    context.add_function(rewrite::BEGIN, limits::begin);
    context.add_function(rewrite::PUSH, limits::push);
    context.add_function(rewrite::END, limits::end);
    context
}

/// Whether an expression may call this function (operators included).
pub(crate) fn is_known(name: &str) -> bool {
    name.starts_with('@') || name.contains('_') && OPERATORS.contains(&name) || NAMES.contains(&name)
}

/// Names of all functions, for hints.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().copied()
}

/// `has(map.field)`. Does not clone the value, since it may be the whole pod.
fn has(call: &FunctionContext<'_, '_>) -> ResolveResult {
    let [operand, key] = call.args else { return Err(ExecutionError::NoSuchOverload) };
    let operand = Value::resolve_val(operand, call.ptx)?;
    let key = Value::resolve_val(key, call.ptx)?;
    let inner = match operand.downcast_ref::<CelOptional>() {
        Some(optional) => optional.inner(),
        None => Some(operand.as_ref()),
    };
    match inner {
        None => Ok(Value::Bool(false)),
        Some(value) if value.get_type() == NULL_TYPE => Ok(Value::Bool(false)),
        Some(value) if value.get_type() == MAP_TYPE => {
            value.as_container().ok_or(ExecutionError::NoSuchOverload)?.contains(key.as_ref()).map(Value::Bool)
        }
        Some(_) => Err(ExecutionError::NoSuchOverload),
    }
}

/// `mul(quantity, number)`: canonical text, rounded up.
fn mul(quantity: Arc<String>, factor: Value) -> ResolveResult {
    let quantity = parse("mul", &quantity)?;
    let product = match factor {
        Value::Int(factor) => quantity.times_integer(factor),
        Value::UInt(factor) => i64::try_from(factor).ok().and_then(|factor| quantity.times_integer(factor)),
        Value::Float(factor) => quantity.times_float(factor),
        _ => return Err(fault::own("mul", "expected a quantity and a number")),
    };
    let text = product.ok_or_else(|| fault::own("mul", "the product is no quantity"))?;
    Ok(Value::String(Arc::new(text.to_string())))
}

fn parse(function: &str, text: &str) -> Result<Quantity, ExecutionError> {
    Quantity::parse(text).map_err(|expected| fault::own(function, format!("the text {expected}")))
}

/// `min(a, b)`: of quantities as text, else as CEL has it for numbers and lists.
fn min(call: &FunctionContext<'_, '_>) -> ResolveResult {
    let values = operands(call)?;
    if values.is_empty() {
        return Err(fault::own("min", "expected at least one value"));
    }
    match quantities("min", &values) {
        Some(quantities) => Ok(text_of(quantities?.into_iter().min())),
        None => cel::functions::min(Arguments(Arc::new(values))),
    }
}

/// `max(a, b)`, likewise.
fn max(call: &FunctionContext<'_, '_>) -> ResolveResult {
    let values = operands(call)?;
    if values.is_empty() {
        return Err(fault::own("max", "expected at least one value"));
    }
    match quantities("max", &values) {
        Some(quantities) => Ok(text_of(quantities?.into_iter().max())),
        None => cel::functions::max(Arguments(Arc::new(values))),
    }
}

/// The values to compare: the items of `list.min()` and `min(list)`, or the arguments of `min(a, b)`.
/// They are not extracted by the library, which reports an error of the first as a missing argument.
fn operands(call: &FunctionContext<'_, '_>) -> Result<Vec<Value>, ExecutionError> {
    let arguments = call.args.iter().map(|argument| Value::resolve(argument, call.ptx));
    let values: Vec<Value> = call.this.clone().into_iter().map(Ok).chain(arguments).collect::<Result<_, _>>()?;
    Ok(match values.as_slice() {
        [Value::List(items)] => items.as_ref().clone(),
        _ => values,
    })
}

/// The values as quantities, when all are text.
fn quantities(function: &str, values: &[Value]) -> Option<Result<Vec<Quantity>, ExecutionError>> {
    let texts: Option<Vec<&str>> = values
        .iter()
        .map(|value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    Some(texts?.into_iter().map(|text| parse(function, text)).collect())
}

fn text_of(quantity: Option<Quantity>) -> Value {
    quantity.map_or(Value::Null, |quantity| Value::String(Arc::new(quantity.to_string())))
}

const OPERATORS: &[&str] = &[
    "_?_:_", "_&&_", "_||_", "!_", "_-_", "_+_", "_*_", "_/_", "_%_", "_==_", "_!=_", "_>=_", "_<=_", "_>_", "_<_",
    "-_", "_[_]", "_[?_]", "_?._", "_in_",
];

/// The registry of the interpreter cannot be listed, so this table repeats it; a test calls every
/// name.
const NAMES: &[&str] = &[
    "add",
    "asApproximateFloat",
    "asInteger",
    "base64.decode",
    "base64.encode",
    "bytes",
    "charAt",
    "cidr",
    "compareTo",
    "contains",
    "containsCIDR",
    "containsIP",
    "distinct",
    "double",
    "duration",
    "endsWith",
    "family",
    "find",
    "findAll",
    "first",
    "flatten",
    "format",
    "format.byte",
    "format.date",
    "format.datetime",
    "format.dns1035Label",
    "format.dns1035LabelPrefix",
    "format.dns1123Label",
    "format.dns1123LabelPrefix",
    "format.dns1123Subdomain",
    "format.dns1123SubdomainPrefix",
    "format.labelValue",
    "format.named",
    "format.qualifiedName",
    "format.uri",
    "format.uuid",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getEscapedPath",
    "getFullYear",
    "getHost",
    "getHostname",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getPort",
    "getQuery",
    "getScheme",
    "getSeconds",
    "hasValue",
    "indexOf",
    "int",
    "ip",
    "ip.isCanonical",
    "isCIDR",
    "isCIDRv4",
    "isCIDRv6",
    "isGlobalUnicast",
    "isGreaterThan",
    "isIP",
    "isIPv4",
    "isIPv6",
    "isInteger",
    "isLessThan",
    "isLinkLocalMulticast",
    "isLinkLocalUnicast",
    "isLoopback",
    "isQuantity",
    "isSemver",
    "isSorted",
    "isURL",
    "isUnspecified",
    "join",
    "jsonpatch.escapeKey",
    "last",
    "lastIndexOf",
    "lists.range",
    "lowerAscii",
    "major",
    "masked",
    "matches",
    "math.abs",
    "math.bitAnd",
    "math.bitNot",
    "math.bitOr",
    "math.bitShiftLeft",
    "math.bitShiftRight",
    "math.bitXor",
    "math.ceil",
    "math.floor",
    "math.greatest",
    "math.isFinite",
    "math.isInf",
    "math.isNaN",
    "math.least",
    "math.round",
    "math.sign",
    "math.sqrt",
    "math.trunc",
    "max",
    "min",
    "minor",
    "mul",
    "optional.none",
    "optional.of",
    "optional.ofNonZeroValue",
    "or",
    "orValue",
    "patch",
    "prefixLength",
    "quantity",
    "replace",
    "reverse",
    "semver",
    "sets.contains",
    "sets.equivalent",
    "sets.intersects",
    "sign",
    "size",
    "slice",
    "sort",
    "split",
    "startsWith",
    "string",
    "strings.quote",
    "sub",
    "substring",
    "sum",
    "timestamp",
    "trim",
    "uint",
    "upperAscii",
    "url",
    "validate",
    "value",
];
