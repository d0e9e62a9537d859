//! Hides the secrets of templates in findings and in excerpts.
//!
//! Invariant: a text that could be the value of a secret's variable, in whatever field of it, is hidden, and
//! so is all that could be a value where a text cannot be read.

use std::collections::BTreeSet;

use super::Source;
use super::finding::Finding;
use super::scan::{Section, scan};
use super::secret_names::{is_name, is_reference};
use super::secrets::{passwords, secret_of_word, secrets};
use super::view::{View, at};
use crate::inject::schema::is_field;
use crate::inject::template::document::Place;
use crate::inject::text::json::items;
use crate::inject::text::{FieldError, FieldPath, PathSegment, Spot, quote};
use serde_json::Value;

/// Fields of a variable that have no part of its value.
const OTHER_FIELDS: [&str; 4] = ["name", "valueFrom", "when", "forEach"];

/// The shortest part of a text between expressions that is looked for elsewhere.
const MIN_PART: usize = 4;

/// The secrets of some templates.
#[derive(Default)]
pub(super) struct Hidden {
    /// What findings and excerpts do not repeat, the longest first.
    texts: Vec<String>,
    /// The scalars that are hidden as a whole.
    scalars: Vec<Place>,
    /// Paths of the variables and parameters that are secrets, as messages write them, in documents with
    /// values that could not be read.
    paths: Vec<String>,
}

impl Hidden {
    pub(super) fn of(sources: &[Source<'_>]) -> Self {
        let mut hidden = Self::default();
        for view in sources.iter().flat_map(Source::views) {
            hidden.add_template(view);
        }
        hidden.texts.sort_by(|one, other| other.len().cmp(&one.len()).then(one.cmp(other)));
        hidden.texts.dedup();
        hidden
    }

    fn add_template(&mut self, view: View<'_>) {
        let mut parameters = BTreeSet::new();
        let is_whole = view.document.problems.is_empty();
        for (path, variable) in variables(view) {
            self.paths.extend((!is_whole).then(|| path.to_string()));
            let own =
                variable.as_object().into_iter().flatten().filter(|(key, _)| !OTHER_FIELDS.contains(&key.as_str()));
            for (key, value) in own {
                self.add(view, &path.child(key.as_str()), value, &mut parameters);
            }
        }
        self.search(view, &FieldPath::root(), &view.document.value, &mut parameters);
        for secret in secrets(view) {
            self.add_text(&secret.text);
            let written = value_at(&view.document.value, &secret.path);
            parameters.extend(parameters_of(written));
            // A file has more than its secrets.
            if !secret.path.to_string().starts_with("spec.files[") {
                self.scalars.push(place(view, &secret.path));
            }
        }
        for (path, parameter) in view.items("parameters") {
            let name = at(parameter, &["name"]).as_str().unwrap_or_default();
            if parameters.contains(name) || is_name(name) {
                self.paths.extend((!is_whole).then(|| path.to_string()));
                for field in ["default", "values"] {
                    self.add(view, &path.child(field), at(parameter, &[field]), &mut BTreeSet::new());
                }
            }
        }
    }

    /// Adds what seems to be a secret wherever it is, also in a field that no template has.
    fn search(&mut self, view: View<'_>, path: &FieldPath, value: &Value, parameters: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                let is_of_secret = at(value, &["name"]).as_str().is_some_and(is_name);
                for (key, member) in members {
                    let path = path.child(key.as_str());
                    let is_value = is_of_secret && key.starts_with("val") && !OTHER_FIELDS.contains(&key.as_str());
                    let is_scalar = member.is_string() || member.is_number();
                    if is_value || is_scalar && is_name(key) {
                        self.add(view, &path, member, parameters);
                    }
                    self.search(view, &path, member, parameters);
                }
            }
            Value::Array(items) => {
                let mut before = "";
                for (index, item) in items.iter().enumerate() {
                    let word = item.as_str().unwrap_or_default();
                    if let Some(secret) = secret_of_word(std::mem::replace(&mut before, word), word) {
                        self.scalars.push(place(view, &path.index(index)));
                        self.add_text(&secret);
                    }
                    self.search(view, &path.index(index), item, parameters);
                }
            }
            Value::String(text) => passwords(text).for_each(|password| self.add_text(password)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Adds all scalars of a value as it is written, and the names of the parameters that they read.
    fn add(&mut self, view: View<'_>, path: &FieldPath, value: &Value, parameters: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(key, value)| self.add(view, &path.child(key.as_str()), value, parameters));
            }
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(index, value)| self.add(view, &path.index(index), value, parameters));
            }
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                self.scalars.push(place(view, path));
                self.add_text(&number.to_string());
            }
            Value::String(text) => {
                self.scalars.push(place(view, path));
                parameters.extend(parameters_of(text));
                self.add_text(text);
                self.add_text(value_at(view.value, path));
            }
        }
    }

    fn add_text(&mut self, text: &str) {
        if text.contains("${") {
            let parts = text.split("${").enumerate().map(|(index, part)| match part.split_once('}') {
                Some((_, after)) if index > 0 => after,
                _ => part,
            });
            for part in parts.map(str::trim).filter(|part| part.len() >= MIN_PART && !is_reference(part)) {
                self.texts.push(part.to_owned());
            }
        }
        let is_switch = ["true", "false", "yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word));
        let is_pure = text.starts_with("${") && text.ends_with('}') && text.matches("${").count() == 1;
        if text.trim().is_empty() || is_switch || is_pure || is_reference(text) && !text.contains("${") {
            return;
        }
        // Messages escape and cut a text; excerpts have its lines.
        let quoted = [quote(text), format!("{text:?}")];
        let quoted = quoted.iter().filter_map(|quoted| quoted.strip_prefix('"')?.strip_suffix('"'));
        let lines = text.lines().map(str::trim).filter(|line| line.len() >= MIN_PART);
        self.texts.extend(quoted.chain(lines).map(str::to_owned));
        self.texts.push(text.to_owned());
    }

    /// Whether a path is that of a secret's variable or parameter, or below it, and the secret may be unknown.
    pub(super) fn covers(&self, path: &str) -> bool {
        self.paths.iter().any(|hidden| {
            path.strip_prefix(hidden.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Hides the secrets in a finding.
    pub(super) fn mask(&self, finding: &mut Finding) {
        finding.message = self.masked(&finding.message);
        finding.help = self.masked(&finding.help);
    }

    fn masked(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for secret in &self.texts {
            if masked.contains(secret.as_str()) {
                masked = without_word(&masked, secret);
            }
        }
        masked
    }
}

/// The variables whose names are those of secrets, as they are written.
fn variables(view: View<'_>) -> Vec<(FieldPath, &Value)> {
    let spec = at(&view.document.value, &["spec"]);
    let root = View::spec_path();
    let mut holders = vec![(root.child("app"), at(spec, &["app"]))];
    for list in ["sidecars", "initContainers"] {
        let path = root.child(list);
        holders.extend(items(spec, list).iter().enumerate().map(|(index, item)| (path.index(index), item)));
    }
    let mut found = Vec::new();
    for (path, holder) in holders {
        for (index, variable) in items(holder, "env").iter().enumerate() {
            let names = match at(variable, &["name"]) {
                // The key of the name may be misspelt.
                Value::Null => variable.as_object().into_iter().flatten().map(|(_, value)| value).collect(),
                name => vec![name],
            };
            if names.into_iter().filter_map(Value::as_str).any(is_name) {
                found.push((path.child("env").index(index), variable));
            }
        }
    }
    found
}

fn place(view: View<'_>, path: &FieldPath) -> Place {
    view.document.place_of(&FieldError { spot: Spot::Value, ..FieldError::new(path.clone(), "") })
}

/// The text at a path; empty if there is none.
fn value_at<'a>(value: &'a Value, path: &FieldPath) -> &'a str {
    let mut value = value;
    for step in path.steps() {
        let next = match step {
            PathSegment::Child(name) | PathSegment::Key(name) => value.get(&**name),
            PathSegment::Index(index) => value.get(*index),
        };
        value = next.unwrap_or(&Value::Null);
    }
    value.as_str().unwrap_or_default()
}

/// The names of all parameters that the expressions of a text read.
fn parameters_of(text: &str) -> Vec<String> {
    let expressions = text.split("${").skip(1);
    let reads = expressions.flat_map(|expression| expression.split("params").skip(1));
    let name = |rest: &str| {
        let rest = rest.trim_start_matches(['.', '[', ' ', '\'', '"']);
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    reads.map(name).collect()
}

/// A text with `*` for each character of a word in it.
fn without_word(text: &str, word: &str) -> String {
    let joins = |one: Option<char>, other: Option<char>| {
        one.is_some_and(char::is_alphanumeric) && other.is_some_and(char::is_alphanumeric)
    };
    let mut masked = String::with_capacity(text.len());
    let mut end = 0;
    for (at, found) in text.match_indices(word) {
        let (before, after) = (text[..at].chars().next_back(), text[at + found.len()..].chars().next());
        if joins(before, word.chars().next()) || joins(word.chars().next_back(), after) {
            continue;
        }
        masked += &text[end..at];
        masked.extend(found.chars().map(hidden_char));
        end = at + found.len();
    }
    masked + &text[end..]
}

fn hidden_char(c: char) -> char {
    if c == '\n' { c } else { '*' }
}

/// The text with `*` for each character of its secrets; of documents that cannot be read, for each letter
/// and digit of what could be a value.
pub(super) fn masked(source: &Source<'_>) -> String {
    let hidden = Hidden::of(std::slice::from_ref(source));
    let text = source.text.text.as_str();
    let scan = scan(text);
    let mut masked = String::with_capacity(text.len());
    let mut end = 0;
    for (place, range) in &scan.scalars {
        if hidden.scalars.contains(place) && range.start >= end {
            masked += &text[end..range.start];
            masked.extend(text[range.clone()].chars().map(hidden_char));
            end = range.end;
        }
    }
    masked += &text[end..];
    let masked = hidden.masked(&masked);
    let readable = readable(source, &scan.sections);
    let lines = masked.split_inclusive('\n').enumerate();
    let is_readable = |line: usize| readable.iter().any(|section| (section.first..=section.last).contains(&line));
    lines.map(|(index, line)| if is_readable(index + 1) { line.to_owned() } else { masked_line(line) }).collect()
}

/// The documents that are read without a problem.
fn readable<'s>(source: &Source<'_>, sections: &'s [Section]) -> Vec<&'s Section> {
    let root = FieldPath::root();
    let is_of = |section: &Section, line: usize| (section.first..=section.last).contains(&line);
    let documents: Vec<(usize, bool)> = source
        .documents
        .iter()
        .map(|(document, _)| (document.place(&root).line, document.problems.is_empty()))
        .collect();
    let is_readable = |section: &&Section| {
        let mut own = documents.iter().filter(|(line, _)| is_of(section, *line)).peekable();
        // A syntax error is in the last document, of which the first part may have been read.
        let is_cut = source.is_broken && section.last == usize::MAX;
        !is_cut && own.peek().is_some() && own.all(|(_, is_whole)| *is_whole)
    };
    sections.iter().filter(is_readable).collect()
}

/// A line with `*` for each letter and digit but those of fields that are keys; the signs of YAML remain,
/// since one of them is wrong.
fn masked_line(line: &str) -> String {
    let mut masked = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(char::is_alphanumeric) {
        let (before, word) = rest.split_at(start);
        let end = word.find(|c: char| !c.is_alphanumeric()).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        let after_quote = after.strip_prefix(['"', '\'']).unwrap_or(after);
        let is_key =
            after_quote.strip_prefix(':').is_some_and(|value| value.is_empty() || value.starts_with([' ', '\n', '\r']));
        masked += before;
        masked.extend(word.chars().map(|c| if is_key && is_field(word) { c } else { '*' }));
        rest = after;
    }
    masked + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::SourceText;

    #[test]
    fn a_word_is_hidden_and_parts_of_longer_words_are_not() {
        assert_eq!(without_word("a ab \"a\" a.", "a"), "* ab \"*\" *.");
        assert_eq!(without_word("é=/x/, é", "é"), "*=/x/, *");
    }

    #[test]
    fn all_that_could_be_a_value_is_hidden_in_a_text_that_cannot_be_read() {
        for text in [
            "env:\n- {name: TOKEN, value: hun: ter2]\n",
            "a:\n  env:\n  - name: DB_PASSWORD\n    value: |\n      hunter2: x\n     y\n",
            "args: [--api-key=hunter2, '--url=https://u:hunter2@h', --x}]\n",
            "{\"name\": \"DB_PASSWORD\", \"value\": \"hunter2\" \"x\"}",
            "kind: x\nkind: hunter2\n",
            "a: 1\n---\nkind: x\n}\nvalue: hunter2\n",
        ] {
            let source = SourceText { origin: String::new(), text: text.to_owned() };
            let masked = super::super::masked(&source);
            assert!(!masked.contains("hun") && !masked.contains("ter2"), "{masked}");
            assert_eq!(masked.chars().count(), text.chars().count());
        }
        assert_eq!(masked_line("- name: TOKEN, \"value\": 's3: cret'\n"), "- name: *****, \"value\": '**: ****'\n");
    }

    #[test]
    fn documents_beside_one_that_cannot_be_read_are_shown() {
        let text = "a: 1\n---\nb: 1\nb: 2\n---\nc: three\n".to_owned();
        assert_eq!(
            super::super::masked(&SourceText { origin: String::new(), text }),
            "a: 1\n---\n*: *\n*: *\n---\nc: three\n"
        );
    }
}
