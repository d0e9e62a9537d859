//! What a picture of a template shows: the containers of its example's pod, their volumes and ports.
//!
//! It compares the pod before and after the injection; [`super::picture`] draws the result.
//!
//! Invariant: everything that the template brings is in the scene.

use serde_json::{Map, Value};

/// A pod with a template.
pub struct Scene {
    pub columns: Vec<Column>,
    pub volumes: Vec<Volume>,
    pub links: Vec<Link>,
    /// What the template sets for the pod as a whole.
    pub pod_fields: Vec<String>,
}

/// A container.
pub struct Column {
    pub name: String,
    pub is_ours: bool,
    /// Its kind, image, and what the template gives it.
    pub lines: Vec<String>,
    /// Ports that it declares, which nobody in the pod is known to call.
    pub open_ports: Vec<String>,
    /// Position of a volume, and where it is mounted.
    pub mounts: Vec<(usize, String)>,
}

pub struct Volume {
    pub is_ours: bool,
    pub label: String,
}

/// One container calls another at a port.
pub struct Link {
    pub from: usize,
    pub to: usize,
    pub port: String,
}

impl Scene {
    pub fn new(before: &Value, after: &Value) -> Self {
        let containers = containers(after);
        let volumes = list(&after["spec"], "volumes");
        let names: Vec<&str> = volumes.iter().map(|volume| text(&volume["name"])).collect();
        let links = links(after, &containers);
        let column = |(position, (kind, container)): (usize, &(&'static str, &Value))| {
            let is_called = |port: &str| links.iter().any(|link| link.to == position && link.port == port);
            column(before, kind, container, &names, is_called)
        };
        let columns = containers.iter().enumerate().map(column).collect();
        let volume = |volume: &Value| self::volume(before, volume);
        let volumes = volumes.iter().map(volume).collect();
        Self { columns, volumes, links, pod_fields: pod_fields(before, after) }
    }
}

/// Every container with its kind, in the order in which they start.
fn containers(pod: &Value) -> Vec<(&'static str, &Value)> {
    let kind = |container: &Value| match text(&container["restartPolicy"]) {
        "Always" => "sidecar",
        _ => "init container",
    };
    let init = list(&pod["spec"], "initContainers").iter().map(|container| (kind(container), container));
    init.chain(list(&pod["spec"], "containers").iter().map(|container| ("app", container))).collect()
}

/// The container of this name as it was before the injection.
fn as_it_was<'a>(before: &'a Value, name: &Value) -> Option<&'a Value> {
    let all = ["initContainers", "containers"].into_iter().flat_map(|key| list(&before["spec"], key));
    all.into_iter().find(|container| container["name"] == *name)
}

fn column(
    before: &Value,
    kind: &'static str,
    container: &Value,
    volumes: &[&str],
    is_called: impl Fn(&str) -> bool,
) -> Column {
    let was = as_it_was(before, &container["name"]);
    let image = text(&container["image"]);
    let kind = if was.is_some() && kind != "app" { "init container of the app" } else { kind };
    let mut lines = vec![kind.to_owned(), image.rsplit('/').next().unwrap_or(image).to_owned()];
    if let Some(was) = was {
        lines.extend(given(was, container));
    }
    let ports = list(container, "ports").iter().filter(|port| !is_called(&port["containerPort"].to_string()));
    let open_ports = ports.map(port_label).collect();
    let mounts = list(container, "volumeMounts").iter().filter_map(|mount| {
        let volume = volumes.iter().position(|name| *name == text(&mount["name"]))?;
        let read_only = if mount["readOnly"] == Value::Bool(true) { " (ro)" } else { "" };
        Some((volume, format!("{}{read_only}", text(&mount["mountPath"]))))
    });
    Column {
        name: text(&container["name"]).to_owned(),
        is_ours: was.is_none(),
        lines,
        open_ports,
        mounts: mounts.collect(),
    }
}

/// What a container of the app has got, but for its mounts.
fn given(was: &Value, now: &Value) -> Vec<String> {
    let had = list(was, "env");
    let env = list(now, "env").iter().filter(|variable| !had.contains(variable));
    let mut lines: Vec<String> = env.map(|variable| format!("+ {}", text(&variable["name"]))).collect();
    let other = now.as_object().into_iter().flatten();
    let other =
        other.filter(|(key, value)| !["env", "volumeMounts"].contains(&key.as_str()) && was[key.as_str()] != **value);
    lines.extend(other.map(|(key, _)| format!("+ {key}")));
    lines
}

fn port_label(port: &Value) -> String {
    let protocol = Some(text(&port["protocol"])).filter(|protocol| !["", "TCP"].contains(protocol));
    let protocol = protocol.map_or(String::new(), |protocol| format!("/{protocol}"));
    format!(":{}{protocol} {}", port["containerPort"], text(&port["name"])).trim_end().to_owned()
}

fn volume(before: &Value, volume: &Value) -> Volume {
    let is_ours = !list(&before["spec"], "volumes").contains(volume);
    let keys = volume.as_object().into_iter().flatten().filter(|(key, _)| *key != "name");
    let mut label = text(&volume["name"]).to_owned();
    for (kind, source) in keys {
        let what = match kind.as_str() {
            "downwardAPI" => "files of the template".to_owned(),
            "emptyDir" => ["emptyDir", text(&source["medium"]), text(&source["sizeLimit"])].join(" "),
            other => {
                let named = ["name", "secretName", "claimName", "path"].map(|key| text(&source[key]));
                format!("{other} {}", named.concat())
            }
        };
        label = format!("{label}: {}", what.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    Volume { is_ours, label }
}

/// Who calls whom: a variable, an argument or a file that names a port which another container declares.
fn links(pod: &Value, containers: &[(&'static str, &Value)]) -> Vec<Link> {
    let mut links = Vec::new();
    for (from, (kind, caller)) in containers.iter().enumerate() {
        let said = what_it_reads(pod, caller);
        for (to, (_, called)) in containers.iter().enumerate().filter(|(to, _)| *to != from) {
            for port in ports(pod, called) {
                let is_local = *kind != "app" || said.contains("127.0.0.1") || said.contains("localhost");
                if is_local && has_number(&said, &port) && !declares(caller, &port) {
                    links.push(Link { from, to, port });
                }
            }
        }
    }
    links
}

/// The ports that a container declares; for the first of the app also the one that the pod names in `appPort`.
fn ports(pod: &Value, container: &Value) -> Vec<String> {
    let declared = list(container, "ports").iter().map(number_of);
    let annotations = pod["metadata"]["annotations"].as_object().into_iter().flatten();
    let named =
        annotations.filter(|(key, _)| key.ends_with(".outrigger.dev/appPort")).map(|(_, port)| text(port).to_owned());
    let is_first = list(&pod["spec"], "containers").first() == Some(container);
    let mut ports: Vec<String> = declared.chain(named.filter(|_| is_first)).collect();
    ports.dedup();
    ports
}

/// The command, arguments, variables and files of a container.
fn what_it_reads(pod: &Value, container: &Value) -> String {
    let mut said = String::new();
    for key in ["command", "args", "env"] {
        said.push_str(&container[key].to_string());
    }
    let annotations = pod["metadata"]["annotations"].as_object();
    let mounted = list(container, "volumeMounts").iter().map(|mount| text(&mount["name"]));
    for name in mounted {
        let files = annotations.into_iter().flatten().filter(|(key, _)| key.contains(&format!("/file.{name}")));
        files.for_each(|(_, content)| said.push_str(text(content)));
    }
    said
}

fn declares(container: &Value, port: &str) -> bool {
    list(container, "ports").iter().any(|declared| number_of(declared) == port)
}

fn number_of(port: &Value) -> String {
    port["containerPort"].to_string()
}

/// Whether the text contains the number as a whole.
fn has_number(text: &str, number: &str) -> bool {
    let is_digit = |place: Option<char>| place.is_some_and(|character| character.is_ascii_digit());
    text.match_indices(number).any(|(start, _)| {
        let (before, after) = (text[..start].chars().next_back(), text[start + number.len()..].chars().next());
        !is_digit(before) && !is_digit(after)
    })
}

fn pod_fields(before: &Value, after: &Value) -> Vec<String> {
    const SHOWN_ELSEWHERE: [&str; 3] = ["containers", "initContainers", "volumes"];
    let mut fields = changed(&before["spec"], &after["spec"], |key| !SHOWN_ELSEWHERE.contains(&key));
    let is_own = |key: &str| key.contains("outrigger.dev/") || key == "kubectl.kubernetes.io/default-container";
    for part in ["labels", "annotations"] {
        let keys = changed(&before["metadata"][part], &after["metadata"][part], |key| !is_own(key));
        fields.extend(keys.into_iter().map(|key| format!("{} {key}", part.trim_end_matches('s'))));
    }
    fields
}

fn changed(before: &Value, after: &Value, is_meant: impl Fn(&str) -> bool) -> Vec<String> {
    let empty = Map::new();
    let entries = after.as_object().unwrap_or(&empty).iter();
    let entries = entries.filter(|(key, value)| is_meant(key) && before[key.as_str()] != **value);
    entries
        .map(|(key, value)| match value {
            Value::String(_) | Value::Number(_) | Value::Bool(_) => format!("{key}: {}", text_of(value)),
            _ => key.clone(),
        })
        .collect()
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub fn list<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object[key].as_array().map_or(&[], Vec::as_slice)
}
