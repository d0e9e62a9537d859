//! Defaults of parameters: a value for every pod, or an expression that gives one for each pod.
//!
//! Invariant: a default keeps the rules of its parameter. A constant one is checked at load, a
//! computed one for each pod; at load, only an expression that can give no value of the parameter's
//! type is refused.

use super::collection;
use super::{Parameter, text_of};
use crate::inject::expression::interpolation::Interpolation;
use crate::inject::expression::{Declarations, Kind, Reads, Scope};
use crate::inject::template::render::{KnownInputs, Renderer, UnmetItems};
use crate::inject::template::render_error::RenderError;
use crate::inject::template::spec::ParameterType;
use crate::inject::template::tree::{ExpressionTree, TemplateString, TreeCompiler};
use crate::inject::text::json::json_type;
use crate::inject::text::{FieldError, FieldPath, Message, message, one_line, quote, value};
use cel::Value;
use serde_json::Value as Json;

/// Longest list or map that a message shows, in characters.
const SHOWN_MAX: usize = 80;

/// The value of pods that do not set a parameter.
#[derive(Debug)]
pub(super) enum ParameterDefault {
    /// The parameter is required.
    None,
    Constant(Value),
    Computed(Box<ComputedDefault>),
}

/// A default that is computed for each pod.
#[derive(Debug)]
pub(super) struct ComputedDefault {
    /// The default as it is written.
    source: String,
    text: TemplateString,
    reads: Reads,
}

/// Why a default gives no value for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DefaultFault {
    /// The expression cannot be evaluated.
    Expression(RenderError),
    /// It gives null or an empty optional.
    Nothing,
    /// Its value breaks this rule of the parameter.
    Invalid(Message),
}

impl Parameter {
    /// The value of every pod that does not set the parameter, if there is one.
    pub(crate) fn default(&self) -> Option<&Value> {
        match &self.default {
            ParameterDefault::Constant(value) => Some(value),
            ParameterDefault::None | ParameterDefault::Computed(_) => None,
        }
    }

    /// Whether every pod must set the parameter.
    pub(crate) const fn is_required(&self) -> bool {
        matches!(self.default, ParameterDefault::None)
    }

    /// The expression of a computed default as it is written, and what it reads.
    pub(crate) fn computed(&self) -> Option<(&str, &Reads)> {
        match &self.default {
            ParameterDefault::Computed(computed) => Some((&computed.source, &computed.reads)),
            ParameterDefault::None | ParameterDefault::Constant(_) => None,
        }
    }

    /// The computed default for one pod, whose variables `scope` has.
    pub(crate) fn compute(&self, scope: &Scope<'_>) -> Result<Value, DefaultFault> {
        let ParameterDefault::Computed(computed) = &self.default else { return Err(DefaultFault::Nothing) };
        let mut renderer = Renderer::new(scope, KnownInputs::All, UnmetItems::Dropped);
        let found = renderer.string(&computed.text);
        match (found, renderer.found.errors.pop()) {
            (_, Some(error)) => Err(DefaultFault::Expression(error)),
            (None, None) => Err(DefaultFault::Nothing),
            (Some(found), None) => self.convert(&found).map_err(DefaultFault::Invalid),
        }
    }

    /// Compiles a default and adds its errors to `errors`.
    pub(super) fn compile_default(
        &self,
        default: &Json,
        path: &FieldPath,
        errors: &mut Vec<FieldError>,
    ) -> ParameterDefault {
        let declared = Declarations::of_default();
        let tree = match default {
            Json::String(_) => {
                let mut compiler = TreeCompiler { parameters: &declared, errors: Vec::new() };
                let tree = compiler.compile(default, None, path);
                errors.append(&mut compiler.errors);
                tree
            }
            other => match collection::literal(other) {
                Ok(literal) => ExpressionTree::Constant(literal),
                Err(message) => {
                    errors.push(FieldError::new(path.clone(), message));
                    return ParameterDefault::None;
                }
            },
        };
        let mut reads = Reads::default();
        tree.collect_reads(&mut reads);
        let (message, default) = match tree {
            ExpressionTree::Template(text) => {
                let message = text.text.as_ref().and_then(|text| self.misfit(text, &declared));
                let computed = ComputedDefault { source: text_of(default), text: *text, reads };
                (message, ParameterDefault::Computed(Box::new(computed)))
            }
            ExpressionTree::Constant(constant) => match self.constant(&constant) {
                Ok(value) => (None, ParameterDefault::Constant(value)),
                Err(message) => (Some(message), ParameterDefault::None),
            },
            // A list or map of trees comes of no string.
            _ => (None, ParameterDefault::None),
        };
        errors.extend(message.map(|message| FieldError::new(path.clone(), message)));
        default
    }

    /// The value of a constant, which may be written as an annotation would have it.
    fn constant(&self, written: &Json) -> Result<Value, Message> {
        self.check_type(written)?;
        match (self.kind, written) {
            (ParameterType::List | ParameterType::Map, Json::String(text)) => self.parse(text),
            _ => self.convert(written),
        }
    }

    /// A value as the parameter's own, if it keeps the rules. Text never becomes a list or a map: it may
    /// come from the pod.
    fn convert(&self, found: &Json) -> Result<Value, Message> {
        let is_scalar = found.is_string() || found.is_number() || found.is_boolean();
        match (self.kind, found) {
            (ParameterType::List, Json::Array(items)) => self.list(collection::list_of(items)?),
            (ParameterType::Map, Json::Object(entries)) => self.map(collection::map_of(entries)?),
            (ParameterType::List | ParameterType::Map, _) => Err(self.other_type(found)),
            (ParameterType::String | ParameterType::Quantity | ParameterType::Duration | ParameterType::Enum, _)
                if is_scalar =>
            {
                self.parse(&text_of(found))
            }
            _ => self.check_type(found).and_then(|()| self.parse(&text_of(found))),
        }
    }

    /// A constant default has the parameter's own type: `5`, not `"5"`, for an integer.
    fn check_type(&self, found: &Json) -> Result<(), Message> {
        let right = match self.kind {
            ParameterType::Integer | ParameterType::Port => found.is_i64() || found.is_u64(),
            ParameterType::Number => found.is_number(),
            ParameterType::Boolean => found.is_boolean(),
            ParameterType::Quantity => found.is_string() || found.is_number(),
            ParameterType::String | ParameterType::Duration | ParameterType::Enum => found.is_string(),
            ParameterType::List => found.is_string() || found.is_array(),
            ParameterType::Map => found.is_string() || found.is_object(),
        };
        if right { Ok(()) } else { Err(self.other_type(found)) }
    }

    fn other_type(&self, found: &Json) -> Message {
        message!["expected ", self.type_name(), ", found ", shown(found)]
    }

    /// The error of an expression that gives no value of the type for any pod.
    fn misfit(&self, text: &Interpolation, declared: &Declarations<'_>) -> Option<Message> {
        let is_text = matches!(
            self.kind,
            ParameterType::String | ParameterType::Quantity | ParameterType::Duration | ParameterType::Enum
        );
        let Interpolation::Whole(expression) = text else {
            let hint = "; write the default as one expression";
            return (!is_text)
                .then(|| message!["expected ", self.type_name(), ", found text with an expression", hint]);
        };
        let (found, item) = declared.value_kinds(expression.source());
        let fits = match self.kind {
            ParameterType::String | ParameterType::Enum => {
                matches!(found, Kind::Text | Kind::Integer | Kind::Number | Kind::Boolean)
            }
            ParameterType::Quantity => matches!(found, Kind::Text | Kind::Integer | Kind::Number),
            ParameterType::Duration => found == Kind::Text,
            ParameterType::Integer | ParameterType::Port => found == Kind::Integer,
            ParameterType::Number => matches!(found, Kind::Integer | Kind::Number),
            ParameterType::Boolean => found == Kind::Boolean,
            ParameterType::List => found == Kind::List,
            ParameterType::Map => found == Kind::Map,
        };
        let expression = value(quote(expression.source()));
        if !fits && found != Kind::Unknown {
            let advice = match (self.kind, found) {
                (ParameterType::Integer | ParameterType::Port, Kind::Text | Kind::Number) => {
                    "; int(…) makes an integer of it"
                }
                (ParameterType::Number, Kind::Text) => "; double(…) makes a number of it",
                (ParameterType::List, Kind::Text) => "; [ … ] makes a list of it",
                _ => "",
            };
            let (expected, found) = (self.type_name(), found.name());
            return Some(message!["expression ", expression, ": expected ", expected, ", found ", found, advice]);
        }
        if fits && matches!(item, Kind::List | Kind::Map) {
            let (expected, item) = (self.type_name(), item.name());
            return Some(message!["expression ", expression, ": expected ", expected, ", found ", item, " in it"]);
        }
        None
    }

    const fn type_name(&self) -> &'static str {
        match self.kind {
            ParameterType::Integer | ParameterType::Port => "an integer",
            ParameterType::Number => "a number",
            ParameterType::Boolean => "a boolean",
            ParameterType::Quantity => "a quantity",
            ParameterType::String | ParameterType::Duration | ParameterType::Enum => "a string",
            ParameterType::List => "a list of strings",
            ParameterType::Map => "a map of strings",
        }
    }
}

fn shown(found: &Json) -> Message {
    match found {
        Json::String(text) => value(quote(text)),
        Json::Array(_) | Json::Object(_) | Json::Null => json_type(found).into(),
        scalar => value(one_line(&scalar.to_string(), SHOWN_MAX)),
    }
}
