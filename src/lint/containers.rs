//! Rules for a single container: resources, image, first process and foreign syntax.

use super::code::Code;
use super::finding::Finding;
use super::view::{Container, View, at};
use super::{images, sigterm};
use serde_json::Value;

/// All warnings about the containers of a template.
pub(super) fn findings(view: View<'_>) -> Vec<Finding> {
    view.containers().flat_map(|container| of_container(view, &container)).collect()
}

fn of_container(view: View<'_>, container: &Container<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(missing) = missing_resources(container.value) {
        let message = format!("{} has no {missing}", container.name());
        found.push(Finding::new(Code::NoResources, view, &container.path.child("resources"), message));
    }
    found.extend(images::of_container(view, container));
    found.extend(sigterm::finding(view, container));
    found.extend(foreign_syntax(view, container));
    found
}

fn missing_resources(container: &Value) -> Option<String> {
    let fields = [("requests", "cpu"), ("requests", "memory"), ("limits", "memory")];
    // An expression in place of the whole map is unknown.
    if [&["resources"][..], &["resources", "requests"], &["resources", "limits"]]
        .iter()
        .any(|names| at(container, names).is_string())
    {
        return None;
    }
    let is_set = |kind: &str, name: &str| !at(container, &["resources", kind, name]).is_null();
    // An API server takes a limit for the request that is left out.
    let missing = fields.iter().filter(|(kind, name)| !is_set(kind, name) && !is_set("limits", name));
    let missing: Vec<_> = missing.map(|(kind, name)| format!("resources.{kind}.{name}")).collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

fn foreign_syntax(view: View<'_>, container: &Container<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for field in ["image", "command", "args", "env"] {
        let path = container.path.child(field);
        match at(container.value, &[field]) {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = path.index(index);
                    let (text, path) = match item.get("value") {
                        Some(value) => (value, path.child("value")),
                        None => (item, path),
                    };
                    found.extend(foreign_text(view, text, &path));
                }
            }
            text => found.extend(foreign_text(view, text, &path)),
        }
    }
    found
}

fn foreign_text(view: View<'_>, text: &Value, path: &crate::inject::text::FieldPath) -> Option<Finding> {
    let text = text.as_str()?;
    let rest = &text[text.find("{{")?..];
    let end = rest.find("}}")? + 2;
    let message = format!("Outrigger does not evaluate {:?}", rest.get(..end)?);
    Some(Finding::new(Code::ForeignSyntax, view, path, message))
}
