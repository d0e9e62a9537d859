//! What expressions give, refuse and survive: one test for each trap of the interpreter.

use super::*;
use serde_json::{Value as Json, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

mod errors;
mod library;
mod limits;
mod order;
mod overrides;
mod placeholders;
mod stack;
mod types;
mod values;

/// Threads of the test harness have this much; those of a server may have less.
const SMALL_STACK_BYTES: usize = 512 << 10;

fn pod() -> Json {
    json!({
        "metadata": {
            "name": "web",
            "labels": {"z": "26", "a": "1", "m": "13", "b": "2", "y": "25", "k": "11"},
            "annotations": {},
            "ownerReferences": null,
        },
        "spec": {
            "terminationGracePeriodSeconds": 30,
            "priority": -9_223_372_036_854_775_808_i64,
            "activeDeadlineSeconds": 9_223_372_036_854_775_807_i64,
            "huge": 18_446_744_073_709_551_615_u64,
            "ratio": 1.5,
            "hostNetwork": false,
            "securityContext": {},
            "containers": [
                {"name": "web", "image": "web:1", "ports": [{"containerPort": 80}, {"containerPort": 443}]},
                {"name": "worker", "image": "worker:2"},
            ],
        },
    })
}

fn params() -> BTreeMap<String, Value> {
    let text = |text: &str| Value::String(Arc::new(text.to_owned()));
    BTreeMap::from([
        ("name".to_owned(), text("log")),
        ("size".to_owned(), text("64Mi")),
        ("count".to_owned(), Value::Int(3)),
    ])
}

const PARAMETERS: &[&str] = &["name", "size", "count", "unset"];

/// Compiles without the types of core/v1: these tests are about the interpreter.
fn compile_with(source: &str, parameters: &[&str]) -> Result<Expression, Message> {
    Expression::compile(source, &Declarations::untyped(parameters))
}

fn compile(source: &str) -> Expression {
    compile_with(source, PARAMETERS).unwrap_or_else(|error| panic!("{source}: {error}"))
}

fn refusal(source: &str) -> String {
    match compile_with(source, PARAMETERS) {
        Ok(_) => panic!("{source} compiles"),
        Err(message) => message.to_string(),
    }
}

fn evaluate_with_clock(expression: &Expression, clock: Option<fn() -> u64>) -> Result<Value, EvaluationError> {
    let pod = pod();
    let object = |root| {
        Some(match root {
            Root::Params | Root::Container | Root::Each => return None,
            Root::Pod => Cow::Borrowed(&pod),
            Root::App => Cow::Borrowed(&pod["spec"]["containers"][0]),
            Root::Apps => Cow::Borrowed(&pod["spec"]["containers"]),
            Root::Namespace => Cow::Owned(json!({"name": "demo", "labels": {"team": "a"}})),
            Root::Cluster => Cow::Owned(json!({"version": "1.36.0"})),
            Root::Templates => Cow::Owned(json!(["log"])),
        })
    };
    Scope::with(&params(), expression.reads(), clock, object, |scope| expression.evaluate(scope))
}

fn evaluate(source: &str) -> Result<Value, EvaluationError> {
    evaluate_with_clock(&compile(source), None)
}

fn value(source: &str) -> Json {
    let value = evaluate(source).unwrap_or_else(|error| panic!("{source}: {error:?}"));
    convert::to_json(&value).unwrap_or_else(|kind| panic!("{source}: {kind}"))
}

fn failure(source: &str) -> String {
    match evaluate(source) {
        Err(EvaluationError::Failed(message)) => message.to_string(),
        other => panic!("{source}: {other:?}"),
    }
}

fn missing_key(source: &str) -> String {
    match evaluate(source) {
        Err(EvaluationError::MissingKey { key, .. }) => key,
        other => panic!("{source}: {other:?}"),
    }
}

/// Runs on a thread whose stack is as small as any that asks; an overflow would end the whole test
/// run.
fn on_a_small_stack(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(SMALL_STACK_BYTES).spawn_scoped(scope, work);
        thread.expect("a thread").join().expect("no panic");
    });
}

/// What goes around the parser is what the parser would have made of it.
#[test]
fn a_plain_parameter_needs_no_parser() {
    for source in ["params.image", " params.image\n"] {
        let short = compile_with(source, &["image"]).expect("an expression");
        let parsed = compile_with("params['image']", &["image"]).expect("an expression");
        assert_eq!(
            format!("{:?} {:?}", short.program, short.reads),
            format!("{:?} {:?}", parsed.program, parsed.reads)
        );
    }
    for source in ["params.in", "params.a.b", "params.1", "params.", "params.a-b", "paramsx", "params . a", "params.ä"]
    {
        assert_eq!(plain_parameter(source), None, "{source}");
    }
}
