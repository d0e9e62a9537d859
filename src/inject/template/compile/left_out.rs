//! Lists the items of a template that its `when` and `forEach` leave out of one pod.
//!
//! Only `explain` asks for it; rendering leaves the same items out.

use super::Template;
use crate::inject::expression::{Root, Scope};
use crate::inject::outcome::trace::LeftOutItem;
use crate::inject::template::RenderContext;
use crate::inject::template::tree::Item;
use crate::inject::text::json::text;

impl Template {
    /// The items that this pod does not get. An item whose clause cannot be evaluated is not listed:
    /// it is an error of the rendering.
    pub(crate) fn left_out_items(&self, context: &RenderContext<'_>) -> Vec<LeftOutItem> {
        let mut found = Vec::new();
        context.with_scope(&self.reads, |scope| {
            for item in self.parts.clauses() {
                if !reads_container(item) {
                    found.extend(left_out(item, scope).map(|clause| of(item, clause, None)));
                    continue;
                }
                for container in (0..context.apps.len()).filter_map(|position| context.app(position)) {
                    let clause =
                        scope.with_object(Root::Container, container, &self.reads, |scope| left_out(item, scope));
                    let name = text(container, "name").to_owned();
                    found.extend(clause.map(|clause| of(item, clause, Some(name))));
                }
            }
        });
        found
    }
}

fn of(item: &Item, clause: String, container: Option<String>) -> LeftOutItem {
    LeftOutItem { path: item.path.to_string(), clause, container }
}

fn reads_container(item: &Item) -> bool {
    let clauses = [&item.when, &item.for_each].into_iter().flatten();
    clauses.filter_map(|clause| clause.expression.as_ref()).any(|expression| expression.reads().has(Root::Container))
}

/// The clause that leaves the item out as a whole.
fn left_out(item: &Item, scope: &Scope<'_>) -> Option<String> {
    if let Some(expression) = item.for_each.as_ref().and_then(|clause| clause.expression.as_ref()) {
        let is_empty = match expression.evaluate(scope) {
            Ok(cel::Value::Null) => true,
            Ok(cel::Value::List(list)) => list.is_empty(),
            _ => false,
        };
        // Its `when` is asked for each element.
        return is_empty.then(|| format!("forEach: {}", expression.source()));
    }
    let expression = item.when.as_ref()?.expression.as_ref()?;
    let holds = expression.evaluate(scope);
    matches!(holds, Ok(cel::Value::Bool(false) | cel::Value::Null)).then(|| format!("when: {}", expression.source()))
}
