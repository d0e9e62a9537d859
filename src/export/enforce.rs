//! Writes a ValidatingAdmissionPolicy that refuses chosen pods without the containers of a template.
//!
//! Invariant: whatever makes a check weaker than it looks is returned as a note.

use serde_json::{Map, Value, json};

use super::chosen::{self, Selection};
use super::{Installation, bound, cel, constraints};

/// How the image of a container is compared with the template's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageCheck {
    /// The same text.
    Exact,
    /// The same repository, with any tag or digest.
    Repository,
    /// Any image.
    Any,
}

/// A policy that enforces a template.
#[derive(Clone, Debug, PartialEq)]
pub struct Enforced {
    /// Name of the policy and of its binding.
    pub name: String,
    /// How images are compared.
    pub image: ImageCheck,
    /// The pods that must carry the template.
    pub selection: Selection,
    /// Whether a new image of a checked container of an existing pod is compared too.
    pub checks_updates: bool,
    /// `validationActions` of the binding: `Deny`, `Warn`, `Audit`.
    pub actions: Vec<String>,
    /// What follows each message; begins with a space if it is not empty.
    pub hint: String,
}

/// A container that pods must have.
struct Required<'a> {
    name: &'a str,
    image: Option<&'a str>,
    role: Role,
}

/// What a container is, which says where it may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Sidecar,
    /// An init container that ends.
    Once,
    /// An init container that is always restarted.
    Restarted,
    /// An init container whose restart policy is computed.
    Init,
}

/// The policy and its binding, and notes about what it does not check.
pub fn enforce(
    template: &str,
    spec: &Value,
    policy: &Enforced,
    installation: &Installation<'_>,
) -> ([Value; 2], Vec<String>) {
    let mut notes = Vec::new();
    let checks = checks(template, spec, policy, installation, &mut notes);
    let objects = with_checks(template, spec, checks, policy, installation, &mut notes);
    (objects, notes)
}

/// What is checked of each chosen pod.
pub(super) fn checks(
    template: &str,
    spec: &Value,
    policy: &Enforced,
    installation: &Installation<'_>,
    notes: &mut Vec<String>,
) -> Vec<Check> {
    let required = required(spec, notes);
    let mut checks = vec![status_check(template, policy, installation)];
    if !adds_always(spec) {
        notes.push(
            "each part has when or forEach, or is an expression as a whole: a pod for which all of it is left out is \
             refused"
                .to_owned(),
        );
    }
    if spec["onError"] == "Skip" {
        notes.push("onError: Skip lets pods in without the template; the policy refuses them".to_owned());
    }
    if spec["onConflict"] == "KeepPod" {
        notes.push(
            "onConflict: KeepPod leaves a pod that itself has all that the template adds as it is, without a status \
             annotation; the policy refuses it"
                .to_owned(),
        );
    }
    if !spec["rollout"].is_null() {
        notes.push(
            "spec.rollout gives some pods an earlier revision; the policy refuses those of them whose containers or \
             images differ from this one's, so create it after the rollout"
                .to_owned(),
        );
    }
    for container in &required {
        checks.push(present(template, spec, container, policy, installation));
        checks.extend(image(template, spec, container, policy, notes));
    }
    checks
}

/// The policy with these checks, and its binding.
pub(super) fn with_checks(
    template: &str,
    spec: &Value,
    checks: Vec<Check>,
    policy: &Enforced,
    installation: &Installation<'_>,
    notes: &mut Vec<String>,
) -> [Value; 2] {
    let chosen = chosen::of(template, spec, &policy.selection, installation, notes);
    let operations: &[&str] = if policy.checks_updates { &["CREATE", "UPDATE"] } else { &["CREATE"] };
    let mut object = Map::new();
    object.insert("failurePolicy".to_owned(), json!("Fail"));
    object.insert("matchConstraints".to_owned(), constraints(&chosen.namespaces, &chosen.pods, operations));
    object.insert("matchConditions".to_owned(), chosen::conditions(spec).into());
    if let Some(expression) = &chosen.expression {
        object.insert("variables".to_owned(), json!([{"name": "chosen", "expression": expression}]));
    }
    let validations: Vec<Value> = checks.iter().map(|check| validation(check, chosen.expression.is_some())).collect();
    object.insert("validations".to_owned(), validations.into());
    bound("ValidatingAdmissionPolicy", &policy.name, object, Some(&policy.actions))
}

/// Whether some part of the template is in every pod that gets it.
fn adds_always(spec: &Value) -> bool {
    const PARTS: [&str; 7] = ["sidecars", "initContainers", "volumes", "files", "app", "metadata", "pod"];
    fn has_constant(value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::String(text) => !text.contains("${"),
            Value::Bool(_) | Value::Number(_) => true,
            Value::Array(items) => items.iter().any(has_constant),
            Value::Object(fields) => {
                let is_conditional = fields.contains_key("when") || fields.contains_key("forEach");
                !is_conditional && fields.values().any(has_constant)
            }
        }
    }
    PARTS.iter().any(|part| has_constant(&spec[*part]))
}

/// The containers whose names every pod gets.
fn required<'a>(spec: &'a Value, notes: &mut Vec<String>) -> Vec<Required<'a>> {
    let mut required = Vec::new();
    for list in ["sidecars", "initContainers"] {
        for (index, item) in spec[list].as_array().into_iter().flatten().enumerate() {
            let name = item["name"].as_str().filter(|name| !name.contains("${"));
            let is_computed = item.get("when").is_some() || item.get("forEach").is_some();
            match name.filter(|_| !is_computed) {
                Some(name) => required.push(Required { name, image: item["image"].as_str(), role: role(list, item) }),
                None => notes.push(format!(
                    "spec.{list}[{index}]: not every pod gets this container under one name; it is not checked"
                )),
            }
        }
    }
    if required.is_empty() {
        notes.push(
            "the template has no container that every pod gets: only the status annotation is checked, which \
                    a pod's author can write"
                .to_owned(),
        );
    }
    required
}

fn role(list: &str, item: &Value) -> Role {
    match item["restartPolicy"].as_str() {
        _ if list == "sidecars" => Role::Sidecar,
        Some("Always") => Role::Restarted,
        Some(policy) if policy.contains("${") => Role::Init,
        _ => Role::Once,
    }
}

/// What is checked of a chosen pod.
pub(super) struct Check {
    pub expression: String,
    /// What is wrong with the pod and what to do, as a sentence after the pod's name.
    pub message: String,
}

/// The check of a policy. A bound policy may also warn or log, where the API server does not name the
/// pod; so the message does.
fn validation(check: &Check, has_choice: bool) -> Value {
    let Check { expression, message } = check;
    let expression = if has_choice { format!("!variables.chosen || ({expression})") } else { expression.clone() };
    let name = "(has(object.metadata.name) ? object.metadata.name : object.metadata.generateName)";
    let named = format!("\"pod \\\"\" + {name} + {}", cel::string(&format!("\" {message}")));
    json!({
        "expression": expression,
        "message": format!("the pod {message}"),
        "messageExpression": named,
        "reason": "Invalid",
    })
}

/// The expression, which counts for new pods only.
fn of_new_pods(expression: &str, policy: &Enforced) -> String {
    match policy.checks_updates {
        true => format!("request.operation == \"UPDATE\" || ({expression})"),
        false => expression.to_owned(),
    }
}

/// What the author of a pod has to do.
pub(super) fn advice(template: &str, policy: &Enforced) -> String {
    format!("let Outrigger inject template {template:?} and leave what it adds unchanged.{}", policy.hint)
}

fn status_check(template: &str, policy: &Enforced, installation: &Installation<'_>) -> Check {
    let key = format!("{}/status", installation.domain);
    let entry = cel::string(&format!("\"name\":\"{template}\""));
    let has = cel::has_annotation(&key);
    let expression = format!("{has} && object.metadata.annotations[{}].contains({entry})", cel::string(&key));
    let advice = advice(template, policy);
    Check {
        expression: of_new_pods(&expression, policy),
        message: format!("must carry template {template:?}, and annotation {key} does not list it: {advice}"),
    }
}

/// An expression that holds if the container is where it belongs, or where the pod has put it.
fn exists(spec: &Value, container: &Required<'_>, installation: &Installation<'_>) -> String {
    let name = cel::string(container.name);
    let plain = format!("object.spec.containers.exists(c, c.name == {name})");
    let init = |restart: &str| {
        format!(
            "(has(object.spec.initContainers) && \
             object.spec.initContainers.exists(c, c.name == {name}{restart}))"
        )
    };
    if spec["onConflict"] == "KeepPod" {
        return format!("{plain} || {}", init(""));
    }
    let always = || init(" && has(c.restartPolicy) && c.restartPolicy == \"Always\"");
    let here = match container.role {
        Role::Sidecar if spec["placement"]["sidecars"] == "Plain" => plain.clone(),
        Role::Sidecar => format!("{plain} || {}", always()),
        Role::Restarted => always(),
        Role::Once => init(" && (!has(c.restartPolicy) || c.restartPolicy != \"Always\")"),
        Role::Init => init(""),
    };
    // Of a container with `image: auto` the pod says where it stands.
    let key = format!("{}/status", installation.domain);
    let annotation = format!("object.metadata.annotations[{}]", cel::string(&key));
    let auto = |list: &str, there: &str| {
        let replaced = cel::string(&format!("\"{list}/{}/image\":\"auto\"", container.name));
        format!("({annotation}.contains({replaced}) && {there})")
    };
    let elsewhere = format!("{} || {}", auto("containers", &plain), auto("initContainers", &init("")));
    format!("{here} || ({} && ({elsewhere}))", cel::has_annotation(&key))
}

fn present(
    template: &str,
    spec: &Value,
    container: &Required<'_>,
    policy: &Enforced,
    installation: &Installation<'_>,
) -> Check {
    let what = if container.role == Role::Sidecar { "sidecar" } else { "init container" };
    let advice = advice(template, policy);
    Check {
        expression: of_new_pods(&exists(spec, container, installation), policy),
        message: format!("must carry template {template:?}, and has no {what} {:?}: {advice}", container.name),
    }
}

/// The check of a container's image, unless it is not wanted or not possible.
fn image(
    template: &str,
    spec: &Value,
    container: &Required<'_>,
    policy: &Enforced,
    notes: &mut Vec<String>,
) -> Option<Check> {
    let (image, name) = (container.image?, container.name);
    if policy.image == ImageCheck::Any {
        return None;
    }
    if spec["onConflict"] == "KeepPod" {
        notes.push(format!(
            "container {name:?}: with onConflict: KeepPod a pod may bring its own, as a container or an init container; \
             any image passes"
        ));
        return None;
    }
    let check = image_check(name, image, policy.image, notes)?;
    // Where the container stands is checked by its own validation; here every one of its name counts.
    let predicate = |list: &str| {
        let mut passes = vec![format!("c.name != {}", cel::string(name)), format!("(has(c.image) && {check})")];
        if policy.checks_updates {
            // So that no existing pod is stuck.
            passes.push(format!(
                "(request.operation == \"UPDATE\" && has(oldObject.spec.{list}) && \
                 oldObject.spec.{list}.exists(o, o.name == c.name && o.image == c.image))"
            ));
        }
        passes.join(" || ")
    };
    let advice = advice(template, policy);
    Some(Check {
        expression: cel::each_container(predicate),
        message: format!("must have the image {image:?} of template {template:?} in container {name:?}: {advice}"),
    })
}

/// Whether an image `c.image` is that of the template.
fn image_check(name: &str, image: &str, how: ImageCheck, notes: &mut Vec<String>) -> Option<String> {
    // What stands before the expression is constant, and a repository if a tag or digest begins there.
    let constant = image.split("${").next().unwrap_or_default();
    let is_constant = constant.len() == image.len();
    if how == ImageCheck::Exact && is_constant {
        return Some(format!("c.image == {}", cel::string(image)));
    }
    let Some(repository) = repository(constant, &image[constant.len()..]) else {
        notes.push(format!("container {name:?}: its image {image:?} is computed; any image passes"));
        return None;
    };
    if how == ImageCheck::Exact {
        notes.push(format!("container {name:?}: its image {image:?} is computed; any tag passes"));
    }
    let pattern = format!("^{}{TAG}{DIGEST}$", cel::quoted(repository));
    Some(format!("c.image.matches({})", cel::string(&pattern)))
}

/// A tag and a digest after a repository, as container registries define them.
const TAG: &str = "(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?";
const DIGEST: &str = "(@[a-z0-9]+([+._-][a-z0-9]+)*:[0-9a-fA-F]{32,})?";

/// The image without tag and digest; `rest` is its computed part. A text that ends before its tag is
/// none, nor one whose colon may stand before a port.
fn repository<'i>(text: &'i str, rest: &str) -> Option<&'i str> {
    let without_digest = text.split_once('@').map(|(name, _)| name);
    let name = without_digest.unwrap_or(text);
    let slash = name.rfind('/').map_or(0, |slash| slash + 1);
    let tag = name[slash..].find(':').map(|colon| &name[..slash + colon]);
    let is_host = |name: &str| rest.contains('/') || name.contains('.') || name == "localhost";
    let tag = tag.filter(|name| rest.is_empty() || slash > 0 || without_digest.is_some() || !is_host(name));
    let complete = without_digest.or_else(|| rest.is_empty().then_some(name));
    tag.or(complete).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_repository_ends_before_the_tag_or_digest_and_not_at_a_port() {
        for (image, rest, expected) in [
            ("nginx", "", Some("nginx")),
            ("nginx:1", "", Some("nginx")),
            ("registry.example:1", "", Some("registry.example")),
            ("host:5000/a/b", "", Some("host:5000/a/b")),
            ("host:5000/a/b:1@sha256:0", "", Some("host:5000/a/b")),
            ("host/a:", "${params.tag}", Some("host/a")),
            ("host/a:", "${params.tag.split('/')[0]}", Some("host/a")),
            ("nginx:", "${params.tag}", Some("nginx")),
            ("nginx@", "${params.digest}", Some("nginx")),
            ("host:5000/a", "${params.b}", None),
            ("registry.example:", "${params.port}/agent:1", None),
            ("registry:", "${params.port}/agent:1", None),
            ("registry.example:50", "${params.rest}", None),
            ("localhost:", "${params.rest}", None),
            ("", "${params.image}", None),
        ] {
            assert_eq!(repository(image, rest), expected, "{image}{rest}");
        }
    }

    #[test]
    fn an_init_container_that_is_always_restarted_is_asked_for_as_such() {
        for (list, item, expected) in [
            ("sidecars", json!({}), Role::Sidecar),
            ("initContainers", json!({}), Role::Once),
            ("initContainers", json!({"restartPolicy": "OnFailure"}), Role::Once),
            ("initContainers", json!({"restartPolicy": "Always"}), Role::Restarted),
            ("initContainers", json!({"restartPolicy": "${params.policy}"}), Role::Init),
        ] {
            assert_eq!(role(list, &item), expected, "{list} {item}");
        }
    }
}
