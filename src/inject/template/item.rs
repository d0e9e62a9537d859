//! Items of a list that may be left out (`when`) or repeated (`forEach`).
//!
//! Both keys are taken out before the item is compiled; no item of a pod has them.
//!
//! Invariant: an item with `forEach` has a name that differs from element to element.

use super::tree::{Clause, ExpressionTree, Item, TreeCompiler, list};
use crate::inject::expression::{Declarations, Expression, Kind, Reads, Root};
use crate::inject::schema::SchemaRef;
use crate::inject::text::{FieldError, FieldPath, Message, message, words};
use serde_json::{Map, Value};

const WHEN: &str = "when";
const FOR_EACH: &str = "forEach";
/// The fields by which an item is told from the others of its list, in the order in which they count.
const KEYS: [&str; 2] = ["mountPath", "name"];

impl TreeCompiler<'_> {
    /// Compiles a list whose items may be left out or repeated.
    pub(super) fn items(
        &mut self,
        items: &[Value],
        schema: Option<SchemaRef<'static>>,
        path: &FieldPath,
    ) -> ExpressionTree {
        let schema = schema.and_then(SchemaRef::item);
        let compiled = items.iter().enumerate().map(|(index, item)| self.item(item, schema, &path.index(index)));
        list(path, compiled.collect())
    }

    fn item(&mut self, item: &Value, schema: Option<SchemaRef<'static>>, path: &FieldPath) -> ExpressionTree {
        let clause = |name: &str| item.get(name).filter(|clause| !clause.is_null());
        let (when, for_each) = (clause(WHEN), clause(FOR_EACH));
        let (Some(fields), true) = (item.as_object(), when.is_some() || for_each.is_some()) else {
            return self.compile(item, schema, path);
        };
        let declared = self.parameters;
        let mut inner = None;
        let for_each = for_each.map(|source| {
            let compiled = self.clause(source, path.child(FOR_EACH), |source| declared.for_each(source));
            let (expression, with_each) = compiled.1.unzip();
            // Without a list its element is anything.
            inner = with_each.or_else(|| declared.for_each("[]").ok().map(|(_, declared)| declared));
            Clause { expression, path: compiled.0 }
        });
        let declared = inner.as_ref().unwrap_or(declared);
        let when = when.map(|source| {
            let (path, expression) = self.clause(source, path.child(WHEN), |source| condition(source, declared));
            Clause { expression, path }
        });
        let fields: Map<String, Value> =
            fields.iter().filter(|(key, _)| ![WHEN, FOR_EACH].contains(&key.as_str())).map(clone).collect();
        let mut compiler = TreeCompiler { parameters: declared, errors: Vec::new() };
        let tree = compiler.compile(&Value::Object(fields), schema, path);
        self.errors.append(&mut compiler.errors);
        if for_each.is_some() {
            self.errors.extend(same_key(&tree, path));
        }
        ExpressionTree::Item(Box::new(Item { for_each, when, tree, path: path.clone() }))
    }

    /// Compiles a clause, and lists its error.
    fn clause<T>(
        &mut self,
        source: &Value,
        path: FieldPath,
        compile: impl FnOnce(&str) -> Result<T, Message>,
    ) -> (FieldPath, Option<T>) {
        // The schema check lists what is no text.
        let compiled = match source.as_str() {
            None => None,
            Some(source) if source.trim_start().starts_with("${") => {
                let message = "this is an expression as a whole; write it without \"${\" and \"}\"";
                self.errors.push(FieldError::new(path.clone(), message));
                None
            }
            Some(source) => {
                compile(source).map_err(|message| self.errors.push(FieldError::new(path.clone(), message))).ok()
            }
        };
        (path, compiled)
    }
}

/// An item that one expression gives: its clauses would come too late, and are no fields of a pod.
pub(super) fn without_clauses(item: Value, schema: Option<SchemaRef<'_>>) -> Result<Value, Message> {
    let is_clause = |key: &&str| item.get(*key).is_some() && schema.is_some_and(|schema| schema.child(key).is_some());
    match [WHEN, FOR_EACH].into_iter().find(is_clause) {
        None => Ok(item),
        Some(key) => Err(message![
            "an expression cannot give ",
            words(key),
            "; write it as a key of the item, or let the expression give null"
        ]),
    }
}

fn clone((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

/// Compiles an expression that gives a boolean.
pub(super) fn condition(source: &str, declared: &Declarations<'_>) -> Result<Expression, Message> {
    let expression = Expression::compile(source, declared)?;
    match expression.kind() {
        Kind::Boolean | Kind::Unknown => Ok(expression),
        other => Err(message!["expected a boolean, found ", other.name()]),
    }
}

/// The error of an item with the same name for every element. An item without a name, such as one of
/// `envFrom`, has none.
fn same_key(tree: &ExpressionTree, path: &FieldPath) -> Option<FieldError> {
    let fields: Vec<(&str, Option<Reads>)> = match tree {
        ExpressionTree::Constant(Value::Object(fields)) => {
            fields.keys().map(|key| (key.as_str(), Some(Reads::default()))).collect()
        }
        ExpressionTree::Map(fields) => fields.iter().map(|(key, tree)| (key.as_str(), reads_of(tree))).collect(),
        _ => return None,
    };
    let key = KEYS.iter().find_map(|key| fields.iter().find(|(field, _)| field == key));
    let (key, _) = key.filter(|(_, reads)| reads.as_ref().is_some_and(|reads| !reads.has(Root::Each)))?;
    let message = "is the same for every element of forEach; make it different by an expression that reads each";
    Some(FieldError::new(path.child(*key), message))
}

/// `None` for a text that does not compile, which has its own error.
fn reads_of(tree: &ExpressionTree) -> Option<Reads> {
    if matches!(tree, ExpressionTree::Template(string) if string.text.is_none()) {
        return None;
    }
    let mut reads = Reads::default();
    tree.collect_reads(&mut reads);
    Some(reads)
}
