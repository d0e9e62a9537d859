//! What loading the templates finds: errors, warnings, and Automatic templates that conflict.

use super::code::Code;
use super::finding::Finding;
use super::mask::Hidden;
use super::view::{View, at};
use crate::inject::template::document::{self, Place};
use crate::inject::text::FieldPath;
use crate::inject::{
    AutomaticConflicts, CompiledSource, Injector, LoadProblem, Loaded, MAX_OVERLAPPING, Settings, SourceText,
    TemplateScope, TemplateSet, WarningKind,
};

/// All findings of loading these texts together, and an injector of the templates that load.
pub(super) fn findings(texts: &[SourceText], hidden: &Hidden) -> (Vec<Finding>, Injector) {
    let Loaded { templates, problems, warnings } =
        TemplateSet::assemble(&CompiledSource::compile_all(texts), &TemplateSet::default());
    let mut conflicts = None;
    let (injector, _) = Injector::new(templates, Settings::default()).with_conflicts(&mut conflicts);
    // What is said of a secret's variable quotes none of its values.
    let of = |code: Code, problem: &LoadProblem| {
        let mut finding = Finding::of_problem(code, problem);
        if hidden.covers(&problem.path) {
            finding.message = problem.message.redacted();
        }
        finding
    };
    let errors = problems.iter().map(|problem| of(Code::TemplateInvalid, problem));
    let mut found: Vec<Finding> = errors.chain(warnings.iter().map(|problem| of(code(problem), problem))).collect();
    let automatic = automatic(texts);
    for (scope, problem) in conflicts.iter().flat_map(AutomaticConflicts::found) {
        let place = automatic.iter().find(|one| {
            one.origin == problem.origin && one.scope == *scope && Some(&one.name) == problem.template.as_ref()
        });
        let Place { line, column } = place.map_or_else(Place::default, |one| one.place);
        let problem = LoadProblem { line, column, path: injection().to_string(), ..problem.clone() };
        found.push(Finding::of_problem(Code::AutomaticConflict, &problem));
    }
    found.extend(not_compared(&automatic));
    (found, injector)
}

/// A template with `injection: Automatic`.
struct Automatic<'t> {
    origin: &'t str,
    name: String,
    scope: TemplateScope,
    place: Place,
}

fn injection() -> FieldPath {
    View::spec_path().child("injection")
}

fn automatic(texts: &[SourceText]) -> Vec<Automatic<'_>> {
    let mut found = Vec::new();
    // Most texts need not be read again.
    for text in texts.iter().filter(|text| text.text.contains("Automatic")) {
        for document in document::parse(&text.text).into_iter().flatten() {
            let value = &document.value;
            if at(value, &["spec", "injection"]) != "Automatic" {
                continue;
            }
            let text_of = |names: &[&str]| at(value, names).as_str().unwrap_or_default().to_owned();
            let is_cluster_wide = at(value, &["kind"]) == "ClusterInjectionTemplate";
            let scope = if is_cluster_wide {
                TemplateScope::Cluster
            } else {
                TemplateScope::Namespace(text_of(&["metadata", "namespace"]))
            };
            let (name, place) = (text_of(&["metadata", "name"]), document.place(&injection()));
            found.push(Automatic { origin: &text.origin, name, scope, place });
        }
    }
    found
}

/// Says that too many templates are not compared.
fn not_compared(automatic: &[Automatic<'_>]) -> Option<Finding> {
    let of = |scope: &TemplateScope| automatic.iter().filter(|one| one.scope == *scope).count();
    let of_cluster = of(&TemplateScope::Cluster);
    let reaches = |one: &Automatic<'_>| match one.scope {
        TemplateScope::Cluster => of_cluster,
        TemplateScope::Namespace(_) => of_cluster + of(&one.scope),
    };
    let first = automatic.iter().find(|one| reaches(one) > MAX_OVERLAPPING)?;
    Some(Finding {
        code: Code::AutomaticConflict,
        origin: first.origin.to_owned(),
        place: first.place,
        path: injection().to_string(),
        message: format!("more than {MAX_OVERLAPPING} templates are Automatic in one namespace: they are not compared"),
        help: Code::AutomaticConflict.help().to_owned(),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn template(namespace: &str, name: &str, value: &str) -> String {
        format!(
            "apiVersion: outrigger.dev/v1alpha1\nkind: InjectionTemplate\nmetadata: {{name: {name}, namespace: \
             {namespace}}}\nspec:\n  injection: Automatic\n  match: {{podSelector: {{}}}}\n  app:\n    env: [{{name: A, value: {value}}}]\n---\n"
        )
    }

    fn found(text: String) -> Vec<(usize, String)> {
        let texts = [SourceText { origin: "a.yaml".to_owned(), text }];
        let (found, _) = findings(&texts, &Hidden::default());
        let found = found.into_iter();
        found.filter(|one| one.code == Code::AutomaticConflict).map(|one| (one.place.line, one.message)).collect()
    }

    #[test]
    fn a_conflict_is_placed_at_the_template_of_its_namespace() {
        let text = template("a", "one", "x") + &template("b", "one", "x") + &template("b", "two", "z");
        let lines: Vec<usize> = found(text).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [14, 23]);
    }

    #[test]
    fn too_many_automatic_templates_are_not_compared_which_is_said() {
        let text: String = (0..=MAX_OVERLAPPING).map(|one| template("a", &format!("t{one}"), "x")).collect();
        // A text has 64 documents at most.
        let documents: Vec<&str> = text.split_inclusive("---\n").collect();
        let texts: Vec<SourceText> = documents
            .chunks(60)
            .enumerate()
            .map(|(index, chunk)| SourceText { origin: format!("{index}.yaml"), text: chunk.concat() })
            .collect();
        let (found, _) = findings(&texts, &Hidden::default());
        assert!(found.iter().any(|one| one.message.contains("are not compared")), "{found:?}");
    }
}
