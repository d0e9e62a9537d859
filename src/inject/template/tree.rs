//! A part of a template whose strings may hold expressions: compiled once, rendered per pod.
//!
//! Invariant: values are put into leaves of the parsed tree, never into text that is parsed again. No annotation's value can
//! add a key, a container or a flag.

use crate::inject::expression::convert;
use crate::inject::expression::text::{self, Segment, Text};
use crate::inject::expression::{EvaluationError, Expression, Reads, Scope};
use crate::inject::schema::{self, Kind, SchemaRef};
use crate::inject::text::field::{FieldError, FieldPath, quote};
use crate::inject::text::quantity::Quantity;
use serde_json::{Map, Value};

/// All text that one rendering may produce, in bytes.
pub const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// What stands at load for a value that only a pod can give.
pub const UNKNOWN: &str = "outrigger-unknown";

/// A compiled tree.
#[derive(Debug)]
pub enum Node {
    Constant(Value),
    Leaf(Box<Leaf>),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A string with expressions, and where it stands.
#[derive(Debug)]
pub struct Leaf {
    text: Text,
    path: FieldPath,
    schema: Option<SchemaRef<'static>>,
}

/// Why a tree could not be rendered for this pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderError {
    /// Place of the expression in the template.
    pub path: FieldPath,
    /// Source of the expression; empty where none is to blame alone.
    pub source: String,
    pub cause: RenderCause,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenderCause {
    Evaluation(EvaluationError),
    /// The value has a type that cannot stand there.
    Type(String),
    /// The result would be larger than [`MAX_OUTPUT_BYTES`].
    TooLarge,
}

impl Node {
    /// Compiles a tree that was checked against `schema`.
    pub fn compile(
        value: &Value,
        schema: Option<SchemaRef<'static>>,
        path: &FieldPath,
        parameters: &[&str],
        errors: &mut Vec<FieldError>,
    ) -> Self {
        match value {
            Value::String(source) if text::is_dynamic(source) => match text::compile(source, parameters) {
                Ok(Text::Constant(plain)) => Self::Constant(Value::String(plain)),
                Ok(text) => Self::Leaf(Box::new(Leaf { text, path: path.clone(), schema })),
                Err(message) => {
                    errors.push(FieldError::new(path.clone(), message));
                    // Something stands there: that it is wrong is said once.
                    Self::Constant(Value::from(UNKNOWN))
                }
            },
            Value::Array(items) => {
                let item = schema.and_then(SchemaRef::item);
                let compile = |(index, one)| Self::compile(one, item, &path.index(index), parameters, errors);
                Self::list(items.iter().enumerate().map(compile).collect(), value)
            }
            Value::Object(fields) => Self::object(fields, value, schema, path, parameters, errors),
            _ => Self::Constant(value.clone()),
        }
    }

    fn list(nodes: Vec<Self>, value: &Value) -> Self {
        if nodes.iter().all(|node| matches!(node, Self::Constant(constant) if !constant.is_null())) {
            return Self::Constant(Value::Array(nodes.into_iter().filter_map(Self::into_constant).collect()));
        }
        debug_assert!(value.is_array());
        Self::List(nodes)
    }

    fn into_constant(self) -> Option<Value> {
        match self {
            Self::Constant(value) => Some(value),
            Self::Leaf(_) | Self::List(_) | Self::Map(_) => None,
        }
    }

    fn object(
        fields: &Map<String, Value>,
        value: &Value,
        schema: Option<SchemaRef<'static>>,
        path: &FieldPath,
        parameters: &[&str],
        errors: &mut Vec<FieldError>,
    ) -> Self {
        let mut nodes = Vec::with_capacity(fields.len());
        for (key, field) in fields {
            // Named fields are written with a dot, free keys in brackets.
            let free = schema.is_some_and(|schema| schema.kind() == Kind::Map);
            let path = if free { path.key(key.as_str()) } else { path.child(key.as_str()) };
            if text::is_dynamic(key) {
                errors.push(FieldError::new(path.clone(), "expressions stand in values, not in keys"));
            }
            nodes.push((
                key.clone(),
                Self::compile(field, schema.and_then(|schema| schema.child(key)), &path, parameters, errors),
            ));
        }
        let plain = nodes.iter().all(|(_, node)| matches!(node, Self::Constant(_)));
        debug_assert!(value.is_object());
        if plain {
            let fields = nodes.into_iter().filter_map(|(key, node)| Some((key, node.into_constant()?)));
            return Self::Constant(Value::Object(fields.collect()));
        }
        Self::Map(nodes)
    }

    /// Adds what the tree's expressions read.
    pub fn collect_reads(&self, reads: &mut Reads) {
        match self {
            Self::Constant(_) => {}
            Self::Leaf(leaf) => leaf.expressions().for_each(|expression| reads.extend(expression.reads())),
            Self::List(nodes) => nodes.iter().for_each(|node| node.collect_reads(reads)),
            Self::Map(nodes) => nodes.iter().for_each(|(_, node)| node.collect_reads(reads)),
        }
    }
}

impl Leaf {
    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let (whole, segments): (Option<&Expression>, &[Segment]) = match &self.text {
            Text::Constant(_) => (None, &[]),
            Text::Whole(expression) => (Some(expression), &[]),
            Text::Mixed(segments) => (None, segments),
        };
        let mixed = segments.iter().filter_map(|segment| match segment {
            Segment::Expression(expression) => Some(expression),
            Segment::Literal(_) => None,
        });
        whole.into_iter().chain(mixed)
    }

    fn expects_string(&self) -> bool {
        self.schema.is_some_and(SchemaRef::expects_string)
    }
}

/// Whether an expression's inputs are all known: not at load, when it reads what only a pod has.
pub type Known<'a> = &'a dyn Fn(&Reads) -> bool;

/// Renders the trees of one template for one pod, and lists all that goes wrong.
pub struct Renderer<'a> {
    scope: &'a Scope<'a>,
    known: Known<'a>,
    bytes: usize,
    samples: usize,
    pub errors: Vec<RenderError>,
}

impl<'a> Renderer<'a> {
    pub fn new(scope: &'a Scope<'a>, known: Known<'a>) -> Self {
        Self { scope, known, bytes: 0, samples: 0, errors: Vec::new() }
    }

    /// The rendered value; nothing for a null, which means absent.
    pub fn render(&mut self, node: &Node) -> Option<Value> {
        match node {
            Node::Constant(Value::Null) => None,
            Node::Constant(value) => Some(value.clone()),
            Node::Leaf(leaf) => self.leaf(leaf),
            Node::List(nodes) => Some(Value::Array(nodes.iter().filter_map(|node| self.render(node)).collect())),
            Node::Map(nodes) => {
                let fields = nodes.iter().filter_map(|(key, node)| Some((key.clone(), self.render(node)?)));
                Some(Value::Object(fields.collect()))
            }
        }
    }

    fn leaf(&mut self, leaf: &Leaf) -> Option<Value> {
        let result = match &leaf.text {
            Text::Constant(text) => return Some(Value::String(text.clone())),
            Text::Whole(expression) => self.whole(leaf, expression),
            Text::Mixed(segments) => self.mixed(segments).map(Value::String),
        };
        match result.and_then(|value| self.check_quantity(leaf, value)) {
            Ok(Value::Null) => None,
            Ok(value) => Some(value),
            Err((source, cause)) => {
                self.errors.push(RenderError { path: leaf.path.clone(), source, cause });
                None
            }
        }
    }

    fn whole(&mut self, leaf: &Leaf, expression: &Expression) -> Result<Value, (String, RenderCause)> {
        if !(self.known)(expression.reads()) {
            return Ok(self.sample(leaf.schema));
        }
        let failed = |cause| (expression.source().to_owned(), cause);
        let value = expression.evaluate(self.scope).map_err(|error| failed(RenderCause::Evaluation(error)))?;
        self.count(convert::size(&value)).map_err(failed)?;
        if leaf.expects_string() {
            return string_leaf(&value).map_err(|message| failed(RenderCause::Type(message)));
        }
        let json = convert::to_json(&value).map_err(|kind| {
            failed(RenderCause::Type(format!("{kind} cannot stand in a pod; make it a string or a number")))
        })?;
        match leaf.schema.map(|schema| schema::check(schema, &json, &leaf.path, schema::Expressions::Rendered)) {
            Some(findings) if !findings.errors.is_empty() => {
                let messages: Vec<String> = findings.errors.iter().map(|error| error.message.to_string()).collect();
                Err(failed(RenderCause::Type(messages.join(", "))))
            }
            _ => Ok(json),
        }
    }

    /// Quantities are strings to the schema's eye, but not any string is one.
    fn check_quantity(&self, leaf: &Leaf, value: Value) -> Result<Value, (String, RenderCause)> {
        match (leaf.schema.map(SchemaRef::kind), &value) {
            // A sample stands for whatever a pod will give; without samples the word is the pod's own.
            (Some(Kind::Quantity), Value::String(text)) if self.samples > 0 && text.contains(UNKNOWN) => Ok(value),
            (Some(Kind::Quantity), Value::String(text)) => match Quantity::parse(text) {
                Ok(_) => Ok(value),
                Err(expected) => Err((text.clone(), RenderCause::Type(expected.to_owned()))),
            },
            _ => Ok(value),
        }
    }

    fn mixed(&mut self, segments: &[Segment]) -> Result<String, (String, RenderCause)> {
        let mut text = String::new();
        for segment in segments {
            match segment {
                Segment::Literal(literal) => text.push_str(literal),
                Segment::Expression(expression) if !(self.known)(expression.reads()) => text.push_str(&self.unknown()),
                Segment::Expression(expression) => {
                    let failed = |cause| (expression.source().to_owned(), cause);
                    let value =
                        expression.evaluate(self.scope).map_err(|error| failed(RenderCause::Evaluation(error)))?;
                    let wrong = || {
                        failed(RenderCause::Type(format!(
                            "a {} cannot stand inside text; expected a string, integer or boolean",
                            value.type_of()
                        )))
                    };
                    let piece = convert::to_text(&value).ok_or_else(wrong)?;
                    self.count(piece.len()).map_err(failed)?;
                    text.push_str(&piece);
                }
            }
        }
        Ok(text)
    }

    fn count(&mut self, bytes: usize) -> Result<(), RenderCause> {
        self.bytes += bytes;
        if self.bytes > MAX_OUTPUT_BYTES { Err(RenderCause::TooLarge) } else { Ok(()) }
    }

    fn unknown(&mut self) -> String {
        self.samples += 1;
        format!("{UNKNOWN}-{}", self.samples)
    }

    fn sample(&mut self, schema: Option<SchemaRef<'static>>) -> Value {
        match schema.map_or(Kind::Any, SchemaRef::kind) {
            Kind::Object | Kind::Map => Value::Object(Map::new()),
            Kind::Array => Value::Array(Vec::new()),
            Kind::Integer | Kind::Number | Kind::IntOrString => Value::from(1),
            Kind::Boolean => Value::Bool(true),
            Kind::Quantity => Value::String("1".to_owned()),
            Kind::String | Kind::Any => Value::String(self.unknown()),
        }
    }
}

/// Where the schema says string, integers, numbers and booleans are written as text.
fn string_leaf(value: &cel::Value) -> Result<Value, String> {
    match value {
        cel::Value::Null => Ok(Value::Null),
        cel::Value::Float(number) if number.is_finite() => Ok(Value::String(number.to_string())),
        other => convert::to_text(other)
            .map(Value::String)
            .ok_or_else(|| format!("expected a string, found a {}", other.type_of())),
    }
}

impl RenderError {
    /// One line: the place in the template, the expression, what is wrong.
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.path, self.fault())
    }

    /// The expression and what is wrong with it, without the place.
    pub fn fault(&self) -> String {
        let cause = match &self.cause {
            RenderCause::Evaluation(EvaluationError::MissingKey { owner, key }) => {
                format!("{owner} lacks {}", quote(key))
            }
            RenderCause::Evaluation(EvaluationError::Failed(message)) | RenderCause::Type(message) => message.clone(),
            RenderCause::TooLarge => format!("the result has more than {MAX_OUTPUT_BYTES} bytes"),
        };
        format!("expression {}: {cause}", quote(&self.source))
    }
}
