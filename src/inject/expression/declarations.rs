//! The names that an expression may use: the parameters of its template, and the variables that exist
//! only in some places.

use super::Expression;
use super::reads::Root;
use super::types::{Kind, Type};
use crate::inject::text::{Message, message};

/// The declared parameters, their names and the kinds of their values; and the variables of a place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declarations<'a> {
    names: Vec<&'a str>,
    kinds: Vec<Kind>,
    /// Whether there is a `container`.
    has_container: bool,
    /// Whether the expressions give defaults of parameters, which read no other parameters.
    is_default: bool,
    /// The type of `each`, where there is one.
    each: Option<Type>,
    /// Tests of the interpreter write what no template may: they have no types.
    #[cfg(test)]
    untyped: bool,
}

impl<'a> Declarations<'a> {
    /// The parameters of a template.
    pub(crate) fn new(parameters: impl Iterator<Item = (&'a str, Kind)>) -> Self {
        let (names, kinds) = parameters.unzip();
        Self {
            names,
            kinds,
            has_container: false,
            is_default: false,
            each: None,
            #[cfg(test)]
            untyped: false,
        }
    }

    /// What the default of a parameter can read.
    pub(crate) fn of_default() -> Self {
        Self { is_default: true, ..Self::default() }
    }

    /// The same names, and `container`.
    pub(crate) fn with_container(&self) -> Self {
        Self { has_container: true, ..self.clone() }
    }

    /// Compiles the expression of a `forEach`, and adds `each`, an element of its list.
    pub(crate) fn for_each(&self, source: &str) -> Result<(Expression, Self), Message> {
        let (expression, found) = Expression::compile_typed(source, self)?;
        let element = match found {
            Type::List(element) => *element,
            Type::Optional(inner) => match *inner {
                Type::List(element) => *element,
                Type::Any => Type::Any,
                other => return Err(no_list(other.kind())),
            },
            Type::Any | Type::Nothing | Type::Null => Type::Any,
            other => return Err(no_list(other.kind())),
        };
        Ok((expression, Self { each: Some(element), ..self.clone() }))
    }

    /// The kind of the value of an expression that compiles, if it gives one, and the kind of the
    /// items if that is a list or a map.
    pub(crate) fn value_kinds(&self, source: &str) -> (Kind, Kind) {
        let found = match Expression::compile_typed(source, self) {
            Ok((_, Type::Optional(inner))) => *inner,
            Ok((_, found)) => found,
            Err(_) => Type::Any,
        };
        match &found {
            Type::List(item) | Type::Map(item) => (found.kind(), item.kind()),
            _ => (found.kind(), Kind::Unknown),
        }
    }

    /// Whether a variable exists where the expression stands; if not, where it does.
    pub(super) fn check_variable(&self, root: Root) -> Result<(), &'static str> {
        match root {
            Root::Params if self.is_default => Err("a default cannot read other parameters"),
            Root::Container if !self.has_container => Err("it exists only in expressions below app"),
            Root::Each if self.each.is_none() => Err("it exists only in an item with forEach"),
            _ => Ok(()),
        }
    }

    /// The type of `each`.
    pub(super) fn each(&self) -> Type {
        self.each.clone().unwrap_or(Type::Any)
    }

    /// Parameters of unknown kinds; names and kinds of fields are not checked.
    #[cfg(test)]
    pub(crate) fn untyped(names: &[&'a str]) -> Self {
        Self { names: names.to_vec(), kinds: vec![Kind::Unknown; names.len()], untyped: true, ..Self::default() }
    }

    pub(super) fn names(&self) -> &[&'a str] {
        &self.names
    }

    /// The kind of a parameter.
    pub(super) fn kind(&self, name: &str) -> Kind {
        self.names.iter().position(|one| *one == name).map_or(Kind::Unknown, |index| self.kinds[index])
    }

    /// Whether names and kinds of fields are checked.
    pub(super) const fn are_typed(&self) -> bool {
        #[cfg(test)]
        return !self.untyped;
        #[cfg(not(test))]
        true
    }
}

fn no_list(found: Kind) -> Message {
    message!["expected a list, found ", found.name()]
}
