//! Rules for references $(NAME) to variables that Kubernetes does not replace.

use super::code::Code;
use super::finding::Finding;
use super::view::{Container, View, at, below, known_text};
use crate::inject::text::FieldPath;
use crate::inject::text::json::items;
use serde_json::Value;

/// A container of the template, or what it gives those of the app.
struct Owner<'a> {
    path: FieldPath,
    value: &'a Value,
    name: String,
    /// The names of its variables in their order; `None` if they are not all known.
    variables: Option<Vec<&'a str>>,
}

/// All warnings about the references of a template.
pub(super) fn findings(view: View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let copies_variables = !at(view.spec(), &["fromApp", "env"]).is_null();
    for container in view.containers() {
        let name = container.name();
        let Container { path, value, .. } = container;
        let variables = variables(value).filter(|_| !copies_variables);
        let owner = Owner { path, value, name, variables };
        undefined(view, &owner, &mut found);
        in_probes(view, &owner, &mut found);
        in_hooks(view, &owner, &mut found);
    }
    let (path, app) = (View::spec_path().child("app"), at(view.spec(), &["app"]));
    let of_app =
        |path: FieldPath, value| Owner { path, value, name: "the app".to_owned(), variables: variables(value) };
    later(view, &of_app(path.clone(), app), &mut found);
    in_hooks(view, &of_app(path.child("defaults"), at(app, &["defaults"])), &mut found);
    found
}

fn add(view: View<'_>, path: &FieldPath, message: String, found: &mut Vec<Finding>) {
    found.push(Finding::new(Code::UndefinedVariable, view, path, message));
}

/// The references in the words of a command, each with the path of its word.
fn in_command<'a>(owner: &Owner<'a>, names: &[&str]) -> Vec<(FieldPath, &'a str)> {
    let words = at(owner.value, names).as_array().into_iter().flatten().enumerate();
    words
        .flat_map(|(index, word)| {
            let path = below(&owner.path, names).index(index);
            references(word.as_str().unwrap_or_default()).into_iter().map(move |name| (path.clone(), name))
        })
        .collect()
}

/// References in the commands of hooks, which the kubelet never replaces.
fn in_hooks(view: View<'_>, owner: &Owner<'_>, found: &mut Vec<Finding>) {
    for hook in ["postStart", "preStop"] {
        for (path, name) in in_command(owner, &["lifecycle", hook, "exec", "command"]) {
            let message = format!("$({name}) is not replaced in the command of a hook of {}", owner.name);
            add(view, &path, message, found);
        }
    }
}

/// References in the commands of probes, which the kubelet replaces by variables with a written value only.
fn in_probes(view: View<'_>, owner: &Owner<'_>, found: &mut Vec<Finding>) {
    let is_written = |name: &str| {
        let variables = items(owner.value, "env").iter();
        let of_name = variables.rev().find(|variable| at(variable, &["name"]) == name);
        of_name.is_some_and(|variable| at(variable, &["valueFrom"]).is_null())
    };
    if owner.variables.is_none() {
        return;
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        for (path, name) in in_command(owner, &[probe, "exec", "command"]) {
            if !is_written(name) {
                let message = format!(
                    "$({name}) is not replaced in the command of a probe of {}; only variables with a written value are",
                    owner.name
                );
                add(view, &path, message, found);
            }
        }
    }
}

/// References to variables that the container lacks, or that stand behind the reference.
///
/// See <https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>.
fn undefined(view: View<'_>, owner: &Owner<'_>, found: &mut Vec<Finding>) {
    let Some(names) = &owner.variables else { return };
    later(view, owner, found);
    let mut check = |name: &str, path: &FieldPath| {
        if !names.contains(&name) {
            let message = format!("$({name}) names a variable that {} does not define", owner.name);
            add(view, path, message, found);
        }
    };
    for (index, variable) in items(owner.value, "env").iter().enumerate() {
        let path = owner.path.child("env").index(index).child("value");
        references(at(variable, &["value"]).as_str().unwrap_or_default())
            .into_iter()
            .for_each(|name| check(name, &path));
    }
    for field in ["command", "args"] {
        in_command(owner, &[field]).iter().for_each(|(path, name)| check(name, path));
    }
    for (index, mount) in items(owner.value, "volumeMounts").iter().enumerate() {
        let path = owner.path.child("volumeMounts").index(index).child("subPathExpr");
        let expression = at(mount, &["subPathExpr"]).as_str().unwrap_or_default();
        references(expression).into_iter().for_each(|name| check(name, &path));
    }
}

/// References in variables to others that stand only behind them.
fn later(view: View<'_>, owner: &Owner<'_>, found: &mut Vec<Finding>) {
    let Some(names) = &owner.variables else { return };
    for (index, variable) in items(owner.value, "env").iter().enumerate() {
        let (before, after) = names.split_at(index.min(names.len()));
        for name in references(at(variable, &["value"]).as_str().unwrap_or_default()) {
            if !before.contains(&name) && after.contains(&name) {
                let path = owner.path.child("env").index(index).child("value");
                let message = format!("$({name}) names a variable that {} defines only later", owner.name);
                add(view, &path, message, found);
            }
        }
    }
}

/// The names of the variables of a container in their order; `None` if they are not all known.
fn variables(container: &Value) -> Option<Vec<&str>> {
    if !at(container, &["envFrom"]).is_null() {
        return None;
    }
    let name = |variable| {
        let is_fixed = at(variable, &["when"]).is_null() && at(variable, &["forEach"]).is_null();
        known_text(at(variable, &["name"])).filter(|_| is_fixed)
    };
    match at(container, &["env"]) {
        Value::Null => Some(Vec::new()),
        Value::Array(variables) => variables.iter().map(name).collect(),
        _ => None,
    }
}

/// The names in `$(NAME)`, except those that only the shell knows, and those of Services, which
/// the kubelet defines.
fn references(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            let is_name = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
                && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            let is_of_service = name.contains("_SERVICE_") || name.ends_with("_PORT") || name.contains("_PORT_");
            if is_name && !is_of_service {
                names.push(name);
            }
            rest = if is_name { after } else { rest };
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::template::document::Document;
    use crate::lint::view::resolved;
    use serde_json::json;

    #[test]
    fn references_are_read_wherever_kubernetes_replaces_them_or_seems_to() {
        let sidecar = |field: &str, value: Value| json!({"sidecars": [{"name": "helper", field: value}]});
        let hook = |name: &str| json!({name: {"exec": {"command": ["a", "$(A)"]}}});
        for (spec, expected) in [
            (sidecar("volumeMounts", json!([{"subPathExpr": "$(A)"}])), "spec.sidecars[0].volumeMounts[0].subPathExpr"),
            (sidecar("lifecycle", hook("preStop")), "spec.sidecars[0].lifecycle.preStop.exec.command[1]"),
            (
                json!({"app": {"defaults": {"lifecycle": hook("postStart")}}}),
                "spec.app.defaults.lifecycle.postStart.exec.command[1]",
            ),
            (
                json!({"app": {"env": [{"name": "B", "value": "$(A)"}, {"name": "A", "value": "a"}]}}),
                "spec.app.env[0].value",
            ),
            (json!({"app": {"env": [{"name": "A", "value": "a"}, {"name": "B", "value": "$(A) $(C)"}]}}), ""),
            (json!({"app": {"env": [{"name": "B", "value": "$(A)"}, {"name": "A", "when": "params.x"}]}}), ""),
        ] {
            let document = Document::of_value(json!({"spec": spec}));
            let value = resolved(&document);
            let found = findings(View { origin: "", document: &document, value: &value });
            let paths: Vec<&str> = found.iter().map(|one| one.path.as_str()).collect();
            assert_eq!(paths.concat(), expected, "{spec}");
        }
    }

    #[test]
    fn references_are_names_of_variables_and_neither_escaped_nor_commands_of_a_shell() {
        assert_eq!(references("--a=$(A) $(B_2)/x"), ["A", "B_2"]);
        assert_eq!(references("$$(A) $(hostname) $(date +%s) ${A} $A $(A"), Vec::<&str>::new());
        assert_eq!(references("$$$(A)"), ["A"]);
        assert_eq!(references("$(KUBERNETES_SERVICE_HOST) $(DB_PORT)"), Vec::<&str>::new());
        assert_eq!(references("$(outer $(INNER))"), ["INNER"]);
    }
}
