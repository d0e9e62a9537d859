//! Renders the trees of a template, for a pod or, at load, without one.
//!
//! At load, an expression that reads a pod renders to a sample of the right type. The paths of
//! samples are recorded beside the rendering, so no text in the rendering has a special meaning.

use super::tree::{ExpressionTree, TemplateString, not_in_text};
use crate::inject::expression::interpolation::{Interpolation, Segment};
use crate::inject::expression::{EvaluationError, Expression, Reads, Root, Scope, convert};
use crate::inject::overlay::SamplePaths;
use crate::inject::schema::{self, SchemaRef, SchemaType, UnknownField};
use crate::inject::text::quantity::Quantity;
use crate::inject::text::{FieldPath, Message, PathSegment, message, quote, value, words};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Maximum text that one rendering may produce, in bytes.
const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// A sample text that satisfies every rule for names.
const SAMPLE_TEXT: &str = "sample";

/// Why a tree could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RenderError {
    /// Path of the expression in the template.
    pub path: FieldPath,
    /// Source of the expression; empty if no single expression caused the error.
    pub source: String,
    pub cause: RenderCause,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RenderCause {
    Evaluation(EvaluationError),
    /// The value's type is not allowed at this path.
    Type(Message),
    /// The result would be larger than the limit.
    TooLarge,
}

/// The source of an expression and its error.
type RenderFailure = (String, RenderCause);

/// The inputs that are known when a template is rendered.
#[derive(Clone, Copy)]
pub(super) enum KnownInputs<'a> {
    /// All: there is a pod.
    All,
    /// The parameters that have a default.
    Defaults { required: &'a BTreeSet<String> },
    /// None: even the parameters' declarations are invalid.
    Nothing,
}

impl KnownInputs<'_> {
    /// Whether all parameters that an expression reads are known.
    pub(super) fn has_all_parameters(self, reads: &Reads) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Defaults { required } => !required.iter().any(|name| reads.reads_parameter(name)),
        }
    }

    /// Whether all inputs that an expression reads are known.
    pub(super) fn cover(self, reads: &Reads) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Defaults { .. } => {
                let objects = Root::ALL.iter().any(|root| *root != Root::Params && reads.of(*root).next().is_some());
                !objects && self.has_all_parameters(reads)
            }
        }
    }
}

/// Renders the trees of one template and lists all errors.
pub(super) struct Renderer<'a> {
    scope: &'a Scope<'a>,
    known: KnownInputs<'a>,
    bytes: usize,
    /// Positions in the enclosing rendered lists, which omit null items.
    indices: Vec<usize>,
    pub samples: SamplePaths,
    pub errors: Vec<RenderError>,
    /// Fields in the results of expressions that this build does not know.
    pub unknown: Vec<UnknownField>,
}

impl<'a> Renderer<'a> {
    pub(super) fn new(scope: &'a Scope<'a>, known: KnownInputs<'a>) -> Self {
        let (samples, errors) = (SamplePaths::default(), Vec::new());
        Self { scope, known, bytes: 0, indices: Vec::new(), samples, errors, unknown: Vec::new() }
    }

    /// The rendered value; `None` for null, which means absent.
    pub(super) fn render(&mut self, tree: &ExpressionTree) -> Option<Value> {
        match tree {
            ExpressionTree::Constant(Value::Null) => None,
            ExpressionTree::Constant(value) => Some(value.clone()),
            ExpressionTree::Template(string) => self.string(string),
            ExpressionTree::List(trees) => Some(Value::Array(self.list(trees))),
            ExpressionTree::Map(trees) => {
                let fields = trees.iter().filter_map(|(key, tree)| Some((key.clone(), self.render(tree)?)));
                Some(Value::Object(fields.collect()))
            }
        }
    }

    fn list(&mut self, trees: &[ExpressionTree]) -> Vec<Value> {
        let mut items = Vec::with_capacity(trees.len());
        for tree in trees {
            self.indices.push(items.len());
            items.extend(self.render(tree));
            self.indices.pop();
        }
        items
    }

    fn string(&mut self, string: &TemplateString) -> Option<Value> {
        let result = match &string.text {
            None => Ok(self.sample(string)),
            Some(Interpolation::Constant(text)) => Ok(Value::String(text.clone())),
            Some(Interpolation::Whole(expression)) if !self.known.cover(expression.reads()) => Ok(self.sample(string)),
            Some(Interpolation::Whole(expression)) => self.whole(string, expression),
            Some(Interpolation::Mixed(segments)) => self.mixed(string, segments),
        };
        match result {
            Ok(Value::Null) => None,
            Ok(value) => Some(value),
            Err((source, cause)) => {
                self.errors.push(RenderError { path: string.path.clone(), source, cause });
                None
            }
        }
    }

    fn whole(&mut self, string: &TemplateString, expression: &Expression) -> Result<Value, RenderFailure> {
        let failed = |cause| (expression.source().to_owned(), cause);
        let result = expression.evaluate(self.scope).map_err(|error| failed(RenderCause::Evaluation(error)))?;
        self.count(convert::size(&result)).map_err(failed)?;
        if string.schema.is_some_and(SchemaRef::expects_string) {
            let text = text_of(&result).map_err(|message| failed(RenderCause::Type(message)))?;
            return check_quantity(string.schema, text);
        }
        let json = convert::to_json(&result).map_err(|kind| {
            failed(RenderCause::Type(message![words(kind), " cannot stand in a pod; make it a string or a number"]))
        })?;
        match string.schema.map(|schema| schema::check(schema, &json, &string.path, schema::Expressions::Rendered)) {
            Some(findings) if !findings.errors.is_empty() => {
                let messages = findings.errors.into_iter().map(|error| error.message);
                Err(failed(RenderCause::Type(Message::join(messages, ", "))))
            }
            Some(findings) => {
                self.unknown.extend(findings.unknown);
                Ok(json)
            }
            None => Ok(json),
        }
    }

    fn mixed(&mut self, string: &TemplateString, segments: &[Segment]) -> Result<Value, RenderFailure> {
        let (mut text, mut sampled) = (String::new(), false);
        for segment in segments {
            match segment {
                Segment::Literal(literal) => text.push_str(literal),
                Segment::Expression(expression) if self.known.cover(expression.reads()) => {
                    text.push_str(&self.piece(expression)?);
                }
                Segment::Expression(_) => {
                    text.push_str(SAMPLE_TEXT);
                    sampled = true;
                }
            }
        }
        if sampled {
            self.note_sample(string);
            return Ok(Value::String(text));
        }
        check_quantity(string.schema, Value::String(text))
    }

    /// The text of an expression inside longer text.
    fn piece(&mut self, expression: &Expression) -> Result<String, RenderFailure> {
        let failed = |cause| (expression.source().to_owned(), cause);
        let result = expression.evaluate(self.scope).map_err(|error| failed(RenderCause::Evaluation(error)))?;
        let piece = convert::to_text(&result)
            .ok_or_else(|| failed(RenderCause::Type(not_in_text(convert::kind_name(&result)))))?;
        self.count(piece.len()).map_err(failed)?;
        Ok(piece)
    }

    fn count(&mut self, bytes: usize) -> Result<(), RenderCause> {
        self.bytes += bytes;
        if self.bytes > MAX_OUTPUT_BYTES { Err(RenderCause::TooLarge) } else { Ok(()) }
    }

    /// A sample of the right type for an unknown value.
    fn sample(&mut self, string: &TemplateString) -> Value {
        let path = self.note_sample(string);
        let is_element = matches!(string.path.steps().last(), Some(PathSegment::Index(_)));
        if let Some(schema) = string.schema.filter(|schema| is_element && schema.kind() == SchemaType::Object) {
            return self.sample_element(schema, &path);
        }
        match string.schema.map_or(SchemaType::Any, SchemaRef::kind) {
            SchemaType::Object | SchemaType::Map => Value::Object(Map::new()),
            SchemaType::Array => Value::Array(Vec::new()),
            SchemaType::Integer | SchemaType::Number | SchemaType::IntOrString => Value::from(1),
            SchemaType::Boolean => Value::Bool(true),
            SchemaType::Quantity => Value::from("1"),
            SchemaType::String | SchemaType::Any => Value::from(SAMPLE_TEXT),
        }
    }

    /// An element of a list with the fields that every check asks for.
    fn sample_element(&mut self, schema: SchemaRef<'_>, path: &FieldPath) -> Value {
        let mut element = Map::new();
        for field in ["name", "image", "mountPath", "containerPort"] {
            let value = match schema.child(field).map(SchemaRef::kind) {
                Some(SchemaType::String) => Value::from(SAMPLE_TEXT),
                Some(SchemaType::Integer) => Value::from(1),
                _ => continue,
            };
            self.samples.insert(&path.child(field));
            element.insert(field.to_owned(), value);
        }
        Value::Object(element)
    }

    /// Records the place of a sample in the rendered list and returns it.
    fn note_sample(&mut self, string: &TemplateString) -> FieldPath {
        let mut indices = self.indices.iter();
        let path = string.path.steps().into_iter().fold(FieldPath::root(), |path, step| match step {
            PathSegment::Index(written) => path.index(*indices.next().unwrap_or(written)),
            PathSegment::Child(_) | PathSegment::Key(_) => path.step(step.clone()),
        });
        self.samples.insert(&path);
        path
    }
}

/// Checks quantities, which the schema treats as plain strings.
fn check_quantity(schema: Option<SchemaRef<'static>>, value: Value) -> Result<Value, RenderFailure> {
    match (schema.map(SchemaRef::kind), &value) {
        (Some(SchemaType::Quantity), Value::String(text)) => match Quantity::parse(text) {
            Ok(_) => Ok(value),
            Err(expected) => Err((text.clone(), RenderCause::Type(expected.into()))),
        },
        _ => Ok(value),
    }
}

/// Converts integers, numbers and booleans to text if the schema requires a string.
fn text_of(result: &cel::Value) -> Result<Value, Message> {
    match result {
        cel::Value::Null => Ok(Value::Null),
        cel::Value::Float(number) if number.is_finite() => Ok(Value::String(number.to_string())),
        other => convert::to_text(other)
            .map(Value::String)
            .ok_or_else(|| message!["expected a string, found ", convert::kind_name(other)]),
    }
}

impl RenderError {
    /// One line: the path in the template, the expression and its error.
    pub(crate) fn sentence(&self) -> Message {
        message![words(&self.path), ": ", self.fault()]
    }

    /// The expression and its error, without the path.
    pub(crate) fn fault(&self) -> Message {
        let cause = match &self.cause {
            RenderCause::Evaluation(EvaluationError::MissingKey { owner, key }) => {
                message![*owner, " lacks ", value(quote(key))]
            }
            RenderCause::Evaluation(EvaluationError::Failed(message)) | RenderCause::Type(message) => message.clone(),
            RenderCause::TooLarge => message!["the result has more than ", MAX_OUTPUT_BYTES, " bytes"],
        };
        message!["expression ", value(quote(&self.source)), ": ", cause]
    }
}
