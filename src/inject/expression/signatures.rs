//! The types of functions, as far as the type check uses them.

use super::types::Type;

/// What is known of a function.
pub(super) struct Signature {
    /// Whether it is called on a string and nothing else.
    pub takes_text: bool,
    pub result: ResultType,
}

/// The type of a function's result.
#[derive(Clone, Copy)]
pub(super) enum ResultType {
    Any,
    Boolean,
    Integer,
    Number,
    Text,
    Texts,
    Integers,
    /// That of the receiver.
    Receiver,
    /// That of all arguments, if they have one.
    Arguments,
    /// An optional with the argument.
    Optional,
    /// The value of the optional receiver.
    Value,
    /// The value of the optional receiver, or the argument.
    ValueOrArgument,
}

/// The signature of a function; one that is not listed takes and gives anything.
pub(super) fn of(name: &str) -> Signature {
    let (takes_text, result) = match name {
        "startsWith" | "endsWith" | "matches" => (true, ResultType::Boolean),
        "contains"
        | "hasValue"
        | "isQuantity"
        | "isIP"
        | "isCIDR"
        | "isURL"
        | "isSemver"
        | "isSorted"
        | "isGreaterThan"
        | "isLessThan"
        | "isInteger"
        | "sets.contains"
        | "sets.equivalent"
        | "sets.intersects"
        | "@not_strictly_false" => (false, ResultType::Boolean),
        "split" | "findAll" => (true, ResultType::Texts),
        "replace" | "trim" | "lowerAscii" | "upperAscii" | "substring" | "charAt" | "find" | "format" => {
            (true, ResultType::Text)
        }
        "string" | "join" | "mul" | "strings.quote" | "base64.encode" => (false, ResultType::Text),
        "size" | "indexOf" | "lastIndexOf" | "int" => (false, ResultType::Integer),
        "double" => (false, ResultType::Number),
        "lists.range" => (false, ResultType::Integers),
        "distinct" | "sort" | "slice" | "reverse" => (false, ResultType::Receiver),
        "min" | "max" => (false, ResultType::Arguments),
        "optional.of" | "optional.ofNonZeroValue" => (false, ResultType::Optional),
        "value" => (false, ResultType::Value),
        "orValue" => (false, ResultType::ValueOrArgument),
        _ => (false, ResultType::Any),
    };
    Signature { takes_text, result }
}

impl ResultType {
    /// The type of a call's result.
    pub(super) fn of(self, receiver: Option<Type>, arguments: Vec<Type>) -> Type {
        let value = |receiver: Option<Type>| match receiver {
            Some(Type::Optional(inner)) => *inner,
            _ => Type::Any,
        };
        let all = |arguments: Vec<Type>| arguments.into_iter().fold(Type::Nothing, Type::or);
        match self {
            Self::Any => Type::Any,
            Self::Boolean => Type::Boolean,
            Self::Integer => Type::Integer,
            Self::Number => Type::Number,
            Self::Text => Type::Text,
            Self::Texts => Type::list(Type::Text),
            Self::Integers => Type::list(Type::Integer),
            Self::Receiver => receiver.unwrap_or(Type::Any),
            Self::Arguments if receiver.is_none() => match all(arguments) {
                found @ (Type::Text | Type::Integer) => found,
                _ => Type::Any,
            },
            Self::Arguments => Type::Any,
            Self::Optional => Type::Optional(Box::new(all(arguments))),
            Self::Value => value(receiver),
            Self::ValueOrArgument => value(receiver).or(all(arguments)),
        }
    }
}
