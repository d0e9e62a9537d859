//! Writes the policy that refuses the pods which request a template and which the exported policy left
//! alone.
//!
//! Invariant: a pod passes only with what the template adds; a status annotation alone is not enough.

use serde_json::{Value, json};

use super::chosen::Selection;
use super::enforce::{self, Check, Enforced, ImageCheck};
use super::pieces::{Added, Pieces, names};
use super::{Installation, cel};

/// The policy and its binding.
pub(super) fn guard(template: &str, spec: &Value, pieces: &Pieces, installation: &Installation<'_>) -> [Value; 2] {
    let policy = Enforced {
        name: format!("{template}.guard.{}", installation.domain),
        image: ImageCheck::Exact,
        selection: Selection::Requested,
        checks_updates: false,
        actions: vec!["Deny".to_owned()],
        hint: " The policy that injects it leaves pods alone that name another template beside it, set a parameter \
               or another annotation of Outrigger, have something of the template's names, ports or keys already, or \
               do not meet its match."
            .to_owned(),
    };
    let of_containers = containers(spec, pieces);
    // Whatever is weaker than it looks is checked by the contents.
    let mut notes = Vec::new();
    let mut checks = enforce::checks(template, &of_containers, &policy, installation, &mut notes);
    let advice = enforce::advice(template, &policy);
    let lacks = |(what, expression): (String, String)| Check {
        expression,
        message: format!("must carry template {template:?}, and lacks {what} of it: {advice}"),
    };
    checks.extend(contents(pieces).into_iter().map(lacks));
    enforce::with_checks(template, &of_containers, checks, &policy, installation, &mut notes)
}

/// A spec with the containers as they are added, so that all of them are checked.
fn containers(spec: &Value, pieces: &Pieces) -> Value {
    let is_sidecar = |container: &&Value| container["restartPolicy"] == "Always";
    let Added { first, last } = &pieces.init_containers;
    let (native, once): (Vec<&Value>, Vec<&Value>) = first.iter().chain(last).partition(is_sidecar);
    let plain = pieces.containers.first.iter().chain(&pieces.containers.last);
    let sidecars: Vec<&Value> = plain.chain(native).collect();
    json!({"match": {"os": spec["match"]["os"]}, "sidecars": sidecars, "initContainers": once})
}

/// What else the template adds: in words, and an expression that holds if the pod has it.
fn contents(pieces: &Pieces) -> Vec<(String, String)> {
    let mut contents = Vec::new();
    for (list, added) in [("initContainers", &pieces.init_containers), ("containers", &pieces.containers)] {
        contents.extend(added.first.iter().chain(&added.last).filter_map(|container| process(list, container)));
    }
    for (list, added) in &pieces.app {
        let items: Vec<&Value> = added.first.iter().chain(&added.last).collect();
        // One container is enough: the status says which ones it is in, and others may be sidecars.
        let expression = format!("object.spec.containers.exists(c, {})", of_app(list, &items));
        contents.push((format!("app.{list}"), expression));
    }
    let volumes = names(&pieces.volumes, "name").into_iter().map(|name| {
        let name = cel::string(name);
        format!("has(object.spec.volumes) && object.spec.volumes.exists(v, v.name == {name})")
    });
    let of_pod = pieces.pod.keys().map(|field| format!("has(object.spec.{field})"));
    let of_metadata = [("labels", &pieces.labels), ("annotations", &pieces.annotations)];
    let keys = of_metadata.into_iter().flat_map(|(map, keys)| {
        keys.keys()
            .map(move |key| format!("has(object.metadata.{map}) && {} in object.metadata.{map}", cel::string(key)))
    });
    let all = |what: &str, parts: Vec<String>| {
        let parts: Vec<String> = parts.into_iter().map(|part| format!("({part})")).collect();
        (!parts.is_empty()).then(|| (what.to_owned(), parts.join(" && ")))
    };
    contents.extend(all("volumes", volumes.collect()));
    contents.extend(all("pod", of_pod.collect()));
    contents.extend(all("metadata", keys.collect()));
    contents
}

/// The command and the arguments of a container, if it has some.
fn process(list: &str, container: &Value) -> Option<(String, String)> {
    let name = container["name"].as_str()?;
    let same = |field: &str| {
        let texts = container[field].as_array().filter(|texts| !texts.is_empty())?;
        Some(format!("has(c.{field}) && c.{field} == {}", cel::strings(texts.iter().filter_map(Value::as_str))))
    };
    let same: Vec<String> = ["command", "args"].into_iter().filter_map(same).collect();
    (!same.is_empty()).then(|| {
        let (named, same) = (cel::string(name), same.join(" && "));
        let exists = format!("object.spec.{list}.exists(c, c.name == {named} && {same})");
        (format!("the command of container {name:?}"), format!("has(object.spec.{list}) && {exists}"))
    })
}

/// Whether the container `c` has all these elements.
fn of_app(list: &str, items: &[&Value]) -> String {
    let parts: Vec<String> = match list {
        "env" => items.iter().map(|item| variable(item)).collect(),
        "volumeMounts" => {
            let mount = |item: &&Value| {
                let path = cel::mount_path(item["mountPath"].as_str().into_iter().collect());
                let name = cel::string(item["name"].as_str().unwrap_or_default());
                format!("c.volumeMounts.exists(m, m.mountPath.matches({path}) && m.name == {name})")
            };
            items.iter().map(mount).collect()
        }
        _ => vec![format!("size(c.{list}) >= {}", items.len())],
    };
    format!("has(c.{list}) && {}", parts.join(" && "))
}

fn variable(item: &Value) -> String {
    let name = cel::string(item["name"].as_str().unwrap_or_default());
    let value = match item["value"].as_str() {
        Some("") => " && !has(e.valueFrom)".to_owned(),
        Some(value) => format!(" && has(e.value) && e.value == {}", cel::string(value)),
        None => String::new(),
    };
    format!("c.env.exists(e, e.name == {name}{value})")
}
