//! Refuses excerpts that say nothing, or that would pass because of a misspelling.
//!
//! Every object has `metadata` and `spec`, every list element matches `{}`, and a field that is misspelt is
//! absent: `[]` for it would always pass.
//! Invariant: `[]` stands only for a list that the pod's schema or the object knows.

use serde_json::{Map, Value};

use crate::inject::schema::{self, SchemaRef, SchemaType};
use crate::inject::text::{quote, suggest};
use crate::workload;

/// Everything that is wrong with an excerpt of this object, a line each.
pub(super) fn check(excerpt: &Value, object: &Value) -> Result<(), String> {
    let found = workload::find(object, "outrigger.dev");
    let Some(location) = found.pods.first() else { return Ok(()) };
    let mut checker = Checker { pod: location.pointer.as_str(), problems: Vec::new() };
    let root = Place { path: String::new(), schema: checker.schema_at("", None), input: Some(object) };
    checker.value(excerpt, &root);
    if checker.problems.is_empty() { Ok(()) } else { Err(checker.problems.join("\n")) }
}

/// A place in the object.
struct Place<'p> {
    /// `/spec/containers/0`
    path: String,
    /// What core/v1 says about it, in the pod.
    schema: Option<SchemaRef<'static>>,
    /// What the object has there.
    input: Option<&'p Value>,
}

struct Checker<'p> {
    /// Path of the pod in the object.
    pod: &'p str,
    problems: Vec<String>,
}

impl Checker<'_> {
    /// The schema of the place at this path, whose parent has this schema.
    fn schema_at(&self, path: &str, inherited: Option<SchemaRef<'static>>) -> Option<SchemaRef<'static>> {
        let pod = || schema::variables().child("pod");
        match path {
            path if path == self.pod => pod(),
            // The metadata of a workload has the fields of a pod's.
            "/metadata" => inherited.or_else(|| pod()?.child("metadata")),
            _ => inherited,
        }
    }

    /// Whether every result has a map here.
    fn is_always_there(&self, path: &str) -> bool {
        let of = |object: &str| path.strip_prefix(object).is_some_and(|rest| matches!(rest, "/metadata" | "/spec"));
        of("") || of(self.pod)
    }

    fn value(&mut self, excerpt: &Value, place: &Place<'_>) {
        match excerpt {
            Value::Object(fields) => self.fields(fields, place),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{}/{index}", place.path);
                    if is_empty_map(item) {
                        self.problems.push(empty(&path));
                    }
                    let input = place.input.and_then(|input| namesake(input, item, index));
                    self.value(item, &Place { path, schema: place.schema.and_then(SchemaRef::item), input });
                }
            }
            _ => {}
        }
    }

    fn fields(&mut self, fields: &Map<String, Value>, place: &Place<'_>) {
        for (key, value) in fields {
            let path = format!("{}/{key}", place.path);
            if is_empty_map(value) && self.is_always_there(&path) {
                self.problems.push(empty(&path));
            }
            if value.as_array().is_some_and(Vec::is_empty) {
                self.problems.extend(known_list(key, &path, place).err());
            }
            let schema = self.schema_at(&path, place.schema.and_then(|schema| schema.child(key)));
            self.value(value, &Place { path, schema, input: place.input.and_then(|input| input.get(key)) });
        }
    }
}

/// Whether the object can have a list of this name at this place.
fn known_list(key: &str, path: &str, place: &Place<'_>) -> Result<(), String> {
    let is_there = place.input.is_some_and(|input| input.get(key).is_some_and(Value::is_array));
    let of_schema = place.schema.and_then(|schema| schema.child(key));
    if is_there || of_schema.is_some_and(|schema| schema.kind() == SchemaType::Array) {
        return Ok(());
    }
    let is_list = |name: &&str| {
        let field = place.schema.and_then(|schema| schema.child(name));
        field.is_some_and(|schema| schema.kind() == SchemaType::Array)
    };
    let lists = place.schema.into_iter().flat_map(SchemaRef::field_names).filter(is_list);
    let hint = suggest::did_you_mean(key, lists).map(|hint| format!("; {hint}")).unwrap_or_default();
    Err(format!("expect.includes{path} is [], but there is no list {} here{hint}", quote(key)))
}

fn is_empty_map(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

/// The element of a list of the object that has the name of this one, else the one at its place.
fn namesake<'p>(list: &'p Value, item: &Value, index: usize) -> Option<&'p Value> {
    let items = list.as_array()?;
    let name = item.get("name");
    let named = name.and_then(|name| items.iter().find(|other| other.get("name") == Some(name)));
    named.or_else(|| items.get(index))
}

fn empty(path: &str) -> String {
    format!("expect.includes{path} is {{}}, which every result has; name at least one field, or leave it out")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "web"}]}})
    }

    #[test]
    fn lists_that_the_pod_can_have_may_be_empty() {
        let object = pod();
        for excerpt in [
            json!({"spec": {"initContainers": [], "containers": [{"name": "web", "volumeMounts": [], "ports": []}]}}),
            json!({"spec": {"volumes": [{"name": "data", "emptyDir": {}}]}, "metadata": {"finalizers": []}}),
        ] {
            assert_eq!(check(&excerpt, &object), Ok(()), "{excerpt}");
        }
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
            "spec": {"volumeClaimTemplates": [], "template": pod()}});
        let excerpt = json!({"spec": {"volumeClaimTemplates": [], "template": {"spec": {"initContainers": []}}}});
        assert_eq!(check(&excerpt, &set), Ok(()));
        let excerpt = json!({"metadata": {"finalizers": [], "ownerReferences": []}});
        assert_eq!(check(&excerpt, &set), Ok(()));
        let misspelt = json!({"spec": {"template": {"spec": {"initContianers": []}}}});
        assert!(check(&misspelt, &set).expect_err("misspelt").contains("did you mean \"initContainers\"?"));
        assert!(check(&json!({"spec": {"initContainers": []}}), &set).is_err());
    }

    #[test]
    fn a_map_that_not_every_result_has_may_be_empty() {
        for excerpt in [
            json!({"spec": {"securityContext": {}, "containers": [{"name": "web", "resources": {"limits": {}}}]}}),
            json!({"spec": {"affinity": {"podAntiAffinity": {"x": [{"labelSelector": {}}]}}}}),
        ] {
            assert_eq!(check(&excerpt, &pod()), Ok(()), "{excerpt}");
        }
        let custom = json!({"apiVersion": "example.com/v1", "kind": "Web", "metadata": {"name": "web"},
            "spec": {"list": [{"x": []}], "template": pod()}});
        assert_eq!(check(&json!({"spec": {"list": [{"x": []}]}}), &custom), Ok(()));
        assert!(check(&json!({"spec": {"template": {"spec": {}}}}), &custom).is_err());
    }

    #[test]
    fn a_misspelt_list_is_an_error() {
        for (excerpt, expected) in [
            (
                json!({"spec": {"initContianers": []}}),
                "expect.includes/spec/initContianers is [], but there is no list \"initContianers\" here; did you mean \
                 \"initContainers\"?",
            ),
            (
                json!({"spec": {"containers": [{"name": "web", "volumMounts": []}]}}),
                "expect.includes/spec/containers/0/volumMounts is [], but there is no list \"volumMounts\" here; did \
                 you mean \"volumeMounts\"?",
            ),
            (
                json!({"metadata": {"labels": {"app": []}}}),
                "expect.includes/metadata/labels/app is [], but there is no list \"app\" here",
            ),
        ] {
            assert_eq!(check(&excerpt, &pod()), Err(expected.to_owned()));
        }
    }

    #[test]
    fn an_excerpt_that_every_result_has_is_an_error() {
        for excerpt in [
            json!({"spec": {}}),
            json!({"spec": {"containers": [{}]}}),
            json!({"spec": {"containers": [{"name": "web"}]}, "metadata": {}}),
        ] {
            let problem = check(&excerpt, &pod()).expect_err("it says nothing");
            assert!(problem.contains("is {}, which every result has"), "{problem}");
        }
        let both = json!({"spec": {"initContianers": [], "containers": [{}]}});
        assert_eq!(check(&both, &pod()).expect_err("two problems").lines().count(), 2);
    }
}
