//! Builds the engine of the offline commands from flags and files.
//!
//! Invariant: an [`Engine`] exists only if every template and every namespace was
//! read without an error.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum, ValueHint};
use serde_json::Value;

use super::complete;
use super::documents::{self, InputDocument, InputFile};
use super::errors::{ErrorList, Usage};
use super::namespaces::{self, NamespaceMap};
use super::report::Report;
use super::template_texts::template_texts;
use super::values::{self, ClusterVersion};
use crate::config::{TemplateSource, settings};
use crate::inject::{CompiledSource, Injector, MissingDefaults, NativeSidecars, Settings, SourceText, TemplateSet};
use crate::process::processor_time;
use crate::source::built_in;
use crate::workload::{PodLocation, Renewal, Review, Reviewer, unread_keys_of_namespace};

/// Where templates come from.
#[derive(Args, Debug)]
pub(super) struct TemplateArgs {
    /// Templates: a directory (*.yaml, *.yml, *.json), a file, the manifest of a ConfigMap that
    /// holds templates, or built-in for the built-in ones; a directory of that name is ./built-in
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath, default_value = settings::TEMPLATES.default)]
    templates: Vec<TemplateSource>,
}

/// The flags of every command that runs the engine.
#[derive(Args, Debug)]
pub(super) struct EngineArgs {
    #[command(flatten)]
    templates: TemplateArgs,

    /// Namespace of objects that name none [default: that of --namespace-file, else "default"]
    #[arg(short, long, value_name = "NAMESPACE", value_parser = values::namespace, add = complete::namespaces())]
    namespace: Option<String>,

    /// File with Namespace objects: their labels and annotations count as in the cluster
    #[arg(long, value_name = "FILE")]
    namespace_file: Option<PathBuf>,

    /// Whether sidecars become init containers with `restartPolicy: Always`
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    native_sidecars: NativeSidecarsWhen,

    /// Kubernetes version of the cluster, such as 1.34 or 1.34.2 [default: the newest known]
    #[arg(long, value_name = "VERSION")]
    cluster_version: Option<ClusterVersion>,

    /// Domain of all annotations and labels
    #[arg(long, value_name = "DOMAIN", default_value = settings::DOMAIN.default, value_parser = values::domain)]
    domain: String,
}

impl EngineArgs {
    /// Namespace of objects that name none, if it was given.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Whether templates were named. The default cannot be told from `--templates built-in`.
    pub(super) fn names_templates(&self) -> bool {
        self.templates.templates != [TemplateSource::BuiltIn]
    }

    /// An error if stdin is the file of namespaces and among these files too.
    pub(super) fn stdin_once<'a>(&'a self, files: impl Iterator<Item = &'a PathBuf>) -> Result<(), Usage> {
        documents::stdin_once(files.chain(&self.namespace_file))
    }

    /// Whether a file of namespaces was named.
    pub(super) fn names_namespaces(&self) -> bool {
        self.namespace_file.is_some()
    }

    pub(super) fn domain(&self) -> &str {
        &self.domain
    }
}

/// When sidecars are native.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum NativeSidecarsWhen {
    /// From Kubernetes 1.32 on
    Auto,
    Always,
    Never,
}

/// The injector, and the namespaces that the command line knows.
pub(super) struct Engine {
    injector: Injector,
    default_namespace: String,
    namespaces: NamespaceMap,
}

impl Engine {
    pub(super) fn load(args: &EngineArgs, report: &mut Report) -> Result<Self, ErrorList> {
        let (templates, namespaces) = ErrorList::both(load_templates(&args.templates, report), namespaces_of(args))?;
        let only = namespaces.keys().next().filter(|_| namespaces.len() == 1);
        let default_namespace = args.namespace.as_ref().or(only).map_or("default", String::as_str).to_owned();
        Ok(Self { injector: Injector::new(templates, engine_settings(args)), default_namespace, namespaces })
    }

    /// An engine of a cluster: with its templates, unless flags name others, its version and its
    /// namespaces.
    pub(super) fn of_cluster(
        args: &EngineArgs,
        sources: &[Arc<CompiledSource>],
        version: Option<&ClusterVersion>,
        default_namespace: String,
        known: NamespaceMap,
        report: &mut Report,
    ) -> Result<Self, ErrorList> {
        let templates = match args.names_templates() {
            true => load_templates(&args.templates, report),
            // One that is broken breaks no other, as in the server.
            false => Ok(assemble(sources, report)),
        };
        let (templates, named) = ErrorList::both(templates, namespaces_of(args))?;
        let version = args.cluster_version.as_ref().or(version);
        let settings = Settings {
            native_sidecars: native_sidecars(args.native_sidecars, version),
            cluster_version: version.map_or_else(|| Settings::default().cluster_version, ToString::to_string),
            ..engine_settings(args)
        };
        let namespaces = known.into_iter().chain(named).collect();
        Ok(Self { injector: Injector::new(templates, settings), default_namespace, namespaces })
    }

    /// Adds the Namespace objects of the input; those of `--namespace-file` take precedence.
    pub(super) fn add_namespaces<'a>(
        &mut self,
        documents: impl Iterator<Item = &'a InputDocument>,
    ) -> Result<(), ErrorList> {
        let values = documents.map(|document| &document.value);
        for (name, namespace) in namespaces::of_values(values)? {
            self.namespaces.entry(name).or_insert(namespace);
        }
        Ok(())
    }

    /// What this template gets so that its pods have what the webhook would give them, and what else is to be said.
    pub(super) fn review(&self, location: &PodLocation, document: &Value) -> Review {
        self.reviewer(location).review_template(document, location)
    }

    /// How what was injected before would differ if it were injected now.
    pub(super) fn renewal(&self, location: &PodLocation, document: &Value) -> Option<Renewal> {
        self.reviewer(location).renewal(document, location)
    }

    /// Warns of the keys of Namespace objects that look like ours and that nothing reads.
    pub(super) fn tell_unread_keys(&self, file: &InputFile, document: &InputDocument, report: &mut Report) {
        for object in &document.namespaces {
            let Ok(namespace) = object.pointer.resolve(&document.value) else { continue };
            for finding in unread_keys_of_namespace(&self.injector, namespace) {
                report.finding(&file.name(document, object), &finding);
            }
        }
    }

    /// The same engine with the templates of these sources; `None` if there is no source.
    pub(super) fn against(&self, from: &[TemplateSource], report: &mut Report) -> Result<Option<Self>, ErrorList> {
        if from.is_empty() {
            return Ok(None);
        }
        let injector = Injector::new(load_from(from, report)?, self.injector.settings().clone());
        let (default_namespace, namespaces) = (self.default_namespace.clone(), self.namespaces.clone());
        Ok(Some(Self { injector, default_namespace, namespaces }))
    }

    /// What decides about the pods of this template.
    pub(super) fn reviewer<'a>(&'a self, location: &'a PodLocation) -> Reviewer<'a> {
        let namespace = location.object.namespace.as_ref().unwrap_or(&self.default_namespace);
        Reviewer { injector: &self.injector, namespace, namespace_object: self.namespaces.get(namespace) }
    }
}

/// An injector of these templates with the server's defaults, for a cluster of the newest version.
pub(super) fn injector(templates: TemplateSet, domain: &str) -> Injector {
    Injector::new(templates, default_settings(domain))
}

/// The texts of all templates, as far as they can be read.
pub(super) fn texts(args: &TemplateArgs) -> Vec<SourceText> {
    let texts = template_texts(&args.templates).unwrap_or_default();
    let built_in = args.templates.contains(&TemplateSource::BuiltIn).then(built_in::texts).unwrap_or_default();
    texts.into_iter().chain(built_in).collect()
}

fn assemble(sources: &[Arc<CompiledSource>], report: &mut Report) -> TemplateSet {
    let loaded = TemplateSet::assemble(sources, &TemplateSet::default());
    for problem in &loaded.problems {
        report.warning(&problem.to_string());
    }
    loaded.templates
}

fn engine_settings(args: &EngineArgs) -> Settings {
    let version = args.cluster_version.as_ref();
    Settings {
        native_sidecars: native_sidecars(args.native_sidecars, version),
        cluster_version: version.map_or_else(|| Settings::default().cluster_version, ToString::to_string),
        ..default_settings(&args.domain)
    }
}

/// The server's default.
fn default_settings(domain: &str) -> Settings {
    Settings {
        native_sidecars: NativeSidecars::Supported,
        excluded_namespaces: settings::EXCLUDE_NAMESPACES.default.split(',').map(str::to_owned).collect(),
        missing_defaults: MissingDefaults::Skip,
        domain: domain.to_owned(),
        clock: Some(processor_time::milliseconds),
        ..Settings::default()
    }
}

/// `auto` depends on the version; without one the newest version is assumed.
fn native_sidecars(when: NativeSidecarsWhen, version: Option<&ClusterVersion>) -> NativeSidecars {
    let of_version = |version: &ClusterVersion| NativeSidecars::in_version(version.major, version.minor);
    match when {
        NativeSidecarsWhen::Always => NativeSidecars::Supported,
        NativeSidecarsWhen::Never => NativeSidecars::Unsupported,
        NativeSidecarsWhen::Auto => version.map_or(NativeSidecars::Supported, of_version),
    }
}

/// The templates of all sources; all must load.
pub(super) fn load_templates(args: &TemplateArgs, report: &mut Report) -> Result<TemplateSet, ErrorList> {
    load_from(&args.templates, report)
}

fn load_from(from: &[TemplateSource], report: &mut Report) -> Result<TemplateSet, ErrorList> {
    let mut problems = ErrorList::default();
    let built_in = if from.contains(&TemplateSource::BuiltIn) { built_in::sources() } else { Vec::new() };
    let texts = problems.keep(template_texts(from)).unwrap_or_default();
    let sources = [built_in, CompiledSource::compile_all(&texts)].concat();
    let loaded = TemplateSet::assemble(&sources, &TemplateSet::default());
    for warning in &loaded.warnings {
        report.warning(&warning.to_string());
    }
    problems.extend(loaded.problems.iter().map(ToString::to_string));
    problems.or(loaded.templates)
}

fn namespaces_of(args: &EngineArgs) -> Result<NamespaceMap, ErrorList> {
    args.namespace_file.as_deref().map_or_else(|| Ok(NamespaceMap::new()), namespaces::of_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Option<ClusterVersion> {
        text.parse().ok()
    }

    #[test]
    fn auto_follows_the_cluster_version() {
        let auto = |text| native_sidecars(NativeSidecarsWhen::Auto, version(text).as_ref());
        assert_eq!(auto("1.31.9"), NativeSidecars::Unsupported);
        assert_eq!(auto("1.32"), NativeSidecars::Supported);
        assert_eq!(native_sidecars(NativeSidecarsWhen::Auto, None), NativeSidecars::Supported);
    }

    #[test]
    fn always_and_never_beat_the_cluster_version() {
        let old = version("1.20");
        assert_eq!(native_sidecars(NativeSidecarsWhen::Always, old.as_ref()), NativeSidecars::Supported);
        assert_eq!(native_sidecars(NativeSidecarsWhen::Never, None), NativeSidecars::Unsupported);
    }
}
