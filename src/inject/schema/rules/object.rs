//! An object under check: reads its fields by type and makes errors with their paths.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

use super::super::check::Trail;
use super::super::{SchemaRef, SchemaType};
use super::Context;
use crate::inject::text::{FieldError, FieldPath, Message, message, quote, value};

/// An object of a known type. Its fields are absent where they are null, samples or of another type
/// than asked for.
pub(super) struct Object<'a> {
    fields: &'a Map<String, Value>,
    schema: SchemaRef<'a>,
    trail: Trail<'a>,
    context: &'a Context<'a>,
}

impl<'a> Object<'a> {
    pub(super) const fn new(
        fields: &'a Map<String, Value>,
        schema: SchemaRef<'a>,
        trail: Trail<'a>,
        context: &'a Context<'a>,
    ) -> Self {
        Self { fields, schema, trail, context }
    }

    pub(super) const fn schema(&self) -> SchemaRef<'a> {
        self.schema
    }

    /// Whether containers run once, unless they restart always.
    pub(super) const fn runs_once(&self) -> bool {
        self.context.run_once
    }

    /// The value of a field, if it is known.
    pub(super) fn get(&self, field: &str) -> Option<&'a Value> {
        self.fields.get(field).filter(|value| !value.is_null() && !self.is_sample(field))
    }

    pub(super) fn text(&self, field: &str) -> Option<&'a str> {
        self.get(field)?.as_str()
    }

    pub(super) fn integer(&self, field: &str) -> Option<i64> {
        self.get(field)?.as_i64()
    }

    pub(super) fn is_true(&self, field: &str) -> bool {
        self.get(field) == Some(&Value::Bool(true))
    }

    pub(super) fn is_false(&self, field: &str) -> bool {
        self.get(field) == Some(&Value::Bool(false))
    }

    /// Whether the field is absent, and no sample.
    pub(super) fn lacks(&self, field: &str) -> bool {
        self.get(field).is_none() && !self.is_sample(field)
    }

    /// The items of a list.
    pub(super) fn items(&self, field: &str) -> &'a [Value] {
        self.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The object in a field.
    pub(super) fn child<'s>(&'s self, field: &'s str) -> Option<Object<'s>> {
        let fields = self.get(field)?.as_object()?;
        Some(Object::new(fields, self.schema.child(field)?, self.trail_of(field), self.context))
    }

    /// Calls `check` with each object of a list.
    pub(super) fn each(&self, field: &str, mut check: impl FnMut(&Object<'_>)) {
        let Some(schema) = self.schema.child(field).and_then(SchemaRef::item) else { return };
        let list = self.trail_of(field);
        for (index, item) in self.items(field).iter().enumerate() {
            if let Value::Object(fields) = item {
                check(&Object::new(fields, schema, Trail::Index(&list, index), self.context));
            }
        }
    }

    /// Reports the items of a list that repeat the text of an earlier one in this field.
    pub(super) fn unique(&self, list: &str, field: &str, errors: &mut Vec<FieldError>) {
        let mut seen = BTreeSet::new();
        for (index, item) in self.items(list).iter().enumerate() {
            let Some(text) = item.get(field).and_then(Value::as_str) else { continue };
            let path = || self.path(list).index(index).child(field);
            if self.context.is_sample.is_some_and(|is_sample| is_sample(&path())) {
                continue;
            }
            if !seen.insert(text) {
                errors.push(FieldError::new(path(), message!["duplicate value ", value(quote(text))]));
            }
        }
    }

    /// Names of the fields that have a value or a sample.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str())
    }

    /// Whether the value of a field is not known yet.
    pub(super) fn is_sample(&self, field: &str) -> bool {
        self.context.is_sample.is_some_and(|is_sample| is_sample(&self.path(field)))
    }

    pub(super) fn is_sample_at(&self, path: &FieldPath) -> bool {
        self.context.is_sample.is_some_and(|is_sample| is_sample(path))
    }

    pub(super) fn trail_of<'s>(&'s self, field: &'s str) -> Trail<'s> {
        match self.schema.kind() {
            SchemaType::Map => Trail::Key(&self.trail, field),
            _ => Trail::Child(&self.trail, field),
        }
    }

    pub(super) fn own_path(&self) -> FieldPath {
        self.trail.path()
    }

    pub(super) fn path(&self, field: &str) -> FieldPath {
        self.trail_of(field).path()
    }

    /// An error in a field.
    pub(super) fn error(&self, field: &str, message: impl Into<Message>) -> FieldError {
        FieldError::new(self.path(field), message)
    }
}
