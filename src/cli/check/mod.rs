//! `outrigger check`: reports the problems of an installation, and what to do about each.
//!
//! `collect` reads the cluster; `evaluate` turns the observations into findings, and is pure.
//! Invariant: exit code 0 means healthy; 1 means not healthy, with every finding printed.

mod collect;
mod evaluate;
mod finding;
mod objects;
mod observations;
mod report;

use std::time::{Duration, Instant};

use clap::Args;

use self::collect::{CollectOptions, DryRunOptions};
use self::finding::{Finding, Severity};
use self::observations::Target;
use self::report::ReportFormat;
use super::cluster::{self, ClusterArgs};
use super::terminal::{Colours, printable};
use super::{complete, stdio, values};
use crate::config::settings;

pub(super) use collect::{ensure_reachable, served_templates};
pub use finding::Code;

/// Namespace of an installation with the manifests or the chart as they are.
pub(super) const NAMESPACE: &str = "outrigger-system";

/// The pause between two checks with `--wait`.
const PAUSE: Duration = Duration::from_secs(2);

/// Check an installation: configuration, certificates, replicas, templates, namespaces, workloads,
/// dry-run pods
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
pub struct CheckArgs {
    /// Namespace of the installation
    #[arg(short, long, value_name = "NAMESPACE", default_value = NAMESPACE, value_parser = values::namespace, add = complete::namespaces())]
    namespace: String,

    /// Name of the MutatingWebhookConfiguration
    #[arg(long, value_name = "NAME", default_value = "outrigger")]
    name: String,

    #[command(flatten)]
    cluster: ClusterArgs,

    /// Check again until it is healthy, at most this long, such as 60s
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    wait: Option<Duration>,

    /// Treat warnings as failures
    #[arg(long)]
    strict: bool,

    /// Namespace of the dry-run pod, instead of a suitable one
    #[arg(long, value_name = "NAMESPACE", value_parser = values::namespace, add = complete::namespaces())]
    test_namespace: Option<String>,

    /// Template that the dry-run pod requests, instead of one that is loaded
    #[arg(long, value_name = "TEMPLATE", value_parser = values::template, add = complete::templates())]
    template: Option<String>,

    /// Domain of all annotations and labels
    #[arg(long, value_name = "DOMAIN", default_value = settings::DOMAIN.default, value_parser = values::domain)]
    domain: String,

    /// How the result is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: ReportFormat,
}

const LONG_ABOUT: &str = "\
Checks an installation through the Kubernetes API and prints a line for each finding (ok, warning, failed), with what to \
do below it.

Examples:
  Check the installation of the current context:
    outrigger check
  After an installation or an upgrade, until it is healthy:
    outrigger check --wait 60s
  For a script:
    outrigger check -o json
  Treat warnings, such as a misspelt template, as failures:
    outrigger check --strict

Nothing is changed: the pods that are sent are dry runs, which the API server forgets. Exit code 0 is healthy (warnings \
allowed), 1 is not. If a permission is missing, the result names it; docs/reference/check.md lists all \
findings by their codes.";

/// The findings were printed, and at least one has failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotHealthy(String);

/// Checks the installation, prints the findings, and fails if one has failed.
pub fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let findings = cluster::block_on(observe_and_wait(args))?;
    stdio::print(&match args.output {
        ReportFormat::Text => report::text(&findings, Colours::of_stdout()),
        ReportFormat::Json => report::json(&findings)?,
    })?;
    if report::is_healthy(&findings) { Ok(()) } else { Err(NotHealthy(failures(&findings)).into()) }
}

/// The error message: the codes of all failed findings.
fn failures(findings: &[Finding]) -> String {
    let failed = findings.iter().filter(|finding| finding.severity == Severity::Failed);
    let mut codes: Vec<&str> = failed.map(|finding| finding.code).collect();
    codes.dedup();
    format!("the installation is not healthy: {}", codes.join(", "))
}

/// Applies `--strict`.
fn warnings_as_failures(mut findings: Vec<Finding>) -> Vec<Finding> {
    for finding in findings.iter_mut().filter(|finding| finding.severity == Severity::Warning) {
        finding.severity = Severity::Failed;
    }
    findings
}

/// Whether replicas are still starting: the installation may become unhealthy when all of them run.
fn is_rolling_out(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.code == Code::ReplicasNotReady.code())
}

/// Checks once, or with `--wait` until the installation is healthy or the time has passed.
async fn observe_and_wait(args: &CheckArgs) -> anyhow::Result<Vec<Finding>> {
    let target =
        Target { namespace: args.namespace.clone(), configuration: args.name.clone(), domain: args.domain.clone() };
    let options = DryRunOptions { namespace: args.test_namespace.clone(), template: args.template.clone() };
    let check = CollectOptions { target, options, limit: args.cluster.timeout() };
    let end = args.wait.map(|wait| Instant::now() + wait);
    let (client, address) = cluster::connect(&args.cluster.selection(), args.cluster.timeout()).await?;
    let mut printed = String::new();
    loop {
        let evaluate = |observations| {
            if args.strict {
                warnings_as_failures(evaluate::evaluate(&observations))
            } else {
                evaluate::evaluate(&observations)
            }
        };
        let result = collect::collect(&client, &address, &check).await.map(evaluate);
        let problem = match &result {
            Ok(findings) if report::is_healthy(findings) && !is_rolling_out(findings) => return result,
            Ok(findings) if report::is_healthy(findings) => "not all replicas are ready".to_owned(),
            Ok(findings) => failures(findings),
            Err(error) => error.to_string(),
        };
        if end.is_none_or(|end| Instant::now() + PAUSE > end) {
            return result;
        }
        if problem != printed {
            stdio::print_message(&format!("waiting: {}", printable(&problem)));
            printed = problem;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
