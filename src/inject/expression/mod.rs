//! CEL expressions in templates: compiled and checked at load, evaluated per pod under a bound.
//!
//! The language is that of Kubernetes' `matchConditions`. `interpolation` finds `${…}` inside
//! strings, `functions` adds functions, and `convert` converts between JSON and CEL values.
//!
//! Invariant: a compiled [`Expression`] reads only declared names, calls only known functions,
//! nests comprehensions at most [`MAX_COMPREHENSIONS`] deep, and can be evaluated on any thread's
//! stack.

#[cfg(feature = "runtime")]
pub(crate) mod condition;
pub(crate) mod convert;
pub(crate) mod functions;
pub(crate) mod interpolation;
pub(crate) mod scope;

mod analysis;
mod declarations;
mod fault;
pub(crate) mod limits;
mod overrides;
mod reads;
mod rewrite;
mod shell;
mod signatures;
mod signs;
mod type_check;
mod types;

use crate::inject::text::{Message, message, one_line, quote, value, words};
use cel::common::ast::IdedExpr;
use cel::parser::Parser;
use cel::{ExecutionError, Value};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) use declarations::Declarations;
pub(crate) use reads::{Reads, Root};
pub(crate) use scope::Scope;
pub(crate) use types::Kind;
use types::Type;

/// Longest source of one expression, in bytes. Long flat chains are parsed recursively, so this
/// bounds the parser's stack.
pub(crate) const MAX_SOURCE_BYTES: usize = 1024;
/// Deepest nesting of comprehensions (`map`, `filter`, `all`, `exists` …): each level multiplies
/// the work.
pub(crate) const MAX_COMPREHENSIONS: usize = 2;
/// Deepest tree of one expression: evaluation recurses once per level, on the caller's
/// stack.
const MAX_DEPTH: usize = 64;
/// Stack of the thread that parses: generous against the parser's own recursion, which debug builds
/// make deeper.
const COMPILE_STACK_BYTES: usize = 64 << 20;

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Expression {
    source: String,
    reads: Reads,
    kind: Kind,
    program: Program,
}

#[derive(Debug)]
enum Program {
    /// Exactly `params.name`, the most common expression, which needs no evaluation.
    Parameter(String),
    Tree(IdedExpr),
}

/// Why an expression gave no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EvaluationError {
    /// The pod, its app container or its namespace lacks a key.
    MissingKey { owner: &'static str, key: String },
    /// Anything else, in one line.
    Failed(Message),
}

impl Expression {
    /// Parses and checks `source` against the declared names.
    pub(crate) fn compile(source: &str, parameters: &Declarations<'_>) -> Result<Self, Message> {
        Self::compile_typed(source, parameters).map(|(expression, _)| expression)
    }

    /// The compiled expression, and the type of its value.
    fn compile_typed(source: &str, parameters: &Declarations<'_>) -> Result<(Self, Type), Message> {
        if source.len() > MAX_SOURCE_BYTES {
            let bytes = source.len();
            return Err(message!["the expression has ", bytes, " bytes; at most ", MAX_SOURCE_BYTES, " are allowed"]);
        }
        if source.trim().is_empty() {
            return Err("the expression is empty".into());
        }
        let (reads, found, program) = match plain_parameter(source).filter(|name| parameters.names().contains(name)) {
            Some(name) => (Reads::parameter(name), parameters.kind(name).into(), Program::Parameter(name.to_owned())),
            None => {
                let Parsed { tree, found, errors } = parse(source, parameters)?;
                let reads = analysis::reads(&tree, parameters)?;
                if !errors.is_empty() {
                    return Err(Message::join(errors, "; "));
                }
                let only = analysis::only_parameter(&tree);
                (reads, found, only.map_or_else(|| Program::Tree(tree), Program::Parameter))
            }
        };
        Ok((Self { source: source.to_owned(), reads, kind: found.kind(), program }, found))
    }

    /// The text between `${` and `}`.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The kind of its value, as far as it is the same for all pods.
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// What the expression reads of its variables.
    pub(crate) fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Evaluates in a scope that contains at least the paths of [`Self::reads`]. An empty optional is
    /// null.
    pub(crate) fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        match &self.program {
            Program::Parameter(name) => scope.parameter(name).cloned().ok_or_else(|| self.missing(name)),
            Program::Tree(tree) => limits::guarded(scope.clock(), || Value::resolve(tree, scope.context()))
                .map(convert::without_optional)
                .map_err(|error| self.explain(&error)),
        }
    }

    fn missing(&self, key: &str) -> EvaluationError {
        match self.reads.owner() {
            Some(owner) => EvaluationError::MissingKey { owner, key: key.to_owned() },
            None => EvaluationError::Failed(message!["no such key ", value(format!("{key:?}"))]),
        }
    }

    fn explain(&self, error: &ExecutionError) -> EvaluationError {
        EvaluationError::Failed(match error {
            ExecutionError::NoSuchKey(key) => return self.missing(key),
            ExecutionError::DivisionByZero(_) => "division by zero".into(),
            ExecutionError::RemainderByZero(_) => "remainder by zero".into(),
            ExecutionError::Overflow(..) => "the number does not fit in 64 bits".into(),
            ExecutionError::IndexOutOfBounds(_) => "index out of bounds".into(),
            ExecutionError::NoSuchOverload
            | ExecutionError::UnsupportedBinaryOperator(..)
            | ExecutionError::UnsupportedUnaryOperator(..)
            | ExecutionError::ValuesNotComparable(..) => {
                "an operator or function does not take values of these types".into()
            }
            ExecutionError::UndeclaredReference(name) => message!["unknown name ", value(format!("{name:?}"))],
            ExecutionError::InvalidArgumentCount { .. } | ExecutionError::MissingArgumentOrTarget => {
                "a function is called with the wrong number of arguments".into()
            }
            ExecutionError::FunctionError { function, message } => fault::sentence(function, message),
            // The remaining errors print whole values of the pod; their kind is enough.
            _ => "a value has a type that the expression does not expect".into(),
        })
    }
}

/// The name if the source is exactly `params.name`, which needs no parser. Names that may be
/// reserved words of CEL are left to the parser.
fn plain_parameter(source: &str) -> Option<&str> {
    let name = source.trim().strip_prefix(Root::Params.name())?.strip_prefix('.')?;
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    (is_word && starts && !RESERVED.contains(&name)).then_some(name)
}

/// <https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax>
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

thread_local! {
    /// Whether this thread's stack is large enough to parse on.
    static HAS_LARGE_STACK: Cell<bool> = const { Cell::new(false) };
    /// The trees of texts that this thread has parsed: the templates of one load share many. They
    /// are freed when the thread ends.
    static PARSED: RefCell<HashMap<String, IdedExpr>> = RefCell::default();
}

/// Most texts whose trees are kept: a bound for their memory.
const MAX_PARSED: usize = 256;

/// Runs `work` on a thread with a large stack, so that the expressions compiled in it need none of
/// their own: a thread is by far the most costly part of an expression, in time and, with the
/// allocator's pages that belong to it, in memory.
pub(crate) fn with_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Message> {
    if HAS_LARGE_STACK.get() {
        return Ok(work());
    }
    let on_thread = || {
        HAS_LARGE_STACK.set(true);
        work()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(COMPILE_STACK_BYTES).spawn_scoped(scope, on_thread);
        let thread = thread.map_err(|error| message!["no thread to parse expressions on: ", words(error)])?;
        thread.join().map_err(|_| "the parser failed".into())
    })
}

/// A parsed expression.
struct Parsed {
    tree: IdedExpr,
    found: Type,
    /// What is wrong with its types.
    errors: Vec<Message>,
}

/// Parses on a large stack and gives back only trees that are safe to walk on a small one.
fn parse(source: &str, parameters: &Declarations<'_>) -> Result<Parsed, Message> {
    // A panic of the parser fails only this expression.
    let parse = || catch_unwind(AssertUnwindSafe(|| parse_here(source, parameters)));
    with_large_stack(parse)?.unwrap_or_else(|_| Err("the expression cannot be parsed".into()))
}

fn parse_here(source: &str, parameters: &Declarations<'_>) -> Result<Parsed, Message> {
    let mut tree = parse_once(source)?;
    let (found, errors) = match parameters.are_typed() {
        true => type_check::check(&tree, parameters),
        false => (Type::Any, Vec::new()),
    };
    rewrite::rewrite(&mut tree);
    let depth = analysis::depth(&tree);
    if depth > MAX_DEPTH {
        return Err(message!["the expression is nested ", depth, " levels deep; at most ", MAX_DEPTH, " are allowed"]);
    }
    let nested = analysis::comprehension_depth(&tree);
    if nested > MAX_COMPREHENSIONS {
        return Err(message![
            "comprehensions are nested ",
            nested,
            " deep; at most ",
            MAX_COMPREHENSIONS,
            " are allowed"
        ]);
    }
    Ok(Parsed { tree, found, errors })
}

/// Parses a text that this thread has not parsed before.
fn parse_once(source: &str) -> Result<IdedExpr, Message> {
    if let Some(tree) = PARSED.with_borrow(|parsed| parsed.get(source).cloned()) {
        return Ok(tree);
    }
    let parsed = Parser::new().enable_optional_syntax(true).parse(&signs::without_pairs(source));
    let tree = parsed.map_err(|errors| describe(source, &errors))?;
    PARSED.with_borrow_mut(|parsed| {
        if parsed.len() < MAX_PARSED {
            parsed.insert(source.to_owned(), tree.clone());
        }
    });
    Ok(tree)
}

fn describe(source: &str, errors: &cel::ParseErrors) -> Message {
    let first = errors.errors.first().map_or("syntax error", |error| error.msg.as_str());
    let detail = one_line(&in_words(first), fault::MAX_MESSAGE);
    message![value(quote(source)), " is not a CEL expression: ", value(detail)]
}

/// The parser's message without its list of expected tokens, which is long and helps nobody.
fn in_words(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let after = |start: &str| message.strip_prefix(start);
    let unexpected = ["mismatched input ", "extraneous input "].iter().find_map(|start| after(start));
    let unexpected = unexpected.and_then(|rest| rest.rsplit_once(" expecting ")).map(|(found, _)| found);
    let sentence = if let Some(found) = unexpected.or_else(|| after("no viable alternative at input ")) {
        format!("unexpected {found}")
    } else if let Some((absent, place)) = after("missing ").and_then(|rest| rest.rsplit_once(" at ")) {
        format!("{absent} is missing before {}", place.replace("'<EOF>'", "the end"))
    } else if let Some(rest) = after("token recognition error at: ") {
        // The text from the first character that begins nothing, in single quotes.
        let text = rest.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(rest);
        match text.starts_with(['\'', '"']) {
            true => format!("a string that is not closed or has a wrong escape: {text}"),
            false => format!("unexpected {rest}"),
        }
    } else {
        message.to_owned()
    };
    sentence.replace("'<EOF>'", "end")
}

#[cfg(test)]
mod tests;
