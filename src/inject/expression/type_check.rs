//! Infers the type of an expression and reports what can work for no pod: misspelt fields of
//! core/v1, and operators on values of other types than they take.
//!
//! `x["field"]` is not checked, for fields that are newer than this build. Names of variables,
//! parameters and functions are checked in `analysis`.
//!
//! Invariant: the tree is that of the parser, before `rewrite`, since `x.field` and `x["field"]` are
//! the same afterwards.

use super::declarations::Declarations;
use super::reads::Root;
use super::signatures::{self, Signature};
use super::types::Type;
use crate::inject::schema::{self, SchemaRef};
use crate::inject::text::{Message, listed, message, nearest, one_line, quote, value, words};
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

/// Longest part of an expression that a message shows, in characters.
const SHOWN_MAX: usize = 60;
/// Most fields that a message lists.
const LISTED_FIELDS: usize = 12;

/// The type of the expression, and everything that is wrong with its types.
pub(super) fn check(tree: &IdedExpr, parameters: &Declarations<'_>) -> (Type, Vec<Message>) {
    let mut checker = TypeChecker { parameters, local: Vec::new(), errors: Vec::new() };
    let found = checker.infer(tree);
    (found, checker.errors)
}

struct TypeChecker<'a> {
    parameters: &'a Declarations<'a>,
    /// Variables of the enclosing comprehensions, the innermost last.
    local: Vec<(&'a str, Type)>,
    errors: Vec<Message>,
}

impl<'a> TypeChecker<'a> {
    fn infer(&mut self, node: &'a IdedExpr) -> Type {
        match &node.expr {
            Expr::Ident(name) => self.variable(name),
            Expr::Literal(literal) => of_literal(literal),
            Expr::Select(select) => {
                let operand = self.infer(&select.operand);
                let field = self.member(operand, &select.operand, &select.field);
                if select.test { Type::Boolean } else { field }
            }
            Expr::List(list) => {
                let items = list.elements.iter().map(|item| self.infer(item));
                Type::list(items.fold(Type::Nothing, |all, item| all.or(unwrapped(item))))
            }
            Expr::Map(map) => {
                let mut values = Type::Nothing;
                for entry in &map.entries {
                    let EntryExpr::MapEntry(pair) = &entry.expr else { continue };
                    self.infer(&pair.key);
                    values = values.or(unwrapped(self.infer(&pair.value)));
                }
                Type::Map(Box::new(values))
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(_) | Expr::Unspecified => Type::Any,
        }
    }

    fn variable(&self, name: &str) -> Type {
        if let Some((_, found)) = self.local.iter().rev().find(|(local, _)| *local == name) {
            return found.clone();
        }
        match Root::from_name(name) {
            Some(Root::Params) => Type::Parameters,
            Some(Root::Each) => self.parameters.each(),
            Some(root) => schema::variables().child(root.name()).map_or(Type::Any, Type::of_schema),
            None => Type::Any,
        }
    }

    /// `operand.field`
    fn member(&mut self, found: Type, operand: &IdedExpr, field: &str) -> Type {
        match found {
            Type::Any | Type::Nothing => Type::Any,
            Type::Parameters => self.parameters.kind(field).into(),
            Type::Map(item) => *item,
            Type::Optional(inner) => Type::Optional(Box::new(unwrapped(self.member(*inner, operand, field)))),
            Type::Fields(schema) => match schema.child(field) {
                Some(child) => Type::of_schema(child),
                None => {
                    self.errors.push(unknown_field(schema, operand, field));
                    Type::Any
                }
            },
            scalar => {
                let name = scalar.kind().name();
                self.errors.push(message![shown(operand), " is ", name, " and has no field ", value(quote(field))]);
                Type::Any
            }
        }
    }

    /// `operand[index]`
    fn index(&mut self, found: Type, operand: &IdedExpr, index: &'a IdedExpr) -> Type {
        let literal = text_literal(index);
        let position = self.infer(index);
        match found {
            Type::Any | Type::Nothing => Type::Any,
            Type::Parameters => literal.map_or(Type::Any, |name| self.parameters.kind(name).into()),
            Type::Map(item) => *item,
            Type::Fields(schema) => literal.and_then(|field| schema.child(field)).map_or(Type::Any, Type::of_schema),
            Type::Optional(inner) => Type::Optional(Box::new(unwrapped(self.index(*inner, operand, index)))),
            Type::List(item) => {
                if matches!(position, Type::Text | Type::Boolean | Type::List(_) | Type::Map(_) | Type::Fields(_)) {
                    let name = position.kind().name();
                    self.errors.push(message![shown(operand), " is a list; its index is an integer, not ", name]);
                }
                *item
            }
            scalar => {
                let name = scalar.kind().name();
                self.errors.push(message![shown(operand), " is ", name, " and has no elements"]);
                Type::Any
            }
        }
    }

    fn call(&mut self, call: &'a CallExpr) -> Type {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::CONDITIONAL, [condition, then, otherwise]) => {
                self.boolean(condition, "a condition before \"?\"");
                let then = self.infer(then);
                then.or(self.infer(otherwise))
            }
            (name @ (operators::LOGICAL_AND | operators::LOGICAL_OR), [left, right]) => {
                let operator = if name == operators::LOGICAL_AND { "\"&&\"" } else { "\"||\"" };
                self.boolean(left, operator);
                self.boolean(right, operator);
                Type::Boolean
            }
            (operators::LOGICAL_NOT, [operand]) => {
                self.boolean(operand, "\"!\"");
                Type::Boolean
            }
            (operators::INDEX, [operand, index]) => {
                let found = self.infer(operand);
                self.index(found, operand, index)
            }
            (operators::OPT_INDEX, [operand, index]) => {
                let found = self.infer(operand);
                Type::Optional(Box::new(unwrapped(self.index(found, operand, index))))
            }
            (operators::OPT_SELECT, [operand, field]) => {
                let found = self.infer(operand);
                let member = text_literal(field).map_or(Type::Any, |field| self.member(found, operand, field));
                Type::Optional(Box::new(unwrapped(member)))
            }
            (operators::NEGATE, [operand]) => self.infer(operand),
            (name, [left, right]) if call.target.is_none() && symbol(name).is_some() => {
                let (left, right) = (self.infer(left), self.infer(right));
                self.binary(name, left, right)
            }
            _ => self.function(call),
        }
    }

    fn boolean(&mut self, node: &'a IdedExpr, what: &'static str) {
        let found = self.infer(node);
        if !found.may_be_boolean() {
            self.errors.push(message![what, " takes a boolean; ", shown(node), " is ", named(&found)]);
        }
    }

    /// A binary operator. Numbers of other types are the interpreter's to refuse.
    fn binary(&mut self, name: &str, left: Type, right: Type) -> Type {
        let (one, other) = (Category::of(&left), Category::of(&right));
        let is_known = one != Category::Any && other != Category::Any;
        let fits = match name {
            // The interpreter takes a map as an element that is added to a list.
            operators::ADD => {
                !is_known || one == other && one.adds() || (one, other) == (Category::List, Category::Map)
            }
            operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO => {
                one.is_number() && other.is_number()
            }
            operators::EQUALS | operators::NOT_EQUALS => {
                !is_known || one == other || one == Category::Null || other == Category::Null
            }
            operators::IN => match &right {
                Type::List(item) => {
                    let item = Category::of(item);
                    one == Category::Any || item == Category::Any || item == one || one == Category::Null
                }
                Type::Any | Type::Nothing | Type::Map(_) | Type::Fields(_) | Type::Parameters => true,
                _ => false,
            },
            _ => !is_known || one == other && one.is_ordered(),
        };
        if !fits {
            self.errors.push(misfit(name, &left, &right));
        }
        match name {
            operators::ADD => sum(left, right),
            operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO => match (left, right) {
                (Type::Integer, Type::Integer) => Type::Integer,
                (Type::Number, Type::Number) => Type::Number,
                _ => Type::Any,
            },
            _ => Type::Boolean,
        }
    }

    fn function(&mut self, call: &'a CallExpr) -> Type {
        // `math.abs(…)`: the target is a part of the name.
        let prefix = call.target.as_deref().and_then(|target| match &target.expr {
            Expr::Ident(prefix) if self.variable_is_unknown(prefix) => Some(prefix.as_str()),
            _ => None,
        });
        let receiver = call.target.as_deref().filter(|_| prefix.is_none()).map(|target| (target, self.infer(target)));
        let arguments: Vec<Type> = call.args.iter().map(|argument| self.infer(argument)).collect();
        let name = prefix.map_or_else(|| call.func_name.clone(), |prefix| format!("{prefix}.{}", call.func_name));
        let Signature { takes_text, result } = signatures::of(&name);
        if let Some((target, found)) = &receiver
            && takes_text
            && !matches!(Category::of(found), Category::Any | Category::Text)
        {
            let name = value(quote(&call.func_name));
            self.errors.push(message![name, " takes a string; ", shown(target), " is ", named(found)]);
        }
        result.of(receiver.map(|(_, found)| found), arguments)
    }

    fn variable_is_unknown(&self, name: &str) -> bool {
        Root::from_name(name).is_none() && !self.local.iter().any(|(local, _)| *local == name)
    }

    fn comprehension(&mut self, comprehension: &'a ComprehensionExpr) -> Type {
        let range = self.infer(&comprehension.iter_range);
        let item = match range {
            Type::List(item) => *item,
            Type::Map(_) | Type::Fields(_) | Type::Parameters => Type::Text,
            Type::Any | Type::Nothing | Type::Optional(_) => Type::Any,
            scalar => {
                let (range, name) = (shown(&comprehension.iter_range), scalar.kind().name());
                self.errors.push(message![range, " is ", name, "; a loop goes over a list or a map"]);
                Type::Any
            }
        };
        let accumulator = self.infer(&comprehension.accu_init);
        let outer = self.local.len();
        self.local.push((&comprehension.accu_var, accumulator));
        self.local.push((&comprehension.iter_var, item));
        self.infer(&comprehension.loop_cond);
        let step = self.infer(&comprehension.loop_step);
        self.local[outer].1 = step;
        self.local.truncate(outer + 1);
        let result = self.infer(&comprehension.result);
        self.local.truncate(outer);
        result
    }
}

/// What operators tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Category {
    Any,
    Null,
    Boolean,
    Number,
    Text,
    Bytes,
    List,
    Map,
}

impl Category {
    const fn of(found: &Type) -> Self {
        match found {
            Type::Any | Type::Nothing | Type::Optional(_) => Self::Any,
            Type::Null => Self::Null,
            Type::Boolean => Self::Boolean,
            Type::Integer | Type::Number => Self::Number,
            Type::Text => Self::Text,
            Type::Bytes => Self::Bytes,
            Type::List(_) => Self::List,
            Type::Map(_) | Type::Fields(_) | Type::Parameters => Self::Map,
        }
    }

    const fn adds(self) -> bool {
        matches!(self, Self::Number | Self::Text | Self::Bytes | Self::List)
    }

    const fn is_number(self) -> bool {
        matches!(self, Self::Any | Self::Number)
    }

    const fn is_ordered(self) -> bool {
        matches!(self, Self::Number | Self::Text | Self::Bytes | Self::Boolean)
    }
}

/// The type of `left + right`.
fn sum(left: Type, right: Type) -> Type {
    match (left, right) {
        (Type::Any, Type::Text) | (Type::Text, Type::Any) => Type::Text,
        (left, right) => left.or(right),
    }
}

fn misfit(name: &str, left: &Type, right: &Type) -> Message {
    let (one, other) = (named(left), named(right));
    let operator = words(quote(symbol(name).unwrap_or_default()));
    match name {
        operators::IN => message!["\"in\" takes a value and a list or map that may have it, not ", one, " and ", other],
        operators::EQUALS | operators::NOT_EQUALS => {
            message![operator, " compares ", one, " with ", other, ", which are never equal"]
        }
        operators::ADD if matches!((left, right), (Type::Text, _) | (_, Type::Text)) => {
            message![operator, " does not take ", one, " and ", other, "; string(…) makes a string of a number"]
        }
        _ => message![operator, " does not take ", one, " and ", other],
    }
}

fn named(found: &Type) -> &'static str {
    match found {
        Type::Optional(_) => "an optional value",
        Type::Bytes => "a sequence of bytes",
        other => other.kind().name(),
    }
}

/// The operator as it is written.
fn symbol(name: &str) -> Option<&'static str> {
    Some(match name {
        operators::ADD => "+",
        operators::SUBSTRACT => "-",
        operators::MULTIPLY => "*",
        operators::DIVIDE => "/",
        operators::MODULO => "%",
        operators::EQUALS => "==",
        operators::NOT_EQUALS => "!=",
        operators::LESS => "<",
        operators::LESS_EQUALS => "<=",
        operators::GREATER => ">",
        operators::GREATER_EQUALS => ">=",
        operators::IN => "in",
        _ => return None,
    })
}

/// What an optional has if it has a value.
fn unwrapped(found: Type) -> Type {
    match found {
        Type::Optional(inner) => *inner,
        other => other,
    }
}

fn of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Boolean,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Number,
        LiteralValue::Int(_) | LiteralValue::UInt(_) => Type::Integer,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::Text,
    }
}

fn text_literal(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

fn unknown_field(schema: SchemaRef<'_>, operand: &IdedExpr, field: &str) -> Message {
    let path = shown(operand);
    let sentence = message![path.clone(), " has no field ", value(quote(field))];
    if let Some(near) = nearest(field, schema.field_names()) {
        return message![sentence, "; did you mean ", words(quote(near)), "?"];
    }
    let names: Vec<&str> = schema.field_names().collect();
    let sentence = match names.len() {
        1..=LISTED_FIELDS => message![sentence, "; it has ", words(listed(&names))],
        _ => sentence,
    };
    message![sentence, "; a field that is newer than this build is read as ", path, value(format!("[{field:?}]"))]
}

/// The expression as it is written, as far as it is short and simple.
fn shown(node: &IdedExpr) -> Message {
    match written(node) {
        Some(text) => value(one_line(&text, SHOWN_MAX)),
        None => "the value".into(),
    }
}

fn written(node: &IdedExpr) -> Option<String> {
    match &node.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) => Some(format!("{}.{}", written(&select.operand)?, select.field)),
        Expr::Literal(LiteralValue::String(text)) => Some(format!("{:?}", text.inner())),
        Expr::Literal(LiteralValue::Int(number)) => Some(number.inner().to_string()),
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::INDEX, [operand, index]) => Some(format!("{}[{}]", written(operand)?, written(index)?)),
            (operators::OPT_SELECT, [operand, field]) => {
                Some(format!("{}.?{}", written(operand)?, text_literal(field)?))
            }
            _ => None,
        },
        _ => None,
    }
}
