//! What has to change in a running pod so that it carries a template as new pods do.
//!
//! Invariant: a difference that cannot be made in a running pod is never left out: then the pod has to
//! be created anew.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::others;
use crate::inject::annotations::AnnotationKeys;
use crate::inject::text::quantity;
use crate::workload::is_mark;

/// The lists of containers whose fields can change in a running pod.
const LISTS: [&str; 2] = ["containers", "initContainers"];
/// Fields of the spec that the cluster sets, or that are changed by other means.
const NOT_OURS: [&str; 2] = ["nodeName", "ephemeralContainers"];
/// The resources that can be resized.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

/// The difference that is no field.
const INIT_ORDER: &str = "the order of spec.initContainers";

/// A container of a pod: its list and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ContainerKey {
    /// `containers` or `initContainers`.
    pub list: &'static str,
    pub name: String,
}

/// What differs between a running pod and the pod that would be created now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Change {
    /// The new image of each container.
    pub images: BTreeMap<ContainerKey, String>,
    /// The new resources of each container.
    pub resources: BTreeMap<ContainerKey, Value>,
    /// The paths of everything else that differs.
    pub other: Vec<String>,
    /// The labels and annotations that say which revision the pod carries.
    pub marks: Marks,
}

/// Labels and annotations of ours, as the new pod has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Marks {
    pub labels: Map<String, Value>,
    pub annotations: Map<String, Value>,
}

impl Change {
    /// Compares a running pod with the pod that would be created now. Only containers that this template
    /// brings are changed in place: all others are the pod's own.
    pub(super) fn between(live: &Value, desired: &Value, keys: &AnnotationKeys, template: &str) -> Self {
        let own = containers_of(desired, keys, template);
        let (live, desired) = (&others::last(live, keys, template), &others::last(desired, keys, template));
        let mut change = Self { marks: Marks::between(live, desired, keys), ..Self::default() };
        change.metadata(live, desired, keys);
        let (live, desired) = (object(live.get("spec")), object(desired.get("spec")));
        for field in union(live, desired).into_iter().filter(|field| !NOT_OURS.contains(&field.as_str())) {
            let (old, new) = (live.get(field), desired.get(field));
            match LISTS.into_iter().find(|list| list == field) {
                Some(list) => change.containers(list, old, new, &own),
                None if field == "volumes" => change.volumes(old, new),
                None if old != new => change.other.push(format!("spec.{field}")),
                None => {}
            }
        }
        change
    }

    /// Adds the order of init containers to what differs.
    pub(super) fn add_order(&mut self) {
        if !self.other.iter().any(|path| path == INIT_ORDER) {
            self.other.push(INIT_ORDER.to_owned());
        }
    }

    /// Whether there is nothing to do.
    pub(super) fn is_nothing(&self) -> bool {
        let is_same = self.images.is_empty() && self.resources.is_empty() && self.other.is_empty();
        is_same && self.marks == Marks::default()
    }

    /// The paths of everything that differs, but for the marks.
    pub(super) fn paths(&self) -> Vec<String> {
        let images = self.images.keys().map(|key| format!("spec.{}[{}].image", key.list, key.name));
        let resources = self.resources.keys().map(|key| format!("spec.{}[{}].resources", key.list, key.name));
        images.chain(resources).chain(self.other.iter().cloned()).collect()
    }

    /// Whether the running pod can be changed.
    pub(super) fn is_in_place(&self) -> bool {
        self.other.is_empty()
    }

    fn metadata(&mut self, live: &Value, desired: &Value, keys: &AnnotationKeys) {
        for map in ["labels", "annotations"] {
            let pointer = format!("/metadata/{map}");
            let (old, new) = (object(live.pointer(&pointer)), object(desired.pointer(&pointer)));
            for key in union(old, new).into_iter().filter(|key| !is_mark(map, key, keys)) {
                if old.get(key) != new.get(key) {
                    self.other.push(format!("metadata.{map}[{key:?}]"));
                }
            }
        }
    }

    fn volumes(&mut self, old: Option<&Value>, new: Option<&Value>) {
        let (old, new) = (by_name(old), by_name(new));
        let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
        let differing = names.into_iter().filter(|name| old.get(name) != new.get(name));
        self.other.extend(differing.map(|name| format!("spec.volumes[{name}]")));
    }

    fn containers(
        &mut self,
        list: &'static str,
        old: Option<&Value>,
        new: Option<&Value>,
        own: &BTreeSet<ContainerKey>,
    ) {
        if list == "initContainers" && others::order(old) != others::order(new) {
            self.add_order();
        }
        let (old, new) = (by_name(old), by_name(new));
        for name in old.keys().chain(new.keys()).copied().collect::<BTreeSet<&str>>() {
            match (old.get(name), new.get(name)) {
                (Some(old), Some(new)) => {
                    let key = ContainerKey { list, name: name.to_owned() };
                    self.container(&key, old, new, own.contains(&key));
                }
                _ => self.other.push(format!("spec.{list}[{name}]")),
            }
        }
    }

    fn container(&mut self, key: &ContainerKey, old: &Value, new: &Value, is_own: bool) {
        let ContainerKey { list, name } = key;
        // An init container that has ended does not start again by a new image.
        let runs = *list == "containers" || new.get("restartPolicy").is_some_and(|policy| policy == "Always");
        let (old, new) = (object(Some(old)), object(Some(new)));
        for field in union(old, new) {
            let (before, after) = (old.get(field), new.get(field));
            match (field.as_str(), after) {
                _ if before == after => {}
                ("image", Some(Value::String(image))) if is_own && runs => {
                    self.images.insert(key.clone(), image.clone());
                }
                // A template brings no image for a container of the pod: another admission plugin has
                // changed the image of the running pod, and would change it once more.
                ("image", _) if !is_own => {}
                ("resources", after) if same_resources(before, after) => {}
                ("resources", after) if is_own && runs && can_be_resized(before, after) => {
                    self.resources.insert(key.clone(), after.cloned().unwrap_or_else(|| json!({})));
                }
                _ => self.other.push(format!("spec.{list}[{name}].{field}")),
            }
        }
    }
}

/// The containers that a template has brought into a pod, as its status annotation lists them.
pub(super) fn containers_of(pod: &Value, keys: &AnnotationKeys, template: &str) -> BTreeSet<ContainerKey> {
    let lists = others::entries(pod, keys).into_iter().filter(|entry| entry.name == template).flat_map(|entry| {
        let list = |list, names: Vec<String>| names.into_iter().map(move |name| ContainerKey { list, name });
        list("containers", entry.containers).chain(list("initContainers", entry.init_containers))
    });
    lists.collect()
}

impl Marks {
    fn between(live: &Value, desired: &Value, keys: &AnnotationKeys) -> Self {
        let changed = |map: &str| {
            let pointer = format!("/metadata/{map}");
            let (old, new) = (object(live.pointer(&pointer)), object(desired.pointer(&pointer)));
            let marks = new.iter().filter(|(key, value)| is_mark(map, key, keys) && old.get(*key) != Some(*value));
            marks.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        Self { labels: changed("labels"), annotations: changed("annotations") }
    }
}

/// Whether only amounts of CPU and memory differ, and none appears or vanishes: the API server takes no
/// other change of a running pod.
fn can_be_resized(old: Option<&Value>, new: Option<&Value>) -> bool {
    let (old, new) = (object(old), object(new));
    union(old, new).into_iter().all(|part| {
        let (before, after) = (old.get(part), new.get(part));
        if before == after {
            return true;
        }
        let (before, after) = (object(before), object(after));
        let resizable = |name: &&String| RESIZABLE.contains(&name.as_str());
        let is_amount = matches!(part.as_str(), "requests" | "limits");
        is_amount
            && union(before, after).into_iter().all(|name| {
                before.get(name) == after.get(name)
                    || (resizable(&name) && before.contains_key(name) && after.contains_key(name))
            })
    })
}

fn same_resources(old: Option<&Value>, new: Option<&Value>) -> bool {
    let (old, new) = (object(old), object(new));
    union(old, new).into_iter().all(|part| {
        if !matches!(part.as_str(), "requests" | "limits") {
            return old.get(part) == new.get(part);
        }
        let (before, after) = (object(old.get(part)), object(new.get(part)));
        union(before, after).into_iter().all(|name| match (before.get(name), after.get(name)) {
            (Some(before), Some(after)) => quantity::same(before, after),
            _ => false,
        })
    })
}

static NOTHING: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

fn object(value: Option<&Value>) -> &Map<String, Value> {
    value.and_then(Value::as_object).unwrap_or(&NOTHING)
}

fn union<'m>(one: &'m Map<String, Value>, other: &'m Map<String, Value>) -> BTreeSet<&'m String> {
    one.keys().chain(other.keys()).collect()
}

fn by_name(list: Option<&Value>) -> BTreeMap<&str, &Value> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| Some((item.get("name")?.as_str()?, item))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = r#"{"version":1,"templates":[{"name":"p","revision":"a","initContainers":["p","once"]}]}"#;

    fn pod(sidecar: &Value) -> Value {
        json!({
            "metadata": {"labels": {"app": "web", "p.outrigger.dev/revision": "a"}, "annotations": {"outrigger.dev/status": STATUS}},
            "spec": {
                "nodeName": "n", "initContainers": [sidecar, {"name": "once", "image": "once:1"}],
                "containers": [{"name": "web", "image": "web:1"}], "volumes": [{"name": "v", "emptyDir": {}}],
            },
        })
    }

    fn sidecar() -> Value {
        json!({"name": "p", "image": "p:1", "restartPolicy": "Always",
            "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "64Mi"}}})
    }

    fn change(edit: impl Fn(&mut Value)) -> Change {
        let live = pod(&sidecar());
        let mut desired = live.clone();
        edit(&mut desired);
        Change::between(&live, &desired, &AnnotationKeys::new("outrigger.dev"), "p")
    }

    #[test]
    fn an_image_and_resources_of_a_native_sidecar_change_in_place() {
        let found = change(|pod| {
            pod["spec"]["initContainers"][0]["image"] = json!("p:2");
            pod["spec"]["initContainers"][0]["resources"]["requests"]["cpu"] = json!("20m");
            pod["metadata"]["labels"]["p.outrigger.dev/revision"] = json!("b");
            pod["spec"]["nodeName"] = json!(null);
        });
        let key = ContainerKey { list: "initContainers", name: "p".to_owned() };
        assert_eq!(found.images, [(key.clone(), "p:2".to_owned())].into());
        assert!(found.resources.contains_key(&key) && found.is_in_place(), "{found:?}");
        assert_eq!(found.marks.labels.len(), 1);
    }

    #[test]
    fn everything_else_needs_a_new_pod() {
        type Edit = fn(&mut Value);
        let edits: [(&str, Edit); 14] = [
            ("spec.initContainers[p].args", |pod| pod["spec"]["initContainers"][0]["args"] = json!(["x"])),
            ("spec.initContainers[once].image", |pod| pod["spec"]["initContainers"][1]["image"] = json!("once:2")),
            ("spec.containers[web].env", |pod| pod["spec"]["containers"][0]["env"] = json!([])),
            ("spec.containers[web].resources", |pod| {
                pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1"}});
            }),
            ("the order of spec.initContainers", |pod| {
                pod["spec"]["initContainers"].as_array_mut().expect("a list").reverse();
            }),
            ("spec.volumes[v]", |pod| pod["spec"]["volumes"][0]["emptyDir"] = json!({"sizeLimit": "1Mi"})),
            ("spec.volumes[w]", |pod| pod["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}, {"name": "w"}])),
            ("spec.containers[new]", |pod| {
                pod["spec"]["containers"] = json!([{"name": "web", "image": "web:1"}, {"name": "new", "image": "n:1"}]);
            }),
            ("spec.hostNetwork", |pod| pod["spec"]["hostNetwork"] = json!(true)),
            ("metadata.labels[\"x\"]", |pod| pod["metadata"]["labels"]["x"] = json!("y")),
            ("metadata.annotations[\"p.outrigger.dev/revision\"]", |pod| {
                pod["metadata"]["annotations"]["p.outrigger.dev/revision"] = json!("a parameter");
            }),
            ("metadata.annotations[\"p.outrigger.dev/file.conf.a\"]", |pod| {
                pod["metadata"]["annotations"]["p.outrigger.dev/file.conf.a"] = json!("text");
            }),
            ("spec.initContainers[p].resources", |pod| {
                pod["spec"]["initContainers"][0]["resources"]["limits"]["cpu"] = json!("1");
            }),
            ("spec.initContainers[p].resources", |pod| {
                pod["spec"]["initContainers"][0]["resources"]["claims"] = json!([{"name": "gpu"}]);
            }),
        ];
        for (path, edit) in edits {
            let found = change(edit);
            assert_eq!(found.other, [path]);
            assert!(!found.is_in_place());
        }
    }

    #[test]
    fn the_image_of_a_container_that_the_template_does_not_bring_is_the_pods_own() {
        let found = change(|pod| pod["spec"]["containers"][0]["image"] = json!("mirror.example/web:1"));
        assert!(found.is_nothing(), "{found:?}");
    }

    #[test]
    fn the_same_amounts_in_other_words_are_no_change() {
        let found = change(|pod| {
            pod["spec"]["initContainers"][0]["resources"]["requests"]["cpu"] = json!("0.01");
        });
        assert!(found.is_nothing(), "{found:?}");
        assert!(change(|_| ()).is_nothing());
    }
}
