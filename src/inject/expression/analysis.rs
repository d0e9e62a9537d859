//! Analyses a parsed expression: its depth, the variables it reads and the functions it calls.

use super::declarations::Declarations;
use super::reads::{Reads, Root};
use super::{functions, rewrite};
use crate::inject::text::{Message, listed, message, nearest, value, words};
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

/// The parameter's name if the whole expression is `params.name`.
pub(super) fn only_parameter(tree: &IdedExpr) -> Option<String> {
    let Expr::Call(call) = &tree.expr else { return None };
    match (call.func_name.as_str(), chain(tree)?) {
        (operators::INDEX, (name, path)) if name == Root::Params.name() && path.len() == 1 => path.into_iter().next(),
        _ => None,
    }
}

/// Number of levels of the tree.
pub(super) fn depth(node: &IdedExpr) -> usize {
    let mut deepest = 0;
    children(node, &mut |child| deepest = deepest.max(depth(child)));
    deepest + 1
}

/// Nesting depth of comprehensions. A range is evaluated once, before its loop, so it adds no
/// level.
pub(super) fn comprehension_depth(node: &IdedExpr) -> usize {
    if let Expr::Comprehension(comprehension) = &node.expr {
        let inside =
            [&comprehension.accu_init, &comprehension.loop_cond, &comprehension.loop_step, &comprehension.result];
        let deepest = inside.into_iter().map(comprehension_depth).max().unwrap_or_default();
        return (deepest + 1).max(comprehension_depth(&comprehension.iter_range));
    }
    let mut deepest = 0;
    children(node, &mut |child| deepest = deepest.max(comprehension_depth(child)));
    deepest
}

/// Checks every name and collects the paths that the expression reads.
pub(super) fn reads(tree: &IdedExpr, declared: &Declarations<'_>) -> Result<Reads, Message> {
    let mut collector = ReadsCollector { declared, local: Vec::new(), reads: Reads::default() };
    collector.visit(tree)?;
    Ok(collector.reads)
}

struct ReadsCollector<'a> {
    declared: &'a Declarations<'a>,
    /// Loop variables of the enclosing comprehensions.
    local: Vec<&'a str>,
    reads: Reads,
}

impl<'a> ReadsCollector<'a> {
    fn visit(&mut self, node: &'a IdedExpr) -> Result<(), Message> {
        if let Some((name, path)) = chain(node) {
            return self.variable(name, path);
        }
        match &node.expr {
            Expr::Call(call) => self.call(call),
            Expr::Struct(object) => {
                let name = value(format!("{:?}", object.type_name));
                Err(message!["unknown type ", name, "; messages cannot be made here"])
            }
            Expr::Comprehension(comprehension) => {
                self.visit(&comprehension.iter_range)?;
                let outer = self.local.len();
                self.local.extend([comprehension.iter_var.as_str(), comprehension.accu_var.as_str()]);
                for part in [
                    &comprehension.accu_init,
                    &comprehension.loop_cond,
                    &comprehension.loop_step,
                    &comprehension.result,
                ] {
                    self.visit(part)?;
                }
                self.local.truncate(outer);
                Ok(())
            }
            _ => self.visit_children(node),
        }
    }

    fn visit_children(&mut self, node: &'a IdedExpr) -> Result<(), Message> {
        let mut result = Ok(());
        children(node, &mut |child| {
            if result.is_ok() {
                result = self.visit(child);
            }
        });
        result
    }

    fn call(&mut self, call: &'a CallExpr) -> Result<(), Message> {
        let qualifier = call.target.as_deref().and_then(|target| match &target.expr {
            Expr::Ident(prefix) => Some(prefix.as_str()),
            _ => None,
        });
        let qualified = qualifier.is_some_and(|prefix| functions::is_known(&format!("{prefix}.{}", call.func_name)));
        if !qualified {
            if !functions::is_known(&call.func_name) {
                return Err(unknown("function", &call.func_name, functions::names(), words));
            }
            if let Some(target) = &call.target {
                self.visit(target)?;
            }
        }
        call.args.iter().try_for_each(|argument| self.visit(argument))
    }

    fn variable(&mut self, name: &'a str, path: Vec<String>) -> Result<(), Message> {
        if self.local.contains(&name) {
            return Ok(());
        }
        let Some(root) = Root::from_name(name) else {
            return Err(unknown("variable", name, Root::ALL.iter().map(|root| root.name()), words));
        };
        if let Err(place) = self.declared.check_variable(root) {
            return Err(message!["variable ", words(format_args!("{name:?}")), ": ", place]);
        }
        if let (Root::Params, Some(parameter)) = (root, path.first())
            && !self.is_declared(parameter)
        {
            return Err(unknown_parameter(parameter, self.declared.names()));
        }
        self.reads.insert(root, path);
        Ok(())
    }

    /// A declaration whose name is unreadable has its own error and may declare this parameter.
    fn is_declared(&self, parameter: &str) -> bool {
        self.declared.names().iter().any(|name| name.is_empty() || *name == parameter)
    }
}

/// Names of parameters are the template's own text.
fn unknown_parameter(name: &str, declared: &[&str]) -> Message {
    let message = unknown("parameter", name, declared.iter().copied(), value);
    match declared {
        [] => message.with("; the template declares none"),
        _ if nearest(name, declared.iter().copied()).is_some() => message,
        _ => message![message, "; the template declares ", value(listed(declared))],
    }
}

fn unknown<'a>(
    kind: &'static str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
    shown: fn(String) -> Message,
) -> Message {
    let sentence = message!["unknown ", kind, " ", value(format!("{name:?}"))];
    match nearest(name, known) {
        Some(near) => message![sentence, "; did you mean ", shown(format!("{near:?}")), "?"],
        None => sentence,
    }
}

/// `pod.metadata["labels"]` as (`pod`, [`metadata`, `labels`]); `None` unless it is constant keys
/// below a variable.
fn chain(node: &IdedExpr) -> Option<(&str, Vec<String>)> {
    match &node.expr {
        Expr::Ident(name) => Some((name, Vec::new())),
        Expr::Call(call)
            if matches!(call.func_name.as_str(), operators::INDEX | operators::OPT_INDEX | rewrite::HAS) =>
        {
            let [operand, key] = call.args.as_slice() else { return None };
            let Expr::Literal(LiteralValue::String(key)) = &key.expr else { return None };
            let (name, mut path) = chain(operand)?;
            path.push(key.inner().to_owned());
            Some((name, path))
        }
        _ => None,
    }
}

fn children<'a>(node: &'a IdedExpr, visit: &mut dyn FnMut(&'a IdedExpr)) {
    match &node.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).for_each(visit),
        Expr::Comprehension(c) => {
            [&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result].into_iter().for_each(visit);
        }
        Expr::List(list) => list.elements.iter().for_each(visit),
        Expr::Map(map) => map.entries.iter().for_each(|entry| entry_children(&entry.expr, visit)),
        Expr::Struct(object) => object.entries.iter().for_each(|entry| entry_children(&entry.expr, visit)),
        Expr::Select(select) => visit(&select.operand),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn entry_children<'a>(entry: &'a EntryExpr, visit: &mut dyn FnMut(&'a IdedExpr)) {
    match entry {
        EntryExpr::StructField(field) => visit(&field.value),
        EntryExpr::MapEntry(pair) => {
            visit(&pair.key);
            visit(&pair.value);
        }
    }
}
