//! Renders the trees of a template, for a pod or, at load, without one.
//!
//! At load, an expression that reads a pod renders to a sample of the right type. The paths of
//! samples are recorded beside the rendering, so no text in the rendering has a special meaning.

use super::item;
use super::render_context::RenderContext;
use super::render_error::{MAX_ELEMENTS, MAX_MILLISECONDS, MAX_OUTPUT_BYTES, RenderCause, RenderError};
use super::tree::{Clause, ExpressionTree, Item, TemplateString, not_in_text};
use super::written_paths::WrittenPaths;
use crate::inject::expression::interpolation::{Interpolation, Segment};
use crate::inject::expression::{Expression, Reads, Root, Scope, convert};
use crate::inject::overlay::{Overlay, SamplePaths};
use crate::inject::schema::{self, SchemaRef, SchemaType, UnknownField};
use crate::inject::text::json::text;
use crate::inject::text::quantity::Quantity;
use crate::inject::text::{FieldError, FieldPath, Message, PathSegment, message, quote, value, words};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A sample text that satisfies every rule for names.
const SAMPLE_TEXT: &str = "sample";

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
                let is_object = |root: &&Root| !matches!(root, Root::Params | Root::Each);
                let objects = Root::ALL.iter().filter(is_object).any(|root| reads.has(*root));
                !objects && self.has_all_parameters(reads)
            }
        }
    }
}

/// A template that is rendered for one pod.
#[derive(Debug)]
pub(crate) struct Rendering {
    pub overlay: Overlay,
    /// The parts for each selected container of the app, if they differ; otherwise `overlay` has them.
    pub apps: Vec<Overlay>,
}

/// Why a template cannot be rendered for a pod.
#[derive(Debug)]
pub(crate) enum RenderErrors {
    /// Expressions without a value that can stand in their place.
    Expressions(Vec<RenderError>),
    /// Values that are no part of a pod.
    Values(Vec<FieldError>),
}

/// What becomes of items whose condition is not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnmetItems {
    /// They are not rendered.
    Dropped,
    /// They are rendered with samples, so that their structure is checked.
    Sampled,
}

/// Renders the trees of one template and lists all errors.
pub(super) struct Renderer<'a> {
    scope: &'a Scope<'a>,
    known: KnownInputs<'a>,
    left_out: UnmetItems,
    /// Whether the element of the enclosing `forEach` is known.
    knows_each: bool,
    /// Positions in the enclosing rendered lists, which omit null items.
    indices: Vec<usize>,
    pub found: RenderFindings,
}

/// What a rendering finds besides its value.
#[derive(Debug, Default)]
pub(super) struct RenderFindings {
    bytes: usize,
    app_bytes: usize,
    pub samples: SamplePaths,
    pub errors: Vec<RenderError>,
    /// Fields in the results of expressions that this build does not know.
    pub unknown: Vec<UnknownField>,
    /// Where the rendered items stand in the template.
    pub written: WrittenPaths,
}

impl RenderFindings {
    /// The errors of the rendered overlay, with the paths of the template.
    pub(super) fn check(&self, overlay: &Overlay) -> Vec<FieldError> {
        self.written.correct(overlay.check_except_samples(&self.samples))
    }

    /// The rendering, if there is no error.
    /// `restrict` lists what the template must not bring.
    pub(super) fn finish(
        self,
        rendering: Rendering,
        context: &RenderContext<'_>,
        restrict: impl Fn(&Overlay) -> Vec<FieldError>,
    ) -> Result<Rendering, RenderErrors> {
        if !self.errors.is_empty() {
            return Err(RenderErrors::Expressions(self.errors));
        }
        let shared = &rendering.overlay;
        let mut errors = self.check(shared);
        errors.extend(self.written.correct(restrict(shared)));
        for (position, app) in rendering.apps.iter().enumerate() {
            let name = context.app(position).map_or("", |container| text(container, "name"));
            let of_container = app.check_app(shared).into_iter().chain(restrict(app));
            let of_container = self.written.correct(of_container.collect());
            errors.extend(of_container.into_iter().map(|mut error| {
                error.message = message![error.message, ", for container ", value(quote(name))];
                error
            }));
        }
        if errors.is_empty() { Ok(rendering) } else { Err(RenderErrors::Values(errors)) }
    }
}

impl<'a> Renderer<'a> {
    pub(super) fn new(scope: &'a Scope<'a>, known: KnownInputs<'a>, left_out: UnmetItems) -> Self {
        let found = RenderFindings::default();
        Self { scope, known, left_out, knows_each: true, indices: Vec::new(), found }
    }

    /// The rendered value; `None` for null and for a list whose elements are all left out, which mean
    /// absent.
    pub(super) fn render(&mut self, tree: &ExpressionTree) -> Option<Value> {
        match tree {
            ExpressionTree::Constant(Value::Null) => None,
            ExpressionTree::Constant(value) => Some(value.clone()),
            ExpressionTree::Template(string) => self.string(string),
            ExpressionTree::List(path, trees) => {
                let items = self.list(path, trees);
                // The API server drops empty lists; offline the pod is the same.
                (!items.is_empty() || trees.is_empty()).then_some(Value::Array(items))
            }
            ExpressionTree::Map(trees) => {
                let fields = trees.iter().filter_map(|(key, tree)| Some((key.clone(), self.render(tree)?)));
                Some(Value::Object(fields.collect()))
            }
            // Items stand in lists alone.
            ExpressionTree::Item(item) => self.render(&item.tree),
        }
    }

    /// Renders parts for one container of the app.
    pub(super) fn for_container(
        &mut self,
        container: &Value,
        reads: &Reads,
        render: impl FnOnce(&mut Renderer<'_>) -> Overlay,
    ) -> Overlay {
        let (scope, earlier) = (self.scope, self.found.errors.len());
        let overlay = scope.with_object(Root::Container, container, reads, |scope| self.within(scope, render));
        for error in &mut self.found.errors[earlier..] {
            error.container = Some(text(container, "name").to_owned());
        }
        overlay
    }

    /// Whether parts for more containers may be rendered: a pod can have thousands, and the parts of
    /// all of them are limited in size and in time, in milliseconds.
    pub(super) fn may_go_on(&mut self, app: &Overlay, elapsed: u64) -> bool {
        self.found.app_bytes += app.size();
        let cause = match (self.found.app_bytes > MAX_OUTPUT_BYTES, elapsed > MAX_MILLISECONDS) {
            (true, _) => RenderCause::TooLarge,
            (_, true) => RenderCause::TooSlow,
            _ => return true,
        };
        let path = FieldPath::root().child("spec").child("app");
        self.found.errors.push(RenderError { path, source: String::new(), cause, container: None });
        false
    }

    /// Goes on with more variables.
    fn within<T>(&mut self, scope: &Scope<'_>, work: impl FnOnce(&mut Renderer<'_>) -> T) -> T {
        let (found, indices) = (std::mem::take(&mut self.found), std::mem::take(&mut self.indices));
        let Self { known, left_out, knows_each, .. } = *self;
        let mut inner = Renderer { scope, known, left_out, knows_each, indices, found };
        let result = work(&mut inner);
        (self.found, self.indices) = (inner.found, inner.indices);
        result
    }

    fn list(&mut self, path: &FieldPath, trees: &[ExpressionTree]) -> Vec<Value> {
        let mut items = Vec::with_capacity(trees.len());
        let mut written = Vec::with_capacity(trees.len());
        for (index, tree) in trees.iter().enumerate() {
            match tree {
                ExpressionTree::Item(item) => self.item(item, &mut items),
                _ => self.push(tree, &mut items),
            }
            written.resize(items.len(), index);
        }
        if !written.iter().copied().eq(0..items.len()) {
            let path = self.rendered_path(path);
            self.found.written.insert(&path, written);
        }
        items
    }

    fn push(&mut self, tree: &ExpressionTree, items: &mut Vec<Value>) {
        self.indices.push(items.len());
        items.extend(self.render(tree));
        self.indices.pop();
    }

    /// Renders an item once for each element of its `forEach`.
    fn item(&mut self, item: &Item, items: &mut Vec<Value>) {
        let Some(for_each) = &item.for_each else { return self.element(item, items) };
        match self.elements(for_each) {
            Some(elements) if !elements.is_empty() || self.left_out == UnmetItems::Dropped => {
                for each in elements {
                    let scope = self.scope;
                    scope.with_variable(Root::Each, each, |scope| {
                        self.within(scope, |inner| inner.element(item, items));
                    });
                }
            }
            _ => {
                let known = std::mem::replace(&mut self.knows_each, false);
                self.note_conditional(item, items.len());
                self.element(item, items);
                self.knows_each = known;
            }
        }
    }

    /// The elements of a `forEach`; `None` if they are not known or there is an error.
    fn elements(&mut self, for_each: &Clause) -> Option<Vec<cel::Value>> {
        let expression = for_each.expression.as_ref().filter(|expression| self.covers(expression.reads()))?;
        let cause = match expression.evaluate(self.scope) {
            Ok(cel::Value::Null) => return Some(Vec::new()),
            Ok(cel::Value::List(list)) if list.len() <= MAX_ELEMENTS => {
                return Some(list.iter().cloned().map(convert::without_optional).collect());
            }
            Ok(cel::Value::List(list)) => RenderCause::TooMany(list.len()),
            Ok(other) => RenderCause::Type(message!["expected a list, found ", convert::kind_name(&other)]),
            Err(error) => RenderCause::Evaluation(error),
        };
        self.fail(for_each, expression, cause);
        Some(Vec::new())
    }

    /// Renders an item for one element, if its `when` holds.
    fn element(&mut self, item: &Item, items: &mut Vec<Value>) {
        let Some(when) = &item.when else { return self.push(&item.tree, items) };
        let holds = self.holds(when);
        if holds == Some(false) && self.left_out == UnmetItems::Dropped {
            return;
        }
        let reads_parameters = when.expression.as_ref().is_some_and(|one| one.reads().has(Root::Params));
        if self.left_out == UnmetItems::Sampled && (holds != Some(true) || reads_parameters) {
            self.note_conditional(item, items.len());
        }
        // A value that the condition rules out is no error.
        let is_ruled_out = holds != Some(true) && (holds.is_some() || reads_parameters);
        let known = self.known;
        self.known = if is_ruled_out { KnownInputs::Nothing } else { known };
        self.push(&item.tree, items);
        self.known = known;
    }

    /// Whether a condition holds; `None` if it is not known. Null is not true.
    fn holds(&mut self, when: &Clause) -> Option<bool> {
        let expression = when.expression.as_ref().filter(|expression| self.covers(expression.reads()))?;
        let cause = match expression.evaluate(self.scope) {
            Ok(cel::Value::Bool(holds)) => return Some(holds),
            Ok(cel::Value::Null) => return Some(false),
            Ok(other) => RenderCause::Type(message!["expected a boolean, found ", convert::kind_name(&other)]),
            Err(error) => RenderCause::Evaluation(error),
        };
        self.fail(when, expression, cause);
        Some(false)
    }

    fn fail(&mut self, clause: &Clause, expression: &Expression, cause: RenderCause) {
        let (path, source) = (clause.path.clone(), expression.source().to_owned());
        self.found.errors.push(RenderError { path, source, cause, container: None });
    }

    /// Whether all inputs that an expression reads are known.
    fn covers(&self, reads: &Reads) -> bool {
        self.known.cover(reads) && (self.knows_each || !reads.has(Root::Each))
    }

    fn note_conditional(&mut self, item: &Item, index: usize) {
        self.indices.push(index);
        let path = self.rendered_path(&item.path);
        self.indices.pop();
        self.found.samples.insert_conditional(&path);
    }

    pub(super) fn string(&mut self, string: &TemplateString) -> Option<Value> {
        let result = match &string.text {
            None => Ok(self.sample(string)),
            Some(Interpolation::Constant(text)) => Ok(Value::String(text.clone())),
            Some(Interpolation::Whole(expression)) if !self.covers(expression.reads()) => Ok(self.sample(string)),
            Some(Interpolation::Whole(expression)) => self.whole(string, expression),
            Some(Interpolation::Mixed(segments)) => self.mixed(string, segments),
        };
        match result {
            Ok(Value::Null) => None,
            Ok(value) => Some(value),
            Err((source, cause)) => {
                self.found.errors.push(RenderError { path: string.path.clone(), source, cause, container: None });
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
                self.found.unknown.extend(findings.unknown);
                item::without_clauses(json, string.schema).map_err(|message| failed(RenderCause::Type(message)))
            }
            None => Ok(json),
        }
    }

    fn mixed(&mut self, string: &TemplateString, segments: &[Segment]) -> Result<Value, RenderFailure> {
        let (mut text, mut sampled) = (String::new(), false);
        for segment in segments {
            match segment {
                Segment::Literal(literal) => text.push_str(literal),
                Segment::Expression(expression) if self.covers(expression.reads()) => {
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
        self.found.bytes += bytes;
        if self.found.bytes > MAX_OUTPUT_BYTES { Err(RenderCause::TooLarge) } else { Ok(()) }
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
            self.found.samples.insert(&path.child(field));
            element.insert(field.to_owned(), value);
        }
        Value::Object(element)
    }

    /// Records the place of a sample in the rendered list and returns it.
    fn note_sample(&mut self, string: &TemplateString) -> FieldPath {
        let path = self.rendered_path(&string.path);
        self.found.samples.insert(&path);
        path
    }

    /// A path of the template with the positions in the rendered lists.
    fn rendered_path(&self, path: &FieldPath) -> FieldPath {
        let mut indices = self.indices.iter();
        path.steps().into_iter().fold(FieldPath::root(), |path, step| match step {
            PathSegment::Index(written) => path.index(*indices.next().unwrap_or(written)),
            PathSegment::Child(_) | PathSegment::Key(_) => path.step(step.clone()),
        })
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
