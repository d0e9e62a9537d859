//! Limits for one evaluation: loop iterations, and time if the caller passes a clock.
//!
//! The interpreter has neither limit, so `super::rewrite` makes every loop call [`step`] and
//! [`range`].

use super::{convert, fault};
use cel::objects::{Key, Value};
use cel::{ExecutionError, FunctionContext, ResolveResult};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Maximum iterations of all loops of one evaluation together.
pub(crate) const MAX_STEPS: u32 = 100_000;
/// Maximum number of items in the range of one loop.
pub(crate) const MAX_RANGE: usize = 10_000;
/// Maximum size of a loop's range in bytes: larger than any pod, smaller than chained loops can
/// produce.
pub(crate) const MAX_RANGE_BYTES: usize = 8 << 20;
/// Maximum time of one evaluation, in milliseconds.
pub(crate) const MAX_MILLISECONDS: u64 = 100;

/// Maximum iterations of all loops of all expressions together, for one pod, or to load one template.
pub(crate) const MAX_TOTAL_STEPS: u32 = 500_000;
/// Maximum time of all expressions for one pod together, in milliseconds.
pub(crate) const MAX_TOTAL_MILLISECONDS: u64 = 200;

/// What is left for all evaluations together.
#[derive(Clone, Copy)]
struct TotalBudget {
    steps: u32,
    deadline: Option<u64>,
}

thread_local! {
    static TOTAL: Cell<Option<TotalBudget>> = const { Cell::new(None) };
}

/// Runs work whose evaluations have one budget together: a template has room for thousands of
/// expressions, and a pod can ask for many templates. Inside of such work it changes nothing.
pub(crate) fn together<T>(clock: Option<fn() -> u64>, work: impl FnOnce() -> T) -> T {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            TOTAL.set(None);
        }
    }
    if TOTAL.get().is_some() {
        return work();
    }
    let deadline = clock.map(|now| now().saturating_add(MAX_TOTAL_MILLISECONDS));
    TOTAL.set(Some(TotalBudget { steps: MAX_TOTAL_STEPS, deadline }));
    let _reset = Reset;
    work()
}

#[derive(Clone, Copy)]
struct EvaluationBudget {
    steps: u32,
    deadline: Option<(fn() -> u64, u64)>,
}

thread_local! {
    static BUDGET: Cell<EvaluationBudget> = const { Cell::new(EvaluationBudget { steps: 0, deadline: None }) };
}

/// Runs one evaluation with a full budget. A panic of the interpreter becomes an error of the
/// expression.
pub(crate) fn guarded(clock: Option<fn() -> u64>, evaluate: impl FnOnce() -> ResolveResult) -> ResolveResult {
    let total = TOTAL.get();
    let started = clock.map(|now| now());
    let is_late = total.and_then(|total| total.deadline).zip(started).is_some_and(|(deadline, now)| now > deadline);
    if is_late || total.is_some_and(|total| total.steps == 0) {
        return Err(error(&too_much_together()));
    }
    let deadline = clock.zip(started).map(|(now, started)| (now, started.saturating_add(MAX_MILLISECONDS)));
    let steps = total.map_or(MAX_STEPS, |total| total.steps.min(MAX_STEPS));
    BUDGET.set(EvaluationBudget { steps, deadline });
    LISTS.with_borrow_mut(Vec::clear);
    EXCEEDED.set(None);
    let result = catch_unwind(AssertUnwindSafe(evaluate));
    // The interpreter tells an error in the target of a call as one of the call's arguments.
    let result = match (EXCEEDED.take(), result) {
        (Some(limit), Ok(Err(_))) => Ok(Err(error(&limit))),
        (_, result) => result,
    };
    if let Some(total) = total {
        let used = steps - BUDGET.get().steps;
        TOTAL.set(Some(TotalBudget { steps: total.steps - used, ..total }));
    }
    result.unwrap_or_else(|_| Err(error("the expression cannot be evaluated")))
}

fn too_much_together() -> String {
    format!(
        "all expressions together take more than {MAX_TOTAL_STEPS} steps or {MAX_TOTAL_MILLISECONDS} ms; \
         go over shorter lists, or ask for fewer templates"
    )
}

thread_local! {
    /// The limit that the evaluation has exceeded.
    static EXCEEDED: RefCell<Option<String>> = const { RefCell::new(None) };
    /// The lists that loops are collecting, the innermost last.
    static LISTS: RefCell<Vec<Vec<Value>>> = const { RefCell::new(Vec::new()) };
}

/// Starts a list and returns the number that identifies it until [`end`].
pub(crate) fn begin(_: &FunctionContext<'_, '_>) -> ResolveResult {
    LISTS.with_borrow_mut(|lists| {
        lists.push(Vec::new());
        Ok(Value::Int(i64::try_from(lists.len() - 1).unwrap_or(i64::MAX)))
    })
}

/// Adds an item. Drops lists that failed inner loops have left unfinished.
pub(crate) fn push(list: i64, item: Value) -> ResolveResult {
    let index = usize::try_from(list).map_err(|_| error("no such list"))?;
    LISTS.with_borrow_mut(|lists| {
        lists.truncate(index + 1);
        lists.get_mut(index).ok_or_else(|| error("no such list"))?.push(item);
        Ok(Value::Int(list))
    })
}

/// Finishes a list and returns it.
pub(crate) fn end(list: i64) -> ResolveResult {
    let index = usize::try_from(list).map_err(|_| error("no such list"))?;
    LISTS.with_borrow_mut(|lists| {
        lists.truncate(index + 1);
        lists.pop().map(|items| Value::List(Arc::new(items))).ok_or_else(|| error("no such list"))
    })
}

/// Counts one iteration of a loop and returns the loop's condition.
pub(crate) fn step(condition: Value) -> ResolveResult {
    let mut budget = BUDGET.get();
    if budget.steps == 0 && TOTAL.get().is_some_and(|total| total.steps < MAX_STEPS) {
        return Err(exceeded(too_much_together()));
    }
    if budget.steps == 0 {
        return Err(exceeded(format!("the expression takes more than {MAX_STEPS} steps")));
    }
    budget.steps -= 1;
    BUDGET.set(budget);
    match budget.deadline {
        Some((now, deadline)) if now() > deadline => {
            Err(exceeded(format!("the expression takes longer than {MAX_MILLISECONDS} ms")))
        }
        _ => Ok(condition),
    }
}

/// The range of a loop: a list unchanged, a map as its sorted keys.
pub(crate) fn range(value: Value) -> ResolveResult {
    let list = match value {
        Value::Map(map) => {
            let mut keys: Vec<&Key> = map.map.keys().collect();
            keys.sort();
            Value::List(Arc::new(keys.into_iter().map(key_value).collect()))
        }
        other => other,
    };
    let Value::List(items) = &list else { return Ok(list) };
    if items.len() > MAX_RANGE {
        return Err(exceeded(format!("a loop goes over {} items; at most {MAX_RANGE} are allowed", items.len())));
    }
    let bytes = convert::size(&list);
    if bytes > MAX_RANGE_BYTES {
        return Err(exceeded(format!("a loop goes over {bytes} bytes; at most {MAX_RANGE_BYTES} are allowed")));
    }
    Ok(list)
}

fn key_value(key: &Key) -> Value {
    match key {
        Key::Int(value) => Value::Int(*value),
        Key::Uint(value) => Value::UInt(*value),
        Key::Bool(value) => Value::Bool(*value),
        Key::String(value) => Value::String(Arc::clone(value)),
    }
}

fn exceeded(limit: String) -> ExecutionError {
    let error = error(&limit);
    EXCEEDED.set(Some(limit));
    error
}

fn error(message: &str) -> ExecutionError {
    fault::of_expression(message)
}
