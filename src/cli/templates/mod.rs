//! `outrigger templates`: which templates there are, and how to ask for one.

mod details;

use std::fmt::Write;

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;

use self::details::{Details, Parameter};
use super::cluster::{self, ClusterArgs, Failure};
use super::engine::{self, TemplateArgs};
use super::report::Report;
use super::table::{self, Cell};
use super::terminal::{self, Colour, Colours, printable};
use super::{complete, stdio, template_objects, values};
use crate::api::template_object::TemplateKind;
use crate::config::settings;
use crate::inject::TemplateSet;
use crate::inject::annotations::AnnotationKeys;

/// Show the templates, or how to ask for one
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
pub(super) struct TemplatesArgs {
    /// Only this template: its parameters, what it brings, and annotations to paste
    #[arg(value_name = "NAME", add = complete::templates())]
    name: Option<String>,

    #[command(flatten)]
    templates: TemplateArgs,

    /// Show the template objects of the cluster instead
    #[arg(long, conflicts_with = "templates")]
    in_cluster: bool,

    /// Namespace whose templates are shown with those of the cluster [default: all]
    #[arg(short, long, value_name = "NAMESPACE", requires = "in_cluster", value_parser = values::namespace, add = complete::namespaces())]
    namespace: Option<String>,

    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: TemplatesFormat,

    /// Domain of all annotations and labels
    #[arg(long, value_name = "DOMAIN", default_value = settings::DOMAIN.default, value_parser = values::domain)]
    domain: String,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// How templates are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TemplatesFormat {
    /// A table, or a page about one template
    Text,
    /// One object
    Json,
}

const LONG_ABOUT: &str = "\
Shows the templates with their descriptions, or of one its parameters, what it brings, and annotations to paste.

Examples:
  The built-in templates:
    outrigger templates
  How to ask for one:
    outrigger templates log-collector
  Your own, from a directory:
    outrigger templates --templates ./templates
  The template objects of a cluster:
    outrigger templates --in-cluster

A template of a namespace is shown as NAMESPACE/NAME.";

/// What is printed as JSON.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct JsonReport<'r> {
    /// The templates, those of the cluster first, by name.
    templates: &'r [Details],
}

/// Prints the templates.
pub(super) fn run(args: &TemplatesArgs) -> anyhow::Result<()> {
    args.cluster.check_use(args.in_cluster)?;
    let templates = if args.in_cluster { cluster::block_on(of_cluster(args))? } else { of_files(args)? };
    let keys = AnnotationKeys::new(&args.domain);
    let all: Vec<Details> = templates.all().filter_map(|status| Details::of(&status, &keys)).collect();
    let chosen: Vec<Details> = match &args.name {
        None => all,
        Some(name) => named(name, &all)?,
    };
    if chosen.is_empty() && args.output == TemplatesFormat::Text {
        stdio::print_message("there are no templates");
        return Ok(());
    }
    stdio::print(match (args.output, &args.name) {
        (TemplatesFormat::Json, _) => terminal::json(&JsonReport { templates: &chosen })?,
        (TemplatesFormat::Text, None) => list(&chosen, Colours::of_stdout(), stdio::width()),
        (TemplatesFormat::Text, Some(_)) => {
            chosen.iter().map(|one| page(one, Colours::of_stdout())).collect::<Vec<_>>().join("\n")
        }
    })
}

fn of_files(args: &TemplatesArgs) -> anyhow::Result<TemplateSet> {
    let mut report = Report::new(true, false);
    Ok(engine::load_templates(&args.templates, &mut report)?)
}

/// The template objects of the cluster. What cannot be read is told on stderr.
async fn of_cluster(args: &TemplatesArgs) -> anyhow::Result<TemplateSet> {
    let kinds = TemplateKind::ALL;
    let (objects, failures) = template_objects::read(&args.cluster, &kinds, args.namespace.as_deref()).await?;
    let is_unread = objects.is_empty() && failures.len() == kinds.len();
    for failure in failures {
        let line = match failure {
            Failure::Forbidden { right } => format!("the right to {right} is missing; its templates are left out"),
            Failure::Other { what, problem } => format!("cannot {what}: {problem}"),
        };
        stdio::print_message(&format!("warning: {}", printable(&line)));
    }
    if is_unread {
        bail!("no template object could be read");
    }
    Ok(template_objects::load(objects))
}

/// The templates of this name: one of the cluster, and those of namespaces.
fn named(name: &str, all: &[Details]) -> anyhow::Result<Vec<Details>> {
    let found: Vec<Details> = all.iter().filter(|one| one.name == name || title(one) == name).cloned().collect();
    if found.is_empty() {
        let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        bail!(template_objects::none_is_called(name, &names));
    }
    Ok(found)
}

/// The name, after that of its namespace if it has one.
fn title(one: &Details) -> String {
    one.namespace.as_ref().map_or_else(|| one.name.clone(), |namespace| format!("{namespace}/{}", one.name))
}

/// A line for each template; on a terminal, descriptions are cut to its width.
fn list(all: &[Details], colours: Colours, width: Option<usize>) -> String {
    let rows: Vec<Vec<Cell>> = all
        .iter()
        .map(|one| {
            vec![Cell::of(&title(one)), Cell::of(&one.revision), Cell::of(one.injection), Cell::of(&one.description)]
        })
        .collect();
    let text = table::render(&["NAME", "REVISION", "INJECTION", "DESCRIPTION"], &rows, colours);
    match width {
        None => text,
        Some(width) => text.lines().map(|line| table::cut(line, width) + "\n").collect(),
    }
}

/// Everything that a person needs to ask for one template.
fn page(one: &Details, colours: Colours) -> String {
    let mut text = format!("{}\n", colours.paint(Colour::Bold, &printable(&title(one))));
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a String cannot fail.
            _ = writeln!(text, "  {label:<14}{}", printable(value));
        }
    };
    line("description", &one.description);
    line("revision", &one.revision);
    line("origin", &one.origin);
    line("injection", one.injection);
    let matching = if one.matching.is_null() { String::new() } else { one.matching.to_string() };
    line("match", &matching);
    line("requires", &one.requires.join(", "));
    line("excludes", &one.excludes.join(", "));
    let brings = &one.brings;
    for (label, items) in [
        ("sidecars", &brings.sidecars),
        ("init", &brings.init_containers),
        ("volumes", &brings.volumes),
        ("files", &brings.files),
        ("app", &brings.app),
        ("metadata", &brings.metadata),
        ("pod", &brings.pod),
    ] {
        line(label, &items.join(", "));
    }
    if !one.parameters.is_empty() {
        _ = writeln!(text, "\n  {}", colours.paint(Colour::Bold, "parameters"));
    }
    for parameter in &one.parameters {
        _ = writeln!(text, "    {}", printable(&declaration(parameter)));
        if !parameter.description.is_empty() {
            _ = writeln!(text, "      {}", printable(&parameter.description));
        }
    }
    text + "\n" + &annotations(one)
}

/// `level: enum, one of low, high; default "low"`
fn declaration(parameter: &Parameter) -> String {
    let rules: String = parameter.rules.iter().map(|rule| format!(", {rule}")).collect();
    let default = match &parameter.default {
        None => "required".to_owned(),
        Some(_) if parameter.computed => "by default computed for each pod".to_owned(),
        Some(default) => format!("default {}", json!(default)),
    };
    format!("{}: {}{rules}; {default}", parameter.name, parameter.kind)
}

/// A block of YAML for the pod's metadata; what has a default is a comment.
fn annotations(one: &Details) -> String {
    let mut text = "  annotations:\n".to_owned();
    let quoted = |value: &str| terminal::visible_in_yaml(&json!(value).to_string());
    let entry = |key: &str, value: &str| format!("{}: {}", printable(key), quoted(value));
    let request = one.annotations.iter().find(|(key, _)| !one.parameters.iter().any(|own| own.annotation == **key));
    if let Some((key, value)) = request {
        _ = writeln!(text, "    {}", entry(key, value));
    }
    for parameter in &one.parameters {
        _ = match &parameter.default {
            None => writeln!(text, "    {}  # required", entry(&parameter.annotation, "")),
            Some(_) if parameter.computed => writeln!(text, "    # {}: \"…\"", printable(&parameter.annotation)),
            Some(default) => writeln!(text, "    # {}", entry(&parameter.annotation, default)),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::schemas::tests::assert_published;
    use super::*;
    use crate::api::template_object::ObjectKey;
    use crate::inject::text::is_unprintable;

    #[test]
    fn published_schema_is_that_of_the_templates() {
        assert_published::<JsonReport<'_>>("templates");
    }

    #[test]
    fn defaults_with_control_characters_are_escaped_and_can_be_pasted() {
        const HOSTILE: &str = "\u{9b}2J\u{1b}]0;x\u{7}\u{202e}\u{7f}\u{e0001}";
        let spec = json!({
            "parameters": [{"name": "text", "type": "string", "default": HOSTILE}],
            "sidecars": [{"name": "agent", "image": "agent:1", "args": ["${params.text}"]}],
        });
        let key = ObjectKey { namespace: None, name: "agent".to_owned() };
        let templates = template_objects::load(vec![template_objects::tests::object(key, &spec)]);
        let status = templates.all().next().expect("a template");
        let details = Details::of(&status, &AnnotationKeys::new("outrigger.dev")).expect("it works");
        let text = page(&details, Colours::Hidden);
        assert!(!text.contains(|character| character != '\n' && is_unprintable(character)), "{text:?}");
        let (_, block) = text.split_once("  annotations:\n").expect("a block");
        let block: String =
            block.lines().map(|line| line.trim_start().trim_start_matches("# ").to_owned() + "\n").collect();
        let pasted: Value = serde_saphyr::from_str(&block).expect("YAML");
        assert_eq!(pasted, json!({"outrigger.dev/inject": "agent", "agent.outrigger.dev/text": HOSTILE}));
    }
}
