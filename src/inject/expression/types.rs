//! Types of expressions as far as they are known before there is a pod.
//!
//! Invariant: a type promises no more than what every pod holds to; anything else is
//! [`Type::Any`].

use crate::inject::schema::{SchemaRef, SchemaType};

/// The type of a value.
#[derive(Clone, Debug)]
pub(super) enum Type {
    Any,
    /// That of the elements of an empty list.
    Nothing,
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    Bytes,
    List(Box<Type>),
    /// A map with free keys.
    Map(Box<Type>),
    /// A map with the fields of a schema.
    Fields(SchemaRef<'static>),
    /// The template's parameters.
    Parameters,
    Optional(Box<Type>),
}

/// The kind of an expression's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It depends on the pod.
    Unknown,
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    List,
    Map,
}

impl Kind {
    /// The kind with its article, as messages name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "a value",
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Integer => "an integer",
            Self::Number => "a number with a fraction",
            Self::Text => "a string",
            Self::List => "a list",
            Self::Map => "a map",
        }
    }
}

/// The type of a parameter. Lists and maps of parameters hold texts.
impl From<Kind> for Type {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Unknown => Self::Any,
            Kind::Null => Self::Null,
            Kind::Boolean => Self::Boolean,
            Kind::Integer => Self::Integer,
            Kind::Number => Self::Number,
            Kind::Text => Self::Text,
            Kind::List => Self::list(Self::Text),
            Kind::Map => Self::Map(Box::new(Self::Text)),
        }
    }
}

impl Type {
    pub(super) fn list(item: Self) -> Self {
        Self::List(Box::new(item))
    }

    /// The type of what a schema describes. A quantity may be a number in a pod.
    pub(super) fn of_schema(schema: SchemaRef<'static>) -> Self {
        let item = || schema.item().map_or(Self::Any, Self::of_schema);
        match schema.kind() {
            SchemaType::Object => Self::Fields(schema),
            SchemaType::Map => Self::Map(Box::new(item())),
            SchemaType::Array => Self::list(item()),
            SchemaType::String => Self::Text,
            SchemaType::Integer => Self::Integer,
            SchemaType::Boolean => Self::Boolean,
            SchemaType::Number | SchemaType::IntOrString | SchemaType::Quantity | SchemaType::Any => Self::Any,
        }
    }

    /// The type of a value that has one type or the other.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, one) | (one, Self::Nothing) => one,
            (Self::Boolean, Self::Boolean) => Self::Boolean,
            (Self::Integer, Self::Integer) => Self::Integer,
            (Self::Number, Self::Number) => Self::Number,
            (Self::Text, Self::Text) => Self::Text,
            (Self::Null, Self::Null) => Self::Null,
            (Self::List(one), Self::List(other)) => Self::list(one.or(*other)),
            (Self::Map(one), Self::Map(other)) => Self::Map(Box::new(one.or(*other))),
            (Self::Optional(one), Self::Optional(other)) => Self::Optional(Box::new(one.or(*other))),
            (Self::Fields(one), Self::Fields(other)) if one.is_same(other) => Self::Fields(one),
            _ => Self::Any,
        }
    }

    /// The kind of the value; an optional may have none.
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Any | Self::Nothing | Self::Optional(_) | Self::Bytes => Kind::Unknown,
            Self::Null => Kind::Null,
            Self::Boolean => Kind::Boolean,
            Self::Integer => Kind::Integer,
            Self::Number => Kind::Number,
            Self::Text => Kind::Text,
            Self::List(_) => Kind::List,
            Self::Map(_) | Self::Fields(_) | Self::Parameters => Kind::Map,
        }
    }

    /// Whether the value may be a boolean.
    pub(super) const fn may_be_boolean(&self) -> bool {
        matches!(self, Self::Any | Self::Nothing | Self::Boolean)
    }
}
