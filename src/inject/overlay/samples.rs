//! Paths of sample values: placeholders for values that are unknown until there is a pod.
//!
//! Some expressions cannot be evaluated at load and render to a sample of the right type. Checks
//! for duplicates and missing names skip samples, because the pod's value will differ.

use crate::inject::text::FieldPath;
use std::collections::BTreeSet;
use std::ops::Bound;

/// The template paths whose values are samples, and those of items that some pods do not get; empty if
/// the overlay was rendered for a pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct SamplePaths {
    paths: BTreeSet<String>,
    conditional: BTreeSet<String>,
}

impl SamplePaths {
    pub(crate) fn insert(&mut self, path: &FieldPath) {
        self.paths.insert(path.to_string());
    }

    /// Records an item that some pods do not get.
    pub(crate) fn insert_conditional(&mut self, path: &FieldPath) {
        self.conditional.insert(path.to_string());
    }

    /// Whether some pods do not get the item at this path.
    pub(crate) fn has_conditional(&self, path: &FieldPath) -> bool {
        !self.conditional.is_empty() && self.conditional.contains(&path.to_string())
    }

    /// Whether the path is in an item that some pods do not get.
    pub(crate) fn is_in_conditional(&self, path: &FieldPath) -> bool {
        let prefixes = path.steps().into_iter().scan(FieldPath::root(), |prefix, step| {
            *prefix = prefix.step(step.clone());
            Some(prefix.clone())
        });
        !self.conditional.is_empty() && prefixes.into_iter().any(|prefix| self.has_conditional(&prefix))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether the value at this path is a sample.
    pub(crate) fn has(&self, path: &FieldPath) -> bool {
        !self.is_empty() && self.paths.contains(&path.to_string())
    }

    /// Whether the value at this path is a sample or contains one.
    pub(crate) fn contain(&self, path: &FieldPath) -> bool {
        if self.paths.is_empty() {
            return false;
        }
        let path = path.to_string();
        let from = (Bound::Included(path.as_str()), Bound::Unbounded);
        let mut below = self.paths.range::<str, _>(from).map_while(|sample| sample.strip_prefix(path.as_str()));
        below.any(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_sample_at_or_below_it() {
        let list = FieldPath::root().child("spec").child("volumes");
        let mut samples = SamplePaths::default();
        assert!(!samples.contain(&list));
        samples.insert(&list.index(10).child("name"));
        for (path, expected) in [
            (list.clone(), true),
            (list.index(10), true),
            (list.index(1), false),
            (list.index(10).child("name"), true),
            (list.index(10).child("name").child("x"), false),
            (list.index(10).child("na"), false),
            (list.index(10).child("emptyDir"), false),
        ] {
            assert_eq!(samples.contain(&path), expected, "{path}");
        }
        assert!(samples.has(&list.index(10).child("name")) && !samples.has(&list.index(10)));
    }
}
