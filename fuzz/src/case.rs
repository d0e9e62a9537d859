//! Generated input for the fuzz targets: one or two templates and a pod that requests them.
//!
//! Names come from a small pool, so that pod and templates often conflict or agree. Most of the
//! generated templates load.

use arbitrary::Arbitrary;
use serde_json::{Map, Value, json};

/// One run of the engine.
#[derive(Arbitrary, Debug)]
pub struct Case {
    first: Template,
    second: Option<Template>,
    pod: Pod,
    pub native: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Web,
    Log,
    Proxy,
    Other,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Root,
    Logs,
    Nested,
    Odd,
}

#[derive(Arbitrary, Debug)]
struct Mount {
    path: Path,
    volume: Name,
    read_only: Option<bool>,
}

#[derive(Arbitrary, Debug)]
struct Variable {
    name: Name,
    value: Text,
}

#[derive(Arbitrary, Debug)]
enum Text {
    Empty,
    Plain,
    Pointer,
    Json,
    Reference,
    /// An expression in a template, and plain text in a pod.
    Expression,
    Number(i64),
    Any(char),
}

#[derive(Arbitrary, Debug)]
struct Container {
    name: Name,
    auto: u8,
    env: Option<Vec<Variable>>,
    mounts: Option<Vec<Mount>>,
    port: Option<u8>,
    cpu: Option<u8>,
    unknown: Option<Text>,
}

#[derive(Arbitrary, Debug)]
struct Volume {
    name: Name,
    memory: bool,
}

#[derive(Arbitrary, Debug)]
enum Order {
    First,
    Last,
    Before(Name),
    After(Name),
}

#[derive(Arbitrary, Debug)]
struct Template {
    sidecars: Vec<Container>,
    init_containers: Vec<Container>,
    volumes: Vec<Volume>,
    app_env: Vec<Variable>,
    app_mounts: Vec<Mount>,
    app_first_only: bool,
    app_init_containers: bool,
    from_app_mounts: bool,
    from_app_env: Option<Name>,
    plain: bool,
    order: Option<Order>,
    labels: Vec<(Name, Text)>,
    grace_period: Option<u8>,
    priority_class: bool,
    host_aliases: Vec<u8>,
    keep_pod: bool,
    skip_on_error: bool,
    hardened: bool,
}

#[derive(Arbitrary, Debug)]
struct Pod {
    containers: Vec<Container>,
    init_containers: Option<Vec<Container>>,
    volumes: Option<Vec<Volume>>,
    labels: Option<Vec<(Name, Text)>>,
    grace_period: Option<u8>,
    defaults: bool,
    null_volumes: bool,
    /// Value of the parameter `text` of the first template.
    parameter: Option<Text>,
    unknown: Option<Text>,
}

impl Case {
    /// The documents of the template `first` and, if present, `second`.
    pub fn templates(&self) -> Vec<Value> {
        let first = self.first.document("first");
        std::iter::once(first).chain(self.second.as_ref().map(|second| second.document("second"))).collect()
    }

    /// The pod, which requests all templates.
    pub fn pod(&self) -> Value {
        let asked = if self.second.is_some() { "first, second" } else { "first" };
        self.pod.object(asked)
    }
}

impl Name {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Log => "log",
            Self::Proxy => "proxy-1",
            Self::Other => "other",
        }
    }
}

impl Path {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "/data",
            Self::Logs => "/var/log",
            Self::Nested => "/var/log/app",
            Self::Odd => "/~a/~1b",
        }
    }
}

impl Text {
    fn text(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Plain => "x".to_owned(),
            Self::Pointer => "/spec/~0~1".to_owned(),
            Self::Json => "{\"a\": [1, null]}".to_owned(),
            Self::Reference => "$(HOME)".to_owned(),
            Self::Expression => "${params.text}".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Any(character) => character.to_string(),
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Empty => Value::Null,
            Self::Json => json!({"a": [1, null, {"~/": u64::MAX}]}),
            Self::Number(number) => json!(number),
            _ => json!(self.text()),
        }
    }
}

impl Variable {
    fn object(&self) -> Value {
        json!({"name": self.name.as_str().to_uppercase().replace('-', "_"), "value": self.value.text()})
    }
}

impl Mount {
    fn object(&self) -> Value {
        let mut mount = json!({"name": self.volume.as_str(), "mountPath": self.path.as_str()});
        if let Some(read_only) = self.read_only {
            mount["readOnly"] = json!(read_only);
        }
        mount
    }
}

impl Container {
    fn object(&self, may_be_auto: bool, volumes: &[Name]) -> Value {
        let image = if may_be_auto && self.auto % 8 == 0 { "auto" } else { "registry.example/image:1" };
        let mut container = json!({"name": self.name.as_str(), "image": image});
        if let Some(env) = &self.env {
            container["env"] = variables(env);
        }
        if let Some(mounts) = &self.mounts {
            container["volumeMounts"] = mounts_of(mounts, volumes);
        }
        if let Some(port) = self.port {
            container["ports"] = json!([{"containerPort": u16::from(port % 4) + 8080}]);
        }
        if let Some(cpu) = self.cpu {
            let quantity = if cpu % 2 == 0 { json!("1000m") } else { json!("1") };
            container["resources"] = json!({"requests": {"cpu": quantity}});
        }
        if let Some(unknown) = &self.unknown {
            container["fromTheFuture"] = unknown.value();
        }
        container
    }
}

impl Template {
    fn document(&self, name: &str) -> Value {
        let volumes = unique(self.volumes.iter().map(|volume| volume.name));
        let mut taken = Vec::new();
        let mut sidecars = containers(&self.sidecars, &mut taken, false, &volumes);
        let mut init_containers = containers(&self.init_containers, &mut taken, false, &volumes);
        declare_each_port_once(sidecars.iter_mut().chain(&mut init_containers));
        let mut spec = json!({
            "parameters": [{"name": "text", "type": "string", "default": "x"}],
            "sidecars": sidecars, "initContainers": init_containers, "volumes": volume_objects(&self.volumes),
            "app": {
                "containers": if self.app_first_only { "First" } else { "All" }, "initContainers": self.app_init_containers,
                "env": variables(&self.app_env), "volumeMounts": mounts_of(&self.app_mounts, &volumes),
            },
            "fromApp": {"volumeMounts": self.from_app_mounts},
            "placement": {"sidecars": if self.plain { "Plain" } else { "Native" }},
            "metadata": {"labels": labels(&self.labels)},
            "onConflict": if self.keep_pod { "KeepPod" } else { "Reject" },
            "onError": if self.skip_on_error { "Skip" } else { "Reject" },
            "hardened": self.hardened,
            "pod": self.pod_fields(),
        });
        if let Some(name) = self.from_app_env {
            spec["fromApp"]["env"] = json!([name.as_str().to_uppercase().replace('-', "_")]);
        }
        if let Some(order) = &self.order {
            spec["placement"]["order"] = order.value();
        }
        json!({
            "apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionTemplate",
            "metadata": {"name": name}, "spec": spec,
        })
    }

    fn pod_fields(&self) -> Value {
        let mut fields = Map::new();
        if let Some(seconds) = self.grace_period {
            fields.insert("terminationGracePeriodSeconds".to_owned(), json!(u16::from(seconds % 3) * 30 + 30));
        }
        if self.priority_class {
            fields.insert("priorityClassName".to_owned(), json!("high"));
        }
        if !self.host_aliases.is_empty() {
            let octets = unique(self.host_aliases.iter().map(|octet| octet % 4));
            let alias = |octet: &u8| json!({"ip": format!("10.0.0.{octet}"), "hostnames": [format!("host-{octet}")]});
            fields.insert("hostAliases".to_owned(), octets.iter().map(alias).collect());
        }
        Value::Object(fields)
    }
}

impl Order {
    fn value(&self) -> Value {
        match self {
            Self::First => json!("First"),
            Self::Last => json!("Last"),
            Self::Before(name) => json!({"before": name.as_str()}),
            Self::After(name) => json!({"after": name.as_str()}),
        }
    }
}

impl Pod {
    fn object(&self, asked: &str) -> Value {
        let volumes = unique(self.volumes.iter().flatten().map(|volume| volume.name));
        let mut taken = Vec::new();
        let mut app = containers(&self.containers, &mut taken, true, &volumes);
        if app.is_empty() {
            taken.push(Name::Web);
            app.push(json!({"name": "web", "image": "registry.example/web:1"}));
        }
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web", "annotations": {"outrigger.dev/inject": asked}},
            "spec": {"containers": app},
        });
        if let Some(init_containers) = &self.init_containers {
            pod["spec"]["initContainers"] = json!(containers(init_containers, &mut taken, true, &volumes));
        }
        match &self.volumes {
            Some(volumes) => pod["spec"]["volumes"] = volume_objects(volumes),
            None if self.null_volumes => pod["spec"]["volumes"] = Value::Null,
            None => {}
        }
        if let Some(list) = &self.labels {
            pod["metadata"]["labels"] = labels(list);
        }
        if let Some(seconds) = self.grace_period {
            pod["spec"]["terminationGracePeriodSeconds"] = json!(u16::from(seconds % 3) * 30 + 30);
        }
        if let Some(parameter) = &self.parameter {
            pod["metadata"]["annotations"]["first.outrigger.dev/text"] = json!(parameter.text());
        }
        if self.defaults {
            fill_in_defaults(&mut pod);
        }
        if let Some(unknown) = &self.unknown {
            pod["spec"]["fromTheFuture"] = unknown.value();
        }
        pod
    }
}

/// Defaults that the API server sets before it calls a webhook.
fn fill_in_defaults(pod: &mut Value) {
    let defaults = json!({
        "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority", "priority": 0,
        "restartPolicy": "Always", "schedulerName": "default-scheduler", "securityContext": {},
        "serviceAccount": "default", "serviceAccountName": "default", "terminationGracePeriodSeconds": 30,
    });
    for (key, value) in defaults.as_object().into_iter().flatten() {
        if pod["spec"].get(key).is_none() {
            pod["spec"][key] = value.clone();
        }
    }
}

fn containers(list: &[Container], taken: &mut Vec<Name>, may_be_auto: bool, volumes: &[Name]) -> Vec<Value> {
    let mut objects = Vec::new();
    for container in list {
        if !taken.contains(&container.name) {
            taken.push(container.name);
            objects.push(container.object(may_be_auto, volumes));
        }
    }
    objects
}

/// A template that conflicts with itself fits no pod at all.
fn declare_each_port_once<'a>(containers: impl Iterator<Item = &'a mut Value>) {
    let mut seen = Vec::new();
    for container in containers.filter_map(Value::as_object_mut) {
        let port = container.get("ports").map(ToString::to_string);
        if port.is_some_and(|port| !is_fresh(&mut seen, port)) {
            container.remove("ports");
        }
    }
}

fn variables(list: &[Variable]) -> Value {
    let mut seen = Vec::new();
    let fresh = list.iter().filter(|variable| is_fresh(&mut seen, variable.name));
    fresh.map(Variable::object).collect()
}

fn mounts_of(list: &[Mount], volumes: &[Name]) -> Value {
    let mut seen = Vec::new();
    let fresh = list.iter().filter(|mount| volumes.contains(&mount.volume) && is_fresh(&mut seen, mount.path));
    fresh.map(Mount::object).collect()
}

fn volume_objects(list: &[Volume]) -> Value {
    let mut seen = Vec::new();
    let fresh = list.iter().filter(|volume| is_fresh(&mut seen, volume.name));
    let object = |volume: &Volume| match volume.memory {
        true => json!({"name": volume.name.as_str(), "emptyDir": {"medium": "Memory"}}),
        false => json!({"name": volume.name.as_str(), "emptyDir": {}}),
    };
    fresh.map(object).collect()
}

fn labels(list: &[(Name, Text)]) -> Value {
    let label = |(name, text): &(Name, Text)| {
        let value = text.text();
        let is_valid = value.chars().all(|c| c.is_ascii_alphanumeric());
        (format!("example.com/{}", name.as_str()), json!(if is_valid { value } else { "x".to_owned() }))
    };
    Value::Object(list.iter().map(label).collect())
}

fn unique<T: PartialEq + Copy>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    items.for_each(|item| {
        is_fresh(&mut seen, item);
    });
    seen
}

/// Whether the item is seen for the first time.
fn is_fresh<T: PartialEq>(seen: &mut Vec<T>, item: T) -> bool {
    let fresh = !seen.contains(&item);
    if fresh {
        seen.push(item);
    }
    fresh
}
