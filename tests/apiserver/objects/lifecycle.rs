//! Template objects come, change and go while replicas serve.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{LIMIT, apply, apply_with, cluster, delete, image, sidecar, templates_of};
use crate::process::eventually;
use crate::replicas::Running;

tests! {
    changes_of_objects_are_live_on_every_replica_within_a_second,
    a_pod_created_right_after_its_template_is_injected,
    default_lists_and_automatic_templates_take_effect_at_once,
    an_object_and_a_file_of_one_name_are_told_of_each_other,
    a_template_that_is_too_large_or_has_unknown_fields_is_told_at_once,
}

fn changes_of_objects_are_live_on_every_replica_within_a_second() {
    let running = Running::start(cluster(), "live", 2, &["--ca-propagation=1s"]);
    let (cluster, pods) = (running.cluster(), &running.pods);
    let revision = |index: usize, name: &str| {
        let templates = templates_of(&running.replicas[index]);
        let template = templates.iter().find(|template| template["name"] == name)?;
        template["revision"].as_str().map(str::to_owned)
    };
    let mut last = String::new();
    let mut delays = Vec::new();
    for round in 0..10 {
        apply(cluster, "", "live", &sidecar(&format!("helper:{round}"))).expect_success();
        let changed = Instant::now();
        for index in 0..running.replicas.len() {
            eventually("the change is live", LIMIT, || revision(index, "live").filter(|now| *now != last).map(|_| ()));
        }
        delays.push(changed.elapsed());
        assert_eq!(revision(0, "live"), revision(1, "live"), "both have the same revision");
        last = revision(0, "live").expect("it is served");
        assert_eq!(image(pods, "live"), Ok(format!("helper:{round}")));
    }
    delays.sort();
    println!("a change is live on two replicas after {:?} at most, {:?} in the median", delays[9], delays[5]);
    assert!(delays[5] <= Duration::from_secs(1), "{delays:?}");

    delete(cluster, "", "live").expect_success();
    eventually("the template is gone", LIMIT, || {
        image(pods, "live").err().filter(|why| why.contains("template_not_found"))
    });
}

fn a_pod_created_right_after_its_template_is_injected() {
    let running = Running::start(cluster(), "at-once", 2, &["--ca-propagation=1s"]);
    let (cluster, pods) = (running.cluster(), &running.pods);
    for round in 0..25 {
        let name = format!("at-once-{round}");
        // Of the cluster and of the namespace in turn.
        let namespace = if round % 2 == 0 { "" } else { pods.name.as_str() };
        apply(cluster, namespace, &name, &sidecar("helper:1")).expect_success();
        assert_eq!(image(pods, &name), Ok("helper:1".to_owned()), "round {round}");
    }
    let metric = |name: &str| running.replicas.iter().filter_map(|replica| replica.metric(name)).sum::<f64>();
    assert_eq!(metric("outrigger_admission_errors_total{code=\"template_not_found\"}"), 0.0);
    // What does not exist is refused all the same, after a moment.
    let refused = image(pods, "at-once-never").expect_err("there is no such template");
    assert!(refused.contains("template_not_found"), "{refused}");
}

fn default_lists_and_automatic_templates_take_effect_at_once() {
    let running = Running::start(cluster(), "automatic", 2, &["--ca-propagation=1s"]);
    let (cluster, pods) = (running.cluster(), &running.pods);
    let mut automatic = sidecar("automatic:1");
    automatic["injection"] = json!("Automatic");
    automatic["match"] =
        json!({"podSelector": {}, "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": pods.name}}});
    apply(cluster, "", "automatic-all", &automatic).expect_success();
    apply(cluster, "", "automatic-listed", &json!({"app": {"env": [{"name": "LISTED", "value": "1"}]}}))
        .expect_success();
    let created = |annotations: serde_json::Value| {
        let pod = crate::cluster::pod("probe", &annotations);
        pods.create_pod(&pod, "&dryRun=All").expect_success().to_string()
    };
    let changed = |patch: &serde_json::Value| {
        let path = format!("/api/v1/namespaces/{}", pods.name);
        let patch = json!({"metadata": patch}).to_string().into_bytes();
        cluster.send("PATCH", &path, "application/merge-patch+json", patch).expect_success();
        Instant::now()
    };
    let mut delays = Vec::new();
    let mut until = |since: Instant, is: &dyn Fn() -> bool| {
        eventually("the namespace's settings apply", LIMIT, || is().then_some(()));
        delays.push(since.elapsed());
    };
    let none = || json!({});
    let has = |text: &str| created(none()).contains(text);
    assert!(!has("automatic:1") && !has("LISTED"));
    until(changed(&json!({"labels": {"outrigger.dev/injection": "enabled"}})), &|| has("automatic:1"));
    until(changed(&json!({"annotations": {"outrigger.dev/inject": "automatic-listed"}})), &|| has("LISTED"));
    assert!(created(json!({"outrigger.dev/inject": "false"})).matches("automatic:1").count() == 0, "a pod opts out");
    until(changed(&json!({"annotations": {"outrigger.dev/inject": null}})), &|| !has("LISTED"));
    until(changed(&json!({"labels": {"outrigger.dev/injection": "disabled"}})), &|| !has("automatic:1"));
    delays.sort();
    println!("a change of a namespace takes effect after {delays:?}");
    assert!(delays[1] <= Duration::from_secs(1), "{delays:?}");
    delete(cluster, "", "automatic-all").expect_success();
}

fn an_object_and_a_file_of_one_name_are_told_of_each_other() {
    let running = Running::start(cluster(), "two-sources", 1, &["--ca-propagation=1s"]);
    let (cluster, pods) = (running.cluster(), &running.pods);
    // The replicas have the file `agent.yaml`.
    let refused = eventually("templates are validated", LIMIT, || {
        let answer = apply_with(cluster, "", "agent", &sidecar("helper:1"), "&dryRun=All");
        (!answer.is_success()).then_some(answer)
    });
    let message = refused.body["message"].to_string();
    assert!(message.contains("stands at") && message.contains("neither of the two is taken"), "{message}");
    // A template of a namespace may have the name, and is told that it is hidden.
    let answer = apply_with(cluster, &pods.name, "agent", &sidecar("helper:1"), "&dryRun=All");
    assert!(answer.is_success() && answer.warnings.join(" ").contains("shadowable"), "{answer:?}");
}

fn a_template_that_is_too_large_or_has_unknown_fields_is_told_at_once() {
    let running = Running::start(cluster(), "odd", 1, &["--ca-propagation=1s"]);
    let (cluster, namespace) = (running.cluster(), running.pods.name.as_str());
    let mut large = sidecar("helper:1");
    large["description"] = json!("x".repeat(300 * 1024));
    let refused = eventually("templates are validated", LIMIT, || {
        let answer = apply_with(cluster, namespace, "odd", &large, "&dryRun=All");
        (!answer.is_success()).then_some(answer)
    });
    let message = refused.body["message"].to_string();
    assert!(message.contains("KiB are more than the 256 KiB that a template may have"), "{message}");
    // Of the cluster, since a template of a namespace has only fields that the build knows.
    let mut newer = sidecar("helper:1");
    newer["sidecars"][0]["fieldOfNextYear"] = json!("kept");
    let answer = apply(cluster, "", "odd", &newer);
    assert!(answer.warnings.join(" ").contains("fieldOfNextYear"), "{:?}", answer.warnings);
    let stored = answer.expect_success();
    assert_eq!(stored["spec"]["sidecars"][0]["fieldOfNextYear"], "kept");
    delete(cluster, "", "odd").expect_success();
}
