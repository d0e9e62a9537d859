//! The templates that `serve` starts with.
//!
//! Invariant: a broken template keeps the others from being served only where the operator says so (`--strict`).

use anyhow::{Context, bail};

use crate::config::Config;
use crate::inject::{LoadProblem, Loaded, SourceText, TemplateSet, redacted};
use crate::source::{built_in, directory};

/// Most names that one line of the log lists.
const MAX_NAMES: usize = 50;

/// What was loaded, and what there is to say of it.
pub struct Templates {
    pub templates: TemplateSet,
    pub report: Report,
}

/// What the log and `/readyz?verbose` say of a load. It is kept until nothing can fail any more, so that a start that fails
/// says why and nothing else.
pub struct Report {
    count: usize,
    broken: usize,
    names: String,
    problems: Vec<LoadProblem>,
    warnings: Vec<LoadProblem>,
}

impl Report {
    pub fn log(&self) {
        for warning in &self.warnings {
            tracing::warn!(warning = redacted(&warning.to_string()), "template");
        }
        for problem in &self.problems {
            tracing::error!(problem = redacted(&problem.to_string()), "broken template");
        }
        tracing::info!(count = self.count, broken = self.broken, names = self.names, "templates loaded");
        if self.count == 0 {
            tracing::warn!("there is no template to put in: every pod that asks for one is refused");
        }
    }

    pub fn notes(&self) -> Vec<String> {
        self.problems.iter().map(|problem| format!("template {problem}")).collect()
    }
}

/// Loads the built-in templates or those of all directories.
pub fn load(config: &Config) -> anyhow::Result<Templates> {
    let (texts, mut problems) = texts(config)?;
    let Loaded { templates, problems: broken, warnings } = TemplateSet::load(&texts);
    problems.extend(broken);
    if config.strict && !problems.is_empty() {
        bail!("{}", listed(&problems));
    }
    let names: Vec<&str> = templates.iter().map(|template| template.name).take(MAX_NAMES).collect();
    let (count, broken, names) = (templates.len(), templates.broken(), names.join(","));
    Ok(Templates { templates, report: Report { count, broken, names, problems, warnings } })
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
