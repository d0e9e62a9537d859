//! The head of a pod: the annotations and the operating system, read without parsing the rest.

use super::find::find;
use super::json_string::JsonString;
use super::{OperatingSystem, PodDocument, PodError};
use crate::inject::annotations::NODE_OS;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// The part of a pod that the decision needs, borrowed from the text.
pub(crate) struct PodHead<'a> {
    annotations: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    operating_system: OperatingSystem,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    metadata: Option<HeadMetadata<'a>>,
    #[serde(borrow, default)]
    spec: Option<HeadSpec<'a>>,
}

#[derive(Deserialize)]
struct HeadMetadata<'a> {
    #[serde(borrow, default)]
    annotations: Option<Pairs<'a>>,
}

#[derive(Default, Deserialize)]
struct HeadSpec<'a> {
    #[serde(borrow, default)]
    os: Option<HeadOs<'a>>,
    #[serde(borrow, default, rename = "nodeSelector")]
    node_selector: Option<Pairs<'a>>,
}

#[derive(Deserialize)]
struct HeadOs<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
}

/// So many different keys are longer than the 256 KiB of annotations that the API server accepts.
const MAX_PAIRS: usize = 100_000;

/// A map of strings as a list: most maps have few entries.
struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(8));
                while let Some((JsonString(key), value)) =
                    map.next_entry::<JsonString<'de>, Option<JsonString<'de>>>()?
                {
                    if pairs.len() == MAX_PAIRS {
                        return Err(de::Error::custom(format!("a map of more than {MAX_PAIRS} members")));
                    }
                    pairs.push((key, value.map_or(Cow::Borrowed(""), |JsonString(value)| value)));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

impl<'a> PodHead<'a> {
    pub(super) const fn new(annotations: Vec<(Cow<'a, str>, Cow<'a, str>)>, operating_system: OperatingSystem) -> Self {
        Self { annotations, operating_system }
    }

    /// Reads the head without parsing the rest.
    ///
    /// A text without the word `windows` describes a Linux pod. Then only the annotations are read,
    /// which come before the largest part of a pod.
    pub(super) fn read(text: &'a str) -> Result<Self, PodError> {
        if memchr::memmem::find(text.as_bytes(), b"windows").is_none()
            && let Some(annotations) = find::<Option<Pairs<'a>>>(text, &["metadata", "annotations"])
        {
            let annotations = annotations.map(|pairs| pairs.0).unwrap_or_default();
            return Ok(Self { annotations, operating_system: OperatingSystem::Linux });
        }
        let head: Head<'a> = serde_json::from_str(text)?;
        let spec = head.spec.unwrap_or_default();
        let node_os = spec.node_selector.iter().flat_map(|pairs| &pairs.0).find(|(key, _)| key == NODE_OS);
        let os = spec.os.as_ref().and_then(|os| os.name.as_deref());
        let annotations = head.metadata.and_then(|metadata| metadata.annotations);
        Ok(Self {
            operating_system: OperatingSystem::of(os, node_os.map(|(_, value)| &**value)),
            annotations: annotations.map(|pairs| pairs.0).unwrap_or_default(),
        })
    }

    /// The head of a pod that is already parsed.
    pub(super) fn of(pod: &PodDocument) -> PodHead<'static> {
        let owned = |text: &str| Cow::Owned(text.to_owned());
        PodHead {
            annotations: pod.annotations().map(|(key, value)| (owned(key), owned(value))).collect(),
            operating_system: pod.operating_system(),
        }
    }

    /// Keys of the labels, read from the text.
    pub(super) fn label_keys(text: &'a str) -> Vec<String> {
        let labels: Option<Option<Pairs<'a>>> = find(text, &["metadata", "labels"]);
        labels.flatten().map(|pairs| pairs.0).unwrap_or_default().into_iter().map(|(key, _)| key.into_owned()).collect()
    }

    /// Value of an annotation; of duplicate keys the last, as the API server reads them.
    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.iter().rev().find(|(one, _)| one == key).map(|(_, value)| value.as_ref())
    }

    /// All annotations in the order of the text. Of duplicate keys the last counts.
    pub(super) fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.annotations.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    /// Keys of all annotations.
    pub(crate) fn annotation_keys(&self) -> impl Iterator<Item = &str> {
        self.annotations().map(|(key, _)| key)
    }

    pub(crate) fn operating_system(&self) -> OperatingSystem {
        self.operating_system
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_borrow_from_the_text_where_it_has_no_escapes() {
        let text = r#"{"metadata":{"annotations":{"plain":"value","esc\u0061ped":"a\nb"}}}"#;
        let head = PodHead::read(text).expect("a head");
        assert_eq!(head.annotation("plain"), Some("value"));
        assert_eq!(head.annotation("escaped"), Some("a\nb"));
        assert_eq!(head.annotation("other"), None);
        let borrowed: Vec<bool> = head.annotations.iter().map(|(key, _)| matches!(key, Cow::Borrowed(_))).collect();
        assert_eq!(borrowed, [true, false]);
    }
}
