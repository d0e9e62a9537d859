//! Writes a template as a MutatingAdmissionPolicy, with a ValidatingAdmissionPolicy that refuses the
//! pods which request the template and which the first one leaves alone.
//!
//! Invariant: the conditions exclude every pod in which the engine would compare or compute.

use serde_json::{Map, Value, json};

use super::condition::Condition;
use super::pieces::{Added, Pieces, names};
use super::{
    Installation, Restriction, bound, cel, condition, constants, constraints, guard, match_condition, pieces,
    restrictions,
};
use crate::inject::{Injector, TemplateScope};

const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The policies and bindings of a template of the cluster: two that inject, and two that refuse the
/// pods which request the template and did not get it.
///
/// # Errors
/// Every part of the template that a policy cannot express; a template that is not there is one.
pub fn export(
    injector: &Injector,
    template: &str,
    installation: &Installation<'_>,
) -> Result<Vec<Value>, Vec<Restriction>> {
    let status = injector.templates().status_of(&TemplateScope::Cluster, template);
    let spec = status.and_then(|status| status.interface?.spec());
    let Some(spec) = spec else {
        let why = format!("the cluster has no working template {template:?}");
        return Err(vec![Restriction::new("not_found", "metadata.name", why)]);
    };
    let mut found = restrictions::of_spec(&spec, None);
    found.extend(restrictions::of_others(injector.templates(), template, &spec));
    found.extend(constants::failing(injector, template, &spec, installation.domain));
    let pieces = match pieces::of(injector, template, &spec, installation) {
        Ok(pieces) if found.is_empty() => pieces,
        Ok(_) => return Err(found),
        Err(more) => {
            // The sample mostly fails because of what was found before.
            if found.is_empty() {
                found = more;
            }
            return Err(found);
        }
    };
    let [policy, binding] = mutating(template, &spec, &pieces, installation);
    let guard = guard::guard(template, &spec, &pieces, installation);
    Ok([policy, binding].into_iter().chain(guard).collect())
}

fn mutating(template: &str, spec: &Value, pieces: &Pieces, installation: &Installation<'_>) -> [Value; 2] {
    let domain = installation.domain;
    let name = format!("{template}.inject.{domain}");
    let namespaces = super::namespaces(&spec["match"]["namespaceSelector"], installation);
    let pods = super::pods(&spec["match"]["podSelector"]);
    let mut policy = Map::new();
    policy.insert("matchConstraints".to_owned(), constraints(&namespaces, &pods, &["CREATE"]));
    policy.insert("matchConditions".to_owned(), conditions(template, spec, pieces, domain).into());
    policy.insert("failurePolicy".to_owned(), json!("Fail"));
    policy.insert("reinvocationPolicy".to_owned(), json!("Never"));
    let patch = json!({"expression": operations(pieces, domain)});
    policy.insert("mutations".to_owned(), json!([{"patchType": "JSONPatch", "jsonPatch": patch}]));
    bound("MutatingAdmissionPolicy", &name, policy, None)
}

fn all_containers(pieces: &Pieces) -> impl Iterator<Item = &Value> {
    let Added { first, last } = &pieces.containers;
    let init = &pieces.init_containers;
    first.iter().chain(last).chain(&init.first).chain(&init.last)
}

/// When the policy injects: the pod is one in which nothing has to be compared.
fn conditions(template: &str, spec: &Value, pieces: &Pieces, domain: &str) -> Vec<Value> {
    let inject = format!("{domain}/inject");
    let key = cel::string(&inject);
    let alone = format!(
        "{} && object.metadata.annotations[{key}].trim() == {}",
        cel::has_annotation(&inject),
        cel::string(template)
    );
    // An annotation of another template, or in other letters, may be meant for one of this template.
    let any = cel::string(&format!("(?i)^([^/]*\\.)?{}/", cel::quoted(domain)));
    let plain = format!("object.metadata.annotations.all(k, k == {key} || !k.matches({any}))");
    let mut conditions = vec![
        match_condition("requests-this-template-alone", alone),
        match_condition("sets-nothing-else-of-outrigger", plain),
        super::not_a_mirror(),
        match_condition("linux", linux()),
        match_condition("no-resources-of-the-pod", "!has(object.spec.resources)"),
        match_condition("keys-are-free", keys_are_free(pieces, template, domain)),
        match_condition("containers-are-free", containers_are_free(pieces)),
    ];
    if !pieces.volumes.is_empty() {
        let volumes = cel::strings(names(&pieces.volumes, "name"));
        let free = format!("!has(object.spec.volumes) || object.spec.volumes.all(v, !(v.name in {volumes}))");
        conditions.push(match_condition("volumes-are-free", free));
    }
    if !pieces.pod.is_empty() {
        let free: Vec<String> = pieces.pod.keys().map(|field| format!("!has(object.spec.{field})")).collect();
        conditions.push(match_condition("fields-of-the-pod-are-free", free.join(" && ")));
    }
    for (list, added) in &pieces.app {
        conditions.push(app_is_free(list, added));
    }
    conditions.extend(ports_are_free(pieces));
    for (index, one) in spec["match"]["conditions"].as_array().into_iter().flatten().enumerate() {
        if let Some(Condition::OfPod(text)) = one["expression"].as_str().and_then(condition::of) {
            conditions.push(match_condition(&format!("match-condition-{index}"), text));
        }
    }
    if spec["hardened"] != false {
        // All that a hardened container adds depends on: whether it inherits root from the pod.
        let no_root = "!has(object.spec.securityContext) || ((!has(object.spec.securityContext.runAsUser) || \
                       object.spec.securityContext.runAsUser != 0) && \
                       !has(object.spec.securityContext.windowsOptions))";
        conditions.push(match_condition("containers-inherit-no-root-user", no_root));
    }
    conditions
}

fn linux() -> String {
    let label = cel::string("kubernetes.io/os");
    format!(
        "(!has(object.spec.os) || object.spec.os.name == \"linux\") && (!has(object.spec.nodeSelector) || \
         !({label} in object.spec.nodeSelector) || object.spec.nodeSelector[{label}] == \"linux\")"
    )
}

/// No label of Outrigger is there already. Of other keys, which the template has as well, the pod's
/// value stays.
fn keys_are_free(pieces: &Pieces, template: &str, domain: &str) -> String {
    let own = format!("{template}.{domain}/");
    let labels = cel::strings(pieces.labels.keys().filter(|key| key.starts_with(&own)));
    format!("!has(object.metadata.labels) || object.metadata.labels.all(k, !(k in {labels}))")
}

/// Whether the pod has the label or annotation.
fn has_key(map: &str, key: &str) -> String {
    format!("has(object.metadata.{map}) && {} in object.metadata.{map}", cel::string(key))
}

fn containers_are_free(pieces: &Pieces) -> String {
    let names = cel::strings(names(all_containers(pieces), "name"));
    cel::each_container(|_| format!("!(c.name in {names}) && (!has(c.image) || c.image != \"auto\")"))
}

/// No container of the app has an element under one of these keys.
fn app_is_free(list: &str, added: &Added) -> Value {
    let items = || added.first.iter().chain(&added.last);
    let predicate = match list {
        "env" => format!("!has(c.env) || c.env.all(e, !(e.name in {}))", cel::strings(names(items(), "name"))),
        "volumeMounts" => {
            let paths = cel::mount_path(names(items(), "mountPath"));
            format!("!has(c.volumeMounts) || c.volumeMounts.all(m, !m.mountPath.matches({paths}))")
        }
        _ => format!("!has(c.{list})"),
    };
    match_condition(
        &format!("{}-of-the-app-are-free", list.to_lowercase()),
        format!("object.spec.containers.all(c, {predicate})"),
    )
}

/// No container has a port of the template, by number or name; and none is a port of the node.
fn ports_are_free(pieces: &Pieces) -> Option<Value> {
    let ports: Vec<&Value> = all_containers(pieces).filter_map(|c| c["ports"].as_array()).flatten().collect();
    if ports.is_empty() {
        return None;
    }
    let protocol = |port: &Value| port["protocol"].as_str().unwrap_or("TCP").to_owned();
    let numbers = ports.iter().map(|port| format!("{}/{}", port["containerPort"], protocol(port)));
    let (numbers, names) = (cel::strings(numbers), cel::strings(names(ports.iter().copied(), "name")));
    let number = "string(p.containerPort) + '/' + (has(p.protocol) ? p.protocol : 'TCP')";
    let free =
        format!("!has(c.ports) || c.ports.all(p, !({number} in {numbers}) && (!has(p.name) || !(p.name in {names})))");
    let hosts = "(!has(object.spec.hostNetwork) || !object.spec.hostNetwork)";
    Some(match_condition("ports-are-free", format!("{hosts} && {}", cel::each_container(|_| free.clone()))))
}

/// The JSON Patch, in the order in which the indices of its paths hold.
fn operations(pieces: &Pieces, domain: &str) -> String {
    let mut parts = vec![map("labels", &pieces.labels), map("annotations", &pieces.annotations)];
    parts.push(status(pieces, domain));
    parts.push(default_container());
    parts.extend(pieces.app.iter().flat_map(|(list, added)| of_app(list, added)));
    let volumes = Added { first: Vec::new(), last: pieces.volumes.clone() };
    parts.push(of_list("volumes", &volumes));
    parts.push(fields(&pieces.pod));
    parts.push(of_list("initContainers", &pieces.init_containers));
    parts.push(of_list("containers", &pieces.containers));
    parts.retain(|part| !part.is_empty());
    parts.join(" +\n")
}

fn map(name: &str, keys: &Map<String, Value>) -> String {
    if keys.is_empty() {
        return String::new();
    }
    let path = format!("/metadata/{name}");
    let add = |(key, value): (&String, &Value)| {
        let add = cel::add(&cel::string(&format!("{path}/{}", escaped(key))), &cel::literal(value));
        format!("({} ? [] : [{add}])", has_key(name, key))
    };
    let adds: Vec<String> = keys.iter().map(add).collect();
    let empty = cel::add(&cel::string(&path), "{}");
    format!("(has(object.metadata.{name}) ? [] : [{empty}]) + {}", adds.join(" + "))
}

/// Adds fields to the pod's spec, which lacks them.
fn fields(fields: &Map<String, Value>) -> String {
    let add =
        |(field, value): (&String, &Value)| cel::add(&cel::string(&format!("/spec/{field}")), &cel::literal(value));
    let adds: Vec<String> = fields.iter().map(add).collect();
    if adds.is_empty() { String::new() } else { format!("[{}]", adds.join(", ")) }
}

/// A key in a JSON Pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn status(pieces: &Pieces, domain: &str) -> String {
    let quoted = |item: &String| Value::from(item.as_str()).to_string();
    let status = &pieces.status;
    let mut lists = Vec::new();
    if !status.first.is_empty() {
        lists.push(cel::strings(status.first.iter().map(quoted)));
    }
    if !status.of_container.is_empty() {
        let items = status.of_container.iter().map(|item| {
            // The name is a DNS label, which needs no escape.
            let rest = quoted(item);
            format!("'\"containers/' + c.name + {}", cel::string(&format!("/{}", &rest[1..])))
        });
        let items: Vec<String> = items.collect();
        lists.push(format!("object.spec.containers.map(c, {})", items.join(" + ',' + ")));
    }
    let key_of = |item: &str| {
        let of = |name: &'static str, keys: &Map<String, Value>| {
            let mut keys = keys.keys().filter(|key| format!("{name}/{}", escaped(key)) == item);
            keys.next().map(|key| has_key(name, key))
        };
        of("labels", &pieces.labels).or_else(|| of("annotations", &pieces.annotations))
    };
    lists.extend(status.last.iter().map(|item| {
        let list = cel::strings([quoted(item)]);
        key_of(item).map_or_else(|| list.clone(), |has| format!("({has} ? [] : {list})"))
    }));
    let default = cel::string("\"annotations/kubectl.kubernetes.io~1default-container\"");
    lists.push(format!("(({}) ? [] : [{default}])", cel::has_annotation(DEFAULT_CONTAINER)));
    let [before, after] = status.around.each_ref().map(|text| cel::string(text));
    let value = format!("{before} + ({}).join(\",\") + {after}", lists.join(" + "));
    let path = cel::string(&format!("/metadata/annotations/{}", escaped(&format!("{domain}/status"))));
    format!("[{}]", cel::add(&path, &value))
}

fn default_container() -> String {
    let path = cel::string(&format!("/metadata/annotations/{}", escaped(DEFAULT_CONTAINER)));
    let add = cel::add(&path, "object.spec.containers[0].name");
    format!("(({}) ? [] : [{add}])", cel::has_annotation(DEFAULT_CONTAINER))
}

/// Adds to a list of each container.
fn of_app(list: &str, added: &Added) -> Vec<String> {
    let path = |end: &str| format!("\"/spec/containers/\" + string(i) + {}", cel::string(&format!("/{list}{end}")));
    let each =
        |filter: &str, operation: &str| format!("object.spec.containers.transformList(i, c, {filter}{operation})");
    let mut parts = vec![each(&format!("!has(c.{list}), "), &cel::add(&path(""), "[]"))];
    parts.extend(added.first.iter().rev().map(|item| each("", &cel::add(&path("/0"), &cel::literal(item)))));
    parts.extend(added.last.iter().map(|item| each("", &cel::add(&path("/-"), &cel::literal(item)))));
    parts
}

/// Adds to a list of the pod, which may be absent.
fn of_list(list: &str, added: &Added) -> String {
    let path = |end: &str| cel::string(&format!("/spec/{list}{end}"));
    let first = added.first.iter().rev().map(|item| cel::add(&path("/0"), &cel::literal(item)));
    let last = added.last.iter().map(|item| cel::add(&path("/-"), &cel::literal(item)));
    let adds: Vec<String> = first.chain(last).collect();
    if adds.is_empty() {
        return String::new();
    }
    format!("(has(object.spec.{list}) ? [] : [{}]) + [{}]", cel::add(&path(""), "[]"), adds.join(", "))
}
