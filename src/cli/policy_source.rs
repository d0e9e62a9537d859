//! The template of which `export` and `generate policy` make policies: of files, or an object of a
//! cluster.
//!
//! Invariant: a [`PolicySource`] has the template, and it works.

use anyhow::{anyhow, bail};
use clap::Args;
use serde_json::Value;

use super::cluster::{self, ClusterArgs, Failure};
use super::engine::{self, TemplateArgs};
use super::report::Report;
use super::{complete, template_objects, values};
use crate::api::template_object::{TemplateKind, TemplateObject};
use crate::config::settings;
use crate::export::Restriction;
use crate::inject::{Injector, TemplateScope, locate};

/// The flags that name a template of the cluster's scope.
#[derive(Args, Debug)]
pub(super) struct PolicySourceArgs {
    /// Name of the template
    #[arg(value_name = "TEMPLATE", add = complete::templates())]
    template: String,

    #[command(flatten)]
    templates: TemplateArgs,

    /// Read the template from the objects of the cluster instead
    #[arg(long, conflicts_with = "templates")]
    in_cluster: bool,

    /// Domain of all annotations and labels
    #[arg(long, value_name = "DOMAIN", default_value = settings::DOMAIN.default, value_parser = values::domain)]
    domain: String,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// A template with all others of its source.
pub(super) struct PolicySource<'a> {
    args: &'a PolicySourceArgs,
    injector: Injector,
    /// As written.
    spec: Value,
    /// File name, or kind and name of the object.
    origin: String,
}

impl PolicySourceArgs {
    pub(super) fn name(&self) -> &str {
        &self.template
    }

    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    /// Reads the templates, and finds the named one.
    pub(super) fn load(&self) -> anyhow::Result<PolicySource<'_>> {
        self.cluster.check_use(self.in_cluster)?;
        let templates = match self.in_cluster {
            true => template_objects::load(cluster::block_on(self.objects())?),
            false => engine::load_templates(&self.templates, &mut Report::new(false, false))?,
        };
        let name = &self.template;
        let Some(status) = templates.status_of(&TemplateScope::Cluster, name) else {
            let mut namespaced = templates.all().filter(|one| one.name == name).filter_map(|one| one.namespace);
            if let Some(namespace) = namespaced.next() {
                bail!(
                    "template {name:?} is an InjectionTemplate of namespace {namespace:?}: a policy is cluster-wide, \
                     so it needs a ClusterInjectionTemplate"
                );
            }
            bail!(template_objects::none_is_called(name, &templates.names()));
        };
        let Some(spec) = status.interface.and_then(|interface| interface.spec()) else {
            let problem = status.problem.map(ToString::to_string).unwrap_or_default();
            bail!("template {name:?} does not load: {problem}");
        };
        let origin = status.origin.to_owned();
        Ok(PolicySource { args: self, injector: engine::injector(templates, &self.domain), spec, origin })
    }

    /// The cluster's templates; without them no other will do.
    async fn objects(&self) -> anyhow::Result<Vec<TemplateObject>> {
        let (objects, failures) = template_objects::read(&self.cluster, &[TemplateKind::Cluster], None).await?;
        match failures.into_iter().next() {
            None => Ok(objects),
            Some(Failure::Forbidden { right }) => Err(anyhow!(
                "cannot read the templates: the right to {right} is missing; grant it, or name the template's file \
                 with --templates"
            )),
            Some(Failure::Other { what, problem }) => {
                Err(anyhow!("cannot {what}: {problem}; try again, or name the template's file with --templates"))
            }
        }
    }
}

impl PolicySource<'_> {
    pub(super) const fn injector(&self) -> &Injector {
        &self.injector
    }

    pub(super) const fn spec(&self) -> &Value {
        &self.spec
    }

    /// The restrictions in the order of the text, each after its `file:line:column` or its object.
    pub(super) fn lines(&self, found: &[Restriction]) -> Vec<String> {
        let texts = if self.args.in_cluster { Vec::new() } else { engine::texts(&self.args.templates) };
        let source = texts.iter().find(|text| text.origin == self.origin);
        let (name, origin) = (&self.args.template, &self.origin);
        let place = |one: &Restriction| source.and_then(|text| locate(text, name, &one.field));
        let mut placed: Vec<(Option<(usize, usize)>, &Restriction)> =
            found.iter().map(|one| (place(one), one)).collect();
        placed.sort_by_key(|(place, _)| *place);
        let line = |(place, restriction): (Option<(usize, usize)>, &Restriction)| {
            let at = place.map_or_else(|| origin.clone(), |(line, column)| format!("{origin}:{line}:{column}"));
            format!("{at}: template {name:?} cannot be a policy: {restriction}")
        };
        placed.into_iter().map(line).collect()
    }
}
