//! Compiles a part of a template to a tree whose strings may contain expressions; `render` renders
//! it.
//!
//! Invariant: values are inserted into leaves of the parsed tree, never into text that is parsed
//! again, so no annotation's value can add a key, a container or a flag.

use crate::inject::expression::interpolation::{self, Interpolation, Segment};
use crate::inject::expression::{Declarations, Expression, Kind, Reads};
use crate::inject::schema::{SchemaRef, SchemaType};
use crate::inject::text::{FieldError, FieldPath, Message, Spot, message, quote, value};
use serde_json::{Map, Value};

/// A compiled tree.
#[derive(Debug)]
pub(super) enum ExpressionTree {
    Constant(Value),
    Template(Box<TemplateString>),
    List(FieldPath, Vec<ExpressionTree>),
    /// An item of a list that may be left out or repeated.
    Item(Box<Item>),
    Map(Vec<(String, ExpressionTree)>),
}

/// A string with expressions, and its path.
#[derive(Debug)]
pub(super) struct TemplateString {
    /// `None` if it does not compile. The error is listed once; the value is still known to exist.
    pub text: Option<Interpolation>,
    pub path: FieldPath,
    pub schema: Option<SchemaRef<'static>>,
}

/// A compiled item with `when` or `forEach`.
#[derive(Debug)]
pub(super) struct Item {
    pub for_each: Option<Clause>,
    pub when: Option<Clause>,
    pub tree: ExpressionTree,
    pub path: FieldPath,
}

/// The expression of a `when` or `forEach`.
#[derive(Debug)]
pub(super) struct Clause {
    /// `None` if it does not compile. The error is listed once; the value is still known to exist.
    pub expression: Option<Expression>,
    pub path: FieldPath,
}

/// Compiles trees and lists the errors of their expressions.
pub(super) struct TreeCompiler<'a> {
    pub parameters: &'a Declarations<'a>,
    pub errors: Vec<FieldError>,
}

impl TreeCompiler<'_> {
    /// Compiles a tree that was checked against `schema`.
    pub(super) fn compile(
        &mut self,
        value: &Value,
        schema: Option<SchemaRef<'static>>,
        path: &FieldPath,
    ) -> ExpressionTree {
        match value {
            Value::String(source) if interpolation::is_dynamic(source) => self.string(source, schema, path),
            Value::Array(items) => {
                let item = schema.and_then(SchemaRef::item);
                let compile = |(index, one)| self.compile(one, item, &path.index(index));
                list(path, items.iter().enumerate().map(compile).collect())
            }
            Value::Object(fields) => self.object(fields, schema, path),
            _ => ExpressionTree::Constant(value.clone()),
        }
    }

    fn string(&mut self, source: &str, schema: Option<SchemaRef<'static>>, path: &FieldPath) -> ExpressionTree {
        let text = match interpolation::compile(source, self.parameters) {
            Ok(Interpolation::Constant(plain)) => return ExpressionTree::Constant(Value::String(plain)),
            Ok(text) => {
                self.errors.extend(self.misfits(&text, schema, path));
                Some(text)
            }
            Err(errors) => {
                self.errors.extend(errors.into_iter().map(|error| FieldError {
                    hint: error.hint,
                    spot: Spot::Expression(error.index),
                    ..FieldError::new(path.clone(), error.message)
                }));
                None
            }
        };
        ExpressionTree::Template(Box::new(TemplateString { text, path: path.clone(), schema }))
    }

    fn object(
        &mut self,
        fields: &Map<String, Value>,
        schema: Option<SchemaRef<'static>>,
        path: &FieldPath,
    ) -> ExpressionTree {
        let mut trees = Vec::with_capacity(fields.len());
        for (key, field) in fields {
            // Named fields are written with a dot, free keys in brackets.
            let free = schema.is_some_and(|schema| schema.kind() == SchemaType::Map);
            let path = if free { path.key(key.as_str()) } else { path.child(key.as_str()) };
            if interpolation::is_dynamic(key) {
                self.errors.push(FieldError::new(path.clone(), "expressions stand in values, not in keys"));
            }
            let schema = schema.and_then(|schema| schema.child(key));
            trees.push((key.clone(), self.compile(field, schema, &path)));
        }
        if trees.iter().all(|(_, tree)| matches!(tree, ExpressionTree::Constant(_))) {
            let fields = trees.into_iter().filter_map(|(key, tree)| Some((key, tree.into_constant()?)));
            return ExpressionTree::Constant(Value::Object(fields.collect()));
        }
        ExpressionTree::Map(trees)
    }
}

impl TreeCompiler<'_> {
    /// Errors of expressions whose value never has a type that their place takes.
    fn misfits(&self, text: &Interpolation, schema: Option<SchemaRef<'static>>, path: &FieldPath) -> Vec<FieldError> {
        let error = |index: usize, expression: &Expression, message: Message| FieldError {
            spot: Spot::Expression(index),
            ..FieldError::new(path.clone(), message!["expression ", value(quote(expression.source())), ": ", message])
        };
        match text {
            Interpolation::Constant(_) => Vec::new(),
            Interpolation::Whole(expression) => {
                let expected = schema.and_then(|schema| expected(schema.kind(), expression.kind()));
                let found = expression.kind().name();
                let message = expected.map(|expected| message!["expected ", expected, ", found ", found]);
                let message = message.or_else(|| self.misfit_of_items(expression, schema?));
                message.map(|message| error(0, expression, message)).into_iter().collect()
            }
            Interpolation::Mixed(segments) => {
                let is_text = |kind| matches!(kind, Kind::Unknown | Kind::Text | Kind::Integer | Kind::Boolean);
                let (mut index, mut errors) = (0, Vec::new());
                for segment in segments {
                    match segment {
                        Segment::Literal(literal) => index += interpolation::count(literal),
                        Segment::Expression(expression) => {
                            if !is_text(expression.kind()) {
                                errors.push(error(index, expression, not_in_text(expression.kind().name())));
                            }
                            index += 1 + interpolation::count(expression.source());
                        }
                    }
                }
                errors
            }
        }
    }

    /// The error of a list or map whose items never have a type that their place takes.
    fn misfit_of_items(&self, expression: &Expression, schema: SchemaRef<'static>) -> Option<Message> {
        if !matches!(expression.kind(), Kind::List | Kind::Map) {
            return None;
        }
        let place = schema.item()?.kind();
        let found = self.parameters.value_kinds(expression.source()).1;
        // Items do not become text by themselves.
        let is_scalar = matches!(found, Kind::Boolean | Kind::Integer | Kind::Number);
        let expected = if place == SchemaType::String && is_scalar { Some("a string") } else { expected(place, found) };
        expected.map(|expected| message!["each item is ", found.name(), "; expected ", expected])
    }
}

impl Item {
    pub(super) fn collect_reads(&self, reads: &mut Reads) {
        for clause in [&self.for_each, &self.when].into_iter().flatten() {
            if let Some(expression) = &clause.expression {
                reads.extend(expression.reads());
            }
        }
        self.tree.collect_reads(reads);
    }
}

/// The error of a value of another kind inside longer text.
pub(super) fn not_in_text(kind: &'static str) -> Message {
    let sentence = message![kind, " cannot stand inside text; expected a string, an integer or a boolean"];
    if kind == "null" { sentence.with("; .orValue(…) gives a value where there is none") } else { sentence }
}

/// What a place takes, if it never takes a value of this kind.
fn expected(place: SchemaType, found: Kind) -> Option<&'static str> {
    if matches!(found, Kind::Unknown | Kind::Null) {
        return None;
    }
    let is_scalar = !matches!(found, Kind::List | Kind::Map);
    let (fits, expected) = match place {
        SchemaType::Any => (true, ""),
        SchemaType::String => (is_scalar, "a string"),
        SchemaType::Quantity => (is_scalar, "a quantity"),
        SchemaType::Integer => (found == Kind::Integer, "an integer"),
        SchemaType::Number => (matches!(found, Kind::Integer | Kind::Number), "a number"),
        SchemaType::IntOrString => (matches!(found, Kind::Integer | Kind::Text), "an integer or a string"),
        SchemaType::Boolean => (found == Kind::Boolean, "a boolean"),
        SchemaType::Array => (found == Kind::List, "a list"),
        SchemaType::Object | SchemaType::Map => (found == Kind::Map, "a map"),
    };
    (!fits).then_some(expected)
}

/// A list of compiled items.
pub(super) fn list(path: &FieldPath, trees: Vec<ExpressionTree>) -> ExpressionTree {
    if trees.iter().all(|tree| matches!(tree, ExpressionTree::Constant(constant) if !constant.is_null())) {
        let items = trees.into_iter().filter_map(ExpressionTree::into_constant);
        return ExpressionTree::Constant(Value::Array(items.collect()));
    }
    ExpressionTree::List(path.clone(), trees)
}

impl ExpressionTree {
    fn into_constant(self) -> Option<Value> {
        match self {
            Self::Constant(value) => Some(value),
            Self::Template(_) | Self::List(..) | Self::Map(_) | Self::Item(_) => None,
        }
    }

    /// Adds what the tree's expressions read.
    pub(super) fn collect_reads(&self, reads: &mut Reads) {
        match self {
            Self::Constant(_) => {}
            Self::Template(string) => string.expressions().for_each(|expression| reads.extend(expression.reads())),
            Self::List(_, trees) => trees.iter().for_each(|tree| tree.collect_reads(reads)),
            Self::Item(item) => item.collect_reads(reads),
            Self::Map(trees) => trees.iter().for_each(|(_, tree)| tree.collect_reads(reads)),
        }
    }
}

impl ExpressionTree {
    /// Whether the tree is a list with items that may be left out or repeated.
    pub(super) fn has_clauses(&self) -> bool {
        matches!(self, Self::List(_, trees) if trees.iter().any(|tree| matches!(tree, Self::Item(_))))
    }
}

impl TemplateString {
    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let (whole, segments): (Option<&Expression>, &[Segment]) = match &self.text {
            None | Some(Interpolation::Constant(_)) => (None, &[]),
            Some(Interpolation::Whole(expression)) => (Some(expression), &[]),
            Some(Interpolation::Mixed(segments)) => (None, segments),
        };
        let mixed = segments.iter().filter_map(|segment| match segment {
            Segment::Expression(expression) => Some(expression),
            Segment::Literal(_) => None,
        });
        whole.into_iter().chain(mixed)
    }
}
