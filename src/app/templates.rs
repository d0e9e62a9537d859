//! The templates that `serve` starts with.
//!
//! Invariant: a broken template keeps the others from being served only where the operator says so (`--strict`).

use anyhow::{Context, bail};

use crate::config::Config;
use crate::inject::{LoadProblem, Loaded, SourceText, TemplateSet};
use crate::source::{built_in, directory};

/// Most names that one line of the log lists.
const MAX_NAMES: usize = 50;

/// What was loaded, and what is wrong with the rest.
pub struct Templates {
    pub templates: TemplateSet,
    pub problems: Vec<String>,
}

/// Loads the built-in templates or those of all directories.
pub fn load(config: &Config) -> anyhow::Result<Templates> {
    let (texts, mut problems) = texts(config)?;
    let Loaded { templates, problems: broken, warnings } = TemplateSet::load(&texts);
    problems.extend(broken);
    if config.strict && !problems.is_empty() {
        bail!("{}", listed(&problems));
    }
    for warning in &warnings {
        tracing::warn!(%warning, "template");
    }
    for problem in &problems {
        tracing::error!(%problem, "broken template");
    }
    let names: Vec<&str> = templates.iter().map(|template| template.name).take(MAX_NAMES).collect();
    tracing::info!(count = templates.len(), broken = templates.broken(), names = names.join(","), "templates loaded");
    if templates.is_empty() {
        tracing::warn!("there is no template to put in: every pod that asks for one is refused");
    }
    Ok(Templates { templates, problems: problems.iter().map(|problem| format!("template {problem}")).collect() })
}

fn texts(config: &Config) -> anyhow::Result<(Vec<SourceText>, Vec<LoadProblem>)> {
    if config.templates.is_empty() {
        return Ok((built_in::texts(), Vec::new()));
    }
    let (mut texts, mut problems) = (Vec::new(), Vec::new());
    for path in &config.templates {
        let found = directory::read(path).with_context(|| format!("cannot read the template directory {path:?}"))?;
        texts.extend(found.texts);
        problems.extend(found.problems);
    }
    Ok((texts, problems))
}

fn listed(problems: &[LoadProblem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
