//! The generated parts of a page: what to paste, the parameters, the costs, the cases that run.
//!
//! Invariant: each part is made of the template, its example and its cases alone.

use serde_json::Value;

use super::case::{Case, Part};
use super::entry::Entry;
use super::scene::{list, text};

/// The parts in the order in which a page has them, each with its mark.
pub fn of(entry: &Entry, cases: &[Case]) -> [(&'static str, String); 4] {
    [
        ("summary", summary(entry)),
        ("parameters", parameters(entry)),
        ("cost", cost(entry)),
        ("runs", runs(entry, cases)),
    ]
}

pub fn index_head(count: usize) -> String {
    format!(
        "# The catalog\n\nThe {count} built-in templates, by pattern. Each is named in an annotation of a pod, and set by \
         parameters\nalone; its page lists them. [Conventions](conventions.md) tells what all of them have in common.\n\n\
         A test writes this page and its pictures from the templates. In the pictures, blue is what the\ntemplate brings; \
         arrows are calls to a port, and mounts of a volume.\n"
    )
}

pub fn index_entry(entry: &Entry) -> String {
    let (name, description) = (entry.name(), entry.description());
    format!(
        "\n### [{name}]({name}.md)\n\n{description}\n\n{}\n![The pod of the example with {name}]({name}.svg)\n",
        to_paste(entry)
    )
}

/// What a pod template needs, as YAML.
fn to_paste(entry: &Entry) -> String {
    if entry.is_automatic() {
        let labels = entry.before["metadata"]["labels"].as_object().into_iter().flatten();
        let own = format!("{}/", entry.name());
        let chosen = labels.filter(|(key, _)| key.starts_with(&own));
        let lines: Vec<String> = chosen.map(|(key, value)| format!("labels:\n  {key}: {value}")).collect();
        return format!("```yaml\n{}\n```\n", lines.join("\n"));
    }
    format!("```yaml\nannotations:\n  {}\n```\n", entry.annotations().join("\n  "))
}

fn summary(entry: &Entry) -> String {
    let name = entry.name();
    format!(
        "{}\n![The pod of the example with {name}]({name}.svg)\n\nPod Security: `{}`. Files: \
         [template](../../config/templates/{name}.yaml),\n[cases](../../config/templates/{name}.test.yaml),\n\
         [example](../../config/examples/{name}.yaml).",
        to_paste(entry),
        entry.level()
    )
}

fn parameters(entry: &Entry) -> String {
    if entry.parameters().is_empty() {
        return "The template has no parameters.".to_owned();
    }
    let mut table = "| parameter | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    for parameter in entry.parameters() {
        let default = match parameter.get("default") {
            None => "required".to_owned(),
            Some(Value::String(value)) if value.replace("$${", "").contains("${") => "computed".to_owned(),
            Some(Value::String(value)) if value.is_empty() => "empty".to_owned(),
            Some(Value::String(value)) => code(value),
            Some(other) => code(&other.to_string()),
        };
        let meaning = [text(&parameter["description"]), &rule(parameter)].join(" ");
        table.push_str(&format!(
            "| `{}` | {} | {default} | {} |\n",
            text(&parameter["name"]),
            text(&parameter["type"]),
            meaning.trim().replace('|', "\\|").replace('\n', " ")
        ));
    }
    format!("A pod sets them with `{}.outrigger.dev/PARAMETER`.\n\n{table}", entry.name())
}

/// The rule of the values, if there is one.
fn rule(parameter: &Value) -> String {
    let number = |key: &str, word: &str| parameter.get(key).map(|bound| format!("{word} {bound}"));
    let texts = |key: &str, word: &str| parameter[key].as_str().map(|pattern| format!("{word} {}", code(pattern)));
    let values: Vec<String> = list(parameter, "values").iter().map(|value| code(text(value))).collect();
    let rules = [
        (!values.is_empty()).then(|| format!("one of {}", values.join(", "))),
        number("minimum", "at least"),
        number("maximum", "at most"),
        texts("keyPattern", "keys match"),
        texts("pattern", "matches"),
        number("maxItems", "items: at most"),
    ];
    let rules: Vec<String> = rules.into_iter().flatten().collect();
    if rules.is_empty() { String::new() } else { format!("Rule: {}.", rules.join(", ")) }
}

/// Text as code in a table, with a fence that the text does not contain.
fn code(text: &str) -> String {
    let text = text.replace('\n', " ").replace('|', "\\|");
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

fn cost(entry: &Entry) -> String {
    let containers = entry.containers();
    let mut parts = Vec::new();
    if containers.is_empty() {
        parts.push("The template brings no containers.".to_owned());
    } else {
        let mut table = "| container | kind | requests | limits |\n|---|---|---|---|\n".to_owned();
        for (kind, container) in containers {
            let amounts = |part: &str| {
                let amounts = container["resources"][part].as_object().into_iter().flatten();
                amounts.map(|(name, amount)| format!("{name} {}", text(amount))).collect::<Vec<_>>().join(", ")
            };
            let name = text(&container["name"]);
            table.push_str(&format!("| `{name}` | {kind} | {} | {} |\n", amounts("requests"), amounts("limits")));
        }
        parts.push(format!("With the parameters of the example:\n\n{}", table.trim()));
    }
    let volumes = entry.volumes();
    let sized = volumes.iter().filter_map(|volume| {
        let limit = volume["emptyDir"]["sizeLimit"].as_str()?;
        let place = if volume["emptyDir"]["medium"] == "Memory" { "memory" } else { "the node's disk" };
        Some(format!("`{}`: at most {limit} of {place}.", text(&volume["name"])))
    });
    parts.extend(sized);
    parts.join("\n\n")
}

fn runs(entry: &Entry, cases: &[Case]) -> String {
    let cases: Vec<&Case> =
        cases.iter().filter(|case| case.templates.iter().any(|name| name == entry.name())).collect();
    if cases.is_empty() {
        return "No case runs this template.".to_owned();
    }
    let text = |case: &&Case| {
        let part = match case.part {
            Part::Short => "every run",
            Part::Long => "the long part",
        };
        let steps: Vec<String> = case.steps.iter().map(|step| format!("- {}", step.name)).collect();
        format!(
            "[{name}](../../tests/e2e/catalog/{name}.yaml),\n{part}, Pod Security `{level}`:\n\n{}",
            steps.join("\n"),
            name = case.name,
            level = case.pod_security
        )
    };
    cases.iter().map(text).collect::<Vec<_>>().join("\n\n")
}
