//! Rules of the parameters: one name means the same in all templates, and no value can become
//! configuration.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::Subject;
use super::companions::{is_sentence, unless};
use crate::catalog::HARMLESS;

/// The pattern of every parameter with an image.
const IMAGE_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._/:@-]*$";
const DIRECTORY_PATTERN: &str = "^/[A-Za-z0-9/_.-]+$";

/// A public image with the host of its registry and a fixed tag.
pub static IMAGE: LazyLock<Regex> = LazyLock::new(|| {
    let tag = "[A-Za-z0-9_.-]*[0-9][A-Za-z0-9_.-]*";
    Regex::new(&format!(r"^[a-z0-9-]+(\.[a-z0-9-]+)+(/[a-z0-9._-]+)+:{tag}$")).expect("a pattern")
});

/// The expression of the first port that the app declares.
const FIRST_PORT: &str = "app.?ports[?0].?containerPort";

const PORTS: [&str; 5] = ["appPort", "port", "healthPort", "adminPort", "metricsPort"];
/// They belong to the one that they stand beside. Other ports than the usual ones do as well.
const ANYWHERE: [&str; 3] = ["appProtocol", "runAsUser", "volumeSize"];
const SIZES: [&str; 4] = ["cpuRequest", "cpuLimit", "memoryRequest", "memoryLimit"];

fn text<'v>(parameter: &'v Value, field: &str) -> &'v str {
    parameter[field].as_str().unwrap_or_default()
}

fn all<'s>(subject: &'s Subject<'_>) -> impl Iterator<Item = (&'s str, &'s Value)> {
    subject.entry.list("parameters").iter().map(|parameter| (text(parameter, "name"), parameter))
}

/// A violation for each parameter of which `fault` says something.
fn each(subject: &Subject<'_>, fault: impl Fn(&str, &Value) -> Option<String>) -> Vec<String> {
    all(subject).filter_map(|(name, value)| Some(format!("parameter {name}: {}", fault(name, value)?))).collect()
}

pub fn descriptions(subject: &Subject<'_>) -> Vec<String> {
    each(subject, |_, parameter| {
        let text = text(parameter, "description");
        unless(is_sentence(text), format!("the description is {text:?}; expected a sentence with a period"))
    })
}

pub fn rules(subject: &Subject<'_>) -> Vec<String> {
    each(subject, |_, parameter| {
        let has = |field: &str| parameter.get(field).is_some();
        let (holds, expected) = match text(parameter, "type") {
            "string" | "list" => (has("pattern"), "a pattern"),
            "map" => (has("pattern") && has("keyPattern"), "pattern and keyPattern"),
            "integer" | "number" => (has("minimum") || has("maximum"), "minimum or maximum"),
            _ => (true, ""),
        };
        unless(holds, format!("it has no rule; expected {expected}"))
    })
}

/// Text that a pattern must refuse: everywhere, in configuration, and in the text of a shell.
pub fn hostile_text(subject: &Subject<'_>) -> Vec<String> {
    let texts = Texts::of(subject.entry.spec());
    let example = subject.entry.parameters_of_example();
    each(subject, |name, parameter| {
        let patterns = [("pattern", parameter["pattern"].as_str()), ("keyPattern", parameter["keyPattern"].as_str())];
        let mut hostile = vec!["\n", "\r"];
        let reads = Regex::new(&format!(r"params\.\??{}\b", regex::escape(name))).expect("a pattern");
        if texts.configuration.iter().any(|text| reads.is_match(text)) {
            hostile.extend(["\"", "\\"]);
        }
        if texts.shell.iter().any(|text| reads.is_match(text)) {
            hostile.extend(["$", "`"]);
        }
        let own = example.iter().filter(|(key, _)| key.ends_with(&format!("/{name}")));
        let own = own.filter_map(|(_, value)| value.as_str()).chain(parameter["default"].as_str());
        let bases: Vec<&str> = own.filter(|text| !text.contains("${")).chain(HARMLESS).collect();
        patterns.into_iter().find_map(|(field, pattern)| {
            let pattern = Regex::new(pattern?).ok()?;
            let (hostile, value) = accepted(&pattern, &hostile, &bases)?;
            Some(format!("its {field} accepts {hostile:?}, such as in {value:?}"))
        })
    })
}

/// A hostile text that the pattern accepts somewhere in one of these values.
fn accepted<'h>(pattern: &Regex, hostile: &[&'h str], bases: &[&str]) -> Option<(&'h str, String)> {
    let with = |base: &str, hostile: &str| {
        let middle = base.char_indices().nth(base.chars().count() / 2).map_or(0, |(index, _)| index);
        [
            format!("{hostile}{base}"),
            format!("{}{hostile}{}", &base[..middle], &base[middle..]),
            format!("{base}{hostile}"),
        ]
    };
    hostile.iter().find_map(|hostile| {
        let values = bases.iter().flat_map(|base| with(base, hostile));
        values.into_iter().find(|value| pattern.is_match(value)).map(|value| (*hostile, value))
    })
}

/// Texts of the template that a parser of configuration or a shell reads.
#[derive(Default)]
struct Texts {
    configuration: Vec<String>,
    shell: Vec<String>,
}

impl Texts {
    fn of(spec: &Value) -> Self {
        let mut texts = Self::default();
        collect(&spec["files"], false, &mut texts.configuration);
        for list in ["sidecars", "initContainers"] {
            for container in spec[list].as_array().into_iter().flatten() {
                let words = [&container["command"], &container["args"]];
                let is_shell = words.iter().any(|words| words.to_string().contains("sh\""));
                let texts = if is_shell { &mut texts.shell } else { &mut texts.configuration };
                words.into_iter().for_each(|words| collect(words, true, texts));
            }
        }
        texts
    }
}

/// The texts below this value; with `of_lines` only those of several lines.
fn collect(value: &Value, of_lines: bool, texts: &mut Vec<String>) {
    match value {
        Value::String(text) if !of_lines || text.trim_end().contains('\n') => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, of_lines, texts)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, of_lines, texts)),
        _ => {}
    }
}

/// The template's own first, then ports, the log level, images, and sizes. Some stand anywhere.
pub fn order(subject: &Subject<'_>) -> Vec<String> {
    let rank = |name: &str| match name {
        name if PORTS.contains(&name) => 1,
        "logLevel" => 2,
        "image" => 3,
        name if name.ends_with("Image") => 4,
        name => SIZES.iter().position(|size| *size == name).map_or(0, |index| index + 5),
    };
    let is_fixed = |name: &&str| !ANYWHERE.contains(name) && (PORTS.contains(name) || !name.ends_with("Port"));
    let names: Vec<&str> = all(subject).map(|(name, _)| name).filter(is_fixed).collect();
    let wrong = names.windows(2).filter(|pair| rank(pair[0]) > rank(pair[1]));
    wrong.map(|pair| format!("parameter {} stands after {}", pair[1], pair[0])).collect()
}

/// Parameters that have one type, pattern or default everywhere.
pub fn usual(subject: &Subject<'_>) -> Vec<String> {
    each(subject, |name, parameter| {
        let (kind, pattern) = (text(parameter, "type"), text(parameter, "pattern"));
        let (holds, expected) = match name {
            "appPort" => {
                let computed = parameter["default"].as_str().is_some_and(|text| text.contains(FIRST_PORT));
                (kind == "port" && computed, "type port, default \"${app.?ports[?0].?containerPort}\"")
            }
            name if PORTS.contains(&name) => {
                (kind == "port" && parameter.get("default").is_some(), "type port, a default")
            }
            "logLevel" => (kind == "enum", "type enum"),
            name if name == "image" || name.ends_with("Image") => (
                kind == "string" && pattern == IMAGE_PATTERN,
                "type string, pattern \"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$\"",
            ),
            name if SIZES.contains(&name) || name == "volumeSize" => {
                (kind == "quantity" && parameter.get("default").is_some(), "type quantity, a default")
            }
            "runAsUser" => (kind == "integer" && parameter["minimum"] == 1, "type integer, minimum 1"),
            name if name.ends_with("Dir") => {
                (kind == "string" && pattern == DIRECTORY_PATTERN, "type string, pattern \"^/[A-Za-z0-9/_.-]+$\"")
            }
            _ => (true, ""),
        };
        unless(holds, format!("expected {expected}"))
    })
}

/// A parameter of another template with the same name has the same type. Of ports, [`usual`] says it.
pub fn types(subject: &Subject<'_>) -> Vec<String> {
    each(subject, |name, parameter| {
        if PORTS.contains(&name) {
            return None;
        }
        let others =
            subject.catalog.entries.iter().flat_map(|entry| entry.list("parameters").iter().map(move |p| (entry, p)));
        let mut others = others.filter(|(_, other)| text(other, "name") == name);
        let (entry, other) = others.find(|(_, other)| other["type"] != parameter["type"])?;
        Some(format!("the type is {}, and {} in template {}", parameter["type"], other["type"], entry.name))
    })
}

/// Default images are public, with a fixed tag. One that is computed is the app's.
pub fn images(subject: &Subject<'_>) -> Vec<String> {
    each(subject, |name, parameter| {
        if name != "image" && !name.ends_with("Image") {
            return None;
        }
        let image = text(parameter, "default");
        let holds = IMAGE.is_match(image) || image.starts_with("${app.") || parameter.get("default").is_none();
        unless(holds, format!("the default {image:?} is no full name of a public image with a fixed tag"))
    })
}

/// A template with containers has a parameter for each of its sizes, and for an image.
pub fn sizes(subject: &Subject<'_>) -> Vec<String> {
    if subject.entry.list("sidecars").is_empty() && subject.entry.list("initContainers").is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = all(subject).map(|(name, _)| name).collect();
    let has_image = names.iter().any(|name| *name == "image" || name.ends_with("Image"));
    let missing = SIZES.iter().filter(|name| !names.contains(name)).chain((!has_image).then_some(&"image"));
    missing.map(|name| format!("there is no parameter {name}")).collect()
}
