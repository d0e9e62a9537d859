//! What a call to the API server gave: an object, none, or nothing that is known.

/// The result of reading something.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::cli) enum Lookup<T> {
    Found(T),
    Absent,
    #[default]
    Unknown,
}

impl<T> Lookup<T> {
    pub(in crate::cli) const fn found(&self) -> Option<&T> {
        match self {
            Self::Found(found) => Some(found),
            Self::Absent | Self::Unknown => None,
        }
    }

    pub(in crate::cli) fn map<U>(self, f: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Self::Found(found) => Lookup::Found(f(found)),
            Self::Absent => Lookup::Absent,
            Self::Unknown => Lookup::Unknown,
        }
    }

    pub(in crate::cli) const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Failure {
    /// The caller lacks a permission, such as `list pods in the whole cluster`.
    Forbidden {
        right: String,
    },
    Other {
        what: String,
        problem: String,
    },
}
