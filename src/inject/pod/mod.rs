//! The pod: a cheap look at its metadata first, the raw JSON tree when something is to be put in.
//!
//! Invariant: the tree is what was sent, but for `metadata.managedFields`, which is most of a large pod and never needed.
//! Typed structs of Kubernetes are never the document: fields newer than this build survive.

use self::find::find;
use self::read_set::Reach;
use super::annotations;
use crate::inject::text::json::{items, text};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

pub mod depth;
pub mod find;
pub mod memory_estimate;
mod projection;
pub mod read_set;
mod structure_check;

/// What is needed to decide about most pods, borrowed from the text.
#[derive(Default)]
pub struct PodHead<'a> {
    /// In the order of the text.
    pub annotations: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub os: Option<Cow<'a, str>>,
    pub node_os: Option<Cow<'a, str>>,
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

#[derive(Deserialize)]
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

/// The API server takes 256 KiB of annotations, which is less than so many different keys have.
const MAX_PAIRS: usize = 100_000;

/// A map of strings as a list: most have few entries, and one is looked for.
struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// A string that borrows where the text has no escape.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

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
                while let Some((Text(key), value)) = map.next_entry::<Text<'de>, Option<Text<'de>>>()? {
                    if pairs.len() == MAX_PAIRS {
                        return Err(de::Error::custom(format!("a map of more than {MAX_PAIRS} members")));
                    }
                    pairs.push((key, value.map_or(Cow::Borrowed(""), |Text(value)| value)));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

impl<'a> PodHead<'a> {
    /// Reads the head without building the rest.
    ///
    /// Only a pod that says so runs on Windows. In any other the annotations are all that is looked for, and they stand before
    /// the larger part of a pod.
    pub fn parse(object: &'a str) -> Result<Self, String> {
        if memchr::memmem::find(object.as_bytes(), b"windows").is_none()
            && let Some(annotations) = find::<Option<Pairs<'a>>>(object, &["metadata", "annotations"])
        {
            let annotations = annotations.map(|pairs| pairs.0).unwrap_or_default();
            return Ok(Self { annotations, ..Self::default() });
        }
        let head: Head<'a> = serde_json::from_str(object).map_err(|error| error.to_string())?;
        let spec = head.spec.unwrap_or(HeadSpec { os: None, node_selector: None });
        let node_os = spec
            .node_selector
            .and_then(|pairs| pairs.0.into_iter().find(|(key, _)| key == annotations::NODE_OS).map(|(_, value)| value));
        Ok(Self {
            annotations: head
                .metadata
                .and_then(|metadata| metadata.annotations)
                .map(|pairs| pairs.0)
                .unwrap_or_default(),
            os: spec.os.and_then(|os| os.name),
            node_os,
        })
    }

    /// The same of a pod that was parsed already.
    pub fn of(pod: &'a PodDocument) -> Self {
        let text = |value: Option<&'a Value>| value.and_then(Value::as_str).map(Cow::Borrowed);
        let annotations = pod.metadata_field("annotations").and_then(Value::as_object).into_iter().flatten();
        Self {
            annotations: annotations
                .map(|(key, value)| (Cow::Borrowed(key.as_str()), Cow::Borrowed(value.as_str().unwrap_or_default())))
                .collect(),
            os: text(pod.spec_field("os").and_then(|os| os.get("name"))),
            node_os: text(pod.spec_field("nodeSelector").and_then(|selector| selector.get(annotations::NODE_OS))),
        }
    }

    /// Value of an annotation; of duplicate keys the last, as the API server reads them.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.iter().rev().find(|(one, _)| one == key).map(|(_, value)| value.as_ref())
    }

    /// Operating system: `spec.os`, else the node selector, else Linux.
    pub fn operating_system(&self) -> OperatingSystem {
        match self.os.as_deref().or(self.node_os.as_deref()) {
            Some("windows") => OperatingSystem::Windows,
            _ => OperatingSystem::Linux,
        }
    }
}

/// Operating system of a pod, by `spec.os.name` or the node selector `kubernetes.io/os`; Linux when it says neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OperatingSystem {
    Linux,
    Windows,
}

impl OperatingSystem {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Windows => "windows",
        }
    }
}

/// Image of a container that overrides a sidecar of the same name.
pub const AUTO: &str = "auto";

/// One of the lists of containers in a pod's spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContainerList {
    Containers,
    InitContainers,
}

impl ContainerList {
    pub const fn field(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::InitContainers => "initContainers",
        }
    }
}

/// The pod as a tree.
#[derive(Clone, Debug)]
pub struct PodDocument {
    tree: Value,
}

impl PodDocument {
    /// Parses the whole object; the error names what is wrong with its shape.
    pub fn parse(object: &str) -> Result<Self, String> {
        memory_estimate::check(object)?;
        let mut deserializer = serde_json::Deserializer::from_str(object);
        let tree = Tree(Level::Object).deserialize(&mut deserializer).map_err(|error| error.to_string())?;
        deserializer.end().map_err(|error| error.to_string())?;
        let pod = Self { tree };
        structure_check::check(&pod.tree)?;
        Ok(pod)
    }

    /// Parses what is in reach of these templates. `None` when that may not be all that they look at, and for whatever is no
    /// ordinary pod: then the whole is needed.
    pub(super) fn parse_part(object: &str, reaches: &[&Reach]) -> Option<Self> {
        // A pod that is refused as a whole is refused, however little of it is wanted.
        memory_estimate::check(object).ok()?;
        let pod = Self { tree: projection::parse(object, reaches)? };
        structure_check::check(&pod.tree).ok()?;
        reaches.iter().all(|reach| reach.suffices(&pod)).then_some(pod)
    }

    pub fn tree(&self) -> &Value {
        &self.tree
    }

    pub fn into_tree(self) -> Value {
        self.tree
    }

    /// A list of containers; empty when absent or null.
    pub fn containers(&self, list: ContainerList) -> &[Value] {
        self.spec_items(list.field())
    }

    pub fn spec_items(&self, field: &str) -> &[Value] {
        self.tree.get("spec").map_or(&[], |spec| items(spec, field))
    }

    pub fn spec_field(&self, field: &str) -> Option<&Value> {
        self.tree.get("spec")?.get(field)
    }

    pub fn metadata_field(&self, field: &str) -> Option<&Value> {
        self.tree.get("metadata")?.get(field)
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata_field("labels")?.get(key)?.as_str()
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata_field("annotations")?.get(key)?.as_str()
    }

    /// Whether a Job owns the pod: with a plain sidecar it would never complete.
    pub fn is_owned_by_job(&self) -> bool {
        self.metadata_field("ownerReferences")
            .and_then(Value::as_array)
            .is_some_and(|owners| owners.iter().any(|owner| text(owner, "kind") == "Job"))
    }
}

/// Deserialises a JSON object into a tree without `metadata.managedFields`.
struct Tree(Level);

#[derive(Clone, Copy)]
enum Level {
    Object,
    Metadata,
}

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Level::Object => "an object",
            Level::Metadata => "an object as metadata",
        })
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            match (self.0, key.as_str()) {
                (Level::Metadata, "managedFields") => {
                    access.next_value::<IgnoredAny>()?;
                }
                (Level::Object, "metadata") => {
                    let metadata = access.next_value_seed(Self(Level::Metadata))?;
                    fields.insert(key, metadata);
                }
                _ => {
                    fields.insert(key, access.next_value()?);
                }
            }
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests;
