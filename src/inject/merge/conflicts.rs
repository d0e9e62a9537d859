//! Who wants what under which key: conflicts between templates, and between a template and the pod.

use super::{Planner, equal};
use crate::inject::schema::merge_keys;
use crate::inject::schema::merge_keys::MergeKey;
use crate::inject::template::spec::OnConflict;
use crate::inject::text::field::{one_line, quote};
use crate::inject::text::message::Message;
use crate::inject::text::pointer::unescape;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Different content under one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub parties: Parties,
    /// One line that names the key and both contents.
    pub message: Message,
}

/// Who disagrees; positions among the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parties {
    TemplateAndPod(usize),
    /// Always rejected: neither has precedence.
    Templates(usize, usize),
}

#[derive(Default)]
pub(super) struct Claims<'a> {
    /// Key → the candidate that asked first, and what it wants.
    claims: HashMap<String, (usize, Value)>,
    /// Items of the pod's lists by merge key, for each list that was looked into: looking up is O(1) however long the list.
    indexes: HashMap<String, HashMap<String, &'a Value>>,
    touched: HashSet<String>,
}

impl<'a> Claims<'a> {
    /// The pod's item under this key.
    pub fn find(&mut self, place: &str, key: MergeKey, found: Option<&'a Value>, item_key: &str) -> Option<&'a Value> {
        let items = found.and_then(Value::as_array)?;
        if items.len() <= 4 {
            // Of two items with one key the last counts.
            return items.iter().rev().find(|item| key.value(item) == item_key);
        }
        if !self.indexes.contains_key(place) {
            let index = items.iter().map(|item| (key.value(item).into_owned(), item)).collect();
            self.indexes.insert(place.to_owned(), index);
        }
        self.indexes.get(place)?.get(item_key).copied()
    }

    /// Whether this is the first time.
    pub fn touch(&mut self, place: &str) -> bool {
        self.touched.insert(place.to_owned())
    }
}

impl Planner<'_> {
    /// Whether `wanted` is to be put in under `place`: not when it is there already, or when that is a conflict.
    pub(super) fn claim(&mut self, owner: usize, place: &str, wanted: &Value, existing: Option<&Value>) -> bool {
        let earlier = self.claims.claims.get(place);
        if let Some((first, other)) = earlier
            && !equal::same(wanted, other)
        {
            let (first, other) = (*first, other.clone());
            self.conflict_of_templates(first, owner, place, &other, wanted);
            return false;
        }
        let is_first = earlier.is_none();
        // A single template meets no other.
        if is_first && self.candidates.len() > 1 {
            self.claims.claims.insert(place.to_owned(), (owner, wanted.clone()));
        }
        let Some(existing) = existing else { return is_first };
        // Templates that agree may still differ in what becomes of the pod's own value.
        if !equal::same(wanted, existing) {
            self.conflict_with_pod(owner, place, wanted, existing);
        }
        false
    }

    fn conflict_of_templates(&mut self, first: usize, second: usize, place: &str, one: &Value, other: &Value) {
        let (a, b) = (&self.candidates[first].template.name, &self.candidates[second].template.name);
        let message = format!(
            "{}: template {} wants {}, template {} wants {}",
            shown_place(place),
            quote(a),
            shown(one),
            quote(b),
            shown(other)
        );
        self.plan.conflicts.push(Conflict { parties: Parties::Templates(first, second), message: message.into() });
    }

    pub(super) fn conflict_with_pod(&mut self, owner: usize, place: &str, wanted: &Value, existing: &Value) {
        let template = self.candidates[owner].template;
        let (place, name) = (shown_place(place), quote(&template.name));
        if template.on_conflict == OnConflict::KeepPod {
            self.plan.warnings.push(format!("{place}: the pod's own value stays, template {name} wants another"));
            return;
        }
        let (wanted, existing) = difference(wanted, existing);
        let message = format!(
            "{place}: the pod has {}, template {name} wants {}",
            shown_or_nothing(existing),
            shown_or_nothing(wanted)
        );
        self.plan.conflicts.push(Conflict { parties: Parties::TemplateAndPod(owner), message: message.into() });
    }

    pub(super) fn conflict(&mut self, parties: Parties, message: Message) {
        self.plan.conflicts.push(Conflict { parties, message });
    }
}

/// The parts of two objects that differ, so that a message about two containers shows what it is about.
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

fn shown_or_nothing(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), shown)
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        // An environment variable: the name stands in the place already.
        Value::Object(fields) if fields.len() == 2 && fields.contains_key("name") && fields.contains_key("value") => {
            shown(&fields["value"])
        }
        other => one_line(&other.to_string(), LONGEST),
    }
}

/// A place for people: `containers/web/env/MODE` as `containers[web].env[MODE]`. Names of the pod are whatever its author wrote.
pub(super) fn shown_place(place: &str) -> String {
    let mut shown = String::new();
    let mut names_key = false;
    for segment in place.split('/').map(unescape) {
        let text = one_line(&segment, LONGEST);
        match (names_key, shown.is_empty()) {
            (true, _) => shown.push_str(&format!("[{text}]")),
            (false, true) => shown.push_str(&text),
            (false, false) => shown.push_str(&format!(".{text}")),
        }
        let free = matches!(segment.as_str(), "labels" | "annotations" | "nodeSelector");
        names_key = !names_key && (free || merge_keys::of(&segment).is_some());
    }
    shown
}

/// Longest part of a place or value that is shown, in characters.
const LONGEST: usize = 80;
