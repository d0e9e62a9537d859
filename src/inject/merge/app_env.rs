//! Merges variables into the environment of the app's containers: where they stand
//! (`app.envPosition`), and what becomes of a variable that a container has (`onExisting`).
//!
//! Invariant: the container's own variables keep their order, and no value is extended twice by the
//! same text.

use super::{Edit, Location, Planner, equal};
use crate::inject::pod::ContainerList;
use crate::inject::schema::merge_path::MergePath;
use crate::inject::template::spec::EnvPosition;
use crate::inject::text::json::{items, text};
use crate::inject::text::pointer::Pointer;
use crate::inject::text::{message, value};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Keys of a template's variable that no pod gets.
const ON_EXISTING: &str = "onExisting";
const SEPARATOR: &str = "separator";

/// Edits of one container's environment that are written after all templates are planned, because
/// they depend on positions.
#[derive(Default)]
pub(super) struct EnvEdits {
    /// Variables before those of the container.
    first: Vec<Value>,
    /// The new value of each extended variable, by its position in the container.
    extended: BTreeMap<usize, String>,
    /// Names of the variables that other templates may extend: the template that brought or extended
    /// them first does not insist on its value.
    open: BTreeSet<String>,
}

/// What a template adds to the value of a variable.
struct Extension<'i> {
    text: &'i str,
    separator: &'i str,
    end: End,
}

/// The end of a value at which text is added.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Back,
    Front,
}

impl<'i> Extension<'i> {
    /// The extension by a variable with `onExisting: Append` or `Prepend`.
    fn of(item: &'i Value) -> Option<Self> {
        let end = match text(item, ON_EXISTING) {
            "Append" => End::Back,
            "Prepend" => End::Front,
            _ => return None,
        };
        let separator = item.get(SEPARATOR).and_then(Value::as_str).unwrap_or(" ");
        Some(Self { text: text(item, "value"), separator, end })
    }

    /// What is added to this value, with the separator.
    fn addition(&self, old: &str) -> String {
        match self.end {
            _ if old.is_empty() => self.text.to_owned(),
            End::Back => format!("{}{}", self.separator, self.text),
            End::Front => format!("{}{}", self.text, self.separator),
        }
    }

    fn join(&self, old: &str, addition: &str) -> String {
        match self.end {
            End::Back => format!("{old}{addition}"),
            End::Front => format!("{addition}{old}"),
        }
    }

    /// Whether the value has the text already, as a whole between separators. Without a separator
    /// only its end counts.
    fn is_in(&self, value: &str) -> bool {
        let separator = self.separator;
        match self.end {
            _ if self.text.is_empty() => true,
            _ if !separator.is_empty() => {
                format!("{separator}{value}{separator}").contains(&format!("{separator}{}{separator}", self.text))
            }
            End::Back => value.ends_with(self.text),
            End::Front => value.starts_with(self.text),
        }
    }
}

/// The place and the wish of one template for one variable.
struct Wish<'i> {
    candidate: usize,
    place: (ContainerList, usize),
    list: &'i Location,
    name: &'i str,
    /// The variable as the pod may get it.
    variable: &'i Value,
}

impl Wish<'_> {
    fn path(&self) -> MergePath {
        self.list.path.child(self.name)
    }
}

impl<'a> Planner<'a> {
    /// Merges the variables of a template into a container of the app.
    pub(super) fn app_env(&mut self, candidate: usize, place: (ContainerList, usize), wanted: &[Value]) {
        let container = &self.pod.containers(place.0)[place.1];
        let list = Location::container(place.0, place.1, text(container, "name")).child("env");
        let found = container.get("env");
        let new = if wanted.iter().all(|item| item.get(ON_EXISTING).is_none()) {
            self.merge_list(candidate, &list.path, "env", found, wanted)
        } else {
            let new: Vec<Value> =
                wanted.iter().filter_map(|item| self.variable(candidate, place, &list, item)).collect();
            if !new.is_empty() {
                self.record_empty(candidate, &list.path, found);
            }
            new
        };
        if new.is_empty() {
            return;
        }
        let position = self.candidates[candidate].template.spec.app.env_position;
        let (before, after) = self.variables(place, &list.pointer, position);
        self.warn_of_env(candidate, place, (&before, &after), &new);
        match position {
            EnvPosition::First => {
                let added = new.iter().map(|variable| list.path.child(text(variable, "name")));
                self.entry(candidate).added.extend(added);
                self.envs.entry(place).or_default().first.extend(new);
            }
            EnvPosition::Last => self.add_items(candidate, list, "env", new),
        }
    }

    /// The variables that stand before and after new ones at this position.
    fn variables(
        &self,
        place: (ContainerList, usize),
        list: &Pointer,
        position: EnvPosition,
    ) -> (Vec<Cow<'a, Value>>, Vec<Cow<'a, Value>>) {
        let edits = self.envs.get(&place);
        let own = items(&self.pod.containers(place.0)[place.1], "env").iter().enumerate();
        let own = own.map(|(index, variable)| match edits.and_then(|edits| edits.extended.get(&index)) {
            Some(extended) => Cow::Owned(with_value(variable, extended)),
            None => Cow::Borrowed(variable),
        });
        let rest: Vec<_> = own.chain(self.appended(list).iter().cloned().map(Cow::Owned)).collect();
        let mut before: Vec<_> = edits.iter().flat_map(|edits| &edits.first).cloned().map(Cow::Owned).collect();
        match position {
            EnvPosition::First => (before, rest),
            EnvPosition::Last => {
                before.extend(rest);
                (before, Vec::new())
            }
        }
    }

    /// Merges one variable. It is returned if it must be added.
    fn variable(
        &mut self,
        candidate: usize,
        place: (ContainerList, usize),
        list: &Location,
        item: &Value,
    ) -> Option<Value> {
        let variable = without_our_keys(item);
        let wish = Wish { candidate, place, list, name: text(item, "name"), variable: &variable };
        // Of two variables with one name the last counts.
        let own = items(&self.pod.containers(place.0)[place.1], "env").iter();
        let own = own.enumerate().rev().find(|(_, own)| text(own, "name") == wish.name);
        let is_new = match (text(item, ON_EXISTING), Extension::of(item)) {
            (_, Some(extension)) => self.extend(&wish, own, &extension),
            ("Keep", None) => own.is_none() && self.keep(&wish),
            _ => self.must_add(candidate, &wish.path(), &variable, own.map(|(_, own)| own)),
        };
        is_new.then_some(variable)
    }

    /// Whether a variable must be added that yields to any other of its name, which the container
    /// does not have.
    fn keep(&mut self, wish: &Wish<'_>) -> bool {
        if let Some(earlier) = self.added_variable(wish) {
            if equal::same(wish.variable, earlier) {
                self.plan.shared.insert(wish.candidate);
            }
            return false;
        }
        self.open(wish)
    }

    /// Whether a variable must be added that extends a value. If there is a value, it is extended.
    fn extend(&mut self, wish: &Wish<'_>, own: Option<(usize, &'a Value)>, extension: &Extension<'_>) -> bool {
        let (candidate, path) = (wish.candidate, wish.path());
        if let Some((first, other)) = self.wanted.get(&path).filter(|_| !self.is_open(wish)).cloned() {
            if equal::same(wish.variable, &other) {
                self.plan.shared.insert(candidate);
            } else {
                self.conflict_of_templates(first, candidate, &path, &other, wish.variable);
            }
            return false;
        }
        if let Some((_, own)) = own
            && !has_plain_value(own)
        {
            self.conflict_with_source(wish);
            return false;
        }
        let Some((old, is_own)) = self.present(wish, own) else { return self.open(wish) };
        if extension.is_in(&old) {
            if !is_own {
                self.plan.shared.insert(candidate);
            }
            return false;
        }
        let addition = extension.addition(&old);
        let extended = extension.join(&old, &addition);
        if let Some((index, _)) = own {
            self.envs.entry(wish.place).or_default().extended.insert(index, extended);
        } else if let Some(added) = self.added_variable(wish) {
            *added = with_value(added, &extended);
        }
        self.open(wish);
        let path = path.child("value");
        match own.filter(|_| is_own).map(|(_, own)| own.get("value")) {
            Some(absent @ (None | Some(Value::Null))) => self.record_value(candidate, path, absent),
            _ => {
                let entry = self.entry(candidate);
                let record = if extension.end == End::Back { &mut entry.appended } else { &mut entry.prepended };
                record.insert(path, Value::from(addition));
            }
        }
        false
    }

    /// The value that a variable has so far, and whether it is the container's own, unchanged.
    fn present(&mut self, wish: &Wish<'_>, own: Option<(usize, &'a Value)>) -> Option<(String, bool)> {
        if let Some((index, own)) = own {
            let extended = self.envs.get(&wish.place).and_then(|edits| edits.extended.get(&index));
            return Some(
                extended.map_or_else(|| (text(own, "value").to_owned(), true), |value| (value.clone(), false)),
            );
        }
        self.added_variable(wish).map(|added| (text(added, "value").to_owned(), false))
    }

    /// Lets later templates extend the variable. Returns true.
    fn open(&mut self, wish: &Wish<'_>) -> bool {
        if self.candidates.len() > 1 {
            self.wanted.entry(wish.path()).or_insert_with(|| (wish.candidate, wish.variable.clone()));
            self.envs.entry(wish.place).or_default().open.insert(wish.name.to_owned());
        }
        true
    }

    fn is_open(&self, wish: &Wish<'_>) -> bool {
        self.envs.get(&wish.place).is_some_and(|edits| edits.open.contains(wish.name))
    }

    /// The variable of this name that an earlier template adds.
    fn added_variable(&mut self, wish: &Wish<'_>) -> Option<&mut Value> {
        let is_it = |variable: &&mut Value| text(variable, "name") == wish.name;
        let mut first = self.envs.get_mut(&wish.place).into_iter().flat_map(|edits| &mut edits.first);
        if let Some(added) = first.find(is_it) {
            return Some(added);
        }
        let position = *self.appends.get(&wish.list.pointer)?;
        match self.plan.edits.get_mut(position) {
            Some(Edit::Append { items, .. }) => items.iter_mut().find(is_it),
            _ => None,
        }
    }

    /// The container takes the value from elsewhere, so that nothing can be added to it.
    fn conflict_with_source(&mut self, wish: &Wish<'_>) {
        let path = value(wish.path());
        if self.keeps_pod(wish.candidate) {
            let kept = ": the pod keeps valueFrom, to which the template cannot add a value";
            self.warn(wish.candidate, message![path, kept]);
            return;
        }
        let message = message![
            path,
            ": the pod has valueFrom, to which template ",
            self.template_name(wish.candidate),
            " cannot add a value; give that variable another name, and this one a value that refers to it as $(NAME)",
        ];
        self.conflict(super::Parties::TemplateAndPod(wish.candidate), message);
    }

    /// Writes the edits that depend on positions: values first, since later inserts shift them.
    pub(super) fn write_env_edits(&mut self) {
        for ((list, index), edits) in std::mem::take(&mut self.envs) {
            let env = Pointer::of(["spec", list.field(), &index.to_string(), "env"]);
            for (position, extended) in edits.extended {
                self.set(env.child(&position.to_string()), "value", Value::from(extended));
            }
            let container = &self.pod.containers(list)[index];
            if container.get("env").is_some_and(Value::is_array) || self.appends.contains_key(&env) {
                let inserts = edits.first.into_iter().enumerate();
                let inserts = inserts.map(|(index, item)| Edit::Insert { list: env.clone(), index, item });
                self.plan.edits.extend(inserts);
            } else {
                self.append(env, edits.first);
            }
        }
    }
}

/// Whether a variable has a text as its value, or none.
fn has_plain_value(variable: &Value) -> bool {
    let is_null = |field: &str| variable.get(field).is_none_or(Value::is_null);
    is_null("valueFrom") && (is_null("value") || variable.get("value").is_some_and(Value::is_string))
}

fn with_value(variable: &Value, text: &str) -> Value {
    let mut variable = variable.clone();
    if let Some(fields) = variable.as_object_mut() {
        fields.insert("value".to_owned(), Value::from(text));
    }
    variable
}

fn without_our_keys(item: &Value) -> Value {
    let fields = item.as_object().into_iter().flatten();
    let fields = fields.filter(|(key, _)| *key != ON_EXISTING && *key != SEPARATOR);
    Value::Object(fields.map(|(key, value)| (key.clone(), value.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_extended_at_its_end_with_a_separator() {
        for (item, old, expected) in [
            (json!({"onExisting": "Append", "value": "b"}), "a", "a b"),
            (json!({"onExisting": "Prepend", "value": "b"}), "a", "b a"),
            (json!({"onExisting": "Append", "value": "b", "separator": ","}), "a", "a,b"),
            (json!({"onExisting": "Append", "value": "b", "separator": ""}), "a", "ab"),
            (json!({"onExisting": "Prepend", "value": "b", "separator": ":"}), "", "b"),
        ] {
            let extension = Extension::of(&item).expect("an extension");
            assert_eq!(extension.join(old, &extension.addition(old)), expected, "{item} {old}");
        }
        assert!(Extension::of(&json!({"onExisting": "Keep", "value": "b"})).is_none());
    }

    #[test]
    fn a_text_counts_as_present_between_separators_alone() {
        let item = |end: &str, separator: &str| json!({"onExisting": end, "value": "-x", "separator": separator});
        for (end, separator, value, expected) in [
            ("Append", " ", "-x", true),
            ("Append", " ", "-a -x", true),
            ("Append", " ", "-x -a", true),
            ("Append", " ", "-a -x -b", true),
            ("Append", " ", "-xa", false),
            ("Append", " ", "a-x", false),
            ("Append", " ", "", false),
            ("Prepend", ":", "-x:a", true),
            ("Prepend", ":", "-x a", false),
            ("Append", "", "a-x", true),
            ("Append", "", "-xa", false),
            ("Prepend", "", "-xa", true),
            ("Prepend", "", "a-x", false),
        ] {
            let item = item(end, separator);
            let is_in = Extension::of(&item).expect("an extension").is_in(value);
            assert_eq!(is_in, expected, "{end} {separator:?} {value:?}");
        }
    }
}
