//! The parameters that a template declares, as its expressions see them.

use super::types::Kind;

/// The declared parameters: their names, and the kinds of their values.
#[derive(Debug, Default)]
pub(crate) struct Declarations<'a> {
    names: Vec<&'a str>,
    kinds: Vec<Kind>,
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
            #[cfg(test)]
            untyped: false,
        }
    }

    /// Parameters of unknown kinds; names and kinds of fields are not checked.
    #[cfg(test)]
    pub(crate) fn untyped(names: &[&'a str]) -> Self {
        Self { names: names.to_vec(), kinds: vec![Kind::Unknown; names.len()], untyped: true }
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
