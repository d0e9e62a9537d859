//! Rules for references $(NAME) to variables that Kubernetes does not replace.

use super::code::Code;
use super::finding::Finding;
use super::view::{Container, View, at, below};
use crate::inject::text::FieldPath;
use crate::inject::text::json::items;
use serde_json::Value;

/// All warnings about the references of a template.
pub(super) fn findings(view: View<'_>) -> Vec<Finding> {
    view.containers()
        .flat_map(|container| undefined(view, &container).into_iter().chain(in_exec(view, &container)))
        .collect()
}

/// References in commands that the kubelet runs in a container: those of hooks it never replaces, and
/// those of probes by variables with a written value only.
fn in_exec(view: View<'_>, container: &Container<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| (vec![probe], true));
    let hooks = ["postStart", "preStop"].map(|hook| (vec!["lifecycle", hook], false));
    let is_written = |name: &str| {
        let variables = items(container.value, "env").iter();
        let of_name = variables.rev().find(|variable| at(variable, &["name"]) == name);
        of_name.is_some_and(|variable| at(variable, &["valueFrom"]).is_null())
    };
    let is_unknown = defined(view, container).is_none();
    for (mut names, is_probe) in probes.into_iter().chain(hooks) {
        names.extend(["exec", "command"]);
        for (index, word) in at(container.value, &names).as_array().into_iter().flatten().enumerate() {
            for name in references(word.as_str().unwrap_or_default()) {
                if is_probe && (is_unknown || is_written(name)) {
                    continue;
                }
                let (what, which) =
                    if is_probe { ("probe", "; only variables with a written value are") } else { ("hook", "") };
                let message =
                    format!("$({name}) is not replaced in the command of a {what} of {}{which}", container.name());
                let path = below(&container.path, &names).index(index);
                found.push(Finding::new(Code::UndefinedVariable, view, &path, message));
            }
        }
    }
    found
}

/// References to variables that the container lacks, or that stand behind the reference.
///
/// See <https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>.
fn undefined(view: View<'_>, container: &Container<'_>) -> Vec<Finding> {
    let Some(names) = defined(view, container) else { return Vec::new() };
    let mut found = Vec::new();
    let mut check = |text: &Value, path: &FieldPath, defined: &[&str]| {
        for name in references(text.as_str().unwrap_or_default()) {
            let why = match (defined.contains(&name), names.contains(&name)) {
                (true, _) => continue,
                (false, true) => "defines only later",
                (false, false) => "does not define",
            };
            let message = format!("$({name}) names a variable that {} {why}", container.name());
            found.push(Finding::new(Code::UndefinedVariable, view, path, message));
        }
    };
    for (index, variable) in items(container.value, "env").iter().enumerate() {
        let path = container.path.child("env").index(index).child("value");
        check(at(variable, &["value"]), &path, names.get(..index).unwrap_or_default());
    }
    for field in ["command", "args"] {
        for (index, word) in items(container.value, field).iter().enumerate() {
            check(word, &container.path.child(field).index(index), &names);
        }
    }
    found
}

/// The names of the variables of a container in their order; `None` if they are not all known.
fn defined<'a>(view: View<'a>, container: &Container<'a>) -> Option<Vec<&'a str>> {
    let has = |value: &Value| !value.is_null();
    if has(at(container.value, &["envFrom"])) || has(at(view.spec(), &["fromApp", "env"])) {
        return None;
    }
    let name = |variable: &'a Value| {
        let is_fixed = at(variable, &["when"]).is_null() && at(variable, &["forEach"]).is_null();
        at(variable, &["name"]).as_str().filter(|name| is_fixed && !name.contains("${"))
    };
    match at(container.value, &["env"]) {
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
    use super::references;

    #[test]
    fn references_are_names_of_variables_and_neither_escaped_nor_commands_of_a_shell() {
        assert_eq!(references("--a=$(A) $(B_2)/x"), ["A", "B_2"]);
        assert_eq!(references("$$(A) $(hostname) $(date +%s) ${A} $A $(A"), Vec::<&str>::new());
        assert_eq!(references("$$$(A)"), ["A"]);
        assert_eq!(references("$(KUBERNETES_SERVICE_HOST) $(DB_PORT)"), Vec::<&str>::new());
        assert_eq!(references("$(outer $(INNER))"), ["INNER"]);
    }
}
