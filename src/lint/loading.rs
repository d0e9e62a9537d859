//! What loading the templates finds: errors, warnings, and Automatic templates that conflict.

use super::code::Code;
use super::finding::Finding;
use super::view::{View, at};
use crate::inject::template::document::{self, Place};
use crate::inject::{CompiledSource, Injector, LoadProblem, Loaded, Settings, SourceText, TemplateSet, WarningKind};
use serde_json::Value;

/// All findings of loading these texts together.
pub(super) fn findings(texts: &[SourceText]) -> Vec<Finding> {
    let Loaded { templates, problems, mut warnings } =
        TemplateSet::assemble(&CompiledSource::compile_all(texts), &TemplateSet::default());
    let conflicts = Injector::new(templates, Settings::default()).with_conflicts(&mut None).1;
    warnings.extend(conflicts.into_iter().map(|problem| at_injection(texts, problem)));
    let errors = problems.iter().map(|problem| Finding::of_problem(Code::TemplateInvalid, problem));
    errors.chain(warnings.iter().map(|problem| Finding::of_problem(code(problem), problem))).collect()
}

fn code(problem: &LoadProblem) -> Code {
    match problem.warning {
        Some(WarningKind::UnusedParameter) => Code::UnusedParameter,
        Some(WarningKind::UnusedVolume) => Code::UnusedVolume,
        Some(WarningKind::UnusedFile) => Code::UnusedFile,
        Some(WarningKind::UnknownField) => Code::UnknownField,
        Some(WarningKind::ForeignSyntax) => Code::ForeignSyntax,
        Some(WarningKind::AutomaticConflict) => Code::AutomaticConflict,
        Some(WarningKind::NoEffect) | None => Code::NoEffect,
    }
}

/// A conflict with the place of `injection: Automatic`; it concerns the template as a whole.
fn at_injection(texts: &[SourceText], problem: LoadProblem) -> LoadProblem {
    let path = View::spec_path().child("injection");
    let text = texts.iter().find(|text| text.origin == problem.origin).map_or("", |text| &text.text);
    let documents = document::parse(text).into_iter().flatten();
    let is_meant = |value: &Value| at(value, &["metadata", "name"]).as_str() == problem.template.as_deref();
    let found = documents.filter(|document| is_meant(&document.value)).map(|document| document.place(&path)).next();
    let Place { line, column } = found.unwrap_or_default();
    LoadProblem { line, column, path: path.to_string(), ..problem }
}
