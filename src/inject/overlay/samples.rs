//! Which values of an overlay stand in for values that only a pod can give.
//!
//! At load some expressions cannot be evaluated. What is rendered for them is a sample of the right type: whether it is
//! unique, or names something that exists, says nothing.

use crate::inject::text::field_path::FieldPath;
use std::collections::BTreeSet;
use std::ops::Bound;

/// Paths of an overlay, as those of the template, whose values are samples; empty for the overlay of a pod.
#[derive(Clone, Debug, Default)]
pub struct SamplePaths(BTreeSet<String>);

impl SamplePaths {
    pub fn insert(&mut self, path: &FieldPath) {
        self.0.insert(path.to_string());
    }

    /// Whether the value at this path, or anything in it, is a sample.
    pub fn touch(&self, path: &FieldPath) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let path = path.to_string();
        let from = (Bound::Included(path.as_str()), Bound::Unbounded);
        let mut below = self.0.range::<str, _>(from).map_while(|sample| sample.strip_prefix(path.as_str()));
        below.any(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_touches_itself_and_what_it_is_in() {
        let list = FieldPath::root().child("spec").child("volumes");
        let mut samples = SamplePaths::default();
        assert!(!samples.touch(&list));
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
            assert_eq!(samples.touch(&path), expected, "{path}");
        }
    }
}
