//! The changed pod with what each template brought.

use crate::inject::error::{ErrorCode, Problem};
use crate::inject::schema::rules::grace;
use crate::inject::status::StatusEntry;
use crate::inject::text::json::{items, text};
use crate::inject::text::{Message, message, quote, value, words};
use serde_json::Value;

pub(super) const LISTS: [&str; 2] = ["initContainers", "containers"];

/// The spec of the changed pod, and the entries of this pass.
pub(super) struct ResultPod<'a> {
    pub(super) spec: &'a Value,
    pub(super) entries: &'a [StatusEntry],
}

/// A container of the changed pod.
#[derive(Clone, Copy)]
pub(super) struct ResultContainer<'a> {
    pub(super) list: &'static str,
    pub(super) name: &'a str,
    pub(super) value: &'a Value,
    /// The template that brought or filled it.
    pub(super) entry: Option<&'a StatusEntry>,
}

impl<'a> ResultPod<'a> {
    pub(super) const fn new(spec: &'a Value, entries: &'a [StatusEntry]) -> Self {
        Self { spec, entries }
    }

    /// All containers, those of templates among them.
    pub(super) fn containers(&self) -> impl Iterator<Item = ResultContainer<'a>> {
        let entry_of =
            |name: &str| self.entries.iter().find(|entry| entry.container_names().any(|container| container == name));
        LISTS.into_iter().flat_map(move |list| {
            items(self.spec, list).iter().map(move |value| {
                let name = text(value, "name");
                ResultContainer { list, name, value, entry: entry_of(name) }
            })
        })
    }

    /// A field of the spec; `None` if it is null.
    pub(super) fn field(&self, field: &str) -> Option<&'a Value> {
        self.spec.get(field).filter(|value| !value.is_null())
    }

    /// Seconds that the pod has to stop.
    pub(super) fn grace_period(&self) -> i64 {
        self.field(grace::FIELD).and_then(Value::as_i64).unwrap_or(grace::DEFAULT)
    }

    pub(super) fn is_true(&self, field: &str) -> bool {
        self.field(field) == Some(&Value::Bool(true))
    }

    /// The template that set this field of the spec, or something in it.
    pub(super) fn setter(&self, field: &str) -> Option<&'a StatusEntry> {
        let is_at = |key: &str| {
            let below = key.strip_prefix("spec/").and_then(|rest| rest.strip_prefix(field));
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let sets = |entry: &&StatusEntry| {
            let mut paths = entry.added.iter().chain(entry.replaced.keys());
            paths.any(|path| is_at(path.to_status_key()))
        };
        self.entries.iter().find(sets)
    }
}

impl ResultContainer<'_> {
    /// A problem of a field of this container.
    pub(super) fn problem(&self, entry: &StatusEntry, field: impl Into<Message>, why: impl Into<Message>) -> Problem {
        let path = message!["spec.", self.list, "[", value(one_name(self.name)), "].", field.into()];
        problem(entry, message![path, ": ", why.into()])
    }
}

/// A name as part of a path.
fn one_name(name: &str) -> String {
    let quoted = quote(name);
    quoted.trim_matches('"').to_owned()
}

/// A problem that a template caused.
pub(super) fn problem(entry: &StatusEntry, why: impl Into<Message>) -> Problem {
    let message = message!["template ", words(quote(&entry.name)), ": with this pod, ", why.into()];
    Problem { template: Some(entry.name.clone()), ..Problem::new(ErrorCode::ResultInvalid, message) }
}
