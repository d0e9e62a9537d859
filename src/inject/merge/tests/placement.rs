//! Tests of the positions of new containers.

use super::*;
use crate::inject::Settings;
use crate::inject::tests::injector_with;

fn containers(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name, "image": "x"})).collect()
}

/// A template with these sidecars and init containers.
fn template_with(sidecars: &[&str], init_containers: &[&str], placement: Value) -> Value {
    json!({"sidecars": containers(sidecars), "initContainers": containers(init_containers), "placement": placement})
}

fn lists(injection: &Injected) -> (Vec<String>, Vec<String>) {
    (names(&injection.pod, "initContainers"), names(&injection.pod, "containers"))
}

fn in_pod(spec: Value) -> Injected {
    merged(spec, |pod| {
        pod["spec"]["initContainers"] = containers(&["i1", "i2"]);
        pod["spec"]["containers"] = containers(&["c1", "c2"]);
    })
}

#[test]
fn native_sidecars_come_first_then_init_containers_then_the_pods_own() {
    let injection = in_pod(template_with(&["s1", "s2"], &["n1"], json!({})));
    assert_eq!(lists(&injection).0, ["s1", "s2", "n1", "i1", "i2"]);
    assert_eq!(lists(&injection).1, ["c1", "c2"]);
    assert_eq!(injection.pod["spec"]["initContainers"][0]["restartPolicy"], "Always");
    assert_eq!(injection.pod["spec"]["initContainers"][2].get("restartPolicy"), None);
}

#[test]
fn plain_sidecars_come_last() {
    let injection = in_pod(template_with(&["s1", "s2"], &["n1"], json!({"sidecars": "Plain"})));
    assert_eq!(lists(&injection).0, ["n1", "i1", "i2"]);
    assert_eq!(lists(&injection).1, ["c1", "c2", "s1", "s2"]);
    assert_eq!(injection.pod["spec"]["containers"][2].get("restartPolicy"), None);
}

#[test]
fn without_native_sidecars_in_the_cluster_all_are_plain() {
    let settings = Settings { native_sidecars: NativeSidecars::Unsupported, ..Settings::default() };
    let injector = injector_with(&[template("agent", template_with(&["s1"], &[], json!({})))], settings);
    let mut pod = pod("agent", json!({}));
    assert_eq!(names(&injected(&injector, &pod).pod, "containers"), ["web", "s1"]);
    pod["metadata"]["ownerReferences"] = json!([{"kind": "Job", "name": "x"}]);
    let warnings = injected(&injector, &pod).warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("it never completes"), "{warnings:?}");
}

#[test]
fn first_and_last_are_the_ends_of_the_list() {
    let order = |order: &str| {
        lists(&in_pod(template_with(&["s1", "s2"], &["n1"], json!({"order": order, "initContainerOrder": order}))))
    };
    assert_eq!(order("First").0, ["s1", "s2", "n1", "i1", "i2"]);
    assert_eq!(order("Last").0, ["i1", "i2", "s1", "s2", "n1"]);
    let plain = |order: &str| lists(&in_pod(template_with(&["s1"], &[], json!({"sidecars": "Plain", "order": order}))));
    assert_eq!(plain("First").1, ["s1", "c1", "c2"]);
    assert_eq!(plain("Last").1, ["c1", "c2", "s1"]);
}

#[test]
fn before_and_after_a_container_of_the_pod() {
    let order = |order: Value| lists(&in_pod(template_with(&["s1", "s2"], &[], json!({"order": order}))));
    assert_eq!(order(json!({"before": "i2"})).0, ["i1", "s1", "s2", "i2"]);
    assert_eq!(order(json!({"after": "i1"})).0, ["i1", "s1", "s2", "i2"]);
    assert_eq!(order(json!({"after": "i2"})).0, ["i1", "i2", "s1", "s2"]);
    assert_eq!(order(json!({"before": "i1"})).0, ["s1", "s2", "i1", "i2"]);
}

#[test]
fn an_order_that_names_an_absent_container_is_ignored_with_one_warning() {
    let injection = in_pod(template_with(&["s1", "s2"], &[], json!({"order": {"after": "nope"}})));
    assert_eq!(lists(&injection).0, ["s1", "s2", "i1", "i2"]);
    assert_eq!(injection.warnings.len(), 1);
    assert!(injection.warnings[0].contains("\"nope\""), "{:?}", injection.warnings);
    let injection = in_pod(template_with(&["s1"], &[], json!({"sidecars": "Plain", "order": {"before": "i1"}})));
    assert_eq!(lists(&injection).1, ["c1", "c2", "s1"], "an init container is no place among the containers");
}

#[test]
fn containers_are_placed_in_the_order_of_the_requested_templates() {
    let one = template("one", template_with(&["s1"], &["n1"], json!({"sidecars": "Plain", "order": {"after": "web"}})));
    let two = template("two", template_with(&["s2"], &["n2"], json!({"sidecars": "Plain", "order": {"after": "web"}})));
    let injector = injector(&[one, two]);
    let requested = |list: &str| injected(&injector, &pod(list, json!({}))).pod;
    assert_eq!(names(&requested("one, two"), "containers"), ["web", "s1", "s2"]);
    assert_eq!(names(&requested("two, one"), "containers"), ["web", "s2", "s1"]);
    assert_eq!(names(&requested("two, one"), "initContainers"), ["n2", "n1"]);
}

#[test]
fn the_first_container_of_the_app_is_the_default_container() {
    let injection = merged(template_with(&["s1"], &[], json!({"sidecars": "Plain", "order": "First"})), |_| {});
    assert_eq!(injection.pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"], "web");
    let injection = merged(template_with(&["s1"], &[], json!({})), |pod| {
        pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] = json!("other");
    });
    assert_eq!(injection.pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"], "other");
}

#[test]
fn only_the_computed_preemption_policy_is_removed_for_a_class() {
    let class = || json!({"hardened": false, "pod": {"priorityClassName": "high"}});
    let left = |policy: &str| {
        let injection = merged(class(), |pod| {
            pod["spec"]["priority"] = json!(0);
            pod["spec"]["preemptionPolicy"] = json!(policy);
        });
        assert_eq!(injection.pod["spec"].get("priority"), None);
        injection.pod["spec"].get("preemptionPolicy").cloned()
    };
    assert_eq!(left("PreemptLowerPriority"), None);
    assert_eq!(left("Never"), Some(json!("Never")), "it is the author's own");
}
