//! Writes a ValidatingAdmissionPolicy that refuses chosen pods without the containers of a template.
//!
//! Invariant: whatever makes a check weaker than it looks is returned as a note.

use serde_json::{Map, Value, json};

use super::{Installation, bound, cel, condition, constraints};

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

/// Which pods must carry the template.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// Those that request it by annotation; with an Automatic template also those that it selects.
    Requested,
    /// Those that these LabelSelectors select, whatever they request.
    Selected {
        /// LabelSelector of pods.
        pods: Value,
        /// LabelSelector of namespaces.
        namespaces: Value,
    },
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
    /// `validationActions` of the binding: `Deny`, `Warn`, `Audit`.
    pub actions: Vec<String>,
    /// What follows each message; begins with a space if it is not empty.
    pub hint: String,
}

/// A container that pods must have.
struct Required<'a> {
    name: &'a str,
    image: Option<&'a str>,
    is_sidecar: bool,
}

/// The policy and its binding, and notes about what it does not check.
pub fn enforce(
    template: &str,
    spec: &Value,
    policy: &Enforced,
    installation: &Installation<'_>,
) -> ([Value; 2], Vec<String>) {
    let mut notes = Vec::new();
    let required = required(spec, &mut notes);
    let is_plain = spec["placement"]["sidecars"] == "Plain";
    let mut validations = vec![status_validation(template, policy, installation)];
    for container in &required {
        validations.push(present(template, container, is_plain, policy));
        validations.extend(image(template, container, policy, &mut notes));
    }
    let (namespaces, pods, chosen) = chosen(template, spec, &policy.selection, installation, &mut notes);
    let namespaces = super::namespaces(&namespaces, installation);
    let mut conditions = vec![super::not_a_mirror()];
    conditions.extend(chosen.map(|chosen| condition("is-chosen", chosen)));
    let mut object = Map::new();
    object.insert("failurePolicy".to_owned(), json!("Fail"));
    object.insert("matchConstraints".to_owned(), constraints(&namespaces, &super::pods(&pods)));
    object.insert("matchConditions".to_owned(), conditions.into());
    object.insert("validations".to_owned(), validations.into());
    (bound("ValidatingAdmissionPolicy", &policy.name, object, Some(&policy.actions)), notes)
}

/// Selectors of namespaces and pods, and the expression that chooses among their pods.
fn chosen(
    template: &str,
    spec: &Value,
    selection: &Selection,
    installation: &Installation<'_>,
    notes: &mut Vec<String>,
) -> (Value, Value, Option<String>) {
    let domain = installation.domain;
    let requests = cel::requests(domain, template);
    match selection {
        Selection::Selected { pods, namespaces } => (namespaces.clone(), pods.clone(), None),
        Selection::Requested if spec["injection"] != "Automatic" => (Value::Null, Value::Null, Some(requests)),
        Selection::Requested => {
            let matching = &spec["match"];
            if matching["conditions"].as_array().is_some_and(|conditions| !conditions.is_empty()) {
                notes.push(
                    "spec.match.conditions cannot be expressed: only pods that request the template by annotation are \
                     checked; choose others with --selector or --namespace-selector"
                        .to_owned(),
                );
                return (Value::Null, Value::Null, Some(requests));
            }
            notes.push(format!(
                "the template is Automatic: pods that its match selects in namespaces with {domain}/injection=enabled \
                 are checked, but for those whose annotation {domain}/inject does not name it"
            ));
            let enabled = json!({"key": format!("{domain}/injection"), "operator": "In", "values": ["enabled"]});
            let namespaces = super::with_expressions(&matching["namespaceSelector"], vec![enabled]);
            let silent = format!("!({})", cel::has_annotation(&format!("{domain}/inject")));
            (namespaces, matching["podSelector"].clone(), Some(format!("({requests}) || ({silent})")))
        }
    }
}

/// The containers whose names every pod gets.
fn required<'a>(spec: &'a Value, notes: &mut Vec<String>) -> Vec<Required<'a>> {
    let mut required = Vec::new();
    for (list, is_sidecar) in [("sidecars", true), ("initContainers", false)] {
        for (index, item) in spec[list].as_array().into_iter().flatten().enumerate() {
            let name = item["name"].as_str().filter(|name| !name.contains("${"));
            let is_computed = item.get("when").is_some() || item.get("forEach").is_some();
            match name.filter(|_| !is_computed) {
                Some(name) => required.push(Required { name, image: item["image"].as_str(), is_sidecar }),
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

fn validation(expression: String, message: String) -> Value {
    json!({"expression": expression, "message": message, "reason": "Invalid"})
}

/// What the author of a pod has to do.
fn advice(template: &str, policy: &Enforced) -> String {
    format!("let Outrigger inject template {template:?} and leave what it adds unchanged.{}", policy.hint)
}

fn status_validation(template: &str, policy: &Enforced, installation: &Installation<'_>) -> Value {
    let key = format!("{}/status", installation.domain);
    let entry = cel::string(&format!("\"name\":\"{template}\""));
    let has = cel::has_annotation(&key);
    let expression = format!("{has} && object.metadata.annotations[{}].contains({entry})", cel::string(&key));
    let advice = advice(template, policy);
    validation(
        expression,
        format!("the pod must carry template {template:?}, and annotation {key} does not list it: {advice}"),
    )
}

/// An expression that holds if the container is where it belongs and `check` holds for it.
fn exists(container: &Required<'_>, is_plain: bool, check: &str) -> String {
    let name = cel::string(container.name);
    let plain = format!("object.spec.containers.exists(c, c.name == {name}{check})");
    let init = |restart: &str| {
        format!(
            "(has(object.spec.initContainers) && \
             object.spec.initContainers.exists(c, c.name == {name}{restart}{check}))"
        )
    };
    match (container.is_sidecar, is_plain) {
        (true, true) => plain,
        (true, false) => {
            let always = " && has(c.restartPolicy) && c.restartPolicy == \"Always\"";
            format!("{plain} || {}", init(always))
        }
        (false, _) => init(" && (!has(c.restartPolicy) || c.restartPolicy != \"Always\")"),
    }
}

fn present(template: &str, container: &Required<'_>, is_plain: bool, policy: &Enforced) -> Value {
    let what = if container.is_sidecar { "sidecar" } else { "init container" };
    let message = format!("the pod has no {what} {:?}: {}", container.name, advice(template, policy));
    validation(exists(container, is_plain, ""), message)
}

/// The check of a container's image, unless it is not wanted or not possible.
fn image(template: &str, container: &Required<'_>, policy: &Enforced, notes: &mut Vec<String>) -> Option<Value> {
    let image = container.image?;
    let name = container.name;
    // What stands before the expression is constant, and a repository if a tag or digest begins there.
    let constant = image.split("${").next().unwrap_or_default();
    let is_constant = constant.len() == image.len();
    let check = match policy.image {
        ImageCheck::Any => return None,
        ImageCheck::Exact if is_constant => format!("c.image == {}", cel::string(image)),
        ImageCheck::Exact | ImageCheck::Repository => {
            let Some(repository) = repository(constant, is_constant) else {
                notes.push(format!("container {name:?}: its image {image:?} is computed; any image passes"));
                return None;
            };
            if policy.image == ImageCheck::Exact {
                notes.push(format!("container {name:?}: its image {image:?} is computed; any tag passes"));
            }
            let pattern = format!("^{}(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?(@sha256:[0-9a-f]{{64}})?$", quoted(repository));
            format!("c.image.matches({})", cel::string(&pattern))
        }
    };
    // Where the container stands is checked by its own validation; here every one of its name counts.
    let check = format!("c.name != {} || (has(c.image) && {check})", cel::string(name));
    let message = format!(
        "container {name:?} must have the image of template {template:?}, {image:?}: {}",
        advice(template, policy)
    );
    Some(validation(cel::each_container(&check), message))
}

/// The image without tag and digest. A text that ends before its tag is none.
fn repository(text: &str, is_complete: bool) -> Option<&str> {
    let without_digest = text.split_once('@').map(|(name, _)| name);
    let name = without_digest.unwrap_or(text);
    let slash = name.rfind('/').map_or(0, |slash| slash + 1);
    let tag = name[slash..].find(':').map(|colon| &name[..slash + colon]);
    tag.or(without_digest).or_else(|| is_complete.then_some(name)).filter(|name| !name.is_empty())
}

/// The text as a pattern that matches it alone; names of images have no other special characters.
fn quoted(text: &str) -> String {
    text.replace('.', "\\.").replace('+', "\\+")
}

#[cfg(test)]
mod tests {
    use super::repository;

    #[test]
    fn a_repository_ends_before_the_tag_or_digest_and_not_at_a_port() {
        for (image, complete, expected) in [
            ("nginx", true, Some("nginx")),
            ("nginx:1", true, Some("nginx")),
            ("host:5000/a/b", true, Some("host:5000/a/b")),
            ("host:5000/a/b:1@sha256:0", true, Some("host:5000/a/b")),
            ("host/a:", false, Some("host/a")),
            ("host:5000/a", false, None),
            ("", false, None),
        ] {
            assert_eq!(repository(image, complete), expected, "{image}");
        }
    }
}
