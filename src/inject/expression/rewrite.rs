//! Rewrites a parsed expression so that the interpreter behaves as CEL is specified,
//! deterministically and within bounds.
//!
//! * `a.b` becomes `a["b"]`: the interpreter returns `false` for a field of a value that is not a
//!   map; CEL requires an error.
//! * `has(a.b)` becomes `@has(a, "b")`, for the same reason.
//! * `a.?b` becomes `a[?"b"]`: the interpreter fails on a missing field, where CEL has
//!   `optional.none()`.
//! * `size(a)` becomes `a.size()`, and likewise the conversions: the interpreter reports an error of
//!   their argument as a missing argument.
//! * The arguments of `quantity(text)` and `text.format(list)` go through `@quantity` and
//!   `@printable`, which refuse what the functions get wrong.
//! * Each comprehension's range goes through `@range`, which sorts the keys of a map (maps iterate
//!   in random order).
//! * Each turn of a loop goes through `@step`, which counts it (the interpreter has no cost limit).
//! * `map` and `filter` collect through `@begin`, `@push` and `@end`: the interpreter copies the
//!   list at each turn, which makes a loop cost the square of its length.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};

/// Function that a comprehension's range goes through.
pub(super) const RANGE: &str = "@range";
/// Function that each turn of a comprehension goes through.
pub(super) const STEP: &str = "@step";

/// Function that `has(…)` goes through.
pub(super) const HAS: &str = "@has";

/// Functions that the arguments of `quantity` and `format` go through.
pub(super) const QUANTITY: &str = "@quantity";
pub(super) const PRINTABLE: &str = "@printable";

/// Functions that the interpreter also takes as methods.
const METHODS: [&str; 5] = ["size", "string", "int", "uint", "double"];

/// Functions by which a list is collected.
pub(super) const BEGIN: &str = "@begin";
pub(super) const PUSH: &str = "@push";
pub(super) const END: &str = "@end";

pub(super) fn rewrite(node: &mut IdedExpr) {
    children_mut(node, &mut rewrite);
    match &mut node.expr {
        Expr::Select(select) => node.expr = field(std::mem::take(select)),
        Expr::Call(call) if call.func_name == operators::OPT_SELECT => {
            operators::OPT_INDEX.clone_into(&mut call.func_name)
        }
        Expr::Call(call) if METHODS.contains(&call.func_name.as_str()) && call.target.is_none() => {
            if let [_] = call.args.as_slice() {
                call.target = call.args.pop().map(Box::new);
            }
        }
        Expr::Call(call) if call.func_name == "quantity" => call.args.iter_mut().for_each(|text| wrap(text, QUANTITY)),
        Expr::Call(call) if call.func_name == "format" => call.args.iter_mut().for_each(|list| wrap(list, PRINTABLE)),
        Expr::Comprehension(comprehension) => {
            wrap(&mut comprehension.iter_range, RANGE);
            wrap(&mut comprehension.loop_cond, STEP);
            if collects(&comprehension.accu_init) && push_instead(&mut comprehension.loop_step, &comprehension.accu_var)
            {
                comprehension.accu_init.expr = call(BEGIN, Vec::new());
                wrap(&mut comprehension.result, END);
            }
        }
        _ => {}
    }
}

fn field(select: SelectExpr) -> Expr {
    let id = select.operand.id;
    let key = IdedExpr { id, expr: Expr::Literal(LiteralValue::String(select.field.as_str().into())) };
    call(if select.test { HAS } else { operators::INDEX }, vec![*select.operand, key])
}

fn wrap(node: &mut IdedExpr, function: &str) {
    let inner = std::mem::take(node);
    node.id = inner.id;
    node.expr = call(function, vec![inner]);
}

fn call(function: &str, args: Vec<IdedExpr>) -> Expr {
    Expr::Call(CallExpr { func_name: function.to_owned(), target: None, args })
}

/// Whether the loop's accumulator is initially an empty list.
fn collects(accu_init: &IdedExpr) -> bool {
    matches!(&accu_init.expr, Expr::List(list) if list.elements.is_empty())
}

/// `@result + [item]` becomes `@push(@result, item)`, also as the first branch of a filter; returns
/// whether the expression had this form.
fn push_instead(step: &mut IdedExpr, accu_var: &str) -> bool {
    let Expr::Call(step) = &mut step.expr else { return false };
    match (step.func_name.as_str(), step.args.as_mut_slice()) {
        (operators::CONDITIONAL, [_, then, _]) => push_instead(then, accu_var),
        (operators::ADD, [accu, items]) if matches!(&accu.expr, Expr::Ident(name) if name == accu_var) => {
            let Expr::List(list) = &mut items.expr else { return false };
            let Some(item) = list.elements.pop() else { return false };
            *items = item;
            PUSH.clone_into(&mut step.func_name);
            true
        }
        _ => false,
    }
}

fn children_mut(node: &mut IdedExpr, visit: &mut dyn FnMut(&mut IdedExpr)) {
    match &mut node.expr {
        Expr::Call(call) => call.target.as_deref_mut().into_iter().chain(&mut call.args).for_each(visit),
        Expr::Comprehension(c) => {
            [&mut c.iter_range, &mut c.accu_init, &mut c.loop_cond, &mut c.loop_step, &mut c.result]
                .into_iter()
                .for_each(visit);
        }
        Expr::List(list) => list.elements.iter_mut().for_each(visit),
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| entry_mut(&mut entry.expr, visit)),
        Expr::Struct(object) => object.entries.iter_mut().for_each(|entry| entry_mut(&mut entry.expr, visit)),
        Expr::Select(select) => visit(&mut select.operand),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn entry_mut(entry: &mut EntryExpr, visit: &mut dyn FnMut(&mut IdedExpr)) {
    match entry {
        EntryExpr::StructField(field) => visit(&mut field.value),
        EntryExpr::MapEntry(pair) => {
            visit(&mut pair.key);
            visit(&mut pair.value);
        }
    }
}
