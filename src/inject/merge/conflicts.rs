//! Detects conflicts: two templates, or a template and the pod, have different content at one path.

use super::{Planner, equal};
use crate::inject::schema::merge_keys::MergeKey;
use crate::inject::schema::merge_path::MergePath;
use crate::inject::template::spec::OnConflict;
use crate::inject::text::{Message, message, one_line, quote, value, words};
use serde_json::{Map, Value};

/// Longest value that a message shows, in characters.
const LONGEST: usize = 80;
/// Most fields of two objects that a message shows.
const MOST_FIELDS: usize = 3;
/// Lists of at most this many items are searched without an index.
const SHORT_LIST: usize = 4;

/// Different content at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub(crate) parties: Parties,
    /// One line that names the path and both contents.
    pub(crate) message: Message,
    pub(crate) subject: Subject,
}

/// What a conflict is about, if another value of a parameter can avoid it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A path at which the pod mounts something else.
    MountPath(String),
    /// A port on which another container listens.
    Port(i64),
    Other,
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
        let Some(existing) = existing else {
            if !is_first {
                self.plan.shared.insert(candidate);
            }
            return is_first;
        };
        // Templates that agree may still have different `onConflict` for the pod's own value.
        if !equal::same(wanted, existing) {
            self.conflict_with_pod(candidate, path, wanted, existing);
        }
        false
    }

    pub(super) fn conflict_of_templates(
        &mut self,
        first: usize,
        second: usize,
        path: &MergePath,
        one: &Value,
        other: &Value,
    ) {
        let Difference { path, wanted: one, found: other } = Difference::of(path, one, other);
        let message = message![
            value(path),
            ": template ",
            self.template_name(first),
            " wants ",
            one,
            ", template ",
            self.template_name(second),
            " wants ",
            other,
        ];
        self.conflict(Parties::Templates(first, second), message);
    }

    fn conflict_with_pod(&mut self, candidate: usize, place: &MergePath, wanted: &Value, existing: &Value) {
        let Difference { path, wanted, found } = Difference::of(place, wanted, existing);
        if self.keeps_pod(candidate) {
            self.warn(candidate, message![value(path), ": the pod keeps ", found, ", the template wants ", wanted]);
            return;
        }
        let template = self.template_name(candidate);
        let message = message![value(path), ": the pod has ", found, ", template ", template, " wants ", wanted];
        let parties = Parties::TemplateAndPod(candidate);
        self.plan.conflicts.push(Conflict { parties, message, subject: subject(place) });
    }

    pub(super) fn conflict(&mut self, parties: Parties, message: Message) {
        self.plan.conflicts.push(Conflict { parties, message, subject: Subject::Other });
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

/// The mount path of a container's mount.
fn subject(place: &MergePath) -> Subject {
    let segments: Vec<_> = place.segments().collect();
    match segments.as_slice() {
        [_, _, list, path] if list == "volumeMounts" => Subject::MountPath(path.clone().into_owned()),
        _ => Subject::Other,
    }
}

/// The smallest part in which two values differ, so that a message about two containers shows only
/// that.
struct Difference {
    path: MergePath,
    wanted: Message,
    found: Message,
}

impl Difference {
    fn of(path: &MergePath, wanted: &Value, found: &Value) -> Self {
        let (mut path, mut parent) = (path.clone(), String::new());
        let (mut wanted, mut found) = (wanted, found);
        while let (Value::Object(a), Value::Object(b)) = (wanted, found) {
            let fields: Vec<&str> = equal::different_fields(&parent, a, b).collect();
            match (fields.as_slice(), fields.first().and_then(|field| Some((a.get(*field)?, b.get(*field)?)))) {
                ([field], Some((one, other))) => {
                    // The path of a variable needs no `.value`.
                    if *field != "value" {
                        path = path.child(field);
                    }
                    parent = (*field).to_owned();
                    (wanted, found) = (one, other);
                }
                _ => return Self { path, wanted: shown_fields(a, b, &fields), found: shown_fields(b, a, &fields) },
            }
        }
        Self { path, wanted: shown(wanted), found: shown(found) }
    }
}

/// The different fields that an object has. If it has none of them, these are the fields that only it
/// has, even if they are empty: `emptyDir {}` beside another source of a volume.
fn shown_fields(object: &Map<String, Value>, other: &Map<String, Value>, fields: &[&str]) -> Message {
    let shown_field =
        |(field, content): (&String, &Value)| message![value(one_line(field, LONGEST)), " ", shown(content)];
    let different: Vec<_> = object.iter().filter(|(field, _)| fields.contains(&field.as_str())).collect();
    let only: Vec<_> = object.iter().filter(|(field, _)| !other.contains_key(*field)).collect();
    let listed = if different.is_empty() { only } else { different };
    if listed.is_empty() {
        return message!["no ", value(one_line(&fields.join(", "), LONGEST))];
    }
    let more = if listed.len() > MOST_FIELDS { ", …" } else { "" };
    Message::join(listed.into_iter().take(MOST_FIELDS).map(shown_field), ", ").with(more)
}

fn shown(content: &Value) -> Message {
    match content {
        Value::String(text) => value(quote(text)),
        other => value(one_line(&other.to_string(), LONGEST)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_difference_names_what_each_side_has() {
        let claim = json!({"name": "data", "persistentVolumeClaim": {"claimName": "db"}});
        for (wanted, found, expected) in [
            (json!("a"), json!("b"), ["x[y]", "\"a\"", "\"b\""]),
            (json!({"name": "A", "value": "a"}), json!({"name": "A", "value": "b"}), ["x[y]", "\"a\"", "\"b\""]),
            (
                json!({"name": "A", "value": "a"}),
                json!({"name": "A", "valueFrom": {"secretKeyRef": {"key": "k"}}}),
                ["x[y]", "value \"a\"", "valueFrom {\"secretKeyRef\":{\"key\":\"k\"}}"],
            ),
            (
                json!({"name": "data", "emptyDir": {}}),
                claim.clone(),
                ["x[y]", "emptyDir {}", "persistentVolumeClaim {\"claimName\":\"db\"}"],
            ),
            (
                claim,
                json!({"name": "data"}),
                ["x[y]", "persistentVolumeClaim {\"claimName\":\"db\"}", "no persistentVolumeClaim"],
            ),
            (
                json!({"name": "a", "command": ["x"], "tty": true}),
                json!({"name": "a", "tty": true}),
                ["x[y]", "command [\"x\"]", "no command"],
            ),
            (
                json!({"a": 1, "b": 2, "c": 3, "d": 4}),
                json!({"a": 5, "b": 6, "c": 7, "d": 8}),
                ["x[y]", "a 1, b 2, c 3, …", "a 5, b 6, c 7, …"],
            ),
            (
                json!({"livenessProbe": {"periodSeconds": 5}}),
                json!({"livenessProbe": {"periodSeconds": 6}}),
                ["x[y].livenessProbe.periodSeconds", "5", "6"],
            ),
        ] {
            let path = MergePath::of(["volumes", "y"]);
            let difference = Difference::of(&path, &wanted, &found);
            let shown = difference.path.to_string().replacen("volumes", "x", 1);
            assert_eq!([shown, difference.wanted.to_string(), difference.found.to_string()], expected);
        }
    }
}
