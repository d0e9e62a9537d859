//! Reads the configuration file, a YAML map of settings, into texts with their line numbers.
//!
//! It checks keys and the types of values; [`super::Config`] checks the values.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::given::GivenTexts;
use super::problem::{ConfigProblem, SettingSource};
use super::settings::{ALL, Arity, Setting};
use crate::inject::text::{nearest, quote};
use crate::reload::regular_file;

/// The settings in the file by key, and the problems of the file.
#[derive(Default)]
pub(super) struct FileLayer {
    pub given: BTreeMap<&'static str, GivenTexts>,
    pub problems: Vec<ConfigProblem>,
    /// Whether a file exists that could not be read or parsed.
    pub is_unread: bool,
}

/// Largest file that is read: far larger than a file with every setting and a comment for each.
const MAX_BYTES: u64 = 1024 * 1024;

/// Reads and parses the file at `path`.
pub(super) fn read(path: &Path) -> FileLayer {
    match regular_file::read_text(path, MAX_BYTES) {
        Ok(text) => parse(path, &text),
        Err(error) => FileLayer {
            problems: vec![problem(path, 0, format!("cannot read the configuration file: {error}"))],
            is_unread: true,
            ..FileLayer::default()
        },
    }
}

fn parse(path: &Path, text: &str) -> FileLayer {
    let mut layer = FileLayer::default();
    match document(text) {
        Ok(entries) => {
            for (key, shape) in entries {
                layer.add(path, &key, shape);
            }
        }
        Err(error) => {
            layer.is_unread = true;
            layer.problems.push(problem(path, line_of(&error), without_location(&error.to_string())));
        }
    }
    layer
}

/// The top-level entries of the only document; none in a file of comments alone.
fn document(text: &str) -> Result<Vec<(Spanned<String>, Shape)>, serde_saphyr::Error> {
    // Repeated keys are reported in `FileLayer::add`, together with all other problems.
    let options =
        serde_saphyr::options! { with_snippet: false, duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
    let documents: Vec<ConfigDocument> = serde_saphyr::from_multiple_with_options(text, options)?;
    Ok(documents.into_iter().flat_map(|document| document.0).collect())
}

fn line_of(error: &serde_saphyr::Error) -> u64 {
    error.location().map_or(0, |location| location.line())
}

/// The parser's message without its location, which [`ConfigProblem`] prints already.
fn without_location(message: &str) -> String {
    let message = message.lines().next().unwrap_or_default();
    match message.split(" at line ").next().unwrap_or_default() {
        "expected mapping start" => "expected settings as KEY: VALUE".to_owned(),
        message => message.to_owned(),
    }
}

fn problem(path: &Path, line: u64, message: String) -> ConfigProblem {
    ConfigProblem { source: SettingSource::File { path: path.to_owned(), line }, message }
}

impl FileLayer {
    fn add(&mut self, path: &Path, key: &Spanned<String>, shape: Shape) {
        let line = key.referenced.line();
        let Some(setting) = ALL.iter().find(|setting| setting.key == key.value) else {
            self.problems.push(problem(path, line, unknown(&key.value)));
            return;
        };
        match texts(setting, shape) {
            Ok(None) => {}
            Ok(Some(values)) => {
                let source = SettingSource::File { path: path.to_owned(), line };
                if self.given.insert(setting.key, GivenTexts { values, source }).is_some() {
                    self.problems.push(problem(path, line, format!("{:?} occurs twice", setting.key)));
                }
            }
            Err(message) => self.problems.push(problem(path, line, message)),
        }
    }
}

/// The texts of one setting; `None` if the entry has no value.
fn texts(setting: &Setting, shape: Shape) -> Result<Option<Vec<String>>, String> {
    match (setting.arity, shape) {
        (_, Shape::Null) => Ok(None),
        (_, Shape::Scalar(text)) => Ok(Some(vec![text])),
        (Arity::Many, Shape::List(items)) => {
            let scalar = |item| if let Shape::Scalar(text) = item { Some(text) } else { None };
            let values: Option<Vec<String>> = items.into_iter().map(scalar).collect();
            values.map(Some).ok_or_else(|| format!("{:?}: expected a list of strings", setting.key))
        }
        (Arity::Many, Shape::Map) => Err(format!("{:?}: expected a list of strings, found a map", setting.key)),
        (_, Shape::List(_)) => Err(format!("{:?}: expected one value, found a list", setting.key)),
        (_, Shape::Map) => Err(format!("{:?}: expected one value, found a map", setting.key)),
    }
}

fn unknown(key: &str) -> String {
    let near = nearest(key, ALL.iter().map(|setting| setting.key));
    let hint = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    format!("unknown setting {}{hint}", quote(key))
}

/// The entries of a document in their order, including repeated keys.
struct ConfigDocument(Vec<(Spanned<String>, Shape)>);

impl<'de> Deserialize<'de> for ConfigDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ConfigDocumentVisitor)
    }
}

struct ConfigDocumentVisitor;

impl<'de> Visitor<'de> for ConfigDocumentVisitor {
    type Value = ConfigDocument;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settings as KEY: VALUE")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ConfigDocument, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(ConfigDocument(entries))
    }
}

/// A value of the file. Scalars are kept as text, whatever their YAML type.
enum Shape {
    Null,
    Scalar(String),
    List(Vec<Self>),
    Map,
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Shape, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Shape::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Shape::Map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Vec<(&'static str, Vec<String>)>, Vec<String>) {
        let layer = parse(Path::new("f.yaml"), text);
        let given = layer.given.into_iter().map(|(key, given)| (key, given.values)).collect();
        (given, layer.problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn scalars_lists_and_nulls_are_read() {
        let text = "# a comment\nlisten: 0.0.0.0:9443\nstrict: true\ntlsMinVersion: 1.2\ntemplates: [a, b]\ndevHost:\n- x\nlogLevel:\n";
        let (given, problems) = parsed(text);
        assert_eq!(problems, [""; 0]);
        let of = |key: &str| given.iter().find(|(found, _)| *found == key).map(|(_, values)| values.join("|"));
        assert_eq!(of("listen").as_deref(), Some("0.0.0.0:9443"));
        assert_eq!(of("strict").as_deref(), Some("true"));
        assert_eq!(of("tlsMinVersion").as_deref(), Some("1.2"));
        assert_eq!(of("templates").as_deref(), Some("a|b"));
        assert_eq!(of("devHost").as_deref(), Some("x"));
        assert_eq!(of("logLevel"), None);
    }

    #[test]
    fn a_file_of_comments_has_no_settings() {
        assert_eq!(parsed("# nothing\n"), (Vec::new(), Vec::new()));
        assert_eq!(parsed(""), (Vec::new(), Vec::new()));
    }

    #[test]
    fn all_wrong_keys_and_types_are_listed_with_their_lines() {
        let (_, problems) =
            parsed("lisen: x\nlisten: [a]\ntemplates: {a: b}\nfoo: 1\nadminListen: a\nadminListen: b\n");
        assert_eq!(
            problems,
            [
                "f.yaml:1: unknown setting \"lisen\"; did you mean \"listen\"?",
                "f.yaml:2: \"listen\": expected one value, found a list",
                "f.yaml:3: \"templates\": expected a list of strings, found a map",
                "f.yaml:4: unknown setting \"foo\"",
                "f.yaml:6: \"adminListen\" occurs twice",
            ]
        );
    }

    #[test]
    fn a_list_of_lists_is_refused() {
        assert_eq!(parsed("templates: [[a]]\n").1, ["f.yaml:1: \"templates\": expected a list of strings"]);
    }

    #[test]
    fn a_file_that_is_not_a_yaml_map_is_one_problem() {
        for text in ["- a\n", "listen: [\n", "listen: a\n\tb: c\n"] {
            let (given, problems) = parsed(text);
            assert!(given.is_empty() && problems.len() == 1 && problems[0].starts_with("f.yaml"), "{problems:?}");
        }
    }

    #[test]
    fn a_file_that_is_a_list_gets_the_expected_format_as_message() {
        assert_eq!(parsed("- a\n").1, ["f.yaml:1: expected settings as KEY: VALUE"]);
    }
}
