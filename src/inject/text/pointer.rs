//! JSON Pointers (RFC 6901): paths of values in a document, made of field names and positions.
//!
//! Invariant: a pointer is built by adding segments, and each segment is escaped here, so that a
//! field name with a slash is not mistaken for two.

use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// A JSON Pointer as it is written in a patch. The default one points to the whole document.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pointer(String);

impl Pointer {
    /// The pointer with these segments.
    pub(crate) fn of<'s>(segments: impl IntoIterator<Item = &'s str>) -> Self {
        let mut pointer = Self(String::with_capacity(32));
        segments.into_iter().for_each(|segment| pointer.push(segment));
        pointer
    }

    /// Adds a segment: a field name, a position, or `-` for the end of a list.
    pub(crate) fn push(&mut self, segment: &str) {
        self.0.push('/');
        self.0.push_str(&escape(segment));
    }

    /// This pointer and one more segment.
    #[must_use]
    pub(crate) fn child(&self, segment: &str) -> Self {
        let mut text = String::with_capacity(self.0.len() + 1 + segment.len());
        text.push_str(&self.0);
        let mut child = Self(text);
        child.push(segment);
        child
    }

    /// The pointer as it is written in a patch.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments from the root on.
    pub(crate) fn segments(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.0.split('/').skip(1).map(unescape)
    }

    /// The pointer without its last segment, and that segment. `None` for the whole document.
    pub(crate) fn split_last(&self) -> Option<(Self, String)> {
        let (parent, last) = self.0.rsplit_once('/')?;
        Some((Self(parent.to_owned()), unescape(last).into_owned()))
    }

    /// The value at this pointer. `Value::pointer_mut` copies each segment twice to unescape it.
    pub(crate) fn find_mut<'t>(&self, tree: &'t mut Value) -> Option<&'t mut Value> {
        self.segments().try_fold(tree, |value, segment| match value {
            Value::Object(fields) => fields.get_mut(segment.as_ref()),
            Value::Array(items) => items.get_mut(segment.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Escapes a segment: `~` as `~0` and `/` as `~1`.
pub(crate) fn escape(segment: &str) -> Cow<'_, str> {
    if segment.bytes().any(|byte| matches!(byte, b'~' | b'/')) {
        Cow::Owned(segment.replace('~', "~0").replace('/', "~1"))
    } else {
        Cow::Borrowed(segment)
    }
}

/// Reverses [`escape`].
pub(crate) fn unescape(segment: &str) -> Cow<'_, str> {
    if segment.bytes().any(|byte| byte == b'~') {
        Cow::Owned(segment.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NAMES: [&str; 9] = ["", "a", "a/b", "a~b", "~1", "~0", "~01", "/~/~", "a~1b/c~0"];

    #[test]
    fn escaped_segments_are_read_back() {
        for name in NAMES {
            assert_eq!(unescape(&escape(name)), name);
            assert!(!escape(name).contains('/'), "{name}");
        }
        let pointer = Pointer::of(NAMES);
        assert!(pointer.segments().eq(NAMES), "{pointer}");
    }

    #[test]
    fn segments_are_escaped_and_split_off_again() {
        let pointer = Pointer::of(["metadata", "labels"]).child("a/b~c");
        assert_eq!(pointer.as_str(), "/metadata/labels/a~1b~0c");
        assert_eq!(pointer.split_last(), Some((Pointer::of(["metadata", "labels"]), "a/b~c".to_owned())));
        assert_eq!(Pointer::default().split_last(), None);
        assert_eq!(Pointer::of([""]).split_last(), Some((Pointer::default(), String::new())));
    }

    #[test]
    fn a_pointer_finds_what_serde_json_finds() {
        let mut tree = json!({"a/b": [{"": 1}, 2], "~": {"~1": null}, "c": 3});
        for segments in [
            &[] as &[&str],
            &["a/b"],
            &["a/b", "0", ""],
            &["a/b", "1"],
            &["a/b", "2"],
            &["a/b", "-"],
            &["~", "~1"],
            &["c", "d"],
            &["x"],
        ] {
            let pointer = Pointer::of(segments.iter().copied());
            let expected = tree.pointer(pointer.as_str()).cloned();
            assert_eq!(pointer.find_mut(&mut tree).cloned(), expected, "{pointer}");
        }
    }
}
