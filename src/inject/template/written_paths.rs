//! Where rendered items stand in the template.
//!
//! A rendered list leaves out items and repeats others, so the positions of its items differ from
//! those in the template, which errors name.

use crate::inject::text::{FieldError, FieldPath, PathSegment};
use std::collections::BTreeMap;

/// By the path of a rendered list: the written position of each item.
#[derive(Clone, Debug, Default)]
pub(super) struct WrittenPaths(BTreeMap<String, Vec<usize>>);

impl WrittenPaths {
    /// Records the written positions of the items of the list that is rendered at `path`.
    pub(super) fn insert(&mut self, path: &FieldPath, written: Vec<usize>) {
        self.0.insert(path.to_string(), written);
    }

    /// The errors with the paths of the template.
    pub(super) fn correct(&self, errors: Vec<FieldError>) -> Vec<FieldError> {
        if self.0.is_empty() {
            return errors;
        }
        errors.into_iter().map(|error| FieldError { path: self.written(&error.path), ..error }).collect()
    }

    fn written(&self, path: &FieldPath) -> FieldPath {
        let start = (FieldPath::root(), FieldPath::root());
        let (_, written) = path.steps().into_iter().fold(start, |(rendered, written), step| match step {
            PathSegment::Index(index) => {
                let list = self.0.get(&rendered.to_string());
                let position = list.and_then(|list| list.get(*index)).unwrap_or(index);
                (rendered.index(*index), written.index(*position))
            }
            PathSegment::Child(_) | PathSegment::Key(_) => (rendered.step(step.clone()), written.step(step.clone())),
        });
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_the_template() {
        let spec = FieldPath::root().child("spec");
        let sidecars = spec.child("sidecars");
        let mut paths = WrittenPaths::default();
        assert_eq!(paths.written(&sidecars.index(3)).to_string(), "spec.sidecars[3]");
        paths.insert(&sidecars, vec![0, 2, 2]);
        paths.insert(&sidecars.index(2).child("env"), vec![4]);
        for (rendered, expected) in [
            (sidecars.index(0), "spec.sidecars[0]"),
            (sidecars.index(1).child("env").index(0), "spec.sidecars[2].env[0]"),
            (sidecars.index(2).child("env").index(0).child("name"), "spec.sidecars[2].env[4].name"),
            (spec.child("volumes").index(1), "spec.volumes[1]"),
        ] {
            assert_eq!(paths.written(&rendered).to_string(), expected);
        }
    }
}
