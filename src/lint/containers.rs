//! Rules for a single container: resources, image, shell and foreign syntax.

use super::code::Code;
use super::finding::Finding;
use super::view::{Container, View, at, below};
use serde_json::Value;

/// Official images whose default user is root, by the last part of the repository's name.
const ROOT_IMAGES: [&str; 10] =
    ["nginx", "httpd", "redis", "postgres", "mysql", "mariadb", "mongo", "rabbitmq", "traefik", "haproxy"];

/// All warnings about the containers of a template.
pub(super) fn findings(view: View<'_>) -> Vec<Finding> {
    view.containers().flat_map(|container| of_container(view, &container)).collect()
}

fn of_container(view: View<'_>, container: &Container<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |code, names: &[&str], message: String| {
        found.push(Finding::new(code, view, &below(&container.path, names), message));
    };
    if let Some(missing) = missing_resources(container.value) {
        add(Code::NoResources, &["resources"], format!("{} has no {missing}", container.name()));
    }
    let image = container.value.get("image").and_then(Value::as_str).and_then(|image| view.resolve(image));
    if let Some(image) = image {
        if let Some(what) = tag_fault(&image) {
            add(Code::ImageTag, &["image"], format!("the image {image:?} {what}"));
        }
        if runs_as_root(view, container.value, &image) {
            let message = format!("the image {image:?} runs as root, and the template sets runAsNonRoot");
            add(Code::RootImage, &["image"], message);
        }
    }
    if container.is_sidecar && is_deaf_shell(container.value) {
        let message = format!("the shell of {} ignores SIGTERM", container.name());
        add(Code::ShellIgnoresSigterm, &["command"], message);
    }
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
    let missing = fields.iter().filter(|(kind, name)| at(container, &["resources", kind, name]).is_null());
    let missing: Vec<_> = missing.map(|(kind, name)| format!("resources.{kind}.{name}")).collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

fn tag_fault(image: &str) -> Option<&'static str> {
    if image.contains('@') {
        return None;
    }
    match image.rsplit('/').next().unwrap_or_default().split_once(':') {
        None => Some("has no tag and no digest"),
        Some((_, "latest")) => Some("has the tag latest"),
        Some(_) => None,
    }
}

fn runs_as_root(view: View<'_>, container: &Value, image: &str) -> bool {
    let is_hardened = view.spec().get("hardened").is_none_or(|hardened| hardened == true);
    let context = at(container, &["securityContext"]);
    let says_user = ["runAsUser", "runAsNonRoot"].iter().any(|field| context.get(field).is_some());
    let pod_user = !at(view.spec(), &["pod", "securityContext", "runAsUser"]).is_null();
    let name = image.strip_prefix("docker.io/").unwrap_or(image);
    let name = name.strip_prefix("library/").unwrap_or(name);
    let name = name.split([':', '@']).next().unwrap_or_default();
    is_hardened && !says_user && !pod_user && !context.is_string() && ROOT_IMAGES.contains(&name)
}

/// Whether the container runs `sh -c` with a script that neither execs nor traps.
fn is_deaf_shell(container: &Value) -> bool {
    let words: Vec<&str> = ["command", "args"]
        .iter()
        .filter_map(|field| at(container, &[field]).as_array())
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let [shell, flag, script, ..] = words.as_slice() else { return false };
    let is_shell = ["sh", "bash", "ash", "dash"].contains(&shell.rsplit('/').next().unwrap_or_default());
    let has_several = script.trim().contains(['\n', ';', '|']) || script.contains("&&");
    let has_word = |word: &str| script.split(|c: char| !c.is_ascii_alphanumeric()).any(|found| found == word);
    is_shell && flag.starts_with('-') && flag.ends_with('c') && has_several && !has_word("exec") && !has_word("trap")
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
    let message = format!("nothing evaluates {:?}", rest.get(..end)?);
    Some(Finding::new(Code::ForeignSyntax, view, path, message))
}
