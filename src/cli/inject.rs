//! `outrigger inject`: injects into every pod and pod template of the input.
//!
//! The engine decides, as for the webhook. Invariant: if one object is refused nothing is
//! printed, so that a pipe into `kubectl apply` never applies half.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::Value;

use super::documents::{self, InputArgs, InputDocument, InputFile};
use super::engine::{Engine, EngineArgs};
use super::errors::ErrorList;
use super::output::{self, InjectFormat};
use super::report::Report;
use super::rewrite::{self, ChangedFile};
use super::stdio;
use crate::inject::{Explanation, Outcome, SkipReason};
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

    /// Take out what was injected before, and inject anew
    #[arg(long)]
    renew: bool,

    /// Treat every warning as an error
    #[arg(long)]
    strict: bool,

    /// Print only warnings and errors on stderr
    #[arg(short, long)]
    quiet: bool,
}

const LONG_ABOUT: &str = "\
Injects sidecars into the pods and workloads of files, as the webhook would do it.

Examples:
  Inject and apply:
    outrigger inject -f app.yaml | kubectl apply -f -
  Show what would change in all files of a directory:
    outrigger inject -f ./manifests -R -o diff
  Use your own templates, from files, a directory or the manifest of a ConfigMap:
    outrigger inject -f app.yaml --templates ./templates
  Apply the labels and the default list of the namespace:
    outrigger inject -f app.yaml --namespace-file namespace.yaml
  Inject into what another tool prints:
    helm template web ./chart | outrigger inject -f - -n web
  Inject again after a parameter or a template has changed:
    outrigger inject -f injected.yaml --renew

Takes Pods and the pod templates of Deployments, StatefulSets, DaemonSets, ReplicaSets, ReplicationControllers, Jobs, \
CronJobs, PodTemplates, Argo Rollouts, Knative Services and Lists of them, and of any other kind with a pod template at \
spec.template; all other objects are printed as they are. In YAML, documents that are not injected are printed byte for \
byte; in the others the change is made in the text, so that comments, anchors and order stay. Where that is not possible, \
such as behind an alias, that document is written anew, and a line on stderr says so. Each injected object is named on \
stderr with its templates, and each skipped one with the reason. When one object is refused, nothing is printed and the \
exit code is 1.";

/// Reads the input, injects and prints.
pub(super) fn run(args: &InjectArgs) -> anyhow::Result<()> {
    args.engine.stdin_once(args.input.paths())?;
    let mut report = Report::new(args.quiet, args.strict);
    let input = documents::read(&args.input, args.engine.domain());
    let (files, mut engine) = ErrorList::both(input, Engine::load(&args.engine, &mut report))?;
    engine.add_namespaces(files.iter().flat_map(|file| &file.documents))?;
    one_document_for_a_patch(args.output, &files)?;
    let mut run = InjectRun { engine: &engine, renew: args.renew, report: &mut report, not_requested: Vec::new() };
    let files = files.into_iter().map(|file| run.file(file)).collect::<Vec<_>>();
    run.summary();
    let output = render(args.output, &files, &mut report)?;
    report.finish()?;
    stdio::print(&output)
}

fn one_document_for_a_patch(format: InjectFormat, files: &[InputFile]) -> Result<(), ErrorList> {
    let count: usize = files.iter().map(|file| file.documents.len()).sum();
    if format == InjectFormat::Patch && count > 1 {
        return Err(format!("-o patch takes one object, found {count}; use -o yaml, json or diff").into());
    }
    Ok(())
}

struct InjectRun<'a> {
    engine: &'a Engine,
    renew: bool,
    report: &'a mut Report,
    /// Objects that request nothing.
    not_requested: Vec<String>,
}

impl InjectRun<'_> {
    fn file(&mut self, file: InputFile) -> ChangedFile {
        let mut changes = BTreeMap::new();
        for (position, document) in file.documents.iter().enumerate() {
            for note in &document.notes {
                self.report.finding(&file.name(document, &note.object), &note.finding);
            }
            self.engine.tell_unread_keys(&file, document, self.report);
            let mut after = document.value.clone();
            for location in &document.pods {
                self.pod(&file, document, location, &mut after);
            }
            if after != document.value {
                changes.insert(position, after);
            }
        }
        ChangedFile { file, changes }
    }

    /// Injects into one pod or pod template of the document.
    fn pod(&mut self, file: &InputFile, document: &InputDocument, location: &PodLocation, after: &mut Value) {
        let name = file.name(document, &location.object);
        let mut review = self.engine.review(location, &document.value);
        let renewal = self.engine.renewal(location, &document.value);
        let mut is_renewed = false;
        if let Some(renewal) = renewal {
            if self.renew {
                is_renewed = true;
                location.put(after, renewal.bare);
                review = renewal.review;
            } else {
                self.report.warning(&format!("{name}: {}", renewal.difference));
            }
        }
        for finding in &review.findings {
            self.report.finding(&name, finding);
        }
        match &review.outcome {
            Ok(Outcome::Injected(injection)) => {
                let verb = if is_renewed { "injected anew" } else { "injected" };
                self.report.info(format!("{name}: {verb} {}", injection.templates.join(", ")));
                self.explanations(&name, &review.explanations);
                self.warnings(&name, &injection.warnings);
            }
            Ok(Outcome::Skipped(skip)) => {
                if is_renewed {
                    self.report.info(format!("{name}: removed what was injected"));
                }
                self.explanations(&name, &review.explanations);
                self.warnings(&name, &skip.warnings);
            }
            Err(error) => self.report.error(format!("{name}: {error}")),
        }
        if let Some(pod) = review.after {
            location.put(after, pod);
        }
    }

    fn explanations(&mut self, name: &str, explanations: &[Explanation]) {
        for explanation in explanations {
            if explanation.reason == SkipReason::NotRequested && explanation.is_general() {
                self.not_requested.push(name.to_owned());
            } else if explanation.is_mistake {
                self.report.warning(&format!("{name}: {explanation}"));
            } else {
                self.report.info(format!("{name}: {explanation}"));
            }
        }
    }

    fn warnings(&mut self, name: &str, warnings: &[String]) {
        for warning in warnings {
            self.report.warning(&format!("{name}: {warning}"));
        }
    }

    /// One line about all objects that request nothing, however many there are.
    fn summary(&mut self) {
        let reason = SkipReason::NotRequested;
        let objects = match self.not_requested.as_slice() {
            [] => return,
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        };
        self.report.info(format!("{objects}: {reason}"));
    }
}

fn render(format: InjectFormat, files: &[ChangedFile], report: &mut Report) -> anyhow::Result<Vec<u8>> {
    let values = || files.iter().flat_map(ChangedFile::values).collect::<Vec<_>>();
    Ok(match format {
        InjectFormat::Yaml => rewrite::yaml(files, report)?,
        InjectFormat::Json => output::json(&values())?.into_bytes(),
        InjectFormat::Diff => rewrite::diff(files, stdio::shows_colours())?.into_bytes(),
        InjectFormat::Patch => {
            let documents = files.iter().flat_map(|file| &file.file.documents);
            let steps = documents.zip(values()).flat_map(|(document, after)| difference::steps(&document.value, after));
            output::patch(&difference::patch(&steps.collect::<Vec<_>>()))?.into_bytes()
        }
    })
}
