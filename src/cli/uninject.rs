//! `outrigger uninject`: removes what the status annotation of each pod lists as injected.
//!
//! It needs no templates. Invariant: a pod without a status annotation is printed as it was read.

use clap::Args;
use serde_json::Value;

use super::documents::{self, InputArgs, InputDocument};
use super::errors::ErrorList;
use super::output::{self, Change, UninjectFormat};
use super::{stdio, values};
use crate::config::settings;
use crate::inject;
use crate::workload::PodLocation;

/// Remove injected sidecars from the pods and workloads of files
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
pub(super) struct UninjectArgs {
    #[command(flatten)]
    input: InputArgs,

    /// Domain of all annotations and labels
    #[arg(long, value_name = "DOMAIN", default_value = settings::DOMAIN.default, value_parser = values::domain)]
    domain: String,

    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    output: UninjectFormat,
}

const LONG_ABOUT: &str = "\
Removes injected sidecars from the pods and workloads of files, with all that came with them.

Examples:
  Give back the file as it was before the injection:
    outrigger uninject -f injected.yaml
  Show what a workload carries:
    kubectl get deployment web -o yaml | outrigger uninject -f - -o diff

The annotation outrigger.dev/status of each pod lists what was injected; exactly that is removed. Objects keep their \
order; keys are printed in a fixed order and comments are not kept.";

/// Reads the input, removes sidecars and prints.
pub(super) fn run(args: &UninjectArgs) -> anyhow::Result<()> {
    let mut problems = ErrorList::default();
    let documents = documents::read(&args.input, &args.domain)?.into_iter();
    let changes = documents.filter_map(|document| problems.keep(uninject_document(document, &args.domain)));
    let changes: Vec<_> = changes.collect();
    let changes = problems.or(changes)?;
    stdio::print(&render(args.output, &changes)?)
}

fn uninject_document(document: InputDocument, domain: &str) -> Result<Change, ErrorList> {
    let mut problems = ErrorList::default();
    let mut after = document.value.clone();
    for location in &document.pods {
        problems.keep(uninject_pod(&mut after, location, domain));
    }
    problems.or(Change { title: document.title(), before: document.value, after })
}

fn uninject_pod(document: &mut Value, location: &PodLocation, domain: &str) -> Result<(), ErrorList> {
    let Some(template) = location.template(document) else { return Ok(()) };
    match inject::uninject(template, domain).map_err(|error| format!("{}: {error}", location.object))? {
        Some(pod) => location.put(document, pod),
        None => stdio::print_message(&format!("{}: contains nothing that was injected", location.object)),
    }
    Ok(())
}

fn render(format: UninjectFormat, changes: &[Change]) -> anyhow::Result<String> {
    match format {
        UninjectFormat::Yaml => output::yaml(&output::after(changes)),
        UninjectFormat::Json => output::json(&output::after(changes)),
        UninjectFormat::Diff => output::diff(changes, stdio::shows_colours()),
    }
}
