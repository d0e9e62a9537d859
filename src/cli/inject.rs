//! `outrigger inject`: injects into every pod and pod template of the input.
//!
//! The engine decides, as for the webhook. Invariant: if one object is refused nothing is
//! printed, so that a pipe into `kubectl apply` never applies half.

use clap::Args;
use json_patch::PatchOperation;
use serde_json::Value;

use super::documents::{self, InputArgs, InputDocument};
use super::engine::{Engine, EngineArgs};
use super::errors::ErrorList;
use super::output::{self, Change, InjectFormat};
use super::stdio;
use crate::inject::{Blame, InjectError, Outcome, Skip, SkipReason};
use crate::workload::{PodLocation, difference};

/// Inject sidecars into the pods and workloads of files
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
pub(super) struct InjectArgs {
    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    engine: EngineArgs,

    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    output: InjectFormat,
}

const LONG_ABOUT: &str = "\
Injects sidecars into the pods and workloads of files, as the webhook would do it.

Examples:
  Inject and apply:
    outrigger inject -f app.yaml | kubectl apply -f -
  Show what would change:
    outrigger inject -f app.yaml -o diff
  Use your own templates:
    outrigger inject -f app.yaml --templates ./templates
  Apply the labels and the default list of the namespace:
    outrigger inject -f app.yaml --namespace-file namespace.yaml
  Inject into what another tool prints:
    helm template web ./chart | outrigger inject -f - -n web

Takes Pods and the pod templates of Deployments, StatefulSets, DaemonSets, ReplicaSets, ReplicationControllers, Jobs, \
CronJobs and Lists of them; all other objects are printed as they are. Objects keep their order; keys are printed in a \
fixed order and comments are not kept. The reason for each skipped object is printed on stderr. When one object is refused, \
nothing is printed and the exit code is 1.";

/// Reads the input, injects and prints.
pub(super) fn run(args: &InjectArgs) -> anyhow::Result<()> {
    let (documents, mut engine) =
        ErrorList::both(documents::read(&args.input, args.engine.domain()), Engine::load(&args.engine))?;
    engine.add_namespaces(&documents)?;
    one_document_for_a_patch(args.output, &documents)?;
    let injected = inject_all(&engine, documents)?;
    stdio::print(&render(args.output, injected)?)
}

fn one_document_for_a_patch(format: InjectFormat, documents: &[InputDocument]) -> Result<(), ErrorList> {
    if format == InjectFormat::Patch && documents.len() > 1 {
        return Err(format!("-o patch takes one object, found {}; use -o yaml, json or diff", documents.len()).into());
    }
    Ok(())
}

/// A document before and after, with the patch operations between them.
struct Injected {
    change: Change,
    operations: Vec<PatchOperation>,
}

fn inject_all(engine: &Engine, documents: Vec<InputDocument>) -> Result<Vec<Injected>, ErrorList> {
    let mut problems = ErrorList::default();
    let results = documents.into_iter().filter_map(|document| problems.keep(inject_document(engine, document)));
    let injected = results.collect();
    problems.or(injected)
}

fn inject_document(engine: &Engine, document: InputDocument) -> Result<Injected, ErrorList> {
    let mut problems = ErrorList::default();
    let title = document.title();
    for note in &document.notes {
        let severity = if note.finding.is_warning { "warning: " } else { "" };
        stdio::print_message(&format!("{severity}{}: {}", note.object, note.finding));
    }
    let mut after = document.value.clone();
    for location in &document.pods {
        problems.keep(inject_pod(engine, &document.value, location, &mut after));
    }
    problems.or(())?;
    let operations = difference::patch(&difference::steps(&document.value, &after));
    Ok(Injected { change: Change { title, before: document.value, after }, operations })
}

/// Injects into one pod or pod template of the document.
fn inject_pod(engine: &Engine, document: &Value, location: &PodLocation, after: &mut Value) -> Result<(), ErrorList> {
    let review = engine.review(location, document);
    for finding in &review.findings {
        let severity = if finding.is_warning { "warning: " } else { "" };
        stdio::print_message(&format!("{severity}{}: {finding}", location.object));
    }
    match &review.outcome {
        Ok(Outcome::Injected(injection)) => print_messages(location, &injection.reasons, &injection.warnings),
        Ok(Outcome::Skipped(Skip { reasons, warnings, .. })) => print_messages(location, reasons, warnings),
        Err(error) => return Err(error_message(location, error).into()),
    }
    if let Some(pod) = review.after {
        location.put(after, pod);
    }
    Ok(())
}

fn print_messages(location: &PodLocation, reasons: &[SkipReason], warnings: &[String]) {
    for reason in reasons {
        stdio::print_message(&format!("{}: {reason}", location.object));
    }
    for warning in warnings {
        stdio::print_message(&format!("warning: {}: {warning}", location.object));
    }
}

/// The error message of a pod that is not injected.
fn error_message(location: &PodLocation, error: &InjectError) -> String {
    let outcome = match error.blame() {
        Blame::Pod => "refused",
        Blame::Template | Blame::Injector => "cannot be injected",
    };
    format!("{}: {outcome}: {error}", location.object)
}

fn render(format: InjectFormat, injected: Vec<Injected>) -> anyhow::Result<String> {
    let (changes, operations): (Vec<_>, Vec<_>) =
        injected.into_iter().map(|injected| (injected.change, injected.operations)).unzip();
    match format {
        InjectFormat::Yaml => output::yaml(&output::after(&changes)),
        InjectFormat::Json => output::json(&output::after(&changes)),
        InjectFormat::Patch => output::patch(&operations.concat()),
        InjectFormat::Diff => output::diff(&changes, stdio::shows_colours()),
    }
}
