//! Checks the types of the pod's fields that the engine reads, such as lists of containers.
//!
//! An object with other types is not a pod. The API server would refuse it too, but less clearly;
//! this check lists all problems at once.

use crate::inject::text::json::json_type;
use crate::inject::text::one_line;
use serde_json::{Map, Value};

/// Most problems that are listed: an object of garbage can have thousands.
const MAX_PROBLEMS: usize = 10;

/// Most bytes of all annotations together, keys and values.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// What is expected of labels and annotations.
const STRING: &str = "a string";

/// Lists of a container, and whether their items must have a name.
const CONTAINER_LISTS: [(&str, Named); 5] = [
    ("env", Named::Yes),
    ("volumeMounts", Named::No),
    ("volumeDevices", Named::No),
    ("ports", Named::No),
    ("envFrom", Named::No),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Yes,
    No,
}

/// Checks the structure. The error has all problems, joined by `; `.
pub(super) fn check(pod: &Value) -> Result<(), String> {
    let mut checker = Checker { problems: Vec::new(), more: 0 };
    checker.pod(pod);
    if checker.more > 0 {
        checker.problems.push(format!("and {} more", checker.more));
    }
    if checker.problems.is_empty() { Ok(()) } else { Err(checker.problems.join("; ")) }
}

struct Checker {
    problems: Vec<String>,
    /// The number of problems that are counted but not listed.
    more: usize,
}

impl Checker {
    fn add(&mut self, path: &str, expected: &str, found: Option<&Value>) {
        if self.problems.len() < MAX_PROBLEMS {
            let hint = if expected == STRING { quotes_hint(found) } else { "" };
            let found = found.map_or("nothing", json_type);
            self.problems.push(format!("{path}: expected {expected}, found {found}{hint}"));
        } else {
            self.more += 1;
        }
    }

    fn pod(&mut self, pod: &Value) {
        match present(pod.get("spec")) {
            Some(Value::Object(spec)) => self.spec(spec),
            other => self.add("spec", "the pod's spec", other),
        }
        match present(pod.get("metadata")) {
            Some(Value::Object(metadata)) => {
                for field in ["labels", "annotations"] {
                    self.strings(metadata.get(field), &format!("metadata.{field}"));
                }
                self.length(metadata.get("annotations"));
            }
            None => {}
            other => self.add("metadata", "an object", other),
        }
    }

    fn spec(&mut self, spec: &Map<String, Value>) {
        if self.objects(spec, "spec", "containers", Named::Yes) == Some(0) {
            // With plain sidecars the API server would accept a pod without an app.
            self.add("spec.containers", "at least one container", None);
        }
        for field in ["initContainers", "ephemeralContainers", "volumes"] {
            self.objects(spec, "spec", field, Named::Yes);
        }
        for field in ["containers", "initContainers", "ephemeralContainers"] {
            let containers = spec.get(field).and_then(Value::as_array).into_iter().flatten();
            for (index, container) in containers.enumerate().filter_map(|(index, one)| Some((index, one.as_object()?)))
            {
                self.container(container, &format!("spec.{field}[{index}]"));
            }
        }
        if let Some(os) = present(spec.get("os")).filter(|os| !os.is_object()) {
            self.add("spec.os", "an object", Some(os));
        }
        self.strings(spec.get("nodeSelector"), "spec.nodeSelector");
    }

    fn container(&mut self, container: &Map<String, Value>, path: &str) {
        for (field, named) in CONTAINER_LISTS {
            self.objects(container, path, field, named);
        }
    }

    /// Checks a list of objects, and returns its length; `None` if it is not a list.
    fn objects(&mut self, parent: &Map<String, Value>, path: &str, field: &str, named: Named) -> Option<usize> {
        let items = match present(parent.get(field)) {
            None => return Some(0),
            Some(Value::Array(items)) => items,
            other => {
                self.add(&format!("{path}.{field}"), "a list", other);
                return None;
            }
        };
        for (index, item) in items.iter().enumerate() {
            match item.as_object() {
                None => self.add(&format!("{path}.{field}[{index}]"), "an object", Some(item)),
                Some(object) => match present(object.get("name")) {
                    Some(Value::String(_)) => {}
                    None if named == Named::No => {}
                    other => self.add(&format!("{path}.{field}[{index}].name"), "a name", other),
                },
            }
        }
        Some(items.len())
    }

    /// Checks a map of strings. A null value is the empty string, as in the API server.
    fn strings(&mut self, map: Option<&Value>, path: &str) {
        match present(map) {
            None => {}
            Some(Value::Object(map)) => {
                for (key, value) in map.iter().filter(|(_, value)| !value.is_string() && !value.is_null()) {
                    self.add(&format!("{path}[{}]", one_line(key, 80)), STRING, Some(value));
                }
            }
            other => self.add(path, "a map of strings", other),
        }
    }

    /// Checks the length of all annotations. The API server refuses more, and parsed annotations
    /// can take many times as much memory.
    fn length(&mut self, annotations: Option<&Value>) {
        let annotations = annotations.and_then(Value::as_object).into_iter().flatten();
        let length: usize = annotations.map(|(key, value)| key.len() + value.as_str().unwrap_or_default().len()).sum();
        if length > MAX_ANNOTATIONS {
            let message = format!("metadata.annotations: expected at most {MAX_ANNOTATIONS} bytes, found {length}");
            self.problems.push(message);
        }
    }
}

/// YAML reads `true` and `8080` without quotes as other types.
fn quotes_hint(found: Option<&Value>) -> &'static str {
    match found {
        Some(Value::Bool(_) | Value::Number(_)) => "; put it in quotes",
        _ => "",
    }
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_problems_are_listed_with_their_paths() {
        let pod = json!({
            "metadata": {"annotations": {"a": 5, "b": null}},
            "spec": {"containers": [{"name": "web", "env": {}}, 3], "volumes": {}, "initContainers": [{}]},
        });
        let expected = "spec.containers[1]: expected an object, found a number; spec.initContainers[0].name: expected a name, \
            found nothing; spec.volumes: expected a list, found an object; spec.containers[0].env: expected a list, found an \
            object; metadata.annotations[a]: expected a string, found a number; put it in quotes";
        assert_eq!(check(&pod), Err(expected.to_owned()));
    }

    #[test]
    fn a_body_of_garbage_gives_a_bounded_message() {
        let pod = json!({"spec": {"containers": vec![1; 1000]}});
        assert!(check(&pod).is_err_and(|message| message.ends_with("; and 990 more")));
    }

    #[test]
    fn annotations_may_be_as_long_as_the_api_server_accepts() {
        let pod = |length: usize| json!({"metadata": {"annotations": {"key": "x".repeat(length - 3)}}, "spec": {"containers": [{"name": "a"}]}});
        assert_eq!(check(&pod(MAX_ANNOTATIONS)), Ok(()));
        let message = "metadata.annotations: expected at most 262144 bytes, found 262145";
        assert_eq!(check(&pod(MAX_ANNOTATIONS + 1)), Err(message.to_owned()));
    }

    #[test]
    fn null_is_absent() {
        let pod = json!({"metadata": null, "spec": {"volumes": null, "containers": [{"name": "web", "env": null}]}});
        assert_eq!(check(&pod), Ok(()));
    }
}
