//! Builds a JSON value with the line and column of each field from parsed YAML nodes.
//!
//! Expands merges and reports duplicate keys, keys that are not strings and integers beyond 64
//! bits. Does not stop at the first problem.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::reader::{YamlContent, YamlNode};
use super::{Document, ParseProblem, Place, Places, ScalarPlaces};
use crate::inject::text::{FieldPath, Message, message, quote, value};

pub(super) fn document(node: YamlNode, source: &CharacterIndex<'_>) -> Document {
    let place = node.place;
    let mut builder = DocumentBuilder { source, path: FieldPath::root(), problems: Vec::new() };
    let (value, places) = builder.build(node);
    Document { value, problems: builder.problems, place, places }
}

/// The text by character position, for details that the parsed nodes do not contain.
pub(super) struct CharacterIndex<'a> {
    text: &'a str,
    /// Byte offset of each character.
    offsets: OnceCell<Vec<usize>>,
}

impl<'a> CharacterIndex<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, offsets: OnceCell::new() }
    }

    /// The characters that the node was read from.
    fn slice(&self, (start, length): (u64, u64)) -> Option<&'a str> {
        let offsets = self.offsets.get_or_init(|| self.text.char_indices().map(|(offset, _)| offset).collect());
        let byte = |character: u64| offsets.get(usize::try_from(character).ok()?).copied();
        let end = byte(start.checked_add(length)?).unwrap_or(self.text.len());
        self.text.get(byte(start)?..end)
    }
}

impl CharacterIndex<'_> {
    /// The places of a pattern in a scalar that was read from `span` as `read`. None if it does not
    /// occur as often in the text, because some occurrences are written as escapes.
    fn places_in(&self, start: Place, span: (u64, u64), read: &str, pattern: &str) -> Vec<Place> {
        if !read.contains(pattern) {
            return Vec::new();
        }
        let text = self.slice(span).unwrap_or_default();
        let place = |(at, _): (usize, &str)| {
            let before = &text[..at];
            match before.rsplit_once('\n') {
                None => Place { line: start.line, column: start.column + before.chars().count() },
                Some((lines, line)) => {
                    let line_number = start.line + 1 + lines.matches('\n').count();
                    Place { line: line_number, column: line.chars().count() + 1 }
                }
            }
        };
        let places: Vec<Place> = text.match_indices(pattern).map(place).collect();
        if places.len() == read.matches(pattern).count() { places } else { Vec::new() }
    }
}

/// Converts nodes to values and places, and collects the problems.
struct DocumentBuilder<'a> {
    source: &'a CharacterIndex<'a>,
    /// The path of the node that is being built.
    path: FieldPath,
    problems: Vec<ParseProblem>,
}

impl DocumentBuilder<'_> {
    fn build(&mut self, node: YamlNode) -> (Value, Places) {
        let value = match node.content {
            YamlContent::Null => Value::Null,
            YamlContent::Bool(value) => Value::Bool(value),
            YamlContent::Number(number) => Value::Number(number),
            YamlContent::Float(value) => self.float(value, node.place, node.span),
            YamlContent::String(text) => {
                let expressions = self.source.places_in(node.place, node.span, &text, "${");
                let places = ScalarPlaces { value: node.place, expressions };
                return (Value::String(text), Places::Scalar(places));
            }
            YamlContent::List(items) => return self.list(items),
            YamlContent::Map(members) => return self.map(members),
        };
        (value, Places::Scalar(ScalarPlaces { value: node.place, expressions: Vec::new() }))
    }

    fn build_at(&mut self, path: FieldPath, node: YamlNode) -> (Value, Places) {
        let outer = std::mem::replace(&mut self.path, path);
        let built = self.build(node);
        self.path = outer;
        built
    }

    fn problem(&mut self, place: Place, path: FieldPath, message: impl Into<Message>) {
        self.problems.push(ParseProblem { place, path, message: message.into() });
    }

    /// A number with a fraction or an exponent. An integer beyond 64 bits would lose digits, so it
    /// is refused.
    fn float(&mut self, number: f64, place: Place, span: (u64, u64)) -> Value {
        let text = self.source.slice(span).unwrap_or_default().trim();
        let digits = text.trim_start_matches(['-', '+']);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
            let message = message!["the integer ", value(quote(text)), " does not fit into 64 bits"];
            self.problem(place, self.path.clone(), message);
        }
        Number::from_f64(number).map_or(Value::Null, Value::Number)
    }

    fn list(&mut self, items: Vec<YamlNode>) -> (Value, Places) {
        let mut values = Vec::with_capacity(items.len());
        let mut places = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let place = item.place;
            let path = self.path.index(index);
            let (value, inner) = self.build_at(path, item);
            values.push(value);
            places.push((place, inner));
        }
        (Value::Array(values), Places::List(places))
    }

    fn map(&mut self, members: Vec<(YamlNode, YamlNode)>) -> (Value, Places) {
        let (mut values, mut places) = (Map::new(), BTreeMap::new());
        let mut merged = Vec::new();
        for (key, member) in members {
            let place = key.place;
            let Some(name) = self.name(key) else { continue };
            if name == "<<" {
                merged.push((place, member));
            } else if values.contains_key(&name) {
                self.problem(place, below(&self.path, &name), message!["duplicate key ", value(quote(&name))]);
            } else {
                let (value, inner) = self.build_at(below(&self.path, &name), member);
                values.insert(name.clone(), value);
                places.insert(name, (place, inner));
            }
        }
        for (place, member) in merged {
            self.merge(place, member, &mut values, &mut places);
        }
        (Value::Object(values), Places::Map(places))
    }

    /// The key as a string; any other key is a problem, since JSON keys are strings.
    fn name(&mut self, key: YamlNode) -> Option<String> {
        let found = match key.content {
            YamlContent::String(name) => return Some(name),
            YamlContent::Null => "null",
            YamlContent::Bool(_) => "a boolean",
            YamlContent::Number(_) | YamlContent::Float(_) => "a number",
            YamlContent::List(_) => "a list",
            YamlContent::Map(_) => "a map",
        };
        let text = self.source.slice(key.span).unwrap_or_default().trim();
        let message = match found {
            "a list" | "a map" => {
                message!["a key must be a string, not ", found, "; put text with brackets or braces in quotes"]
            }
            _ => message!["the key ", value(quote(text)), " is read as ", found, "; put it in quotes"],
        };
        self.problem(key.place, self.path.clone(), message);
        None
    }

    /// `<<: *map` or `<<: [*map, *other]`: existing keys win.
    fn merge(
        &mut self,
        place: Place,
        member: YamlNode,
        values: &mut Map<String, Value>,
        places: &mut BTreeMap<String, (Place, Places)>,
    ) {
        let sources = match member.content {
            YamlContent::List(items) => items,
            _ => vec![member],
        };
        for source in sources {
            let (Value::Object(from), Places::Map(mut from_places)) = self.build(source) else {
                self.problem(place, self.path.clone(), "\"<<\" takes a map or a list of maps");
                continue;
            };
            for (name, value) in from {
                if let (false, Some(place)) = (values.contains_key(&name), from_places.remove(&name)) {
                    values.insert(name.clone(), value);
                    places.insert(name, place);
                }
            }
        }
    }
}

/// Fields are written with a dot, free keys in brackets.
fn below(path: &FieldPath, name: &str) -> FieldPath {
    let field = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if field { path.child(name) } else { path.key(name) }
}
