//! Detects conflicts: two templates, or a template and the pod, have different content at one path.

use super::{Planner, equal};
use crate::inject::schema::merge_keys::MergeKey;
use crate::inject::schema::merge_path::MergePath;
use crate::inject::template::spec::OnConflict;
use crate::inject::text::{Message, message, one_line, quote, value, words};
use serde_json::Value;

/// Longest value that a message shows, in characters.
const LONGEST: usize = 80;
/// Lists of at most this many items are searched without an index.
const SHORT_LIST: usize = 4;

/// Different content at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub(crate) parties: Parties,
    /// One line that names the path and both contents.
    pub(crate) message: Message,
}

/// The parties of a conflict; templates are named by their positions among the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parties {
    TemplateAndPod(usize),
    /// Always rejected, because neither template takes precedence.
    Templates(usize, usize),
}

impl<'a> Planner<'a> {
    /// The item of the pod's list with this merge key. An index keeps the cost for each item of a
    /// long list constant.
    pub(super) fn existing_item(
        &mut self,
        list: &MergePath,
        key: MergeKey,
        found: Option<&'a Value>,
        item_key: &str,
    ) -> Option<&'a Value> {
        let items = found.and_then(Value::as_array)?;
        if items.len() <= SHORT_LIST {
            // Of two items with one key the last counts.
            return items.iter().rev().find(|item| key.value(item) == item_key);
        }
        if !self.indexes.contains_key(list) {
            let index = items.iter().map(|item| (key.value(item).into_owned(), item)).collect();
            self.indexes.insert(list.clone(), index);
        }
        self.indexes.get(list)?.get(item_key).copied()
    }

    /// Whether `wanted` must be added at `path`. If the pod or another template has something there
    /// already, nothing is added; if that differs, a conflict is recorded.
    pub(super) fn must_add(
        &mut self,
        candidate: usize,
        path: &MergePath,
        wanted: &Value,
        existing: Option<&Value>,
    ) -> bool {
        let earlier = self.wanted.get(path);
        if let Some((first, other)) = earlier
            && !equal::same(wanted, other)
        {
            let (first, other) = (*first, other.clone());
            self.conflict_of_templates(first, candidate, path, &other, wanted);
            return false;
        }
        let is_first = earlier.is_none();
        // A single template cannot conflict with another.
        if is_first && self.candidates.len() > 1 {
            self.wanted.insert(path.clone(), (candidate, wanted.clone()));
        }
        let Some(existing) = existing else { return is_first };
        // Templates that agree may still have different `onConflict` for the pod's own value.
        if !equal::same(wanted, existing) {
            self.conflict_with_pod(candidate, path, wanted, existing);
        }
        false
    }

    fn conflict_of_templates(&mut self, first: usize, second: usize, path: &MergePath, one: &Value, other: &Value) {
        let message = message![
            value(path),
            ": template ",
            self.template_name(first),
            " wants ",
            shown(one),
            ", template ",
            self.template_name(second),
            " wants ",
            shown(other),
        ];
        self.conflict(Parties::Templates(first, second), message);
    }

    fn conflict_with_pod(&mut self, candidate: usize, path: &MergePath, wanted: &Value, existing: &Value) {
        let template = self.template_name(candidate);
        if self.keeps_pod(candidate) {
            let warning = message![value(path), ": the pod's own value stays, template ", template, " wants another"];
            self.plan.warnings.push(warning);
            return;
        }
        let (wanted, existing) = difference(wanted, existing);
        let message = message![
            value(path),
            ": the pod has ",
            shown_or_nothing(existing),
            ", template ",
            template,
            " wants ",
            shown_or_nothing(wanted),
        ];
        self.conflict(Parties::TemplateAndPod(candidate), message);
    }

    pub(super) fn conflict(&mut self, parties: Parties, message: Message) {
        self.plan.conflicts.push(Conflict { parties, message });
    }

    /// Whether the template keeps the pod's own value in a conflict.
    pub(super) fn keeps_pod(&self, candidate: usize) -> bool {
        self.candidates[candidate].template.spec.on_conflict == OnConflict::KeepPod
    }

    /// Quoted name of the candidate's template, for messages.
    pub(super) fn template_name(&self, candidate: usize) -> Message {
        words(quote(&self.candidates[candidate].template.name))
    }
}

/// The parts of two objects that differ, so that a message about two containers shows only their
/// difference.
fn difference<'v>(wanted: &'v Value, existing: &'v Value) -> (Option<&'v Value>, Option<&'v Value>) {
    let (Value::Object(a), Value::Object(b)) = (wanted, existing) else { return (Some(wanted), Some(existing)) };
    let mut keys = a.keys().chain(b.keys()).filter(|key| match (a.get(*key), b.get(*key)) {
        (Some(one), Some(other)) => !equal::same(one, other),
        _ => a.contains_key(*key),
    });
    match (keys.next(), keys.next()) {
        (Some(only), None) => difference_at(a.get(only), b.get(only)),
        _ => (Some(wanted), Some(existing)),
    }
}

fn difference_at<'v>(wanted: Option<&'v Value>, existing: Option<&'v Value>) -> (Option<&'v Value>, Option<&'v Value>) {
    match (wanted, existing) {
        (Some(wanted), Some(existing)) => difference(wanted, existing),
        other => other,
    }
}

fn shown_or_nothing(content: Option<&Value>) -> Message {
    content.map_or_else(|| "nothing".into(), shown)
}

fn shown(content: &Value) -> Message {
    match content {
        Value::String(text) => value(quote(text)),
        // An environment variable: its name is in the path already.
        Value::Object(fields) if fields.len() == 2 && fields.contains_key("name") && fields.contains_key("value") => {
            shown(&fields["value"])
        }
        other => value(one_line(&other.to_string(), LONGEST)),
    }
}
