//! `outrigger explain`: shows why pods get what they get, step by step.
//!
//! The engine decides and traces; here its trace is read and printed. Invariant: exit code 0 means that
//! everything was explained, whatever the decisions are; 1 that something could not be read.

mod cluster;
mod dot;
mod existing_pods;
mod explanation;
mod kinds;
mod reader;
mod selectors;
mod subject;
mod text;
mod webhooks;

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use serde_json::Value;

use self::explanation::{ExplainReport, Explanation};
use self::subject::Subject;
use super::cluster::ClusterArgs;
use super::documents::{self, InputArgs, InputFile};
use super::engine::{Engine, EngineArgs};
use super::errors::{ErrorList, Usage};
use super::report::Report;
use super::terminal::{self, Colours};
use super::{stdio, values};
use crate::api::webhook_configuration::{Endpoint, WebhookConfiguration};
use crate::config::{TemplateSource, settings};

/// Show step by step why pods get what they get
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
pub(super) struct ExplainArgs {
    /// Object of a cluster: pod/NAME, deploy/NAME, sts/NAME, ds/NAME, job/NAME, cronjob/NAME, rs/NAME
    #[arg(value_name = "KIND/NAME", required_unless_present = "filename")]
    objects: Vec<String>,

    /// File with objects in YAML or JSON, or a directory of such files; `-` is stdin
    #[arg(short, long = "filename", value_name = "FILE", num_args = 1..)]
    filename: Vec<PathBuf>,

    /// Also read the directories below a directory
    #[arg(short = 'R', long)]
    recursive: bool,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    cluster: ClusterArgs,

    /// Explain files as in the cluster: with its webhooks, templates and namespaces; implied by
    /// --context and --kubeconfig
    #[arg(long)]
    in_cluster: bool,

    /// Name of the MutatingWebhookConfiguration
    #[arg(long, value_name = "NAME", default_value = settings::WEBHOOK_CONFIGURATION.default, value_parser = values::name)]
    name: String,

    /// Namespace of the server, whose ConfigMap outrigger-templates is read
    #[arg(long, value_name = "NAMESPACE", default_value = SERVER_NAMESPACE, value_parser = values::namespace)]
    server_namespace: String,

    /// Tell what would change with these templates instead: a directory, a file, or built-in
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    against: Vec<TemplateSource>,

    /// How the explanation is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: ExplainFormat,
}

/// How the explanation is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExplainFormat {
    /// Numbered steps
    Text,
    /// One object
    Json,
    /// A graph for Graphviz: outrigger explain -f app.yaml -o dot | dot -Tsvg
    Dot,
}

/// Where manifests and chart put the server.
const SERVER_NAMESPACE: &str = "outrigger-system";

const LONG_ABOUT: &str = "\
Shows step by step why pods get what they get: whether the API server asks Outrigger at all, each step of the decision \
with what it found, what each template would bring, and whether a pod still carries what it would get today.

Examples:
  Why does the pod of this file get nothing?
    outrigger explain -f app.yaml
  With the labels of its namespace:
    outrigger explain -f app.yaml --namespace-file namespace.yaml
  A pod or a workload of the current context, with the templates of the cluster:
    outrigger explain pod/web-7d4b9c8f5d-x2x4z -n shop
    outrigger explain deploy/web -n shop
  A file, as it would be decided in the cluster of the current context:
    outrigger explain -f app.yaml --in-cluster
  What would change for these pods if the templates were those of another directory?
    outrigger explain -f app.yaml --templates templates --against edited
  For a script, and as a picture:
    outrigger explain deploy/web -n shop -o json
    outrigger explain -f app.yaml -o dot | dot -Tsvg > decision.svg

KIND/NAME names the object of a cluster, even where a file is called so; -f KIND/NAME or ./KIND/NAME names the file. \
Nothing is changed. In a cluster the templates are its template objects, the ConfigMap outrigger-templates of the \
server and the built-in ones, unless --templates names others. Exit code 0: explained, also where a pod would be \
refused; 1: something could not be read.";

/// Explains every object that is named.
pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    let subjects = subject::parse_all(&args.objects)?;
    let (files, objects): (Vec<_>, Vec<_>) = subjects.into_iter().partition(|one| matches!(one, Subject::File(_)));
    let paths = files.into_iter().filter_map(|one| if let Subject::File(path) = one { Some(path) } else { None });
    let paths: Vec<PathBuf> = paths.chain(args.filename.iter().cloned()).collect();
    args.engine.stdin_once(paths.iter())?;
    let in_cluster = args.in_cluster || args.cluster.is_named();
    if in_cluster && paths.is_empty() && objects.is_empty() {
        return Err(Usage::new("nothing is named that could be explained, expected KIND/NAME or -f FILE").into());
    }
    if args.output == ExplainFormat::Dot && !args.against.is_empty() {
        return Err(Usage::new("-o dot draws no comparison; use -o text or -o json with --against").into());
    }
    if let Some(name) = subject::file_of_the_same_name(&args.objects) {
        stdio::print_message(&format!("{name}: explaining the object of the cluster; -f {name} names the file"));
    }
    let (offline, files) = if in_cluster { (Vec::new(), paths) } else { (paths, Vec::new()) };
    let mut report = ExplainReport::default();
    if !offline.is_empty() {
        report.extend(of_files(args, offline)?);
    }
    if !files.is_empty() || !objects.is_empty() {
        let files = read_files(args, files)?;
        report.extend(super::cluster::block_on(cluster::explain(args, &files, &objects))?);
    }
    let printed = match args.output {
        ExplainFormat::Text if !args.against.is_empty() => {
            text::comparison(&report, Colours::of_stdout(), terminal::width_of_stdout())
        }
        ExplainFormat::Text => text::text(&report, Colours::of_stdout(), terminal::width_of_stdout()),
        ExplainFormat::Json => terminal::json(&report)?,
        ExplainFormat::Dot => dot::dot(&report),
    };
    stdio::print(printed)?;
    match report.unread() {
        none if none.is_empty() => Ok(()),
        unread => Err(unread.into_iter().collect::<ErrorList>().into()),
    }
}

fn read_files(args: &ExplainArgs, paths: Vec<PathBuf>) -> Result<Vec<InputFile>, ErrorList> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    documents::read(&InputArgs::of(paths, args.recursive), args.engine.domain())
}

/// The explanations of all pods of files.
fn of_files(args: &ExplainArgs, paths: Vec<PathBuf>) -> anyhow::Result<ExplainReport> {
    let mut messages = Report::default();
    let (mut engine, files) = ErrorList::both(Engine::load(&args.engine, &mut messages), read_files(args, paths))?;
    engine.add_namespaces(files.iter().flat_map(|file| &file.documents))?;
    let against = engine.against(&args.against, &mut messages)?;
    let generated = generated_configuration(args.engine.domain(), &args.server_namespace)?;
    let mut report = ExplainReport::default();
    for file in &files {
        for document in &file.documents {
            for note in &document.notes {
                messages.finding(&file.name(document, &note.object), &note.finding);
            }
            engine.tell_unread_keys(file, document, &mut messages);
            for location in &document.pods {
                let reviewer = engine.reviewer(location);
                let asked = |pod: &Value| {
                    webhooks::of_configuration(
                        &generated,
                        GENERATED,
                        reviewer.namespace,
                        reviewer.namespace_object,
                        pod,
                    )
                };
                let name = file.name(document, &location.object);
                let other = against.as_ref().map(|engine| engine.reviewer(location));
                report.explanations.extend(Explanation::of(
                    name,
                    &reviewer,
                    &document.value,
                    location,
                    other.as_ref(),
                    asked,
                ));
            }
        }
    }
    messages.finish()?;
    if report.explanations.is_empty() {
        anyhow::bail!("the input has no pod and no pod template, expected a Pod, a Deployment or another workload");
    }
    Ok(report)
}

/// What files are compared with: no cluster is asked.
const GENERATED: &str = "as `outrigger generate webhook` prints it";

fn generated_configuration(domain: &str, namespace: &str) -> anyhow::Result<Value> {
    let endpoint = Endpoint::Service { namespace: namespace.to_owned(), name: "outrigger".to_owned(), port: 443 };
    let configuration = WebhookConfiguration { domain: domain.to_owned(), ..WebhookConfiguration::new(endpoint) };
    Ok(configuration.to_value()?)
}
