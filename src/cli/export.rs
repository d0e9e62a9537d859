//! `outrigger export`: prints a template as admission policies of Kubernetes.
//!
//! Invariant: a template that a policy cannot express exactly is not printed; every reason is.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::errors::ErrorList;
use super::policy_source::PolicySourceArgs;
use super::{output, stdio};
use crate::config::settings;
use crate::export::{Installation, export};

/// Print a template as a MutatingAdmissionPolicy, which needs no webhook
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    source: PolicySourceArgs,

    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    output: ObjectFormat,
}

/// How Kubernetes objects are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ObjectFormat {
    /// Documents of one stream
    Yaml,
    /// A List
    Json,
}

impl ObjectFormat {
    /// Prints the objects.
    pub(super) fn print(self, objects: &[Value]) -> anyhow::Result<()> {
        let objects: Vec<&Value> = objects.iter().collect();
        stdio::print(&match self {
            Self::Yaml => output::yaml(&objects)?,
            Self::Json => output::json(&objects)?,
        })
    }
}

const LONG_ABOUT: &str = "\
Prints a template as a MutatingAdmissionPolicy, so that an API server injects it without any webhook.

Examples:
  Let the API server inject a template of one's own (Kubernetes 1.36):
    outrigger export agent --templates templates | kubectl apply -f -
  The same of a template object of the cluster:
    outrigger export agent --in-cluster | kubectl apply -f -
  See why a template cannot be a policy:
    outrigger export proxy

A policy is printed only where it adds exactly what the webhook adds. Otherwise nothing is printed, and each field that \
a policy cannot express is listed with file, line and column. A second policy, a ValidatingAdmissionPolicy, refuses pods that request the template \
and that the first one leaves alone: those that set a parameter, name another template beside it, or have something under \
the template's names already. docs/export.md lists all limits.";

/// The namespaces that the webhook leaves out by default, as a list.
pub(super) fn excluded_namespaces() -> Vec<String> {
    settings::EXCLUDE_NAMESPACES.default.split(',').map(str::to_owned).collect()
}

/// Loads the templates, and prints the policies of one of them.
pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let source = args.source.load()?;
    let excluded = excluded_namespaces();
    let installation = Installation { domain: args.source.domain(), excluded_namespaces: &excluded };
    let objects = export(source.injector(), args.source.name(), &installation)
        .map_err(|found| source.lines(&found).into_iter().collect::<ErrorList>())?;
    args.output.print(&objects)
}
