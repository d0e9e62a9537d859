//! Builds the resolved schema tree from a JSON Schema document.
//!
//! Supports the output of `schemars` for plain types: objects, maps, lists, scalars, `$ref`, and
//! `Option` as a union with null. Any other construct becomes [`SchemaType::Any`], which accepts
//! every value. Recursive types are cycles in the tree.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Schema, SchemaNode, SchemaType, rules};

pub(super) const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

/// Types whose unknown fields are errors: a selector with a misspelt field would select everything.
pub(super) const STRICT: [&str; 2] = [
    "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector",
    "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement",
];

pub(super) fn build(schema: &Value) -> Schema {
    let definitions = schema.get("$defs").and_then(Value::as_object);
    let mut builder = SchemaBuilder { definitions, nodes: Vec::new(), by_name: HashMap::new() };
    let root = builder.add(schema);
    Schema { nodes: builder.nodes, root }
}

struct SchemaBuilder<'a> {
    definitions: Option<&'a Map<String, Value>>,
    nodes: Vec<SchemaNode>,
    by_name: HashMap<&'a str, usize>,
}

impl<'a> SchemaBuilder<'a> {
    fn add(&mut self, schema: &'a Value) -> usize {
        let schema = only(schema);
        match schema.get("$ref").and_then(Value::as_str) {
            Some("#") => 0,
            Some(reference) => self.definition(reference),
            None => {
                let index = self.push();
                self.nodes[index] = self.node(schema);
                index
            }
        }
    }

    /// Reserves the definition's index before its content is built, so that a type may contain
    /// itself.
    fn push(&mut self) -> usize {
        self.nodes.push(SchemaNode::of(SchemaType::Any));
        self.nodes.len() - 1
    }

    fn definition(&mut self, reference: &'a str) -> usize {
        let name = reference.strip_prefix("#/$defs/").unwrap_or(reference);
        if let Some(&index) = self.by_name.get(name) {
            return index;
        }
        let index = self.push();
        self.by_name.insert(name, index);
        let Some(schema) = self.definitions.and_then(|definitions| definitions.get(name)).map(only) else {
            return index;
        };
        match schema.get("$ref").and_then(Value::as_str) {
            // Another name for a definition.
            Some(reference) => {
                let other = self.definition(reference);
                self.by_name.insert(name, other);
                other
            }
            None => {
                let node = if name == QUANTITY { SchemaNode::of(SchemaType::Quantity) } else { self.node(schema) };
                let type_name = name.rsplit('.').next().unwrap_or(name);
                let strict = node.strict || STRICT.contains(&name);
                self.nodes[index] = SchemaNode { rules: rules::of(type_name), strict, ..node };
                index
            }
        }
    }

    fn node(&mut self, schema: &'a Value) -> SchemaNode {
        if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
            return SchemaNode { bounds: bounds_of("int32"), ..SchemaNode::of(SchemaType::IntOrString) };
        }
        if let Some(alternatives) = alternatives(schema) {
            let names = alternatives.iter().all(|schema| type_name(schema) == Some("string"));
            return SchemaNode::of(if names { SchemaType::String } else { SchemaType::Any });
        }
        match type_name(schema) {
            Some("object") => self.object(schema),
            Some("array") => SchemaNode {
                item: schema.get("items").map(|items| self.add(items)),
                ..SchemaNode::of(SchemaType::Array)
            },
            Some("string") => SchemaNode::of(SchemaType::String),
            Some("integer") => SchemaNode { bounds: bounds(schema), ..SchemaNode::of(SchemaType::Integer) },
            Some("number") => SchemaNode::of(SchemaType::Number),
            Some("boolean") => SchemaNode::of(SchemaType::Boolean),
            _ => SchemaNode::of(SchemaType::Any),
        }
    }

    fn object(&mut self, schema: &'a Value) -> SchemaNode {
        let strict = schema.get("additionalProperties") == Some(&Value::Bool(false));
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            let values = schema.get("additionalProperties").filter(|values| values.is_object());
            let item = values.map(|values| self.add(values));
            return SchemaNode {
                strict,
                item,
                ..SchemaNode::of(if strict { SchemaType::Object } else { SchemaType::Map })
            };
        };
        let mut fields: Vec<(Box<str>, usize)> =
            properties.iter().map(|(name, schema)| (name.as_str().into(), self.add(schema))).collect();
        fields.sort();
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let required = required.filter_map(Value::as_str).map(Into::into).collect();
        SchemaNode { strict, fields, required, ..SchemaNode::of(SchemaType::Object) }
    }
}

/// The other member of a union of one type and null.
fn only(mut schema: &Value) -> &Value {
    while let Some([only]) = alternatives(schema).as_deref() {
        schema = only;
    }
    schema
}

/// The members of a union, null left out.
fn alternatives(schema: &Value) -> Option<Vec<&Value>> {
    let members = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema.get(*key)?.as_array())?;
    Some(members.iter().filter(|schema| schema.get("type").and_then(Value::as_str) != Some("null")).collect())
}

/// The type's name, without the null that an `Option` adds.
fn type_name(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => {
            match names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect::<Vec<_>>()[..] {
                [only] => Some(only),
                _ => None,
            }
        }
        _ => None,
    }
}

fn bounds(schema: &Value) -> (i128, i128) {
    let (least, most) = schema.get("format").and_then(Value::as_str).map_or((i128::MIN, i128::MAX), bounds_of);
    let stated = |key: &str| schema.get(key).and_then(Value::as_i64).map(i128::from);
    (
        stated("minimum").map_or(least, |stated| stated.max(least)),
        stated("maximum").map_or(most, |stated| stated.min(most)),
    )
}

fn bounds_of(format: &str) -> (i128, i128) {
    match format {
        "int8" => (i8::MIN.into(), i8::MAX.into()),
        "int16" => (i16::MIN.into(), i16::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        "int64" => (i64::MIN.into(), i64::MAX.into()),
        "uint8" => (0, u8::MAX.into()),
        "uint16" => (0, u16::MAX.into()),
        "uint32" => (0, u32::MAX.into()),
        "uint" | "uint64" => (0, u64::MAX.into()),
        _ => (i128::MIN, i128::MAX),
    }
}
