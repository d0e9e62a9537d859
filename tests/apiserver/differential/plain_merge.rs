//! Puts a template into a pod without any check, so that the API server can say what it thinks of a
//! template that Outrigger refuses.

use serde_json::{Map, Value, json};

/// The pod with everything that the template's spec brings.
pub fn merged(pod: &Value, spec: &Value) -> Value {
    let mut pod = pod.clone();
    let own = items(pod["spec"].get("initContainers"));
    pod["spec"]["initContainers"] = json!([]);
    for mut sidecar in items(spec.get("sidecars")) {
        sidecar["restartPolicy"] = json!("Always");
        container(&mut pod, sidecar);
    }
    for once in items(spec.get("initContainers")) {
        container(&mut pod, once);
    }
    append(&mut pod["spec"], "initContainers", own);
    append(&mut pod["spec"], "volumes", items(spec.get("volumes")));
    for target in pod["spec"]["containers"].as_array_mut().into_iter().flatten() {
        let is_own = target["image"] != "auto" && (target["name"] == "web" || target["name"] == "worker");
        for field in ["env", "envFrom", "volumeMounts"].into_iter().filter(|_| is_own) {
            append(target, field, items(spec["app"].get(field)));
        }
    }
    for field in ["labels", "annotations"] {
        merge(&mut pod["metadata"], field, &spec["metadata"][field]);
    }
    for (field, value) in spec["pod"].as_object().into_iter().flatten() {
        merge(&mut pod["spec"], field, value);
    }
    pod
}

fn items(list: Option<&Value>) -> Vec<Value> {
    list.and_then(Value::as_array).cloned().unwrap_or_default()
}

fn append(object: &mut Value, field: &str, new: Vec<Value>) {
    match object[field].as_array_mut() {
        Some(list) => list.extend(new),
        None if !new.is_empty() => object[field] = Value::Array(new),
        None => {}
    }
}

/// Adds a container, or fills the one of its name that has `image: auto`: the pod's fields win.
fn container(pod: &mut Value, new: Value) {
    for list in ["containers", "initContainers"] {
        let mut old = pod["spec"][list].as_array_mut().into_iter().flatten();
        if let Some(old) = old.find(|old| old["image"] == "auto" && old["name"] == new["name"]) {
            let mut filled = new;
            filled.as_object_mut().map(|fields| fields.remove("restartPolicy"));
            deep(&mut filled, old);
            filled["image"] = json!("filled:1");
            *old = filled;
            return;
        }
    }
    append(&mut pod["spec"], "initContainers", vec![new]);
}

fn deep(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                deep(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// Sets a field: maps are merged, lists appended.
fn merge(object: &mut Value, field: &str, new: &Value) {
    if new.is_null() {
        return;
    }
    let old = object.as_object_mut().expect("an object").entry(field.to_owned()).or_insert(Value::Null);
    match (old, new) {
        (Value::Array(old), Value::Array(new)) => old.extend(new.iter().cloned()),
        (old @ (Value::Object(_) | Value::Null), Value::Object(new)) => {
            if old.is_null() {
                *old = Value::Object(Map::new());
            }
            for (key, value) in new {
                merge(old, key, value);
            }
        }
        (old, new) => *old = new.clone(),
    }
}
