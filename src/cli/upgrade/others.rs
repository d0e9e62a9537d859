//! What other templates have brought into a pod, in one order.
//!
//! A template that is taken out and injected anew comes behind those that stayed. So pods are compared
//! without the order of what others have brought.
//!
//! Invariant: nothing is added, left out or changed; only items of lists that are merged by key move.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::inject::annotations::AnnotationKeys;
use crate::inject::schema::merge_path::MergePath;
use crate::inject::status::{Status, StatusEntry};
use crate::inject::text::pointer::Pointer;

/// The entries of a pod's status annotation.
pub(super) fn entries(pod: &Value, keys: &AnnotationKeys) -> Vec<StatusEntry> {
    let annotations = pod.pointer("/metadata/annotations");
    let status = annotations.and_then(|annotations| annotations.get(&keys.status)?.as_str());
    status.and_then(Status::<StatusEntry>::parse).map(|status| status.templates).unwrap_or_default()
}

/// The pod with the items of other templates at the end of each list, in the order of their keys.
pub(super) fn last(pod: &Value, keys: &AnnotationKeys, template: &str) -> Value {
    let others = entries(pod, keys).into_iter().filter(|entry| entry.name != template);
    let mut moved: BTreeMap<Pointer, BTreeMap<usize, MergePath>> = BTreeMap::new();
    for path in others.flat_map(paths) {
        let Some((list, index)) = path.to_pointer(pod).and_then(|pointer| pointer.split_last()) else { continue };
        if let (Some(Value::Array(_)), Ok(index)) = (pod.pointer(list.as_str()), index.parse()) {
            moved.entry(list).or_default().insert(index, path);
        }
    }
    let mut pod = pod.clone();
    // A list within an item that moves is put in order before: the deepest pointers come first.
    let mut lists: Vec<_> = moved.into_iter().collect();
    lists.sort_by_key(|(list, _)| std::cmp::Reverse(list.segments().count()));
    for (list, of_others) in lists {
        if let Some(Value::Array(items)) = list.find_mut(&mut pod) {
            let mut keyed: Vec<(Option<&MergePath>, Value)> =
                items.drain(..).enumerate().map(|(index, item)| (of_others.get(&index), item)).collect();
            // `None` is the least, and the sort keeps the order of equals.
            keyed.sort_by_key(|(key, _)| *key);
            items.extend(keyed.into_iter().map(|(_, item)| item));
        }
    }
    pod
}

/// The names of a list of containers in their order.
pub(super) fn order(list: Option<&Value>) -> Vec<&str> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.get("name")?.as_str()).collect()
}

/// Whether containers that both pods have stand in another order in their list of init containers.
pub(super) fn is_reordered(one: &Value, other: &Value) -> bool {
    let [one, other] = [one, other].map(|pod| order(pod.pointer("/spec/initContainers")));
    let is_common = |name: &&&str| one.contains(name) && other.contains(name);
    !one.iter().filter(is_common).eq(other.iter().filter(is_common))
}

fn paths(entry: StatusEntry) -> impl Iterator<Item = MergePath> {
    let named =
        |list: &'static str, names: Vec<String>| names.into_iter().map(move |name| MergePath::of([list, &name]));
    let containers = named("containers", entry.containers).chain(named("initContainers", entry.init_containers));
    containers.chain(named("volumes", entry.volumes)).chain(entry.added)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys() -> AnnotationKeys {
        AnnotationKeys::new("outrigger.dev")
    }

    fn pod(sidecars: [&str; 3], env: [&str; 3]) -> Value {
        let entry = |name: &str, sidecar: &str, variable: &str| json!({"name": name, "revision": "a", "initContainers": [sidecar], "added": [format!("containers/web/env/{variable}")]});
        let status =
            json!({"version": 1, "templates": [entry("p", "p", "P"), entry("q", "q", "Q"), entry("r", "r", "R")]});
        let named = |names: [&str; 3]| names.map(|name| json!({"name": name}));
        json!({
            "metadata": {"annotations": {"outrigger.dev/status": status.to_string()}},
            "spec": {"initContainers": named(sidecars), "containers": [{"name": "web", "env": named(env)}]},
        })
    }

    #[test]
    fn the_order_of_what_others_have_brought_does_not_count() {
        let expected = last(&pod(["p", "q", "r"], ["P", "Q", "R"]), &keys(), "p");
        for (sidecars, env) in [(["q", "r", "p"], ["R", "Q", "P"]), (["r", "p", "q"], ["Q", "P", "R"])] {
            let found = last(&pod(sidecars, env), &keys(), "p");
            assert_eq!(found["spec"], expected["spec"]);
        }
        assert_eq!(expected["spec"]["initContainers"], json!([{"name": "p"}, {"name": "q"}, {"name": "r"}]));
    }

    #[test]
    fn only_containers_of_both_pods_can_be_reordered() {
        let pod = |sidecars| pod(sidecars, ["P", "Q", "R"]);
        assert!(is_reordered(&pod(["p", "q", "r"]), &pod(["q", "p", "r"])));
        assert!(!is_reordered(&pod(["p", "q", "r"]), &pod(["p", "new", "r"])));
        assert!(!is_reordered(&pod(["p", "q", "r"]), &json!({})));
    }

    #[test]
    fn the_order_of_the_pods_own_items_counts() {
        let mut one = pod(["p", "a", "b"], ["P", "A", "B"]);
        let mut other = pod(["p", "b", "a"], ["P", "A", "B"]);
        assert_ne!(last(&one, &keys(), "p")["spec"], last(&other, &keys(), "p")["spec"]);
        for pod in [&mut one, &mut other] {
            pod["metadata"]["annotations"]["outrigger.dev/status"] = json!("not ours");
            assert_eq!(last(pod, &keys(), "p"), *pod);
        }
    }
}
