//! Reads of a pod's text what some templates can look at.
//!
//! Invariant: what is read is as in the whole tree, in its place; anything that is not as expected is an error, after which
//! the whole tree has to be made, so that messages have one source.

use crate::inject::pod::read_set::Reach;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// The part of the object that is in reach of these templates; `None` when it is no ordinary pod.
pub(super) fn parse(object: &str, reaches: &[&Reach]) -> Option<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(object);
    let tree = Part { reaches, level: Level::Object }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(tree)
}

/// One value, and what of it is read.
#[derive(Clone, Copy)]
struct Part<'r> {
    reaches: &'r [&'r Reach],
    level: Level,
}

#[derive(Clone, Copy)]
enum Level {
    Object,
    Metadata,
    Spec,
    Containers,
    Container,
    Volumes,
    /// Its name, and whether it is a projection.
    Volume,
    Whole,
    /// A list of objects out of reach: that it is one is all that is looked at.
    Objects,
    /// The same of objects with names.
    NamedObjects,
    Nothing,
    /// An object with a name; nothing of it is kept.
    Named,
    Unnamed,
}

impl Part<'_> {
    /// What is read of a member.
    fn of_member(&self, key: &str) -> Level {
        let in_spec = || self.reaches.iter().any(|reach| reach.has_spec_field(key));
        let in_container = || self.reaches.iter().any(|reach| reach.has_container_field(key));
        match (self.level, key) {
            (Level::Object, "metadata") => Level::Metadata,
            (Level::Object, "spec") => Level::Spec,
            (Level::Metadata, "managedFields") => Level::Nothing,
            (Level::Metadata, _) => Level::Whole,
            (Level::Spec, "containers" | "initContainers" | "ephemeralContainers") => Level::Containers,
            (Level::Spec, "volumes") => Level::Volumes,
            (Level::Spec, _) if in_spec() => Level::Whole,
            (Level::Container, _) if in_container() => Level::Whole,
            (Level::Container, "env") => Level::NamedObjects,
            (Level::Container, "envFrom" | "volumeMounts" | "volumeDevices") => Level::Objects,
            (Level::Volume, "name") => Level::Whole,
            // That it is one is how the service account's token is told from what only has its name.
            (Level::Volume, "projected") => Level::Unnamed,
            _ => Level::Nothing,
        }
    }

    /// What is read of an element.
    const fn of_element(&self) -> Option<Level> {
        match self.level {
            Level::Containers => Some(Level::Container),
            Level::Volumes => Some(Level::Volume),
            Level::NamedObjects => Some(Level::Named),
            Level::Objects => Some(Level::Unnamed),
            _ => None,
        }
    }

    const fn is_object(&self) -> bool {
        matches!(
            self.level,
            Level::Object
                | Level::Metadata
                | Level::Spec
                | Level::Container
                | Level::Volume
                | Level::Named
                | Level::Unnamed
        )
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.level {
            Level::Whole => de::Deserialize::deserialize(deserializer),
            Level::Nothing => {
                let _: IgnoredAny = de::Deserialize::deserialize(deserializer)?;
                Ok(Value::Null)
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pod")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let Some(level) = self.of_element() else { return Err(de::Error::custom("a list")) };
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Part { level, ..self })? {
            if item.is_null() {
                return Err(de::Error::custom("a null in a list"));
            }
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        if !self.is_object() {
            return Err(de::Error::custom("an object"));
        }
        let mut fields = Map::new();
        let mut has_name = false;
        while let Some(Key(key)) = access.next_key()? {
            if key == "name" && matches!(self.level, Level::Named | Level::Unnamed) {
                has_name = access.next_value::<Option<Key<'de>>>()?.is_some();
                continue;
            }
            let level = self.of_member(&key);
            let value = access.next_value_seed(Part { level, ..self })?;
            if !matches!(level, Level::Nothing | Level::Objects | Level::NamedObjects) {
                fields.insert(key.into_owned(), value);
            }
        }
        if matches!(self.level, Level::Named) && !has_name {
            return Err(de::Error::custom("no name"));
        }
        Ok(Value::Object(fields))
    }
}

/// A string that borrows where the text has no escape.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);
