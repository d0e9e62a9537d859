//! The account of one document: which fields were carried over, and which are lost.
//!
//! Invariant: a field that no converter has taken is reported as lost by [`Ledger::finish`].

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Lost, PartLines, SourceDocument};

/// One document, or a text inside one, and what has become of its fields.
#[derive(Debug)]
pub(super) struct Ledger {
    file: String,
    /// What stands before each path: the field in which the text was.
    prefix: String,
    /// The line before the first one of the text.
    line_before: usize,
    pub value: Value,
    lines: PartLines,
    /// JSON Pointers of parts that are accounted for as a whole.
    accounted: BTreeSet<String>,
    lost: Vec<Lost>,
}

impl Ledger {
    pub(super) fn of_document(document: SourceDocument) -> Self {
        let SourceDocument { file, value, lines } = document;
        let (accounted, lost) = (BTreeSet::new(), Vec::new());
        Self { file, prefix: String::new(), line_before: 0, value, lines, accounted, lost }
    }

    /// The account of the text in the field at this pointer, which is accounted for here.
    pub(super) fn inner(&mut self, pointer: &str, value: Value, lines: PartLines) -> Self {
        self.account(pointer);
        let is_literal = self.lines.literals.contains(pointer);
        Self {
            file: self.file.clone(),
            prefix: format!("{}: ", self.path(pointer)),
            line_before: self.line_of_text(pointer, 0),
            value,
            lines: if is_literal { lines } else { PartLines::default() },
            accounted: BTreeSet::new(),
            lost: Vec::new(),
        }
    }

    /// The account of an item of a list object, which is accounted for here.
    fn item(&mut self, at: usize) -> Self {
        let start = format!("/items/{at}");
        self.account(&start);
        let below = |pointer: &String| {
            let rest = pointer.strip_prefix(&start)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
        };
        let lines = self.lines.lines.iter().filter_map(|(pointer, line)| Some((below(pointer)?, *line))).collect();
        let literals = self.lines.literals.iter().filter_map(below).collect();
        Self {
            file: self.file.clone(),
            prefix: format!("{}items[{at}].", self.prefix),
            line_before: self.line_before,
            value: self.value.pointer(&start).cloned().unwrap_or_default(),
            lines: PartLines { lines, literals },
            accounted: BTreeSet::new(),
            lost: Vec::new(),
        }
    }

    /// The line of the file in which this line of the text in the field at this pointer stands. A literal
    /// block scalar has the line of its first content, after empty lines; other texts have one line.
    pub(super) fn line_of_text(&self, pointer: &str, line: usize) -> usize {
        let before = self.line(pointer).saturating_sub(1);
        if !self.lines.literals.contains(pointer) {
            return before + line.min(1);
        }
        let empty = self.text(pointer).map_or(0, |text| text.lines().take_while(|line| line.trim().is_empty()).count());
        before.saturating_sub(empty) + line
    }

    /// Whether it is a list object, such as kubectl prints of several objects.
    pub(super) fn is_list(&self) -> bool {
        self.text("/kind").is_some_and(|kind| kind.ends_with("List")) && self.value.get("items").is_some()
    }

    /// Where the document is a part of its file, that part too.
    pub(super) fn whole(&self) -> String {
        let place = self.place("");
        match self.prefix.trim_end_matches([':', '.', ' ']) {
            "" => place,
            part => format!("{place}: {part}"),
        }
    }

    /// Whether it is the account of a text inside a field.
    pub(super) fn is_text(&self) -> bool {
        self.prefix.ends_with(": ")
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.value.pointer(pointer).and_then(Value::as_str)
    }

    pub(super) fn list(&self, pointer: &str) -> &[Value] {
        self.value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Keys of the map at this pointer.
    pub(super) fn keys(&self, pointer: &str) -> Vec<String> {
        let map = self.value.pointer(pointer).and_then(Value::as_object);
        map.map(|map| map.keys().cloned().collect()).unwrap_or_default()
    }

    /// The part at this pointer, which is carried over; `null` counts as absent.
    pub(super) fn take(&mut self, pointer: &str) -> Option<Value> {
        self.account(pointer);
        self.value.pointer(pointer).filter(|value| !value.is_null()).cloned()
    }

    /// The list at this pointer, which is carried over. Anything else is not taken, and so lost.
    pub(super) fn take_list(&mut self, pointer: &str) -> Vec<Value> {
        match self.value.pointer(pointer) {
            Some(Value::Array(items)) => {
                let items = items.clone();
                self.account(pointer);
                items
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn take_text(&mut self, pointer: &str) -> Option<String> {
        let text = self.text(pointer)?.to_owned();
        self.account(pointer);
        Some(text)
    }

    /// The text at this pointer, which must be a name.
    pub(super) fn take_name(&mut self, pointer: &str, example: &str) -> Result<String, String> {
        let found = match self.take(pointer) {
            Some(Value::String(name)) if !name.is_empty() => return Ok(name),
            None | Some(Value::String(_)) => String::new(),
            Some(Value::Array(_)) => ", found a list".to_owned(),
            Some(Value::Object(_)) => ", found a map".to_owned(),
            // YAML reads words such as n and 1.2 as other values.
            Some(other) => format!(", found {other}; write it in quotes"),
        };
        Err(format!("{}: expected a name, such as {example}{found}", self.field(pointer)))
    }

    /// What says which object it is, and what the API server and kubectl write of themselves, is no loss.
    pub(super) fn account_object(&mut self) {
        if self.text("/kind").is_none() {
            return;
        }
        for key in ["apiVersion", "kind", "status"] {
            self.account(&child("", key));
        }
        for key in OF_SERVER.into_iter().chain(["name", "namespace"]) {
            self.account(&child("/metadata", key));
        }
        self.account(&child("/metadata/annotations", LAST_APPLIED));
    }

    /// The part at this pointer needs no further look.
    pub(super) fn account(&mut self, pointer: &str) {
        self.accounted.insert(pointer.to_owned());
    }

    /// The part at this pointer, if there is one, is not carried over.
    pub(super) fn lose(&mut self, pointer: &str, why: &str, instead: &str) {
        if self.value.pointer(pointer).is_some() {
            self.account(pointer);
            self.lose_at(self.line(pointer), self.path(pointer), why, instead);
        }
    }

    /// The same for a part that has no place in the value, such as a line of a text template.
    pub(super) fn lose_at(&mut self, line: usize, path: String, why: &str, instead: &str) {
        let file = self.file.clone();
        self.lost.push(Lost { file, line, path, why: why.to_owned(), instead: instead.to_owned() });
    }

    /// The line of the part at this pointer.
    pub(super) fn line(&self, pointer: &str) -> usize {
        let mut pointer = pointer;
        loop {
            if let Some(line) = self.lines.lines.get(pointer) {
                return self.line_before + line;
            }
            match pointer.rsplit_once('/') {
                Some((around, _)) => pointer = around,
                None => return self.line_before + 1,
            }
        }
    }

    /// `FILE:LINE`
    pub(super) fn place(&self, pointer: &str) -> String {
        format!("{}:{}", self.file, self.line(pointer))
    }

    /// `FILE:LINE: PATH`
    pub(super) fn field(&self, pointer: &str) -> String {
        format!("{}: {}", self.place(pointer), self.path(pointer))
    }

    /// The pointer as a path in messages.
    pub(super) fn path(&self, pointer: &str) -> String {
        if pointer.is_empty() {
            return self.prefix.trim_end_matches([':', '.', ' ']).to_owned();
        }
        format!("{}{}", self.prefix, path(&self.value, pointer))
    }

    /// What is lost, in the order of lines; fields that nobody has taken included.
    pub(super) fn finish(mut self) -> Vec<Lost> {
        let mut found = Vec::new();
        untaken(&self.value, "", &self.accounted, &mut found);
        for pointer in found {
            self.lose(&pointer, "is not carried over: it has no counterpart in a template", NO_COUNTERPART);
        }
        self.lost.sort_by_key(|lost| lost.line);
        self.lost
    }
}

/// Fields of the metadata that the API server writes.
const OF_SERVER: [&str; 6] = ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"];

/// The annotation that kubectl writes.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

const NO_COUNTERPART: &str = "remove it, or set it on the pods themselves";

/// The largest parts in which nothing is accounted for.
fn untaken(value: &Value, pointer: &str, accounted: &BTreeSet<String>, found: &mut Vec<String>) {
    if accounted.contains(pointer) {
        return;
    }
    let below = format!("{pointer}/");
    let has_some =
        pointer.is_empty() || accounted.range(below.clone()..).next().is_some_and(|next| next.starts_with(&below));
    match value {
        Value::Object(map) if has_some => {
            map.iter().for_each(|(key, value)| untaken(value, &child(pointer, key), accounted, found));
        }
        Value::Array(items) if has_some => {
            items
                .iter()
                .enumerate()
                .for_each(|(at, value)| untaken(value, &format!("{pointer}/{at}"), accounted, found));
        }
        // Nothing is written there.
        Value::Null => {}
        Value::Array(items) if items.is_empty() => {}
        Value::Object(map) if map.is_empty() => {}
        _ => found.push(pointer.to_owned()),
    }
}

/// The JSON Pointer of a member.
pub(super) fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// `/spec/containers/0/image` as `spec.containers[0].image`.
fn path(value: &Value, pointer: &str) -> String {
    let mut path = String::new();
    let mut value = Some(value);
    for token in pointer.split('/').skip(1) {
        let key = token.replace("~1", "/").replace("~0", "~");
        let is_item = value.is_some_and(Value::is_array);
        if is_item {
            path = format!("{path}[{key}]");
        } else if key.contains(['.', '/']) {
            path = format!("{path}[\"{key}\"]");
        } else if path.is_empty() {
            path.clone_from(&key);
        } else {
            path = format!("{path}.{key}");
        }
        value = value.and_then(|value| match value {
            Value::Array(items) => key.parse::<usize>().ok().and_then(|at| items.get(at)),
            other => other.get(&key),
        });
    }
    path
}

/// The items of a list object, also of lists in it, or the document itself; and what stands around the items
/// and is lost.
pub(super) fn open(document: SourceDocument) -> (Vec<Ledger>, Vec<Lost>) {
    let (mut items, mut lost) = (Vec::new(), Vec::new());
    let mut closed = vec![Ledger::of_document(document)];
    while let Some(mut outer) = closed.pop() {
        let count = outer.list("/items").len();
        if !outer.is_list() || count == 0 {
            items.push(outer);
            continue;
        }
        for pointer in ["/apiVersion", "/kind", "/metadata/resourceVersion", "/metadata/selfLink", "/metadata/continue"]
        {
            outer.account(pointer);
        }
        closed.extend((0..count).rev().map(|at| outer.item(at)));
        lost.extend(outer.finish());
    }
    (items, lost)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn ledger(value: Value) -> Ledger {
        let lines = BTreeMap::from([(String::new(), 1), ("/a".to_owned(), 2), ("/a/0".to_owned(), 3)]);
        let lines = PartLines { lines, literals: BTreeSet::from(["/a".to_owned()]) };
        Ledger::of_document(SourceDocument { file: "f".to_owned(), value, lines })
    }

    #[test]
    fn fields_that_nobody_took_are_lost_as_the_largest_part() {
        let mut ledger =
            ledger(json!({"a": [{"x": 1, "y": {"z": 2, "w": []}}, {"x": 3}], "b.c": 1, "d": null, "e": []}));
        ledger.take("/a/0/x");
        let lost: Vec<_> = ledger.finish().into_iter().map(|lost| (lost.line, lost.path)).collect();
        let expected = [(1, "[\"b.c\"]"), (2, "a[1]"), (3, "a[0].y")];
        assert_eq!(lost, expected.map(|(line, path)| (line, path.to_owned())));
    }

    #[test]
    fn a_text_inside_a_field_has_the_lines_of_its_file() {
        let mut outer = ledger(json!({"a": "x: 1\ny: 2\n"}));
        let lines = || PartLines {
            lines: BTreeMap::from([(String::new(), 1), ("/y".to_owned(), 2)]),
            literals: BTreeSet::new(),
        };
        let inner = outer.inner("/a", json!({"x": 1, "y": 2}), lines());
        assert_eq!(inner.field("/y"), "f:3: a: y");
        outer.lines.literals.clear();
        assert_eq!(outer.inner("/a", json!({"x": 1, "y": 2}), lines()).field("/y"), "f:2: a: y");
        assert!(outer.finish().is_empty());
    }
}
