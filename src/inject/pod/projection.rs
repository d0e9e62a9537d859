//! Parses the text of a pod into a tree: all of it, or the fields of some read sets.
//!
//! Invariant: every field of a part is as in the whole pod, in its place. A field of a part that
//! has an unexpected type or that is repeated is an error. The caller then parses the whole pod,
//! whose messages are the only ones that users see.

use super::json_string::JsonString;
use super::read_set::ReadSet;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// The object without `metadata.managedFields`: the fields of these read sets, or all fields.
pub(super) fn parse(object: &str, read_sets: Option<&[&ReadSet]>) -> serde_json::Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(object);
    let tree = Projection { read_sets, level: Level::Object }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(tree)
}

/// Parses one value, and keeps as much of it as its level says.
#[derive(Clone, Copy)]
struct Projection<'r> {
    read_sets: Option<&'r [&'r ReadSet]>,
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
    /// A volume: its name is kept, and whether its source is `projected`.
    Volume,
    Whole,
    /// A list of objects of which nothing is kept. Its type is checked.
    Objects,
    /// A list of objects with names of which nothing is kept.
    NamedObjects,
    Nothing,
    /// An object with a name, of which nothing is kept.
    Named,
    Unnamed,
}

impl Projection<'_> {
    /// How much of a member is kept.
    fn of_member(&self, key: &str) -> Level {
        match (self.level, key) {
            (Level::Object, "metadata") => return Level::Metadata,
            (Level::Metadata, "managedFields") => return Level::Nothing,
            (Level::Metadata, _) => return Level::Whole,
            _ => {}
        }
        let Some(read_sets) = self.read_sets else { return Level::Whole };
        let in_spec = || read_sets.iter().any(|read_set| read_set.has_spec_field(key));
        let in_container = || read_sets.iter().any(|read_set| read_set.has_container_field(key));
        match (self.level, key) {
            (Level::Object, "spec") => Level::Spec,
            (Level::Spec, "containers" | "initContainers" | "ephemeralContainers") => Level::Containers,
            (Level::Spec, "volumes") => Level::Volumes,
            (Level::Spec, _) if in_spec() => Level::Whole,
            (Level::Container, _) if in_container() => Level::Whole,
            (Level::Container, "env") => Level::NamedObjects,
            (Level::Container, "envFrom" | "volumeMounts" | "volumeDevices") => Level::Objects,
            (Level::Volume, "name") => Level::Whole,
            (Level::Volume, _) if read_sets.iter().any(|read_set| read_set.has_volume_sources) => Level::Whole,
            // It distinguishes the volume of the service account's token from others of that name.
            (Level::Volume, "projected") => Level::Unnamed,
            _ => Level::Nothing,
        }
    }

    /// How much of an element of this list is kept; `None` for no list.
    const fn of_element(&self) -> Option<Level> {
        match self.level {
            Level::Containers => Some(Level::Container),
            Level::Volumes => Some(Level::Volume),
            Level::NamedObjects => Some(Level::Named),
            Level::Objects => Some(Level::Unnamed),
            _ => None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Projection<'_> {
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

impl<'de> Visitor<'de> for Projection<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.level {
            Level::Metadata => "an object as metadata",
            _ if self.of_element().is_some() => "a list",
            _ => "an object",
        })
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let level = self.of_element().ok_or_else(|| de::Error::invalid_type(Unexpected::Seq, &self))?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Projection { level, ..self })? {
            if item.is_null() {
                return Err(de::Error::custom("a null in a list"));
            }
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        if self.of_element().is_some() {
            return Err(de::Error::invalid_type(Unexpected::Map, &self));
        }
        let mut fields = Map::new();
        let mut has_name = false;
        while let Some(JsonString(key)) = access.next_key()? {
            if key == "name" && matches!(self.level, Level::Named | Level::Unnamed) {
                has_name = access.next_value::<Option<JsonString<'de>>>()?.is_some();
                continue;
            }
            let level = self.of_member(&key);
            let value = access.next_value_seed(Projection { level, ..self })?;
            let is_kept = !matches!(level, Level::Nothing | Level::Objects | Level::NamedObjects);
            if is_kept && fields.insert(key.into_owned(), value).is_some() && self.read_sets.is_some() {
                return Err(de::Error::custom("a repeated key"));
            }
        }
        if matches!(self.level, Level::Named) && !has_name {
            return Err(de::Error::custom("no name"));
        }
        Ok(Value::Object(fields))
    }
}
