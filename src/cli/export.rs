//! `outrigger export`: prints a template as admission policies of Kubernetes.
//!
//! Invariant: a template that a policy cannot express exactly is not printed; every reason is.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::engine::{Engine, EngineArgs};
use super::errors::ErrorList;
use super::report::Report;
use super::{complete, output, stdio};
use crate::config::settings;
use crate::export::{Installation, export};
use crate::inject::TemplateScope;

/// Print a template as a MutatingAdmissionPolicy, which needs no webhook
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
pub(super) struct ExportArgs {
    /// Name of the template
    #[arg(value_name = "TEMPLATE", add = complete::templates())]
    template: String,

    #[command(flatten)]
    engine: EngineArgs,

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
  See why a template cannot be a policy:
    outrigger export proxy

A policy is printed only where it adds exactly what the webhook adds. Otherwise nothing is printed, and each field that \
a policy cannot express is listed. A second policy, a ValidatingAdmissionPolicy, refuses pods that request the template \
and that the first one leaves alone: those that set a parameter, name another template beside it, or have something under \
the template's names already. docs/export.md lists all limits.";

/// The namespaces that the webhook leaves out by default, as a list.
pub(super) fn excluded_namespaces() -> Vec<String> {
    settings::EXCLUDE_NAMESPACES.default.split(',').map(str::to_owned).collect()
}

/// Loads the templates, and prints the policies of one of them.
pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let mut report = Report::new(false, false);
    let engine = Engine::load(&args.engine, &mut report)?;
    let templates = engine.injector().templates();
    if templates.status_of(&TemplateScope::Cluster, &args.template).is_none() {
        let known = templates.names().join(", ");
        anyhow::bail!("there is no template {:?}; known are: {known}", args.template);
    }
    let excluded = excluded_namespaces();
    let installation = Installation { domain: args.engine.domain(), excluded_namespaces: &excluded };
    let objects = export(engine.injector(), &args.template, &installation).map_err(|found| {
        let mut problems = ErrorList::default();
        problems.extend(found.iter().map(|one| format!("template {:?} cannot be a policy: {one}", args.template)));
        problems
    })?;
    args.output.print(&objects)
}
