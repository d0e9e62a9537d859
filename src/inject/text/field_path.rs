//! Where a field stands, what is wrong with it, and how values and near names are shown in messages.
//!
//! What it does not do: decide what is right. Every text made here is one line, whatever the input holds.

use std::{fmt, sync::Arc};

use super::message::{Message, message, words};

/// Longest part of a value that a message quotes, in characters.
const QUOTED_MAX: usize = 80;

/// Most names that a message lists.
const LISTED_MAX: usize = 20;

/// Words longer than this have no near names: the comparison is quadratic and the word may come from a pod.
const NEAREST_MAX: usize = 64;

/// Path of a field, such as `spec.sidecars[0].image`. Cloning copies a pointer.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FieldPath(Option<Arc<Node>>);

#[derive(PartialEq, Eq)]
struct Node {
    parent: FieldPath,
    step: Step,
}

/// One step from a value into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A named field of an object.
    Child(Box<str>),
    /// An element of a list.
    Index(usize),
    /// A free key of a map, such as a label's.
    Key(Box<str>),
}

impl FieldPath {
    /// The path of the whole document; shown as nothing.
    pub const fn root() -> Self {
        Self(None)
    }

    /// The named field of this object.
    #[must_use]
    pub fn child(&self, name: impl Into<Box<str>>) -> Self {
        self.step(Step::Child(name.into()))
    }

    /// The element of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// The free key of this map.
    #[must_use]
    pub fn key(&self, key: impl Into<Box<str>>) -> Self {
        self.step(Step::Key(key.into()))
    }

    /// This path and one more step.
    #[must_use]
    pub fn step(&self, step: Step) -> Self {
        Self(Some(Arc::new(Node { parent: self.clone(), step })))
    }

    /// Whether this is the path of the whole document.
    pub fn is_root(&self) -> bool {
        self.0.is_none()
    }

    /// The path without its last step; the root's parent is the root.
    #[must_use]
    pub fn parent(&self) -> Self {
        self.0.as_ref().map_or_else(Self::root, |node| node.parent.clone())
    }

    /// All steps, from the root on.
    pub fn steps(&self) -> Vec<&Step> {
        let mut steps = Vec::new();
        let mut path = self;
        while let Some(node) = &path.0 {
            steps.push(&node.step);
            path = &node.parent;
        }
        steps.reverse();
        steps
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.steps().into_iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Child(name) if is_plain(name) => {
                    f.write_str(if position == 0 { "" } else { "." })?;
                    f.write_str(name)?;
                }
                Step::Child(key) | Step::Key(key) => write!(f, "[{}]", escape(key, QUOTED_MAX))?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldPath({self})")
    }
}

/// Whether a name can follow a dot and be read back.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= QUOTED_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'$'))
}

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    pub path: FieldPath,
    /// One line: the value in quotes and what is expected.
    pub message: Message,
    /// What may have been meant, such as `did you mean "volumeMounts"?`.
    pub hint: Option<Message>,
}

impl FieldError {
    pub fn new(path: FieldPath, message: impl Into<Message>) -> Self {
        Self { path, message: message.into(), hint: None }
    }

    /// Adds `did you mean "…"?` where one of the candidates is close to the word.
    #[must_use]
    pub fn near<'a>(mut self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        self.hint = did_you_mean(word, candidates);
        self
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_root() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// `did you mean "…"?` for the candidate that is close to the word, if one is.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<Message> {
    nearest(word, candidates).map(|name| message!["did you mean ", words(quote(name)), "?"])
}

/// The first of the names, so that a message stays short.
pub fn listed(names: &[&str]) -> String {
    match names.len().saturating_sub(LISTED_MAX) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..LISTED_MAX].join(", ")),
    }
}

/// The value in double quotes as messages show it: one line, cut to 80 characters with `…`, control characters escaped.
pub fn quote(value: &str) -> String {
    format!("\"{}\"", escape(value, QUOTED_MAX))
}

/// The text on one line of at most `max` characters, cut with `…`. Quotes are left alone: this is for whole messages.
pub fn one_line(text: &str, max: usize) -> String {
    cut(text, max, |character| match character {
        '"' | '\\' => character.to_string(),
        other => escape_character(other),
    })
}

/// The text with everything escaped that could break a line, a quotation or the reading direction, cut with `…`.
fn escape(text: &str, max: usize) -> String {
    cut(text, max, escape_character)
}

fn cut(text: &str, max: usize, escape: impl Fn(char) -> String) -> String {
    let mut escaped = String::new();
    let mut length = 0;
    for character in text.chars() {
        let piece = escape(character);
        length += piece.chars().count();
        if length > max {
            escaped.push('…');
            break;
        }
        escaped.push_str(&piece);
    }
    escaped
}

fn escape_character(character: char) -> String {
    match character {
        '"' | '\\' => format!("\\{character}"),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        invisible if invisible.is_control() || is_format_control(invisible) => invisible.escape_unicode().to_string(),
        visible => visible.to_string(),
    }
}

/// Characters without a shape that separate lines, join, or turn the reading direction.
pub const fn is_format_control(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The candidate that a misspelt word most likely means: equal but for upper and lower case, else the fewest edits away
/// and not too many. Of equals the first wins.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = letters(word)?;
    let tolerance = (letters.len() / 3).max(1);
    candidates
        .into_iter()
        .filter_map(|candidate| Some((self::letters(candidate)?, candidate)))
        // Each letter too many or too few is an edit.
        .filter(|(other, _)| other.len().abs_diff(letters.len()) <= tolerance)
        .map(|(other, candidate)| (distance(&letters, &other), candidate))
        .filter(|&(edits, _)| edits <= tolerance && edits < letters.len())
        .min_by_key(|&(edits, _)| edits)
        .map(|(_, candidate)| candidate)
}

fn letters(word: &str) -> Option<Vec<char>> {
    let letters: Vec<char> = word.chars().take(NEAREST_MAX + 1).flat_map(char::to_lowercase).collect();
    (!letters.is_empty() && letters.len() <= NEAREST_MAX).then_some(letters)
}

/// Edits from one word to the other: a letter inserted, removed, replaced, or swapped with its neighbour.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for row in 1..=from.len() {
        let mut current = vec![row];
        for column in 1..=to.len() {
            let replaced = above[column - 1] + usize::from(from[row - 1] != to[column - 1]);
            let mut edits = replaced.min(above[column] + 1).min(current[column - 1] + 1);
            let swapped = row > 1 && column > 1 && from[row - 1] == to[column - 2] && from[row - 2] == to[column - 1];
            if swapped {
                edits = edits.min(before[column - 2] + 1);
            }
            current.push(edits);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_kubernetes_writes_them() {
        let mounts = FieldPath::root().child("spec").child("sidecars").index(0).child("volumeMounts");
        assert_eq!(mounts.index(1).child("mountPath").to_string(), "spec.sidecars[0].volumeMounts[1].mountPath");
        assert_eq!(FieldPath::root().index(2).child("kind").to_string(), "[2].kind");
        assert_eq!(FieldPath::root().to_string(), "");
    }

    #[test]
    fn keys_that_a_dot_could_split_stand_in_brackets() {
        let labels = FieldPath::root().child("metadata").child("labels");
        assert_eq!(labels.key("app.kubernetes.io/name").to_string(), "metadata.labels[app.kubernetes.io/name]");
        assert_eq!(labels.child("app.kubernetes.io/name").to_string(), "metadata.labels[app.kubernetes.io/name]");
        assert_eq!(labels.key("app").to_string(), "metadata.labels[app]");
        assert_eq!(labels.child("").to_string(), "metadata.labels[]");
    }

    #[test]
    fn paths_never_break_a_line() {
        assert_eq!(FieldPath::root().child("a\nb").to_string(), "[a\\nb]");
        assert_eq!(FieldPath::root().key("k".repeat(500)).to_string().chars().count(), 83);
    }

    #[test]
    fn the_parent_is_one_step_up() {
        let path = FieldPath::root().child("spec").index(3);
        assert_eq!(path.parent(), FieldPath::root().child("spec"));
        assert!(path.parent().parent().is_root());
        assert!(FieldPath::root().parent().is_root());
        assert_eq!(path.steps(), [&Step::Child("spec".into()), &Step::Index(3)]);
    }

    #[test]
    fn quotes_are_cut_and_escaped() {
        assert_eq!(quote("web"), "\"web\"");
        assert_eq!(quote(""), "\"\"");
        assert_eq!(quote("a\nb\t\"c\"\\ \u{7}\u{0}"), r#""a\nb\t\"c\"\\ \u{7}\u{0}""#);
        assert_eq!(quote("\u{202e}txt\u{2028}"), r#""\u{202e}txt\u{2028}""#);
        assert_eq!(quote(&"ü".repeat(80)), format!("\"{}\"", "ü".repeat(80)));
        assert_eq!(quote(&"x".repeat(81)), format!("\"{}…\"", "x".repeat(80)));
        assert_eq!(quote(&"\n".repeat(200)), format!("\"{}…\"", "\\n".repeat(40)));
    }

    #[test]
    fn a_message_keeps_its_quotes_on_one_line() {
        assert_eq!(one_line("\"a\" is\nno \u{1b}\u{202e}name", 80), r#""a" is\nno \u{1b}\u{202e}name"#);
        assert_eq!(one_line(&"ü".repeat(9), 8), format!("{}…", "ü".repeat(8)));
    }

    #[test]
    fn near_names_are_found() {
        let fields = ["volumeMounts", "volumes", "image", "env", "envFrom", "ports"];
        for (word, expected) in [
            ("volumMounts", Some("volumeMounts")),
            ("volumemounts", Some("volumeMounts")),
            ("imagee", Some("image")),
            ("iamge", Some("image")),
            ("envfrom", Some("envFrom")),
            ("prots", Some("ports")),
            ("evn", Some("env")),
            ("x", None),
            ("securityContext", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, fields), expected, "{word}");
        }
    }

    #[test]
    fn equal_but_for_case_beats_fewer_letters() {
        assert_eq!(nearest("ENV", ["en", "env"]), Some("env"));
    }

    #[test]
    fn a_huge_word_is_not_compared() {
        assert_eq!(nearest(&"a".repeat(200_000), ["a"]), None);
        assert_eq!(nearest("a", [&*"a".repeat(200_000)]), None);
    }

    #[test]
    fn swapped_neighbours_are_one_edit() {
        let edits = |a: &str, b: &str| distance(&letters(a).unwrap(), &letters(b).unwrap());
        assert_eq!(edits("ab", "ba"), 1);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("abc", "abc"), 0);
        assert_eq!(edits("a", "abc"), 2);
    }

    #[test]
    fn errors_show_path_message_and_hint() {
        let path = FieldPath::root().child("spec").child("volums");
        let error = FieldError::new(path, "unknown field").near("volums", ["volumes"]);
        assert_eq!(error.to_string(), r#"spec.volums: unknown field; did you mean "volumes"?"#);
        assert_eq!(FieldError::new(FieldPath::root(), "no object").to_string(), "no object");
    }
}
