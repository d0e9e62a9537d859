//! `outrigger convert`: turns configurations of other injectors into templates.
//!
//! Invariant: templates that are printed load; what they do not carry is listed on stderr and in them.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;

use super::documents::{self, InputArgs, InputFile, Source};
use super::errors::ErrorList;
use super::terminal::printable;
use super::yaml::YamlDocument;
use super::{output, stdio, terminal, yaml};
use crate::config::settings;
use crate::convert::{
    self, Conversion, ConvertedTemplate, Hint, Lost, PartLines, SourceDocument, SourceFormat, YamlText,
};
use crate::inject::{SourceText, TemplateSet};

/// Turn configurations of other injectors into templates
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
pub(super) struct ConvertArgs {
    #[command(flatten)]
    input: InputArgs,

    /// Injector that the input is for [default: recognised by its content]
    #[arg(long, value_name = "INJECTOR")]
    from: Option<FromInjector>,

    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    output: ConvertFormat,

    /// Print nothing and fail where something cannot be carried over
    #[arg(long)]
    strict: bool,
}

const LONG_ABOUT: &str = "\
Turns configurations of other injectors into templates, and lists everything that cannot be carried over.

Examples:
  Convert what a cluster has, and look at what is lost:
    kubectl get sidecarsets -o yaml | outrigger convert -f - > templates.yaml
  Convert configuration files, of which one inherits from the other:
    outrigger convert -f conf/base.yaml -f conf/web.yaml > templates.yaml
  Say which injector a file is for:
    outrigger convert -f config.yaml --from ricoberger
  Fail where anything is lost:
    outrigger convert -f sidecarset.yaml --strict

Reads Istio's custom templates (the ConfigMap istio-sidecar-injector, values of the chart, an IstioOperator), files \
and ConfigMaps of the sidecar injectors of tumblr, morvencao and ricoberger, SidecarSets of OpenKruise, and PodPresets. \
Each field that no template carries is a line `lost:` on stderr and a comment in the output; lines `hint:` say what to \
write on pods and namespaces instead of the old annotations. Templates that would not load are errors that name the \
place in the input; then nothing is printed and the exit code is 1.";

/// The injector that the input is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FromInjector {
    /// Custom injection templates of Istio
    Istio,
    /// k8s-sidecar-injector of tumblr
    Tumblr,
    /// kube-sidecar-injector of morvencao
    Morvencao,
    /// sidecar-injector of ricoberger
    Ricoberger,
    /// SidecarSet of OpenKruise
    Sidecarset,
    /// PodPreset of Kubernetes before 1.20
    Podpreset,
}

impl FromInjector {
    const fn format(self) -> SourceFormat {
        match self {
            Self::Istio => SourceFormat::Istio,
            Self::Tumblr => SourceFormat::Tumblr,
            Self::Morvencao => SourceFormat::Morvencao,
            Self::Ricoberger => SourceFormat::Ricoberger,
            Self::Sidecarset => SourceFormat::SidecarSet,
            Self::Podpreset => SourceFormat::PodPreset,
        }
    }
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ConvertFormat {
    /// Template documents with comments
    Yaml,
    /// One object: templates, lost fields and hints
    Json,
}

/// The result as JSON.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct JsonConversion<'c> {
    templates: Vec<JsonTemplate<'c>>,
    /// Fields of the input that no template carries.
    lost: Vec<JsonLost<'c>>,
    /// What to write on pods and namespaces.
    hints: Vec<JsonHint<'c>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct JsonTemplate<'c> {
    /// The document.
    template: &'c Value,
    /// What it was made of: file and line.
    source: &'c str,
    /// Injector of the source, as `--from` names it.
    format: &'static str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct JsonLost<'c> {
    file: &'c str,
    /// 1-based.
    line: usize,
    /// The field, such as `spec.containers[0].upgradeStrategy`.
    path: &'c str,
    why: &'c str,
    /// What to do instead.
    instead: &'c str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct JsonHint<'c> {
    /// As the other injector reads it.
    before: &'c str,
    /// As Outrigger reads it.
    after: &'c str,
}

/// Reads the input, converts and prints.
pub(super) fn run(args: &ConvertArgs) -> anyhow::Result<()> {
    let files = documents::read_any(&args.input, settings::DOMAIN.default)?;
    let documents = files.iter().flat_map(source_documents).collect();
    let conversion = convert::convert(documents, args.from.map(FromInjector::format), &read_yaml);
    ErrorList::from_iter(conversion.problems.clone()).or(())?;
    check(&conversion.templates)?;
    say(&conversion);
    if conversion.templates.is_empty() {
        return Err(anyhow::anyhow!("no template can be made of the input; the lines above say why"));
    }
    if args.strict && !conversion.lost.is_empty() {
        let count = conversion.lost.len();
        return Err(anyhow::anyhow!(
            "{count} fields cannot be carried over, which --strict refuses; see the lines above"
        ));
    }
    stdio::print(match args.output {
        ConvertFormat::Yaml => yaml_output(&conversion)?,
        ConvertFormat::Json => terminal::json(&json_output(&conversion))?,
    })
}

fn source_documents(file: &InputFile) -> Vec<SourceDocument> {
    let document = |document: &documents::InputDocument| {
        let lines = match &document.source {
            Source::Yaml(source) => lines_of_yaml(source, &document.value),
            Source::Json(source) => {
                let parts = parts(&document.value);
                // A text of JSON stands on one line.
                let line = |(pointer, _): (String, &Value)| (pointer.clone(), source.line(&pointer));
                PartLines { lines: parts.into_iter().map(line).collect(), ..PartLines::default() }
            }
        };
        SourceDocument { file: file.origin.clone(), value: document.value.clone(), lines }
    };
    file.documents.iter().map(document).collect()
}

fn lines_of_yaml(document: &YamlDocument, value: &Value) -> PartLines {
    let mut lines = PartLines::default();
    for (pointer, value) in parts(value) {
        let is_literal = document.is_literal(&pointer);
        let line =
            if value.is_string() && !is_literal { document.line_of_key(&pointer) } else { document.line(&pointer) };
        if is_literal {
            lines.literals.insert(pointer.clone());
        }
        lines.lines.insert(pointer, line);
    }
    lines
}

/// All parts of a value with their JSON Pointers.
fn parts(value: &Value) -> Vec<(String, &Value)> {
    let mut parts = Vec::new();
    let mut open = vec![(String::new(), value)];
    while let Some((pointer, value)) = open.pop() {
        match value {
            Value::Object(map) => open.extend(map.iter().map(|(key, value)| {
                let token = key.replace('~', "~0").replace('/', "~1");
                (format!("{pointer}/{token}"), value)
            })),
            Value::Array(items) => {
                open.extend(items.iter().enumerate().map(|(at, item)| (format!("{pointer}/{at}"), item)));
            }
            _ => {}
        }
        parts.push((pointer, value));
    }
    parts
}

/// YAML inside a value.
fn read_yaml(text: &str) -> YamlText {
    match yaml::read(text) {
        Ok(documents) => Ok(documents
            .into_iter()
            .map(|(document, value)| {
                let lines = lines_of_yaml(&document, &value);
                (value, lines)
            })
            .collect()),
        Err(problems) => Err(problems.first().map_or((1, String::new()), |one| (one.line, one.message.to_string()))),
    }
}

/// Compiles the templates; errors name the place in the input.
fn check(templates: &[ConvertedTemplate]) -> Result<(), ErrorList> {
    let mut problems = ErrorList::default();
    let mut names = BTreeMap::new();
    for template in templates {
        let name = (template.value.pointer("/metadata/namespace").cloned(), template.name().to_owned());
        if let Some(other) = names.insert(format!("{name:?}"), &template.from) {
            let name = template.name();
            problems
                .push(format!("{}: the name {name:?} is that of a template from {other}; rename one", template.from));
        }
        let text = terminal::visible_in_yaml(&template.value.to_string());
        let source = SourceText { origin: template.from.clone(), text };
        for problem in TemplateSet::load(&[source]).problems {
            let hint = problem.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
            let place = template.source_of(&problem.path);
            problems.push(format!(
                "{place}: the template {:?} would not load: {}{hint}",
                template.name(),
                problem.message
            ));
        }
    }
    problems.or(())
}

/// What was recognised and renamed, what is lost, and what to write on pods.
fn say(conversion: &Conversion) {
    for (place, format) in &conversion.found {
        stdio::print_message(&printable(&format!("{place}: read as {}", format.name())));
    }
    for (place, before, after) in &conversion.renamed {
        stdio::print_message(&printable(&format!(
            "{place}: {before:?} is no DNS label; the template is called {after:?}"
        )));
    }
    for lost in &conversion.lost {
        stdio::print_message(&printable(&format!("lost: {}", sentence(lost))));
    }
    for Hint { before, after } in &conversion.hints {
        stdio::print_message(&printable(&format!("hint: {before} -> {after}")));
    }
}

fn sentence(lost: &Lost) -> String {
    let Lost { file, line, path, why, instead } = lost;
    format!("{file}:{line}: {path}: {why}; instead: {instead}")
}

fn yaml_output(conversion: &Conversion) -> anyhow::Result<String> {
    let mut text = String::new();
    if !conversion.lost.is_empty() {
        // Writing to a String cannot fail.
        _ = writeln!(text, "# Not carried over:");
        for lost in &conversion.lost {
            _ = writeln!(text, "# - {}", printable(&sentence(lost)));
        }
    }
    for (at, template) in conversion.templates.iter().enumerate() {
        if at > 0 {
            text.push_str("---\n");
        }
        _ = writeln!(text, "# Converted from {} ({}).", printable(&template.from), template.format.name());
        text.push_str(&commented(template, &conversion.lost)?);
    }
    Ok(text)
}

/// The template with a comment above each item of which a part is lost.
fn commented(template: &ConvertedTemplate, lost: &[Lost]) -> anyhow::Result<String> {
    let text = output::yaml_document(&template.value)?;
    let losses = template.losses_of_items(lost);
    let documents = yaml::read(&text).ok().filter(|_| !losses.is_empty()).unwrap_or_default();
    let Some((document, _)) = documents.first() else { return Ok(text) };
    let mut comments = BTreeMap::<usize, Vec<String>>::new();
    for loss in losses {
        let Lost { why, instead, .. } = loss.lost;
        let comment = format!("# Not carried over: {}: {why}; instead: {instead}", loss.field);
        comments.entry(document.line(&loss.pointer)).or_default().push(printable(&comment));
    }
    let mut commented = String::new();
    for (at, line) in text.lines().enumerate() {
        let indent = &line[..line.len() - line.trim_start().len()];
        for comment in comments.get(&(at + 1)).into_iter().flatten() {
            commented.extend([indent, comment, "\n"]);
        }
        commented.extend([line, "\n"]);
    }
    Ok(commented)
}

fn json_output(conversion: &Conversion) -> JsonConversion<'_> {
    JsonConversion {
        templates: conversion
            .templates
            .iter()
            .map(|one| JsonTemplate { template: &one.value, source: &one.from, format: one.format.name() })
            .collect(),
        lost: conversion
            .lost
            .iter()
            .map(|lost| JsonLost {
                file: &lost.file,
                line: lost.line,
                path: &lost.path,
                why: &lost.why,
                instead: &lost.instead,
            })
            .collect(),
        hints: conversion.hints.iter().map(|Hint { before, after }| JsonHint { before, after }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::schemas;
    use super::*;

    #[test]
    fn published_schema_is_that_of_the_conversion() {
        schemas::tests::assert_published::<JsonConversion<'_>>("convert");
    }

    #[test]
    fn texts_that_yaml_must_escape_are_converted() {
        let spec = serde_json::json!({"selector": {"matchLabels": {"app": "web"}},
            "containers": [{"name": "agent", "image": "agent:1", "args": ["a\u{9b}2J\u{7f}\u{e0001}"]}]});
        let value = serde_json::json!({"apiVersion": "apps.kruise.io/v1alpha1", "kind": "SidecarSet",
            "metadata": {"name": "agent"}, "spec": spec});
        let document = SourceDocument { file: "a.json".to_owned(), value, lines: PartLines::default() };
        let conversion = convert::convert(vec![document], None, &read_yaml);
        assert_eq!(conversion.templates.len(), 1, "{:?}", conversion.problems);
        assert!(check(&conversion.templates).is_ok());
    }
}
