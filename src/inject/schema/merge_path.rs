//! Paths through a pod by merge keys: the container `web`, its variable `MODE`, the label `app`.
//!
//! A position in a list changes when something is inserted before it, a merge key does not. So the
//! status annotation and messages name places by merge keys, and a patch, which is applied at once,
//! by a [`Pointer`].
//! Invariant: a path is read back from its status key as it was, whatever names its segments are.

use super::merge_keys;
use crate::inject::text::one_line;
use crate::inject::text::pointer::{Pointer, escape, unescape};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// Longest segment that a message shows, in characters.
const LONGEST: usize = 80;

/// Fields of a list or map, each followed by the key of one entry, then fields of that entry.
///
/// The first segment is `labels`, `annotations`, `spec`, `metadata`, or else a field of the pod's
/// spec. The status has a path as its key, `containers/web/env/MODE`, and any text is one;
/// [`fmt::Display`] is for people: `containers[web].env[MODE]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct MergePath(String);

impl MergePath {
    /// The path with these segments, of which there is at least one.
    pub(crate) fn of<S: AsRef<str>>(segments: impl IntoIterator<Item = S>) -> Self {
        let mut path = String::with_capacity(32);
        for (position, segment) in segments.into_iter().enumerate() {
            if position > 0 {
                path.push('/');
            }
            path.push_str(&escape(segment.as_ref()));
        }
        Self(path)
    }

    /// This path and one more segment: a field's name, or the merge key of an item.
    #[must_use]
    pub(crate) fn child(&self, segment: &str) -> Self {
        let mut path = String::with_capacity(self.0.len() + 1 + segment.len());
        path.push_str(&self.0);
        path.push('/');
        path.push_str(&escape(segment));
        Self(path)
    }

    /// As the status annotation has it: the segments, escaped as those of a JSON Pointer, with
    /// slashes between them.
    pub(crate) fn to_status_key(&self) -> &str {
        &self.0
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.0.split('/').map(unescape)
    }

    /// Where the path leads in this pod. Fields on the way may be absent; `None` where an item of a
    /// list is.
    pub(crate) fn to_pointer(&self, pod: &Value) -> Option<Pointer> {
        let (mut pointer, mut value) = self.start(pod);
        let mut list = Cow::Borrowed("");
        let mut segments = self.segments().peekable();
        while let Some(segment) = segments.next() {
            match value {
                Some(Value::Array(items)) => {
                    let key = merge_keys::of(&list)?;
                    let is_it = |item: &Value| key.value(item) == segment;
                    // Of two items with one key the last counts, but a template's is the first.
                    let index = match segments.peek() {
                        Some(_) => items.iter().rposition(is_it)?,
                        None => items.iter().position(is_it)?,
                    };
                    pointer.push(&index.to_string());
                    (value, list) = (items.get(index), Cow::Borrowed(""));
                }
                Some(Value::Object(fields)) => {
                    pointer.push(&segment);
                    (value, list) = (fields.get(segment.as_ref()), segment);
                }
                None if merge_keys::of(&list).is_none() => {
                    pointer.push(&segment);
                    list = segment;
                }
                _ => return None,
            }
        }
        Some(pointer)
    }

    /// The object that the first segment is a field of.
    fn start<'p>(&self, pod: &'p Value) -> (Pointer, Option<&'p Value>) {
        match self.segments().next().as_deref() {
            Some("spec" | "metadata") => (Pointer::default(), Some(pod)),
            Some("labels" | "annotations") => (Pointer::of(["metadata"]), pod.get("metadata")),
            _ => (Pointer::of(["spec"]), pod.get("spec")),
        }
    }
}

impl fmt::Display for MergePath {
    /// Names in a pod are whatever its author wrote, so each is shown on one line and cut.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut is_key = false;
        for (position, segment) in self.segments().enumerate() {
            let text = one_line(&segment, LONGEST);
            match (is_key, position) {
                (true, _) => write!(f, "[{text}]")?,
                (false, 0) => f.write_str(&text)?,
                (false, _) => write!(f, ".{text}")?,
            }
            let has_free_keys = matches!(segment.as_ref(), "labels" | "annotations" | "nodeSelector");
            is_key = !is_key && (has_free_keys || merge_keys::of(&segment).is_some());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TABLE: [(&[&str], &str, &str); 12] = [
        (&["containers", "web", "image"], "containers/web/image", "containers[web].image"),
        (&["containers", "web", "env", "A"], "containers/web/env/A", "containers[web].env[A]"),
        (
            &["initContainers", "a", "volumeMounts", "/logs"],
            "initContainers/a/volumeMounts/~1logs",
            "initContainers[a].volumeMounts[/logs]",
        ),
        (&["containers", "", "ports", "53/UDP"], "containers//ports/53~1UDP", "containers[].ports[53/UDP]"),
        (&["containers", "a/b~c", "env", ""], "containers/a~1b~0c/env/", "containers[a/b~c].env[]"),
        (&["labels", "x"], "labels/x", "labels[x]"),
        (&["annotations", "a.b/c~1"], "annotations/a.b~1c~01", "annotations[a.b/c~1]"),
        (&["spec", "priorityClassName"], "spec/priorityClassName", "spec.priorityClassName"),
        (&["spec", "nodeSelector", "env"], "spec/nodeSelector/env", "spec.nodeSelector[env]"),
        (&["spec", "dnsConfig", "options", "ndots"], "spec/dnsConfig/options/ndots", "spec.dnsConfig.options[ndots]"),
        (&["containers", "env", "env", "env"], "containers/env/env/env", "containers[env].env[env]"),
        (&["labels", "a\nb"], "labels/a\nb", "labels[a\\nb]"),
    ];

    #[test]
    fn a_path_is_read_back_from_its_status_key() {
        for (segments, key, shown) in TABLE {
            let path = MergePath::of(segments);
            assert_eq!((path.to_status_key(), path.to_string().as_str()), (key, shown));
            assert!(path.segments().eq(segments.iter().copied()), "{key}");
            let (first, rest) = segments.split_first().expect("a segment");
            assert_eq!(rest.iter().fold(MergePath::of([first]), |path, segment| path.child(segment)), path);
            assert_eq!(serde_json::to_value(&path).expect("JSON"), json!(key));
            assert_eq!(serde_json::from_value::<MergePath>(json!(key)).expect("a path"), path);
        }
    }

    #[test]
    fn a_long_name_is_cut_in_messages_alone() {
        let name = "x".repeat(LONGEST + 1);
        let path = MergePath::of(["containers", &name]);
        assert_eq!(path.to_string(), format!("containers[{}…]", &name[2..]));
        assert_eq!(path.to_status_key(), format!("containers/{name}"));
    }

    #[test]
    fn a_path_leads_to_the_item_with_its_key() {
        let pod = json!({
            "metadata": {"labels": {"a/b": "c"}},
            "spec": {
                "containers": [
                    {"name": "", "ports": [{"containerPort": 53, "protocol": "UDP"}]},
                    {"name": "a/b~c", "volumeMounts": [{"mountPath": "/x"}, {"mountPath": "/logs/"}], "args": ["run"]},
                ],
                "dnsConfig": {"options": null},
                "hostNetwork": true,
            },
        });
        for (segments, expected) in [
            (&["labels"] as &[&str], Some("/metadata/labels")),
            (&["labels", "a/b"], Some("/metadata/labels/a~1b")),
            (&["metadata"], Some("/metadata")),
            (&["annotations", "new"], Some("/metadata/annotations/new")),
            (&["spec", "affinity", "nodeAffinity"], Some("/spec/affinity/nodeAffinity")),
            (&["containers", "", "ports", "53/UDP"], Some("/spec/containers/0/ports/0")),
            (&["containers", "a/b~c", "volumeMounts", "/logs"], Some("/spec/containers/1/volumeMounts/1")),
            (&["containers", "a/b~c", "env"], Some("/spec/containers/1/env")),
            (&["containers", "a/b~c", "env", "A"], None),
            (&["containers", "a/b~c", "args", "run"], None),
            (&["containers", "other"], None),
            (&["initContainers", "other", "image"], None),
            (&["spec", "hostNetwork", "deeper"], None),
            (&["spec", "dnsConfig", "options"], Some("/spec/dnsConfig/options")),
            (&["spec", "dnsConfig", "options", "ndots"], None),
        ] {
            let pointer = MergePath::of(segments).to_pointer(&pod);
            assert_eq!(pointer.as_ref().map(Pointer::as_str), expected, "{segments:?}");
        }
        assert_eq!(MergePath::of(["spec", "x"]).to_pointer(&json!([])), None);
    }
}
