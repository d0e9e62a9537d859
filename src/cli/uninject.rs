//! `outrigger uninject`: removes what the status annotation of each pod lists as injected.
//!
//! It needs no templates. Invariant: a pod without a status annotation is printed as it was read.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::Value;

use super::documents::{self, InputArgs, InputFile};
use super::output::{self, UninjectFormat};
use super::report::Report;
use super::rewrite::{self, ChangedFile};
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

    /// Print only warnings and errors on stderr
    #[arg(short, long)]
    quiet: bool,
}

const LONG_ABOUT: &str = "\
Removes injected sidecars from the pods and workloads of files, with all that came with them.

Examples:
  Give back the file as it was before the injection:
    outrigger uninject -f injected.yaml
  Show what the pods of a workload carry:
    kubectl get pods -l app=web -o yaml | outrigger uninject -f - -o diff

The annotation outrigger.dev/status of each pod lists what was injected; exactly that is removed. In YAML, documents \
without it are printed byte for byte; in the others it is removed from the text, so that comments, anchors and order stay.";

/// Reads the input, removes sidecars and prints.
pub(super) fn run(args: &UninjectArgs) -> anyhow::Result<()> {
    let mut report = Report::new(args.quiet, false);
    let files = documents::read(&args.input, &args.domain)?.into_iter();
    let files = files.map(|file| uninject_file(file, &args.domain, &mut report)).collect::<Vec<_>>();
    let values = || files.iter().flat_map(ChangedFile::values).collect::<Vec<_>>();
    let output = match args.output {
        UninjectFormat::Yaml => rewrite::yaml(&files, &mut report)?,
        UninjectFormat::Json => output::json(&values())?.into_bytes(),
        UninjectFormat::Diff => rewrite::diff(&files, stdio::shows_colours())?.into_bytes(),
    };
    report.finish()?;
    stdio::print(&output)
}

fn uninject_file(file: InputFile, domain: &str, report: &mut Report) -> ChangedFile {
    let mut changes = BTreeMap::new();
    for (position, document) in file.documents.iter().enumerate() {
        let mut after = document.value.clone();
        for location in &document.pods {
            let name = file.name(document, &location.object);
            match uninject_pod(&mut after, location, domain) {
                Ok(true) => report.info(format!("{name}: removed what was injected")),
                Ok(false) => report.info(format!("{name}: contains nothing that was injected")),
                Err(error) => report.error(format!("{name}: {error}")),
            }
        }
        if after != document.value {
            changes.insert(position, after);
        }
    }
    ChangedFile { file, changes }
}

/// Whether something was removed from the pod.
fn uninject_pod(document: &mut Value, location: &PodLocation, domain: &str) -> Result<bool, inject::InjectError> {
    let Some(template) = location.template(document) else { return Ok(false) };
    let Some(pod) = inject::uninject(template, domain)? else { return Ok(false) };
    location.put(document, pod);
    Ok(true)
}
